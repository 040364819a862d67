"""Box prompts as rectangles of whatever slice is shown."""

from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from napari_fastsam3d._napari.frame import Frame, frame_of_layer, frame_of_volume
from napari_fastsam3d._napari.layers.boxes import BoxesLayer, BoxMark, CropLayer
from napari_fastsam3d._napari.layers.outline import Plane
from napari_fastsam3d.geometry import Box, Volume

BOX = Box((2, 3, 4), (6, 9, 9))


@pytest.fixture
def frame() -> Frame:
    return frame_of_volume(Volume.from_array(np.zeros((20, 20, 20), np.int16)))


@pytest.fixture
def shown(frame: Frame) -> BoxesLayer:
    return BoxesLayer(frame)


@pytest.fixture
def heard(shown: BoxesLayer) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    shown.added.connect(lambda box, guessed: told.append(("added", (box, guessed))))
    shown.moved.connect(lambda number, box: told.append(("moved", (number, box))))
    shown.deleted.connect(lambda numbers: told.append(("deleted", numbers)))
    shown.refused.connect(lambda message: told.append(("refused", message)))
    return told


def _extent(vertices: np.ndarray) -> tuple[list[float], list[float]]:
    return vertices.min(axis=0).tolist(), vertices.max(axis=0).tolist()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_is_cut_by_the_plane_that_is_looked_at(shown: BoxesLayer, axis: int) -> None:
    shown.show([BoxMark(1, BOX)])
    shown.show_plane(Plane(axis, 5))
    low, high = _extent(shown.layer.data[0])
    assert low[axis] == high[axis] == 5
    others = [i for i in range(3) if i != axis]
    assert [low[i] for i in others] == [BOX.start[i] - 0.5 for i in others]
    assert [high[i] for i in others] == [BOX.stop[i] - 0.5 for i in others]


def test_many_boxes_survive_every_change_of_view(shown: BoxesLayer, heard: list) -> None:
    boxes = [BoxMark(i, BOX.shifted((i, i, i))) for i in range(8)]
    shown.show(boxes)
    for plane in (Plane(1, 4), Plane(None), Plane(2, 7), Plane(0, 3)):
        shown.show_plane(plane)
        assert shown.layer.nshapes == (48 if plane.axis is None else 8)
    shown.show([])
    assert shown.layer.nshapes == 0
    assert heard == []


def test_a_drawn_rectangle_becomes_a_box(shown: BoxesLayer, heard: list) -> None:
    shown.layer.add(np.array([[8, 3, 4], [8, 3, 12], [8, 9, 12], [8, 9, 4]], float))
    assert heard == [("added", (Box((5, 3, 4), (12, 10, 13)), 0))]


def test_the_depth_can_be_given(shown: BoxesLayer, heard: list) -> None:
    shown.rule.depth = 3.0
    shown.layer.add(np.array([[8, 3, 4], [8, 3, 12], [8, 9, 12], [8, 9, 4]], float))
    ((_, (box, guessed)),) = heard
    assert (box.shape[0], guessed) == (3, None)


def test_a_rectangle_that_freezes_holds_all_slices_or_the_depth(shown: BoxesLayer) -> None:
    froze: list[Box] = []
    shown.frozen.connect(froze.append)
    shown.rule.freezing = True
    for depth in (None, 3.0):
        shown.rule.depth = depth
        shown.layer.add(np.array([[8, 3, 4], [8, 3, 12], [8, 9, 12], [8, 9, 4]], float))
    assert [(box.start[0], box.stop[0]) for box in froze] == [(0, 20), (7, 10)]


def test_a_frozen_region_looks_unlike_a_box(shown: BoxesLayer) -> None:
    shown.show([BoxMark(1, BOX), BoxMark(2, BOX.shifted((1, 1, 1)), frozen=True)])
    box, frozen = shown.layer.edge_color
    assert not np.allclose(box, frozen)
    shown.show([BoxMark(1, BOX), BoxMark(2, BOX.shifted((1, 1, 1)))])
    assert np.allclose(*shown.layer.edge_color)


def test_a_single_click_makes_no_box(shown: BoxesLayer, heard: list) -> None:
    shown.layer.add(np.array([[8, 3, 4], [8, 3, 4.2], [8, 3.2, 4.2], [8, 3.2, 4]], float))
    assert heard[0][0] == "refused"


def test_dragging_a_side_keeps_the_depth(shown: BoxesLayer, heard: list) -> None:
    shown.show([BoxMark(5, BOX)])
    shown.show_plane(Plane(0, 4))
    bigger = shown.layer.data[0].copy()
    bigger[bigger[:, 2] > 8, 2] = 11.5
    with shown.layer.events.data.blocker():
        shown.layer.data = [bigger]
    shown.layer.events.data(
        value=shown.layer.data, action="changed", data_indices=(0,), vertex_indices=((),)
    )
    assert heard == [("moved", (5, Box((2, 3, 4), (6, 9, 12))))]


def test_deleting_tells_which_box_is_gone(shown: BoxesLayer, heard: list) -> None:
    shown.show([BoxMark(5, BOX), BoxMark(6, BOX)])
    shown.layer.selected_data = {1}
    shown.layer.remove_selected()
    assert heard == [("deleted", (6,))]


def test_the_crop_is_outlined_only_when_asked_for(frame: Frame) -> None:
    crop = CropLayer(frame, lambda: BOX)
    crop.show_plane(Plane(1, 4))
    assert crop.layer.nshapes == 0
    crop.shown = True
    crop.show()
    assert crop.layer.nshapes == 1
    assert not crop.layer.editable


def test_boxes_of_a_hidden_layer_are_drawn_when_it_is_seen_again(
    make_napari_viewer: Any, frame: Frame
) -> None:
    viewer, boxes = make_napari_viewer(), BoxesLayer(frame)
    viewer.add_layer(boxes.layer)
    boxes.show([BoxMark(1, Box((1, 2, 3), (4, 6, 8)))])
    boxes.layer.visible = False
    viewer.dims.ndisplay = 3
    boxes.show_plane(Plane(None))
    boxes.layer.visible = True
    assert len(boxes.layer.data) == 6


def test_the_depth_of_a_box_is_in_mm_whatever_the_unit_of_the_layer() -> None:
    for unit, mm in (("mm", 1), ("um", 1e-3)):
        image = Image(np.zeros((40, 20, 20)), scale=np.divide((0.5, 1, 1), mm), units=(unit,) * 3)
        layer, found = BoxesLayer(frame_of_layer(image)), []
        layer.show_plane(Plane(0, 20))
        layer.rule.depth = 5.0
        layer.added.connect(lambda box, _guessed, found=found: found.append(box))
        layer.layer.add(np.array([[20, 4, 4], [20, 4, 12], [20, 12, 12], [20, 12, 4]]))
        assert found[0].shape[0] == pytest.approx(10, abs=1)
