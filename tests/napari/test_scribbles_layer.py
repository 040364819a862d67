"""Scribbles and lassos, drawn by the mouse in the planes of a real window."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canvas import Hand
from qtpy.QtCore import Qt

from napari_fastsam3d._napari.frame import frame_of_volume
from napari_fastsam3d._napari.layers.scribbles import ScribblesLayer
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.drawing import region_inside
from napari_fastsam3d.session import Mask, PackedMask, Scribble

CENTRE = (20, 22, 15)
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 2.0, 5.0)])
def test_lines_are_shown_voxel_by_voxel_and_lassos_by_their_rims(spacing: Any) -> None:
    volume = Volume.from_array(np.zeros((12, 14, 16), np.int16), spacing=spacing)
    frame = frame_of_volume(volume)
    layer = ScribblesLayer(frame)
    line = Mask.of_indices([(1, 2, 3), (2, 2, 3)])
    square = region_inside([(1.5, 1.5), (1.5, 6.5), (6.5, 6.5), (6.5, 1.5)], 1, 4, volume.shape)
    drawn = [Scribble(1, PackedMask.of(line)), Scribble(2, PackedMask.of(square), False, True)]
    layer.show(drawn)
    shown = {tuple(map(int, place)) for place in frame.to_source(layer.layer.data)}
    rim = {(i, 4, k) for i in range(2, 7) for k in range(2, 7) if {i, k} & {2, 6}}
    assert shown == {(1, 2, 3), (2, 2, 3)} | rim
    assert len(np.unique(layer.layer.face_color, axis=0)) == 2
    layer.select([2])
    assert np.allclose(layer.layer.face_color[2:], 1)
    layer.show([])
    assert not len(layer.layer.data)


@pytest.fixture
def scene(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    """Two rods across one another in a window, each of a brightness of its own."""
    voxels = np.zeros((40, 44, 30), np.int16)
    voxels[8:32, 18:26, 11:19] = 300
    voxels[16:24, 4:18, 11:19] = 600
    return open_window(Volume.from_array(voxels, np.diag([-1.0, 1.0, 1.5, 1.0])))


def world(widget: Any, index: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(widget.view.mask.layer.data_to_world(widget.view.frame.to_layer(index)[0]))


def look_at(viewer: Any, widget: Any, qtbot: Any, picture: str = "") -> None:
    """Turn the slices to the centre; with a folder named, keep a picture of what was seen."""
    for axis, place in enumerate(world(widget, CENTRE)):
        viewer.dims.set_point(axis, place)
    viewer.reset_view()
    qtbot.wait(100)


def keep(viewer: Any, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        viewer.window._qt_window.grab().save(str(Path(folder) / f"{name}.png"))


@pytest.mark.gl
def test_lines_and_circles_are_drawn_in_every_plane(
    scene: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = scene
    view, x, y, z = widget.view, *CENTRE
    for plane, path in enumerate(
        [
            [(x - 9, y, z), (x + 9, y, z), (x, y - 10, z)],
            [(x - 9, y, z), (x, y, z + 3), (x + 9, y, z)],
            [(x, y - 12, z), (x, y, z + 3), (x, y + 3, z - 3)],
        ]
    ):
        look_at(viewer, widget, qtbot)
        hand.key("Shift+W")
        assert widget.prompts.tools["scribble"].isChecked()
        camera = viewer.camera.center
        with hand.drawing(*(world(widget, each) for each in path)):
            assert len(view.scribbles.layer.data) > 15
            keep(viewer, f"scribble-{plane}-drawing")
        settle(widget)
        assert viewer.camera.center == camera
        (drawn,) = view.prompts
        assert (drawn.positive, drawn.filled) == (True, False)
        mask = view.session.mask()
        held = drawn.voxels.unpack().volume(mask.shape)
        assert mask[held].all()
        for corner in path:
            assert np.abs(np.argwhere(held) - corner).max(axis=1).min() <= 1
        keep(viewer, f"scribble-{plane}")

        hand.key("Shift+Z")
        a, b = (axis for axis in range(3) if drawn.voxels.box.shape[axis] > 1)
        ring = np.tile(CENTRE, (4, 1))
        ring[:, a] += [-4, -4, 3, 3]
        ring[:, b] += [-3, 3, 3, -3]
        with hand.drawing(*(world(widget, each) for each in ring), held=SHIFT):
            keep(viewer, f"lasso-{plane}-drawing")
        settle(widget)
        lasso = view.prompts[-1]
        assert (lasso.positive, lasso.filled) == (False, True)
        assert np.ptp(lasso.voxels.box.shape) > 0
        assert not view.session.mask()[CENTRE]
        keep(viewer, f"lasso-{plane}")
        hand.key("J")
        settle(widget)
        assert view.session.mask()[CENTRE]
        for _ in range(3):
            hand.key("U")
        settle(widget)
        assert not view.session.mask().any()
        assert not len(view.scribbles.layer.data)
        hand.key("Shift+G")

    hand.key("Shift+W")
    look_at(viewer, widget, qtbot)
    steps = view.session.history.cursor
    with hand.drawing(world(widget, (x, y, z)), world(widget, (x + 9, y, z))):
        hand.key("Escape")
        assert not len(view.scribbles.layer.data)
    settle(widget)
    assert view.session.history.cursor == steps
    assert widget.workspace.toolbox.tool == "scribble"
    hand.key("Shift+Z")
    hand.click(world(widget, CENTRE))
    settle(widget)
    assert view.session.history.cursor == steps
    assert "single click makes no lasso" in widget.status.now.text()
