"""The list of earlier sessions by itself: rows, finding, going on, removing."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QBuffer, QByteArray, QIODevice, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_fastsam3d._napari.dialogs.earlier_sessions import EarlierDialog, counted
from napari_fastsam3d.session import EarlierSession

LEFT = Qt.MouseButton.LeftButton
WHEN = datetime(2026, 3, 9, 14, 5)


def png(colour: str) -> bytes:
    """A picture of one colour."""
    image = QImage(48, 32, QImage.Format.Format_RGB32)
    image.fill(colour)
    stored = QByteArray()
    buffer = QBuffer(stored)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(stored.data())


ONE = EarlierSession(
    *(Path("a.journal"), "s1", "Thorax", "hash", Path("/scans/thorax.nii.gz"), None, None),
    *(("lung", "heart"), WHEN, png("red")),
)
OTHER = replace(ONE, session="s2", scan="knee", source=None, objects=("bone",), saved=None)
BROKEN = replace(ONE, session="s3", scan="Abdomen", objects=("Leber",), picture=b"no picture")


class Shown:
    """A dialog, and what it asked for."""

    def __init__(self, parent: QWidget) -> None:
        self._owner = parent
        self.resumed: list[EarlierSession] = []
        self.removed: list[EarlierSession] = []
        self.dialog = EarlierDialog(parent, self.resumed.append, self.removed.append)
        self.dialog.show_sessions((ONE, OTHER, BROKEN))
        self.dialog.show()

    @property
    def names(self) -> list[str]:
        """The scans of the rows that are seen."""
        rows = self.dialog.list
        items = [rows.item(row) for row in range(rows.count())]
        return [item.text().splitlines()[0] for item in items if not item.isHidden()]


@pytest.fixture
def shown(qtbot: Any) -> Shown:
    owner = QWidget()
    qtbot.addWidget(owner)
    return Shown(owner)


def test_a_row_tells_scan_date_objects_file_and_picture(shown: Shown) -> None:
    rows = shown.dialog.list
    assert [rows.item(row).text() for row in range(3)] == [
        "Thorax\n09 Mar 2026, 14:05\n2 objects (lung, heart)",
        "knee\n\n1 object (bone)",
        "Abdomen\n09 Mar 2026, 14:05\n1 object (Leber)",
    ]
    tips = [rows.item(row).toolTip() for row in range(2)]
    assert tips == [str(ONE.source), "An array made in memory"]
    icons = [rows.item(row).icon() for row in range(3)]
    assert [icon.isNull() for icon in icons] == [False, False, True]  # what is damaged has none
    assert icons[0].pixmap(20, 20).toImage().pixelColor(5, 5).name() == "#ff0000"


def test_objects_are_counted_and_named() -> None:
    assert counted(()) == "0 objects"
    assert counted(("liver",)) == "1 object (liver)"
    assert counted(("liver", "spleen")) == "2 objects (liver, spleen)"


def test_the_newest_is_chosen_and_any_other_can_be_gone_on_with(shown: Shown) -> None:
    dialog = shown.dialog
    assert dialog.chosen is ONE
    dialog.list.setCurrentRow(1)
    QTest.mouseClick(dialog.resume, LEFT)
    assert shown.resumed == [OTHER]
    assert not dialog.isVisible()  # it is out of the way of what is opened
    dialog.show()
    dialog.list.itemActivated.emit(dialog.list.item(0))
    dialog.list.setCurrentRow(2)
    dialog.list.itemActivated.emit(dialog.list.item(2))
    assert shown.resumed[-1] is BROKEN


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("thorax", ["Thorax"]),
        ("LEBER", ["Abdomen"]),
        ("bone", ["knee"]),
        ("2026", ["Thorax", "Abdomen"]),
        ("", ["Thorax", "knee", "Abdomen"]),
    ],
)
def test_a_session_is_found_by_scan_object_or_date(
    shown: Shown, typed: str, found: list[str]
) -> None:
    QTest.keyClicks(shown.dialog.filter, typed)
    assert shown.names == found


def test_what_is_out_of_sight_is_neither_opened_nor_removed(shown: Shown) -> None:
    dialog = shown.dialog
    dialog.list.setCurrentRow(0)
    dialog.filter.setText("knee")
    assert dialog.chosen is None  # the row that was selected is hidden
    assert not dialog.resume.isEnabled()
    assert not dialog.remove.isEnabled()
    dialog.list.itemActivated.emit(dialog.list.item(0))
    dialog._ask_to_remove()
    assert (shown.resumed, shown.removed) == ([], [])
    dialog.list.setCurrentRow(1)
    assert dialog.resume.isEnabled()
    dialog.filter.clear()
    assert dialog.chosen is OTHER


def test_nothing_is_removed_without_a_yes(shown: Shown, monkeypatch: Any) -> None:
    asked: list[str] = []
    answer = QMessageBox.StandardButton.No

    def question(_parent: Any, _title: str, text: str) -> QMessageBox.StandardButton:
        asked.append(text)
        return answer

    monkeypatch.setattr(QMessageBox, "question", staticmethod(question))
    QTest.mouseClick(shown.dialog.remove, LEFT)
    assert shown.removed == []
    answer = QMessageBox.StandardButton.Yes
    QTest.mouseClick(shown.dialog.remove, LEFT)
    assert shown.removed == [ONE]
    assert set(asked) == {
        "Remove the session of Thorax for good, with its 2 objects (lung, heart)? "
        "This can't be undone."
    }


def test_an_empty_list_says_how_it_fills_and_one_that_is_read_says_that(shown: Shown) -> None:
    dialog = shown.dialog
    dialog.wait()
    assert dialog.about.text() == "Reading the list of earlier sessions..."
    assert dialog.about.isVisible()
    assert not dialog.list.isVisible()
    assert not dialog.resume.isEnabled()
    dialog.show_sessions(())
    assert dialog.about.text().startswith("There is no earlier session.")
    dialog.show_sessions([OTHER])
    assert not dialog.about.isVisible()
    assert dialog.list.isVisible()
    assert not dialog.filter.isVisible()  # nothing to be found among one
    assert dialog.chosen is OTHER
    dialog.show_sessions([ONE, OTHER])
    assert dialog.filter.isVisible()


def test_what_was_sought_stays_when_the_list_is_read_anew(shown: Shown) -> None:
    shown.dialog.filter.setText("bone")
    shown.dialog.show_sessions((OTHER, ONE))
    assert shown.names == ["knee"]
    assert shown.dialog.chosen is OTHER
