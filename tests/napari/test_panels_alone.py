"""Pieces of the panel by themselves, without a viewer: sections, notices, dialogs and icons."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QInputDialog,
    QLabel,
    QListWidget,
    QMainWindow,
    QPushButton,
    QWidget,
)

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.compact import main_window_of
from napari_fastsam3d._napari.dialogs.clean_up import CleanUpDialog, ask_clean_up
from napari_fastsam3d._napari.dialogs.objects import ask_colour, ask_value
from napari_fastsam3d._napari.panels.layout import CollapsibleSection, fit_rows, labelled
from napari_fastsam3d._napari.panels.notice import Notice, NoticeChoice
from napari_fastsam3d.geometry.clean_up import OPERATIONS, CleanUp
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.session import Edit, History, Point, SessionState
from napari_fastsam3d.session.object_actions import LockObject, NewObject
from napari_fastsam3d.session.prompt_actions import AddPrompt

LEFT = Qt.MouseButton.LeftButton
SPOT, NOTHING = (PackedMask.of(mask) for mask in (Mask.of_indices([(1, 1, 1)]), Mask.empty()))


@pytest.fixture
def window(qtbot: Any) -> QMainWindow:
    """A window with a picture in its middle, as napari's has the canvas."""
    made = QMainWindow()
    qtbot.addWidget(made)
    made.setCentralWidget(QWidget())
    made.resize(900, 600)
    made.show()
    return made


def seen(widget: QWidget) -> bool:
    return not widget.isHidden()


def test_a_section_folds_away_and_tells_it_but_not_of_what_the_program_does(qtbot: Any) -> None:
    content, told = QLabel("inside"), []
    section = CollapsibleSection("Memory", content, opened=False, toggled=told.append)
    qtbot.addWidget(section)
    assert (section.opened, seen(content), told) == (False, False, [])
    for opened in (True, False, True):
        QTest.mouseClick(section.heading, LEFT)
        assert (section.opened, seen(content)) == (opened, opened)
        wanted = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        assert section.heading.arrowType() == wanted
    assert told == [True, False, True]
    section.note("3 recalled")
    assert section.heading.text() == "Memory: 3 recalled"
    section.note("")
    assert section.heading.text() == "Memory"


def test_a_list_gets_exactly_so_many_rows_and_keeps_those_it_has(qtbot: Any) -> None:
    rows = QListWidget()
    qtbot.addWidget(rows)
    rows.addItems(["a", "b", "c"])
    counts = []
    for count in (5, 2, 2, 0, 3):
        fit_rows(rows, count)
        counts.append([rows.item(row).text() for row in range(rows.count())])
    assert counts == [["a", "b", "c", "", ""], ["a", "b"], ["a", "b"], [], ["", "", ""]]


def test_a_label_has_the_tooltip_of_what_it_names(qtbot: Any) -> None:
    owner, button = QWidget(), QPushButton("go")
    qtbot.addWidget(owner)
    button.setToolTip("Goes.")
    owner.setLayout(labelled("Way", button))
    (label,) = owner.findChildren(QLabel)
    assert (label.text(), label.toolTip()) == ("Way", "Goes.")


def test_a_notice_shows_its_sentence_over_the_picture_until_it_is_put_away(
    window: QMainWindow, qtbot: Any
) -> None:
    owner = QWidget()
    qtbot.addWidget(owner)
    notice, pressed, closed = Notice(owner), [], []
    notice.closed.connect(lambda: closed.append(True))
    notice.dock(window)
    assert notice.parentWidget() is window.centralWidget()
    assert not seen(notice)
    long = "A sentence that takes several lines in a narrow window. " * 6
    choices = [
        NoticeChoice(text, f"{text} it.", lambda text=text: pressed.append(text))
        for text in ("Go on", "Forget")
    ]
    notice.show_message(f"<b>{long}</b>", choices)
    assert seen(notice)
    assert notice.text.text() == f"<b>{long}</b>"
    assert notice.text.textFormat() == Qt.TextFormat.PlainText  # a file's name is no markup
    assert [each.text() for each in notice.buttons] == ["Go on", "Forget"]
    for button in notice.buttons:
        QTest.mouseClick(button, LEFT)
    assert pressed == ["Go on", "Forget"]

    # It lies in the middle of the top, and follows the picture; no line of it is cut off.
    for wide, high in ((900, 600), (420, 300)):
        window.resize(wide, high)
        qtbot.waitUntil(lambda wide=wide: window.centralWidget().width() == wide)
        picture, place = window.centralWidget().rect(), notice.geometry()
        assert picture.contains(place)
        assert abs(place.center().x() - picture.center().x()) <= 1
        assert notice.text.height() >= notice.text.heightForWidth(notice.text.width())

    notice.show_message("Another.")
    assert notice.buttons == []
    QTest.mouseClick(notice.close_button, LEFT)
    assert (seen(notice), closed) == (False, [True])
    notice.show_message("Once more.")
    notice.withdraw()
    assert (seen(notice), closed) == (False, [True])  # the program took it away, not the user
    notice.dock(None)
    assert notice.parentWidget() is owner
    window.resize(500, 500)  # it is followed no more
    assert not seen(notice)


