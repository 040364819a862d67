"""The list of prompts in the real widget: what is selected, turned to, flipped and deleted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import Mask

SHAPE = (40, 48, 30)
BALL, OTHER, LOW = (14, 20, 12), (30, 36, 20), (12, 22, 9)
PAINTED = [(5, 6, 7), (5, 7, 7), (5, 8, 7)]


def ball(centre: tuple) -> np.ndarray:
    grid = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(axis=0) <= 6**2


@pytest.fixture
def widget(make_bare: Callable[..., Any], settle: Any) -> Any:
    """Two balls of 3 mm voxels; the first source axis runs towards L."""
    voxels = np.zeros(SHAPE, np.int16)
    voxels[ball(BALL)], voxels[ball(OTHER)] = 300, 500
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    affine[:3, 3] = (60, 70, -40)
    viewer, widget = make_bare()
    volume = Volume.from_array(voxels, affine, name="two balls")
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    notification_manager.records.clear()
    return widget


@pytest.fixture
def prompted(widget: Any, settle: Any) -> Any:
    """The widget with two points, a box and a stroke."""
    view = widget.view
    view.run(lambda session: session.add_point(BALL))
    view.run(lambda session: session.add_point(OTHER, positive=False))
    view.run(lambda session: session.add_box((8, 14, 6), (22, 28, 20)))
    view.run(lambda session: session.edit_mask(Mask.of_indices(PAINTED), None))
    settle(widget)
    return widget


def rows(widget: Any) -> list[str]:
    shown = widget.prompt_list.list
    return [shown.item(row).text() for row in range(shown.count())]


def chosen(widget: Any) -> list[int]:
    return [index.row() for index in widget.prompt_list.list.selectedIndexes()]


def ids(widget: Any) -> list[int]:
    return [prompt.id for prompt in widget.view.prompts]


def slice_of(widget: Any, index: tuple) -> bool:
    """Whether the slices in view are those through a voxel."""
    place = widget.view.frame.to_layer(index)[0]
    return list(widget.viewer.dims.current_step[-3:]) == place.round().astype(int).tolist()


def test_prompts_are_listed_in_order_and_in_words(prompted: Any) -> None:
    assert rows(prompted) == [
        "Include at R 18, A 10, I 4 mm",
        "Exclude at L 30, P 38, S 20 mm",
        "Box of 42 × 42 × 42 mm",
        "Painted 3 voxels",
    ]
    prompted.run("next_object")
    assert rows(prompted) == []


def test_erased_and_opened_masks_have_words_too(prompted: Any, settle: Any) -> None:
    gone = Mask.of_indices([BALL])
    prompted.view.run(lambda session: session.edit_mask(None, gone))
    prompted.view.run(lambda session: session.edit_mask(Mask.of_indices(PAINTED), gone))
    assert rows(prompted)[-2:] == ["Erased 1 voxel", "Painted 3 voxels, erased 1"]
    prompted.view.run(lambda session: session.add_mask(Mask.of_indices(PAINTED), "liver"))
    settle(prompted)
    assert rows(prompted) == ["Mask opened, 3 voxels"]


def test_selecting_selects_in_the_layers_and_turns_the_slices(prompted: Any) -> None:
    view, shown = prompted.view, prompted.prompt_list.list
    shown.setCurrentRow(1)
    assert view.points.selected_ids == (ids(prompted)[1],)
    assert slice_of(prompted, OTHER)
    shown.setCurrentRow(2)
    assert view.points.selected_ids == ()
    assert set(view.boxes.layer.selected_data) == {0}
    place = view.frame.box_to_layer(Box((8, 14, 6), (22, 28, 20)))
    steps = prompted.viewer.dims.current_step[-3:]
    assert all(a <= at < b for a, at, b in zip(place.start, steps, place.stop, strict=True))
    shown.setCurrentRow(3)
    assert slice_of(prompted, PAINTED[1])


def test_a_stroke_that_only_erases_is_turned_to(prompted: Any, settle: Any) -> None:
    prompted.view.run(lambda session: session.edit_mask(None, Mask.of_indices([LOW])))
    settle(prompted)
    prompted.prompt_list.list.setCurrentRow(4)
    assert slice_of(prompted, LOW)


def test_a_point_selected_in_the_layer_is_selected_in_the_list(prompted: Any) -> None:
    prompted.workspace.toolbox.use("adjust")
    step = prompted.viewer.dims.current_step
    prompted.view.points.layer.selected_data = {1}
    assert chosen(prompted) == [1]
    assert prompted.viewer.dims.current_step == step
    prompted.view.boxes.layer.selected_data = {0}
    assert chosen(prompted) == [2]
    assert not prompted.view.points.layer.selected_data
    prompted.view.boxes.layer.selected_data = set()
    assert chosen(prompted) == []


def test_a_tool_that_makes_points_deselects(prompted: Any) -> None:
    prompted.prompt_list.list.setCurrentRow(0)
    prompted.workspace.toolbox.use("exclude")
    assert chosen(prompted) == []
    assert not prompted.prompt_list.delete.isEnabled()


def test_flip_turns_the_selected_point_and_it_stays_selected(prompted: Any, settle: Any) -> None:
    prompted.prompt_list.list.setCurrentRow(1)
    prompted.prompt_list.flip.click()
    settle(prompted)
    assert rows(prompted)[1].startswith("Include")
    assert chosen(prompted) == [1]
    assert prompted.view.mask.layer.data.any()
    prompted.prompt_list.list.setCurrentRow(2)
    assert not prompted.prompt_list.flip.isEnabled()


def test_delete_takes_several_of_all_kinds(prompted: Any, settle: Any, qtbot: Any) -> None:
    shown, before = prompted.prompt_list.list, ids(prompted)
    for row in (1, 2, 3):
        shown.item(row).setSelected(True)
    qtbot.keyClick(shown, Qt.Key.Key_Delete)
    settle(prompted)
    assert ids(prompted) == before[:1]
    view = prompted.view
    labels = view.frame.source_view(view.mask.layer.data)
    assert np.array_equal(labels, view.session.label_map())
    assert labels[BALL] == 1
    prompted.run("undo")
    settle(prompted)
    assert ids(prompted) == [before[0], before[3]]


def test_arrows_select_and_enter_turns_back(prompted: Any, qtbot: Any) -> None:
    shown = prompted.prompt_list.list
    shown.setCurrentRow(0)
    qtbot.keyClick(shown, Qt.Key.Key_Down)
    assert chosen(prompted) == [1]
    assert slice_of(prompted, OTHER)
    prompted.viewer.dims.set_current_step(0, 1)
    qtbot.keyClick(shown, Qt.Key.Key_Return)
    assert slice_of(prompted, OTHER)


def test_the_next_prompt_and_the_one_before(prompted: Any) -> None:
    for row in (0, 1, 2, 3, 0):
        prompted.run("next_prompt")
        assert chosen(prompted) == [row]
    for row in (3, 2):
        prompted.run("previous_prompt")
        assert chosen(prompted) == [row]
    prompted.run("next_object")
    prompted.run("previous_prompt")
    assert chosen(prompted) == []


def test_of_a_locked_object_nothing_is_flipped_or_deleted(
    prompted: Any, settle: Any, qtbot: Any
) -> None:
    prompted.view.run(lambda session: session.rename_object(1, "liver"))
    prompted.run("lock_object")
    settle(prompted)
    shown = prompted.prompt_list
    shown.list.setCurrentRow(0)
    for button in (shown.flip, shown.delete):
        assert not button.isEnabled()
        assert button.toolTip() == "liver is locked. Unlock it first (Shift+F)."
    assert [entry.isEnabled() for entry in shown.menu().actions()] == [True, False, False]
    qtbot.keyClick(shown.list, Qt.Key.Key_Delete)
    assert len(ids(prompted)) == 4
    assert notification_manager.records == []
    prompted.run("lock_object")
    settle(prompted)
    assert shown.delete.isEnabled()


def test_the_menu_does_what_the_buttons_do(prompted: Any, settle: Any) -> None:
    prompted.prompt_list.list.setCurrentRow(0)
    turn, flip, delete = prompted.prompt_list.menu().actions()
    prompted.viewer.dims.set_current_step(0, 1)
    turn.trigger()
    assert slice_of(prompted, BALL)
    flip.trigger()
    settle(prompted)
    assert rows(prompted)[0].startswith("Exclude")
    delete.trigger()
    settle(prompted)
    assert len(rows(prompted)) == 3


def test_after_a_change_of_the_scan_the_list_is_of_the_other(prompted: Any, settle: Any) -> None:
    other = Volume.from_array(np.ones((20, 20, 20), np.int16), np.eye(4), name="other")
    first = prompted.scan.layer
    layer = prompted.viewer.add_layer(Layer.create(*image_layer_data(other)))
    prompted.scan.choose(layer)
    settle(prompted)
    assert rows(prompted) == []
    prompted.scan.choose(first)
    settle(prompted)
    assert len(rows(prompted)) == 4


def test_what_was_selected_is_forgotten_when_it_is_undone(prompted: Any, settle: Any) -> None:
    prompted.prompt_list.list.setCurrentRow(3)
    prompted.run("undo")
    settle(prompted)
    assert prompted.view.selection.ids == ()
    assert not prompted.prompt_list.delete.isEnabled()
