"""Measures and the ruler in a real window, by mouse and key."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import choose
from napari.layers import Layer
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.dialogs.clean_up import CleanUpDialog
from napari_fastsam3d._napari.dialogs.measures import MeasuresDialog
from napari_fastsam3d._napari.layers.rulers import RulerLayer
from napari_fastsam3d.geometry import Volume, measure
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.geometry.diameters import Line
from napari_fastsam3d.session import Edit

WAIT = 60_000
OBLIQUE = np.array([[0, 0, 2, -9], [-1.9, 0.5, 0, 5], [0.4, 1.5, 0, 3], [0, 0, 0, 1]], float)


def scan(affine: np.ndarray) -> Volume:
    voxels = np.zeros((40, 44, 20), np.int16)
    voxels[8:20, 10:30, 5:12] = 300
    return Volume.from_array(voxels, affine)


@pytest.mark.parametrize("affine", [np.diag([0.7, 0.7, 5, 1]), OBLIQUE], ids=["flat", "oblique"])
def test_a_ruler_measures_in_the_patient(make_bare: Any, settle: Any, affine: Any) -> None:
    viewer, widget = make_bare()
    viewer.add_layer(Layer.create(*image_layer_data(scan(affine))))
    settle(widget)
    rulers = widget.view.rulers
    assert isinstance(rulers, RulerLayer)
    rng = np.random.default_rng(4)
    for _ in range(5):
        start, end = rng.uniform(-30, 30, (2, 3))
        rulers.add([Line(tuple(start), tuple(end))])
        told = rulers.layer.features["length"].iloc[-1]
        assert told == f"{np.linalg.norm(start - end):.1f} mm"
    rulers.layer.selected_data = {1, 2}
    rulers.layer.remove_selected()
    assert len(rulers.layer.features) == rulers.layer.nshapes == 3


def test_lines_that_cross_are_one_pair_and_none_is_drawn_twice(make_bare: Any, settle: Any) -> None:
    viewer, widget = make_bare()
    viewer.add_layer(Layer.create(*image_layer_data(scan(np.diag([0.7, 0.7, 5, 1])))))
    settle(widget)
    rulers = widget.view.rulers
    along, across = Line((0, 7, 25), (14, 7, 25)), Line((4, 2, 25), (4, 9, 25))
    corner = Line((14, 7, 25), (14, 2, 25))  # end to end with the first one
    for _ in range(2):
        rulers.add([along, across, corner])
    assert list(rulers.layer.features["length"]) == ["14.0 × 7.0 mm", "", "5.0 mm"]
    rulers.add([Line((3, 2, 30), (3, 9, 30))])  # a slice further on
    assert rulers.layer.features["length"].iloc[-1] == "7.0 mm"


def answer(typed: str) -> None:
    """Type into the dialog that asks how much, and press Enter, as soon as it is open."""
    dialog = QApplication.activeModalWidget()
    if not isinstance(dialog, CleanUpDialog):
        QTimer.singleShot(200, lambda: answer(typed))
        return
    QTest.keyClicks(dialog.amount, typed)
    QTest.keyClick(dialog.amount, Qt.Key.Key_Return)


@pytest.mark.gl
def test_measuring_by_mouse_and_key(
    open_window: Callable[..., Any],
    activate: Any,
    settle: Any,
    qtbot: Any,
    monkeypatch: Any,
    tmp_path: Any,
) -> None:
    viewer, widget, hand = open_window(scan(np.diag([0.7, 0.7, 5, 1])))
    view = widget.view
    layer = view.mask.layer
    inside = view.frame.to_layer((14, 20, 8))[0]
    viewer.dims.set_current_step(0, round(inside[0]))
    viewer.reset_view()
    qtbot.wait(100)
    hand.click(layer.data_to_world(inside))
    settle(widget)

    QTest.mouseClick(widget.objects.measures, Qt.MouseButton.LeftButton)
    dialog = widget.findChild(MeasuresDialog)
    qtbot.waitUntil(lambda: dialog.rows != [], timeout=WAIT)
    region = view.session.region()
    (row,) = dialog.rows
    assert row.measures == measure(region, view.frame.volume)
    assert row.measures.volume_ml == pytest.approx(region.voxels.sum() * 0.7 * 0.7 * 5 / 1000)
    assert dialog.table.item(0, 0).text() == "object 1"
    before = row.measures.voxels
    view.run(lambda session: session.undo())
    view.run(lambda session: session.add_point((30, 40, 15)))
    qtbot.waitUntil(lambda: dialog.rows and dialog.rows[0].measures.voxels != before, timeout=WAIT)
    qtbot.mouseClick(dialog.copy, Qt.MouseButton.LeftButton)
    copied = QGuiApplication.clipboard().text().splitlines()
    assert copied[0].split("\t")[:3] == ["name", "label", "volume_ml"]
    chosen = tmp_path / "measures"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(chosen), ""))
    qtbot.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    assert chosen.with_suffix(".csv").read_text("utf-8-sig").startswith("name,label,volume_ml")
    dialog.close()

    view.run(lambda session: session.undo())
    view.run(lambda session: session.add_point((14, 20, 8)))
    settle(widget)
    activate(viewer)
    hand.key("Alt+D")
    qtbot.waitUntil(lambda: view.rulers.layer.nshapes == 2, timeout=WAIT)
    pair, nothing = view.rulers.layer.features["length"]
    assert nothing == ""  # lengths of lines that cross stand at the first, side by side
    told = [float(text) for text in pair.removesuffix(" mm").split(" × ")]
    shown = measure(view.session.region(), view.frame.volume)
    assert told == pytest.approx([shown.long_axis.length, shown.short_axis.length], abs=0.06)

    hand.key("Alt+R")
    assert widget.workspace.toolbox.tool == "ruler"
    place = view.frame.to_layer((10, 10, 8))[0]
    start, end = (layer.data_to_world(place + step) for step in ([0, 0, 0], [0, -20, -10]))
    viewer.dims.set_current_step(0, round(place[0]))
    hand.drag(start, end)
    qtbot.waitUntil(lambda: view.rulers.layer.nshapes == 3, timeout=WAIT)
    length = view.rulers.length(view.rulers.layer.data[-1])
    assert length == pytest.approx(np.hypot(20, 10) * 0.7, abs=0.7)
    assert len(view.prompts) == 1  # nothing of it is a prompt
    hand.key("Escape")
    voxels = view.session.region().voxels.sum()
    QTimer.singleShot(500, lambda: answer("3"))
    hand.key("Alt+G")
    settle(widget)
    qtbot.waitUntil(lambda: isinstance(view.prompts[-1], Edit), timeout=WAIT)
    settle(widget)
    assert view.prompts[-1].by == CleanUp("grow", 3.0)
    assert view.session.region().voxels.sum() > voxels
    assert np.array_equal(view.frame.source_view(layer.data), view.session.label_map())
    assert "Grew (3 mm)" in widget.prompt_list.list.item(1).text()
    activate(viewer)
    hand.key("U")
    settle(widget)
    assert view.session.region().voxels.sum() == voxels
    said: list[str] = []
    widget.workspace.message.connect(said.append)
    activate(viewer)
    hand.key("Alt+O")  # nothing to choose, nothing to fill
    qtbot.waitUntil(lambda: "Nothing had to be cleaned up." in said, timeout=WAIT)

    hand.key("Q")
    assert widget.workspace.toolbox.tool == "include"
    assert view.rulers.layer.mode == "pan_zoom"

    # Handed on: surfaces by the menu, a page by its key.
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "it.obj"), ""))
    choose(widget.objects.files_button, "save_meshes")
    qtbot.waitUntil(lambda: (tmp_path / "it.obj").exists(), timeout=WAIT)
    lines = [line.split() for line in (tmp_path / "it.obj").read_text().splitlines()]
    points = np.array([line[1:] for line in lines if line[0] == "v"], float)
    inside = np.argwhere(view.session.mask()) * (0.7, 0.7, 5) * (-1, -1, 1)  # LPS mm
    for found, wanted in (
        (points.min(axis=0), inside.min(axis=0)),
        (points.max(axis=0), inside.max(axis=0)),
    ):
        assert np.all(np.abs(found - wanted) < (0.7, 0.7, 5))
    settle(widget)
    page = tmp_path / "page.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(page), ""))
    activate(viewer)
    hand.key("Shift+Alt+R")
    qtbot.waitUntil(page.exists, timeout=WAIT)
    pixels = np.asarray(Image.open(page))
    colour = np.round(np.multiply(view.current.colour, 255))
    assert (np.abs(pixels - colour).max(axis=-1) <= 1).sum() > 300  # outlines and the swatch
