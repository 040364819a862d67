"""Point prompts in a napari layer: shown by the session, changed by the user."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_fastsam3d._napari.frame import frame_of_volume
from napari_fastsam3d._napari.layers.points import Mark, PointsLayer, Ray
from napari_fastsam3d.geometry import Volume

MARKS = (Mark(4, (1.0, 2.0, 3.0), True), Mark(7, (2.0, 2.0, 4.0), False))


@pytest.fixture
def shown() -> PointsLayer:
    volume = Volume.from_array(np.zeros((8, 9, 10), np.int16), np.diag([1.0, 1.0, 3.0, 1.0]))
    return PointsLayer(frame_of_volume(volume))


@pytest.fixture
def heard(shown: PointsLayer) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    shown.added.connect(lambda place, positive: told.append(("added", (place, positive))))
    shown.added_in_3d.connect(lambda ray, positive: told.append(("ray", (ray, positive))))
    shown.moved.connect(lambda number, place: told.append(("moved", (number, place))))
    shown.deleted.connect(lambda numbers: told.append(("deleted", numbers)))
    return told


def test_showing_marks_tells_nothing(shown: PointsLayer, heard: list) -> None:
    shown.show(MARKS)
    shown.show(MARKS[:1])
    shown.show(())
    assert heard == []


def test_positive_points_are_green_and_negative_ones_red(shown: PointsLayer) -> None:
    shown.show(MARKS)
    green, red = shown.layer.face_color[:, :3]
    assert green.argmax() == 1
    assert red.argmax() == 0
    assert shown.layer.data.tolist() == [[1, 2, 3], [2, 2, 4]]


def test_a_click_of_the_user_is_told_with_the_sign_of_the_tool(
    shown: PointsLayer, heard: list
) -> None:
    shown.show(MARKS)
    shown.positive = False
    shown.layer.add((3.2, 4.0, 5.0))
    assert heard == [("added", ((3.2, 4.0, 5.0), False))]
    assert shown.layer.face_color[-1].argmax() == 0
    assert [row.argmax() for row in shown.layer.face_color[:, :3]][:1] == [1]


def test_a_point_put_by_the_user_goes_where_the_session_says(shown: PointsLayer) -> None:
    shown.show(MARKS)
    shown.layer.add((3.2, 4.0, 5.0))
    shown.show((*MARKS, Mark(9, (3.0, 4.0, 5.0), True)))
    assert shown.layer.data[-1].tolist() == [3, 4, 5]
    shown.layer.add((6.0, 4.0, 5.0))
    shown.show((*MARKS, Mark(9, (3.0, 4.0, 5.0), True)))
    assert len(shown.layer.data) == 3


def test_deleting_tells_which_prompts_are_gone(shown: PointsLayer, heard: list) -> None:
    shown.show(MARKS)
    shown.layer.selected_data = {1}
    shown.layer.remove_selected()
    assert heard == [("deleted", (7,))]


def test_moving_tells_which_prompt_went_where(shown: PointsLayer, heard: list) -> None:
    shown.show(MARKS)
    moved = shown.layer.data.copy()
    moved[1] = (2.4, 5.0, 5.0)
    shown.layer.events.data.connect(lambda _: None)
    with shown.layer.events.data.blocker():
        shown.layer.data = moved
    shown.layer.events.data(
        value=shown.layer.data, action="changed", data_indices=(1,), vertex_indices=((),)
    )
    assert heard == [("moved", (7, (2.4, 5.0, 5.0)))]


def test_what_was_selected_stays_so_while_adjusting(shown: PointsLayer) -> None:
    shown.show(MARKS)
    shown.layer.mode = "select"
    shown.layer.selected_data = {1}
    shown.show((Mark(2, (0.0, 0.0, 0.0), True), *MARKS))
    assert set(shown.layer.selected_data) == {2}


def test_a_click_in_the_3d_view_is_a_ray(shown: PointsLayer, heard: list) -> None:
    class Press:
        dims_displayed = (0, 1, 2)
        position = (1.0, 2.0, 3.0)
        view_direction = (1.0, 0.0, 0.0)

    for callback in shown.layer.mouse_drag_callbacks:
        if getattr(callback, "__self__", None) is shown:
            callback(shown.layer, Press())
    shown.layer.add((1.0, 2.0, 3.0))
    assert heard == [("ray", (Ray((1.0, 2.0, 3.0), (1.0, 0.0, 0.0), (0, 1, 2)), True))]


def test_the_layer_lies_exactly_on_the_scan(shown: PointsLayer) -> None:
    viewer = ViewerModel()
    viewer.add_layer(shown.layer)
    assert sorted(shown.layer.scale) == [1, 1, 3]
    assert {str(unit) for unit in viewer.layers.units} == {"millimeter"}


def test_in_a_slice_without_points_none_is_asked_to_be_seen(shown: PointsLayer) -> None:
    """There napari draws one at the first voxel, as large as the least size that is asked for."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((10, 9, 8)), scale=shown.layer.scale, translate=shown.layer.translate)
    viewer.add_layer(shown.layer)
    shown.show((*MARKS, Mark(9, (7.0, 2.0, 4.0), True)))
    for slice_, least in ((1, 9), (5, 0), (2, 9)):
        viewer.dims.set_point(0, shown.layer.data_to_world((slice_, 0, 0))[0])
        assert shown.layer.canvas_size_limits == (least, 18)
    shown.show(())
    assert shown.layer.canvas_size_limits == (0, 18)
