"""Which tool is in hand: keys, Escape, and what the pointer and the hint say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import Hand
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_fastsam3d.geometry import Volume

pytestmark = pytest.mark.gl

CENTRE = (20, 20, 15)


@pytest.fixture
def scene(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    """A ball in a window, cut through its middle."""
    away = np.indices((40, 40, 30)) - np.reshape(CENTRE, (3, 1, 1, 1))
    voxels = np.where((away**2).sum(axis=0) <= 64, 300, 0).astype(np.int16)
    viewer, widget, hand = open_window(Volume.from_array(voxels, np.eye(4)))
    viewer.dims.set_current_step(0, int(widget.view.frame.to_layer(CENTRE)[0][0]))
    return viewer, widget, hand


def world(widget: Any, index: tuple[int, ...]) -> tuple[float, ...]:
    return tuple(widget.view.mask.layer.data_to_world(widget.view.frame.to_layer(index)[0]))


def pointer(viewer: Any) -> Any:
    return viewer.window._qt_viewer.canvas.native.cursor()


def test_the_key_of_the_tool_in_hand_keeps_it(scene: tuple[Any, Any, Hand], settle: Any) -> None:
    _, widget, hand = scene
    tools = set()
    for key in ("Q", "W", "G", "K", "Shift+B", "Shift+E"):
        hand.key(key)
        tool = widget.workspace.toolbox.tool
        tools.add(tool)
        hand.key(key)
        assert tool is not None
        assert widget.workspace.toolbox.tool == tool
        QTest.mouseClick(widget.prompts.tools[tool], Qt.MouseButton.LeftButton)
        assert widget.workspace.toolbox.tool == tool
        assert widget.prompts.tools[tool].isChecked()
    assert len(tools) == 6
    hand.key("Q")
    hand.key("Q")
    hand.click(world(widget, CENTRE))
    settle(widget)
    assert [prompt.index for prompt in widget.view.prompts] == [CENTRE]


def test_pointer_and_hint_tell_the_tools_apart_and_escape_puts_them_away(
    scene: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = scene
    seen = {}
    for key, word in (("Q", "inside"), ("W", "not belong"), ("G", "rectangle")):
        hand.key(key)
        qtbot.waitUntil(lambda word=word: word in widget.status.now.text())
        hand.rest(world(widget, CENTRE))
        viewer.camera.zoom *= 1.1  # napari chooses its own pointer anew
        qtbot.wait(30)
        seen[key] = pointer(viewer).pixmap().cacheKey()
    assert len(set(seen.values())) == 3
    hand.key("Q")
    assert pointer(viewer).pixmap().cacheKey() == seen["Q"]
    for key in ("Q", "W", "G", "K", "Shift+B"):
        hand.key(key)
        hand.key("Escape")
        assert widget.workspace.toolbox.tool is None
    qtbot.waitUntil(lambda: "No tool in hand" in widget.status.now.text())
    assert widget.prompts.tools["pan"].isChecked()
    assert pointer(viewer).shape() != Qt.CursorShape.BitmapCursor
    hand.click(world(widget, CENTRE))
    hand.drag(world(widget, CENTRE), world(widget, (25, 25, 15)))
    settle(widget)
    assert widget.view.session.state.objects == ()


def test_a_locked_object_is_told_before_the_click(
    scene: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = scene
    hand.click(world(widget, CENTRE))
    settle(widget)
    hand.key("Shift+F")
    settle(widget)
    qtbot.waitUntil(lambda: "is locked" in widget.status.now.text())
    assert pointer(viewer).shape() == Qt.CursorShape.ForbiddenCursor
    hand.key("N")
    settle(widget)
    qtbot.waitUntil(lambda: "Click inside" in widget.status.now.text())
    assert pointer(viewer).shape() == Qt.CursorShape.BitmapCursor


def test_escape_ends_a_polygon_first_and_tools_of_slices_say_so_in_the_3d_view(
    scene: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = scene
    hand.key("Shift+B")
    widget.view.mask.layer.mode = "polygon"
    canvas = viewer.window._qt_viewer.canvas.native
    for step in (QPoint(0, 0), QPoint(30, 0), QPoint(30, 30)):
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center() + step)
        QTest.qWait(30)
    polygon = widget.view.mask.layer._overlays["polygon"]
    assert polygon.points
    hand.key("Escape")
    assert not polygon.points
    assert widget.view.mask.layer.mode == "polygon"
    hand.key("Escape")
    settle(widget)
    assert widget.view.mask.layer.mode == "pan_zoom"
    assert widget.view.session.state.objects == ()
    hand.key("Shift+W")
    viewer.dims.ndisplay = 3
    qtbot.waitUntil(lambda: "works in a slice" in widget.status.now.text())
    hand.key("W")
    qtbot.waitUntil(lambda: "click on a mask" in widget.status.now.text())
    for key in ("G", "Shift+B", "Shift+E", "Shift+W", "Shift+Z"):
        hand.key("W")
        hand.key(key)
        qtbot.waitUntil(lambda: "works in a slice" in widget.status.now.text())
        assert widget.workspace.toolbox.tool == "exclude"