def test_the_window_of_a_widget_is_found_however_deep_it_lies(window: QMainWindow) -> None:
    child = QWidget(QWidget(window.centralWidget()))
    assert main_window_of(child) is window
    child.setParent(None)
    assert main_window_of(child) is None
    child.deleteLater()


def state(*edits: CleanUp, objects: int = 1, locked: int | None = None) -> SessionState:
    """Objects with a point each; the first was cleaned up so; one may be locked."""
    log = History()
    for number in range(1, objects + 1):
        log = log.do(NewObject(number, f"o{number}", number))
        log = log.do(AddPrompt(number, Point(number, (number, 0, 0), True)))
    for number, edit in enumerate(edits, 10):
        log = log.do(AddPrompt(1, Edit(number, SPOT, NOTHING, edit)))
    return log.do(LockObject(locked, SPOT)).state if locked else log.state


@pytest.mark.parametrize("kind", OPERATIONS)
def test_a_clean_up_asks_for_what_there_is_to_choose(qtbot: Any, kind: Any) -> None:
    unit = OPERATIONS[kind].unit
    owner = QWidget()
    qtbot.addWidget(owner)
    alone = CleanUpDialog(owner, "Title", "About.", kind, state())
    assert alone.asks is (unit is not None)
    assert seen(alone.amount) is (unit is not None)
    assert not seen(alone.everything)
    if unit is not None:
        assert alone.amount.suffix() == f" {unit}"
        assert alone.amount.value() == OPERATIONS[kind].usual
        again = CleanUpDialog(owner, "", "", kind, state(CleanUp(kind, 4.5), CleanUp(kind, 7)))
        assert again.amount.value() == 7  # the amount that was used last
    several = CleanUpDialog(owner, "Title", "About.", kind, state(objects=3, locked=2))
    assert several.asks
    assert seen(several.everything)
    assert several.everything.text() == "All 2 objects that are not locked"
    assert not several.everything.isChecked()


def test_the_answer_of_a_clean_up(qtbot: Any, monkeypatch: Any) -> None:
    owner = QWidget()
    qtbot.addWidget(owner)
    asked: list[CleanUpDialog] = []

    def answering(act: Callable[[CleanUpDialog], object]) -> None:
        def execute(dialog: CleanUpDialog) -> QDialog.DialogCode:
            asked.append(dialog)
            act(dialog)
            return QDialog.DialogCode(dialog.result())

        monkeypatch.setattr(CleanUpDialog, "exec", execute)

    assert ask_clean_up(owner, "Fill", "", "holes", state()) == (None, False)
    assert asked == []  # there was nothing to choose

    def take(dialog: CleanUpDialog) -> None:
        dialog.amount.setValue(3.5)
        dialog.everything.setChecked(True)
        dialog.buttons.button(QDialogButtonBox.StandardButton.Ok).click()

    answering(take)
    assert ask_clean_up(owner, "Grow", "", "grow", state(objects=2)) == (3.5, True)
    answering(lambda dialog: dialog.buttons.button(QDialogButtonBox.StandardButton.Cancel).click())
    assert ask_clean_up(owner, "Grow", "", "grow", state(objects=2)) is None
    assert len(asked) == 2


def test_what_is_asked_of_an_object_begins_with_what_it_has(qtbot: Any, monkeypatch: Any) -> None:
    owner = QWidget()
    qtbot.addWidget(owner)
    own = replace(state().objects[0], value=300, colour=(0.2, 0.4, 0.6))
    given: list[tuple[Any, ...]] = []
    answered = True

    def of_value(*words: Any) -> tuple[int, bool]:
        given.append(words)
        return 7, answered

    monkeypatch.setattr(QInputDialog, "getInt", staticmethod(of_value))
    for answered in (True, False):
        assert ask_value(owner, own) == (7 if answered else None)
    assert given[0][2:] == ("Value of o1 in the saved mask:", 300, 1, 65535)

    monkeypatch.setattr(QColorDialog, "getColor", staticmethod(lambda colour, *_: colour))
    assert ask_colour(owner, own) == pytest.approx(own.colour, abs=1e-4)
    monkeypatch.setattr(QColorDialog, "getColor", staticmethod(lambda *_: QColor()))
    assert ask_colour(owner, own) is None


def pixels(icon: Any, side: int = 32) -> np.ndarray:
    """The picture of an icon, (rows, columns, 4) of 0 to 255."""
    image = icon.pixmap(side, side).toImage().convertToFormat(QImage.Format.Format_ARGB32)
    shape = (image.height(), image.width(), 4)
    return np.frombuffer(bytes(image.constBits()), np.uint8).reshape(shape).astype(int)


def test_no_two_tools_have_one_picture(qtbot: Any) -> None:
    tools = (icons.include, icons.exclude, icons.box, icons.scribble, icons.lasso, icons.freeze)
    others = (icons.adjust, icons.brush, icons.erase, icons.ruler, icons.pan, icons.undo)
    drawn = {each.__name__: pixels(each()) for each in (*tools, *others, icons.redo, icons.smaller)}
    drawn["larger"] = pixels(icons.larger())
    for name, picture in drawn.items():
        share = (picture[..., 3] > 0).mean()
        assert 0.03 < share < 0.97, name  # neither nothing nor a blot
    for (one, a), (other, b) in combinations(drawn.items(), 2):
        assert (np.abs(a - b).max(axis=-1) > 60).mean() > 0.02, (one, other)
