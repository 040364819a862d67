"""Tools on the canvas, by real mouse and key events, in every plane and in 3D."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import Hand
from qtpy.QtTest import QTest

from napari_fastsam3d.geometry import Box, Volume

pytestmark = pytest.mark.gl

SHAPE = (40, 48, 30)
CENTRE = (18, 24, 14)


@pytest.fixture
def scene(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    """A ball of 300 in water, anisotropic, stored P, S, R, in a window."""
    grid = (np.indices(SHAPE) - np.reshape(CENTRE, (3, 1, 1, 1))) * np.reshape(
        (2, 2, 3), (3, 1, 1, 1)
    )
    voxels = np.where((grid**2).sum(axis=0) <= 16**2, 300, 0).astype(np.int16)
    affine = np.array([[0, 0, 3, -40], [-2, 0, 0, 50], [0, 2, 0, -60], [0, 0, 0, 1]], float)
    return open_window(Volume.from_array(voxels, affine))


def shown(widget: Any) -> np.ndarray:
    return widget.view.frame.orientation.source_view(widget.view.mask.layer.data)


def world_of(widget: Any, index: tuple) -> tuple[float, ...]:
    place = widget.view.frame.to_layer(index)[0]
    return tuple(widget.view.mask.layer.data_to_world(place))


def turn_to(viewer: Any, widget: Any, axis: int, index: tuple) -> None:
    """Show the slice across a layer axis that holds a source index."""
    viewer.dims.order = (axis, *(i for i in range(3) if i != axis))
    place = widget.view.frame.to_layer(index)[0]
    viewer.dims.set_current_step(axis, int(place[axis]))
    viewer.reset_view()
    QTest.qWait(100)


def test_a_click_in_any_plane_lies_where_it_was_made(
    scene: tuple[Any, Any, Hand], settle: Any
) -> None:
    viewer, widget, hand = scene
    for axis, place in enumerate([(16, 26, 13), (17, 25, 15), (19, 23, 13)]):
        turn_to(viewer, widget, axis, place)
        hand.click(world_of(widget, place))
        settle(widget)
        (prompt,) = widget.view.current.prompts
        assert prompt.index == place
        assert shown(widget)[place] == 1
        assert shown(widget)[CENTRE] == 1
        hand.key("U")
        settle(widget)
        assert not shown(widget).any()


def test_where_the_pointer_rests_a_click_was_answered_before_it_came(
    scene: tuple[Any, Any, Hand], settle: Any, flood: Any, qtbot: Any, monkeypatch: Any
) -> None:
    viewer, widget, hand = scene
    segment, asked = flood.segment, []
    monkeypatch.setattr(flood, "segment", lambda *given: (asked.append(given), segment(*given))[1])
    turn_to(viewer, widget, 0, CENTRE)
    for tool, place in (("include", CENTRE), ("exclude", (36, 24, 14))):
        widget.workspace.toolbox.use(tool)
        before = len(asked)
        hand.rest(world_of(widget, place))
        qtbot.waitUntil(lambda before=before: len(asked) > before)
        widget.view.session.wait()
        qtbot.wait(300)
        foreseen = len(asked)
        hand.click(world_of(widget, place))
        settle(widget)
        qtbot.wait(300)
        assert len(asked) == foreseen
    assert [prompt.positive for prompt in widget.view.prompts] == [True, False]
    assert shown(widget)[CENTRE] == 1
    assert np.array_equal(shown(widget), widget.view.session.label_map())


def test_a_box_drawn_in_any_plane_holds_what_was_circled(
    scene: tuple[Any, Any, Hand], settle: Any
) -> None:
    viewer, widget, hand = scene
    frame = widget.view.frame
    middle = frame.to_layer(CENTRE)[0]
    half = 18 / frame.spacing
    to_world = widget.view.mask.layer.data_to_world
    for axis in range(3):
        turn_to(viewer, widget, axis, CENTRE)
        hand.key("G")
        low, high = middle - half, middle + half
        low[axis] = high[axis] = middle[axis]
        hand.drag(to_world(low), to_world(high))
        settle(widget)
        (prompt,) = widget.view.current.prompts
        ball = Box.of_mask(shown(widget) > 0)
        assert ball is not None
        assert prompt.box.contains(CENTRE)
        assert prompt.box.union(ball) == prompt.box
        assert shown(widget)[CENTRE] == 1
        hand.key("U")
        settle(widget)
        assert not shown(widget).any()


def test_dragging_a_point_moves_the_prompt_and_delete_takes_it_away(
    scene: tuple[Any, Any, Hand], settle: Any
) -> None:
    viewer, widget, hand = scene
    turn_to(viewer, widget, 0, CENTRE)
    beside = (36, 24, 14)
    hand.click(world_of(widget, beside))
    settle(widget)
    assert widget.view.prompts[0].index == beside
    hand.key("K")
    hand.drag(world_of(widget, beside), world_of(widget, CENTRE))
    settle(widget)
    (prompt,) = widget.view.current.prompts
    assert prompt.index == CENTRE
    assert shown(widget)[CENTRE] == 1
    assert shown(widget)[beside] == 0
    hand.click(world_of(widget, CENTRE))
    hand.key("Delete")
    settle(widget)
    assert widget.view.current.prompts == ()
    assert not shown(widget).any()


def test_a_box_can_be_dragged_too(scene: tuple[Any, Any, Hand], settle: Any) -> None:
    viewer, widget, hand = scene
    view = widget.view
    turn_to(viewer, widget, 0, CENTRE)
    view.run(lambda session: session.add_box((12, 18, 10), (25, 31, 19)))
    settle(widget)
    hand.key("K")
    start, end = world_of(widget, (16, 24, 12)), world_of(widget, (20, 24, 12))
    hand.drag(start, end)
    settle(widget)
    (prompt,) = view.current.prompts
    moved = np.subtract(prompt.box.start, (12, 18, 10))
    assert moved.tolist() == np.subtract(prompt.box.stop, (25, 31, 19)).tolist()
    assert abs(moved[0] - 4) <= 1
    assert moved[1] == 0


def test_in_3d_a_click_must_hit_the_mask(scene: tuple[Any, Any, Hand], settle: Any) -> None:
    viewer, widget, hand = scene
    turn_to(viewer, widget, 0, CENTRE)
    hand.click(world_of(widget, CENTRE))
    settle(widget)
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    QTest.qWait(200)
    hand.key("W")
    hand.click(world_of(widget, CENTRE))
    settle(widget)
    assert len(widget.view.current.prompts) == 2
    surface = widget.view.current.prompts[1]
    assert not surface.positive
    reach = np.linalg.norm((np.subtract(surface.index, CENTRE)) * (2, 2, 3))
    assert 12 < reach < 20
    corner = world_of(widget, (1, 1, 1))
    hand.click(corner)
    settle(widget)
    assert len(widget.view.current.prompts) == 2
    assert len(widget.view.points.layer.data) == 2
    assert "3D view" in widget.status.now.text()


def test_keys_work_whichever_layer_is_active(
    scene: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = scene
    for layer in list(viewer.layers):
        viewer.layers.selection.active = layer
        hand.key("W")
        assert widget.workspace.toolbox.tool == "exclude"
        hand.key("Q")
        assert widget.workspace.toolbox.tool == "include"
    hand.key("H")
    assert not widget.view.mask.layer.visible
    hand.key("H")
    assert widget.view.mask.layer.visible


def test_napari_keeps_its_undo_while_labels_are_painted(
    scene: tuple[Any, Any, Hand], settle: Any
) -> None:
    viewer, widget, hand = scene
    turn_to(viewer, widget, 0, CENTRE)
    hand.click(world_of(widget, CENTRE))
    settle(widget)
    viewer.add_labels(np.zeros((4, 4, 4), np.uint8), name="by hand")
    QTest.qWait(50)
    hand.key("Ctrl+Z")
    settle(widget)
    assert len(widget.view.current.prompts) == 1
    hand.key("U")
    settle(widget)
    assert widget.view.session.state.objects == ()


def test_letters_go_into_a_name_that_is_being_typed(
    scene: tuple[Any, Any, Hand], settle: Any
) -> None:
    from qtpy.QtWidgets import QApplication

    viewer, widget, hand = scene
    turn_to(viewer, widget, 0, CENTRE)
    hand.click(world_of(widget, CENTRE))
    settle(widget)
    names = widget.objects.list
    names.setFocus()
    names.editItem(names.item(0))
    editor = QApplication.focusWidget()
    QTest.keyClicks(editor, "wquk")
    QTest.keyClick(editor, "\r")
    settle(widget)
    assert widget.view.current.name == "wquk"
    assert widget.workspace.toolbox.tool == "include"


def test_nothing_is_cut_off_in_a_narrow_dock(scene: tuple[Any, Any, Hand], qtbot: Any) -> None:
    from qtpy.QtWidgets import QAbstractButton, QLabel

    _, widget, _ = scene
    widget.setFixedWidth(300)
    widget.sections["model"].heading.click()
    qtbot.wait(300)
    parts = [*widget.findChildren(QAbstractButton), *widget.findChildren(QLabel)]
    for part in parts:
        if part.isVisible():
            right = part.mapTo(widget, part.rect().topRight()).x()
            assert right <= 300, part.objectName()
            assert part.width() >= part.minimumSizeHint().width(), part.objectName()


def test_strokes_of_the_mouse_are_steps_of_the_sessions_undo(
    scene: tuple[Any, Any, Hand], settle: Any
) -> None:
    viewer, widget, hand = scene
    turn_to(viewer, widget, 0, CENTRE)
    hand.click(world_of(widget, CENTRE))
    settle(widget)
    clicked = shown(widget).copy()
    hand.key("Shift+B")
    start, end = world_of(widget, (4, 24, 8)), world_of(widget, (4, 24, 20))
    widget.view.mask.layer.brush_size = 2
    hand.drag(start, end)
    settle(widget)
    painted = shown(widget).copy()
    assert painted[4, 24, 8] == painted[4, 24, 20] == 1
    assert np.array_equal(painted, widget.view.session.label_map())
    hand.key("Shift+E")
    hand.drag(start, end)
    settle(widget)
    assert shown(widget)[4, 24, 8] == 0
    assert len(widget.view.session.history.entries) == 3
    assert viewer.layers.selection.active == widget.view.mask.layer
    hand.key("Ctrl+Z")
    settle(widget)
    assert np.array_equal(shown(widget), painted)
    hand.key("Ctrl+Z")
    settle(widget)
    assert np.array_equal(shown(widget), clicked)
    hand.key("Ctrl+Shift+Z")
    settle(widget)
    assert np.array_equal(shown(widget), painted)
