"""The table of measures: it follows masks and scans, is copied and saved, and turns to objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QMessageBox
from scene import BALL, OTHER, Scene, ball, scan

from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog, _shown
from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.measures import COLUMNS
from napari_fastsam3d.session import Mask, Session

VOXEL_ML = 0.027


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (123_456, "123456"),
        (0.5, "0.5"),
        (-12.345678, "-12.35"),
        (1234.567, "1,235"),
        (9_999.9, "1e+04"),
        (123_456.7, "123,457"),
        (1e-7, "1e-07"),
    ],
)
def test_a_number_is_as_long_as_it_says_something(value: float | None, text: str) -> None:
    assert _shown(value) == text


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """A scan with two balls, of which the smaller is current."""
    scene = make_scene(scan())
    for name, at, radius in (("liver", BALL, 5.0), ("cyst é", OTHER, 3.0)):
        drawn = Mask.of_volume(ball(at, radius))
        scene.view.run(lambda session, name=name: session.new_object(name))
        scene.view.run(lambda session, drawn=drawn: session.edit_mask(drawn))
    scene.settle()
    return scene


@pytest.fixture
def dialog(scene: Scene) -> MeasuresDialog:
    scene.do("measures")
    (found,) = scene.widget.findChildren(MeasuresDialog)
    wait(scene, found)
    return found


def wait(scene: Scene, dialog: MeasuresDialog) -> None:
    """Wait until what was measured is shown; the timer need not run out."""
    scene.settle()
    while dialog._soon.isActive():
        dialog._soon.stop()
        dialog._measure()
        scene.settle()


def cells(dialog: MeasuresDialog, column: str) -> list[str]:
    table = dialog.table
    heads = [table.horizontalHeaderItem(n).text() for n in range(table.columnCount())]
    return [table.item(row, heads.index(column)).text() for row in range(table.rowCount())]


def test_each_object_is_a_row_and_the_masks_are_followed(
    scene: Scene, dialog: MeasuresDialog
) -> None:
    assert cells(dialog, "Object") == ["liver", "cyst é"]
    ml = COLUMNS["volume_ml"]
    wanted = [ball(BALL, 5.0).sum() * VOXEL_ML, ball(OTHER, 3.0).sum() * VOXEL_ML]
    assert [float(cell) for cell in cells(dialog, ml)] == pytest.approx(wanted, rel=1e-3)
    right = dialog.table.item(0, 1).textAlignment()
    assert Qt.AlignmentFlag(right) & Qt.AlignmentFlag.AlignRight
    assert dialog.state.text() == ""

    scene.do("measures")  # the same one comes to the front
    assert scene.widget.findChildren(MeasuresDialog) == [dialog]
    more = Mask.of_volume(ball(OTHER, 4.0))
    scene.view.run(lambda session: session.edit_mask(more))
    wait(scene, dialog)
    assert float(cells(dialog, ml)[1]) == pytest.approx(ball(OTHER, 4.0).sum() * VOXEL_ML, rel=1e-3)
    scene.do("undo")
    wait(scene, dialog)
    assert [float(cell) for cell in cells(dialog, ml)] == pytest.approx(wanted, rel=1e-3)
    scene.view.run(lambda session: session.rename_object(1, "left lobe"))
    wait(scene, dialog)
    assert cells(dialog, "Object") == ["left lobe", "cyst é"]

    # While it is closed nothing is measured; opened again it is up to date.
    dialog.close()
    scene.view.run(lambda session: session.remove_object(2))
    scene.settle()
    assert not dialog._soon.isActive()
    assert len(dialog.rows) == 2
    scene.do("measures")
    scene.settle()
    assert cells(dialog, "Object") == ["left lobe"]
    scene.view.run(lambda session: session.remove_object(1))
    wait(scene, dialog)
    assert (dialog.table.rowCount(), dialog.state.text()) == (0, "There is no object.")


def test_a_double_click_turns_to_the_object(scene: Scene, dialog: MeasuresDialog) -> None:
    scene.do("axial")
    scene.view.navigation.go_to_slice(2, 0)
    dialog.table.cellDoubleClicked.emit(0, 3)
    assert scene.current is not None
    assert scene.current.name == "liver"
    assert ball(BALL, 5.0)[..., scene.view.navigation.source_slice()].any()
    scene.view.run(lambda session: session.remove_object(2))
    scene.settle()
    dialog.table.cellDoubleClicked.emit(1, 0)  # not measured anew yet, and the object is gone
    assert scene.current.name == "liver"


def test_another_scan_and_none_are_followed(scene: Scene, dialog: MeasuresDialog) -> None:
    first = scene.view.image
    scene.open(Volume.from_array(np.zeros((9, 9, 9), np.int16), name="empty"))
    wait(scene, dialog)
    assert dialog.rows == []
    scene.widget.scan.choose(first)
    wait(scene, dialog)
    scene.settle()
    assert cells(dialog, "Object") == ["liver", "cyst é"]
    for layer in [*scene.work.images()]:
        scene.work.viewer.layers.remove(layer)
    wait(scene, dialog)
    assert dialog.rows == []
    dialog.save.click()  # of no scan there is nothing to save
    assert dialog.state.text() == "There is no object."


def test_the_table_is_copied_and_saved_as_a_spreadsheet_reads_it(
    scene: Scene, dialog: MeasuresDialog, monkeypatch: Any, tmp_path: Path
) -> None:
    dialog.copy.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["name", "liver", "cyst é"]
    assert dialog.state.text() == "Copied."

    offered, asked = [], []
    chosen, keep = "", QMessageBox.StandardButton.No

    def name(_parent: Any, _title: str, path: str, _kinds: str) -> tuple[str, str]:
        offered.append(Path(path).name)
        return chosen, ""

    def question(_parent: Any, _title: str, text: str) -> QMessageBox.StandardButton:
        asked.append(text)
        return keep

    monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(name))
    monkeypatch.setattr(QMessageBox, "question", staticmethod(question))
    dialog.save.click()
    assert offered == ["ct_measures.csv"]
    assert [*tmp_path.glob("*.csv")] == []
    chosen = str(tmp_path / "of.today")
    dialog.save.click()
    path = tmp_path / "of.today.csv"
    assert dialog.state.text() == f"Saved {path}."
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")  # or Excel would read another é
    rows = [line.split(",") for line in raw.decode("utf-8-sig").splitlines()]
    assert rows == [line.split("\t") for line in lines]

    path.write_text("kept")
    dialog.save.click()
    assert asked == ["These exist already and would be replaced: of.today.csv"]
    assert path.read_text() == "kept"
    chosen = str(tmp_path / "no folder" / "a.csv")
    notification_manager.records.clear()
    dialog.save.click()
    (told,) = notification_manager.records
    assert told.severity == "error"
    assert "a.csv" in told.message


def test_masks_that_can_not_be_measured_are_told_and_measured_later(
    scene: Scene, dialog: MeasuresDialog, monkeypatch: Any
) -> None:
    notification_manager.records.clear()
    with monkeypatch.context() as broken:

        def fail(_session: Session) -> None:
            raise SessionError("The masks are gone.", "Undo.")

        broken.setattr(Session, "measures", fail)
        scene.view.run(lambda session: session.rename_object(1, "lobe"))
        wait(scene, dialog)
    assert dialog.state.text() == "The masks could not be measured."
    assert [note.message for note in notification_manager.records] == ["The masks are gone. Undo."]
    scene.view.run(lambda session: session.rename_object(1, "left"))
    wait(scene, dialog)
    assert cells(dialog, "Object") == ["left", "cyst é"]


def test_diameters_are_drawn_once_and_told(scene: Scene) -> None:
    scene.do("object_before")
    *_, said = scene.do("draw_diameters")
    name, _, lengths = said.partition(": ")
    assert name == "liver"
    told = [float(part.removesuffix(" mm")) for part in lengths.split(" × ")]
    assert told == pytest.approx([30, 30], abs=3.1)  # ten voxels of 3 mm
    assert scene.view.rulers.layer.nshapes == 2
    assert scene.view.rulers.layer in scene.work.viewer.layers
    scene.do("draw_diameters")
    assert scene.view.rulers.layer.nshapes == 2
    scene.do("object_after")
    scene.view.run(lambda session: session.edit_mask(None, Mask.of_volume(ball(OTHER, 9.0))))
    scene.settle()
    assert scene.do("draw_diameters") == ["cyst é is empty."]
    assert scene.view.rulers.layer.nshapes == 2
