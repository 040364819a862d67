"""Three linked planes beside the 3D view, by real mouse and key events, and freed when closed."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import Hand
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Scribble

pytestmark = pytest.mark.gl

INSIDE = (10, 12, 9)


@pytest.fixture
def window(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    """A bright block in water, stored L, P, S, in a window."""
    voxels = np.zeros((24, 28, 20), np.int16)
    voxels[6:14, 8:18, 6:14] = 1000
    volume = Volume.from_array(voxels, np.diag([-2.0, -2.0, 3.0, 1.0]), name="block")
    return open_window(volume)


def world_of(widget: Any, index: tuple[int, ...]) -> tuple[float, ...]:
    place = widget.view.frame.to_layer(index)[0]
    return tuple(float(x) for x in widget.view.mask.layer.data_to_world(place))


def kinds(widget: Any) -> list[str]:
    return [pane.kind for pane in widget.workspace.four_views.panes]


def use_panes(viewer: Any, widget: Any, hand: Hand, settle: Any) -> None:
    """Use the tools in the panes; these are named here alone, so that they can be freed."""
    coronal, sagittal, _ = widget.workspace.four_views.panes
    viewer.dims.set_point((0, 1, 2), world_of(widget, INSIDE))
    pane = Hand.over(coronal.viewer, coronal.canvas)
    # A click in the coronal pane is a prompt, and every view turns to it.
    place = (9, 12, 10)
    pane.click(world_of(widget, place))
    settle(widget)
    assert [prompt.index for prompt in widget.view.prompts] == [place]
    assert viewer.dims.point == pytest.approx(world_of(widget, place))
    assert sagittal.viewer.dims.point[2] == pytest.approx(world_of(widget, place)[2])
    for each in (coronal, sagittal):
        shown = {layer.name: layer for layer in each.viewer.layers}
        assert np.asarray(shown["Segmentation"].data)[tuple(layer_index(widget, place))] == 1
        assert len(shown["Prompts"].data) == 1
    # So are a box in the sagittal pane, and a stroke of the brush in the coronal one.
    hand.key("N")
    hand.key("G")
    other = Hand.over(sagittal.viewer, sagittal.canvas)
    other.drag(world_of(widget, (9, 8, 6)), world_of(widget, (9, 17, 13)))
    settle(widget)
    assert widget.view.prompts[0].box.contains(place)
    hand.key("Shift+B")
    widget.view.mask.layer.brush_size = 1
    pane.drag(world_of(widget, (2, 12, 2)), world_of(widget, (4, 12, 2)))
    settle(widget)
    assert widget.view.session.mask()[2, 12, 2]
    # So are a scribble, and a ruler, which all slices show.
    hand.key("N")
    hand.key("Shift+W")
    other.drag(world_of(widget, (9, 20, 6)), world_of(widget, (9, 20, 12)))
    settle(widget)
    assert isinstance(widget.view.prompts[0], Scribble)
    assert widget.view.prompts[0].voxels.unpack().contains((9, 20, 9))
    hand.key("Alt+R")
    pane.drag(world_of(widget, (4, 12, 4)), world_of(widget, (4, 12, 14)))
    settle(widget)
    for shown in (viewer.layers, coronal.viewer.layers, sagittal.viewer.layers):
        assert [layer.nshapes for layer in shown if layer.name == "Rulers"] == [1]
    assert widget.view.rulers.layer.features["length"].iloc[0].startswith(("29", "30", "31"))
    hand.key("Shift+B")
    # The wheel over a pane moves its slices, and what lies under the pointer is read there.
    pane.wheel(-2)
    assert viewer.dims.point[1] == pytest.approx(world_of(widget, (9, 14, 10))[1])
    pane.rest(world_of(widget, (9, 14, 10)))
    assert "voxel 9, 14, 10" in widget.readout.text()
    # Without a tool a click moves the crosshair, in the main view as well.
    hand.key("Escape")
    hand.click(world_of(widget, (16, 20, 10)))
    assert coronal.viewer.dims.point[1] == pytest.approx(world_of(widget, (16, 20, 10))[1])


def test_prompts_masks_and_slices_live_in_all_views(
    window: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = window
    before = [layer.name for layer in viewer.layers]
    hand.key("Ctrl+1")
    settle(widget)
    zoom = viewer.scene.camera.zoom
    hand.key("Ctrl+5")
    settle(widget)
    assert kinds(widget) == ["coronal", "sagittal", "3d"]
    use_panes(viewer, widget, hand, settle)
    hand.key("Ctrl+2")
    assert kinds(widget) == ["axial", "sagittal", "3d"]
    hand.key("Ctrl+1")
    assert viewer.scene.camera.zoom < 0.7 * zoom
    QTest.mouseClick(widget.plane_row.four, Qt.MouseButton.LeftButton)
    settle(widget)
    assert kinds(widget) == []
    assert viewer.scene.camera.zoom == pytest.approx(zoom, rel=0.05)  # the picture is large again
    assert [layer.name for layer in viewer.layers] == [*before, "Rulers"]


def test_panes_are_freed_with_their_viewers(
    window: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    _, widget, _ = window
    widget.run("four_views")
    settle(widget)
    panes = widget.workspace.four_views.panes
    parts = [weakref.ref(part) for pane in panes for part in (pane, pane.viewer, pane._qt)]
    parts += [weakref.ref(layer) for pane in panes for layer in pane.viewer.layers]
    del panes
    widget.run("four_views")

    def collected() -> bool:
        gc.collect()
        return all(part() is None for part in parts)

    qtbot.waitUntil(collected, timeout=30_000)


def layer_index(widget: Any, index: tuple[int, ...]) -> list[int]:
    return [int(value) for value in widget.view.frame.to_layer(index)[0]]
