"""The scan that is segmented is the one that is seen, or it is said before the click."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from canvas import Hand
from napari.layers import Image, Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Volume

pytestmark = pytest.mark.gl

SHAPE = (36, 40, 24)
CENTRE = (18, 20, 12)


def scan(name: str, origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Volume:
    away = np.indices(SHAPE) - np.reshape(CENTRE, (3, 1, 1, 1))
    voxels = np.where((away**2).sum(axis=0) <= 49, 300, 0).astype(np.int16)
    voxels[0, 0, 0] = len(name)  # two scans, two journals
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = origin
    return Volume.from_array(voxels, affine, name=name)


@pytest.fixture
def window(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    """A window that shows T1."""
    return open_window(scan("T1"))


def add(viewer: Any, volume: Volume) -> Any:
    return viewer.add_layer(Layer.create(*image_layer_data(volume)))


def image(viewer: Any, name: str) -> Any:
    return next(each for each in viewer.layers if each.name == name)


def click(widget: Any, hand: Hand, settle: Any) -> None:
    place = widget.view.frame.to_layer(CENTRE)[0]
    widget.viewer.dims.set_point(0, float(widget.view.mask.layer.data_to_world(place)[0]))
    QTest.qWait(50)
    hand.click(tuple(widget.view.mask.layer.data_to_world(place)))
    settle(widget)


def press(banner: Any, words: str) -> None:
    button = next(each for each in banner.buttons if words in each.text())
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    QTest.qWait(50)


def pixel(viewer: Any, hand: Hand, widget: Any) -> int:
    """How bright the middle of the ball of the chosen scan is drawn on the canvas."""
    place = widget.view.frame.to_layer(CENTRE)[0]
    at = hand.place(tuple(widget.view.mask.layer.data_to_world(place)))
    picture = viewer.screenshot(flash=False)
    return int(picture[at.y(), at.x(), :3].max())


def test_an_opened_scan_is_what_the_canvas_shows(
    window: Any, settle: Any, tmp_path: Path, monkeypatch: Any, qtbot: Any
) -> None:
    viewer, widget, hand = window
    click(widget, hand, settle)
    first = widget.view
    far = scan("far", (500.0, -900.0, 300.0))
    path = tmp_path / "far.nii.gz"
    nib.save(nib.Nifti1Image(far.voxels, far.affine), path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    hand.key("Shift+O")
    QTest.qWait(50)
    menu = widget.workspace.chooser._menu
    entry = menu.actions()[0]
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(entry).center())
    qtbot.waitUntil(lambda: widget.view is not None and widget.view is not first, timeout=60_000)
    settle(widget)
    assert widget.view.image.name == "far"
    assert "far" in widget.scan.combo.native.currentText()
    assert widget.view.image.visible
    assert not image(viewer, "T1").visible
    assert not first.mask.layer.visible
    assert pixel(viewer, hand, widget) > 200
    click(widget, hand, settle)
    assert [prompt.index for prompt in widget.view.prompts] == [CENTRE]
    assert len(first.prompts) == 1
    widget.scan.choose(image(viewer, "T1"))
    settle(widget)
    assert widget.view is first
    assert image(viewer, "T1").visible
    assert not image(viewer, "far").visible
    assert pixel(viewer, hand, widget) > 200


def test_a_dropped_file_is_chosen_and_with_t1_hidden_and_flair_seen_a_click_segments_flair(
    window: Any, settle: Any
) -> None:
    viewer, widget, hand = window
    add(viewer, scan("FLAIR"))
    settle(widget)
    assert widget.view.image.name == "FLAIR"
    assert not image(viewer, "T1").visible
    widget.scan.choose(image(viewer, "T1"))
    settle(widget)
    assert not image(viewer, "FLAIR").visible
    image(viewer, "T1").visible, image(viewer, "FLAIR").visible = False, True
    settle(widget)
    assert widget.view.image.name == "FLAIR"
    told = [note.message for note in notification_manager.records]
    assert "FLAIR is segmented now, the scan that is seen." in told
    click(widget, hand, settle)
    assert widget.view.image.name == "FLAIR"
    assert len(widget.view.prompts) == 1


def test_with_objects_in_t1_it_is_said_before_the_click(window: Any, settle: Any) -> None:
    viewer, widget, hand = window
    add(viewer, scan("FLAIR"))
    settle(widget)
    widget.scan.choose(image(viewer, "T1"))
    settle(widget)
    click(widget, hand, settle)
    for hide in (True, False):
        widget.scan.choose(image(viewer, "T1"))
        settle(widget)
        image(viewer, "FLAIR").visible = True
        image(viewer, "T1").visible = not hide
        settle(widget)
        assert widget.view.image.name == "T1"
        assert widget.view.mask.layer.visible  # masks of T1 can be looked at over FLAIR
        assert not widget.visibility_banner.isHidden()
        assert widget.visibility_banner.text.text() == "You see FLAIR, but a click segments T1."
        assert widget.status.now.text() == widget.visibility_banner.text.text()
        press(widget.visibility_banner, "Show T1")
        assert image(viewer, "T1").visible
        assert not image(viewer, "FLAIR").visible
        assert widget.visibility_banner.isHidden()
        image(viewer, "FLAIR").visible, image(viewer, "T1").visible = True, not hide
        settle(widget)
        press(widget.visibility_banner, "Segment FLAIR")
        settle(widget)
        assert widget.view.image.name == "FLAIR"
        assert widget.visibility_banner.isHidden()
        assert not image(viewer, "T1").visible


def test_the_pointer_says_where_the_scan_ends_and_a_hidden_one_is_told_and_shown_again(
    window: Any, settle: Any
) -> None:
    viewer, widget, hand = window
    inside = widget.view.mask.layer.data_to_world(widget.view.frame.to_layer(CENTRE)[0])
    beside = np.add(inside, (0, 0, 25))
    native = viewer.window._qt_viewer.canvas.native
    for place, shape in ((inside, "BitmapCursor"), (beside, "ForbiddenCursor")):
        hand.rest(tuple(place))
        assert native.cursor().shape() == getattr(Qt.CursorShape, shape)
    image(viewer, "T1").visible = False
    settle(widget)
    assert "T1 is hidden" in widget.visibility_banner.text.text()
    press(widget.visibility_banner, "Show T1")
    assert image(viewer, "T1").visible
    assert widget.visibility_banner.isHidden()
    # A blended scan is no other scan.
    pet = Image(np.zeros((24, 40, 36)), name="PET", blending="additive")
    viewer.add_layer(pet)
    settle(widget)
    assert widget.view.image.name == "T1"
    assert widget.visibility_banner.isHidden()
    assert pet.visible


def test_a_slice_beside_the_scan_is_told_before_the_click(window: Any, settle: Any) -> None:
    viewer, widget, hand = window
    add(viewer, scan("far", (0.0, 0.0, 200.0)))
    settle(widget)
    assert widget.visibility_banner.isHidden()
    viewer.dims.set_point(0, 10.0)
    settle(widget)
    assert "outside far" in widget.visibility_banner.text.text()
    hand.rest((10.0, 0.0, 0.0))
    cursor = viewer.window._qt_viewer.canvas.native.cursor()
    assert cursor.shape() == Qt.CursorShape.ForbiddenCursor
    press(widget.visibility_banner, "Go to it")
    settle(widget)
    assert widget.visibility_banner.isHidden()
