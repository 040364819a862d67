"""Boxes drawn in a slice, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d._napari.layers.outline import Plane, drawn_box, outline, redrawn_box
from napari_fastsam3d.geometry import Box

SHAPE = (40, 50, 60)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    starts = [draw(st.integers(0, n - 2)) for n in SHAPE]
    stops = [draw(st.integers(a + 1, n)) for a, n in zip(starts, SHAPE, strict=True)]
    return Box(tuple(starts), tuple(stops))


@given(boxes(), st.integers(0, 2), st.integers(0, 59))
def test_dragging_nothing_changes_nothing(box: Box, axis: int, position: int) -> None:
    (face,) = outline(box, Plane(axis, position))
    flat = [i for i in range(3) if np.ptp(face[:, i]) == 0]
    if flat == [axis]:
        assert redrawn_box(face, box, SHAPE) == box


@given(boxes(), st.integers(0, 2), st.integers(0, 59))
def test_the_rectangle_lies_in_the_slice_that_the_box_spans(
    box: Box, axis: int, position: int
) -> None:
    (face,) = outline(box, Plane(axis, position))
    assert box.start[axis] <= face[0, axis] < box.stop[axis]
    if box.start[axis] <= position < box.stop[axis]:
        assert (face[:, axis] == position).all()


def test_a_box_has_six_faces_in_3d() -> None:
    faces = outline(Box((1, 2, 3), (4, 6, 8)), Plane(None))
    assert len(faces) == 6
    corners = np.concatenate(faces)
    assert corners.min(axis=0).tolist() == [0.5, 1.5, 2.5]
    assert corners.max(axis=0).tolist() == [3.5, 5.5, 7.5]


def _rectangle(axis: int, position: float, low: tuple, high: tuple) -> np.ndarray:
    a, b = (i for i in range(3) if i != axis)
    corners = np.full((4, 3), float(position))
    corners[:, a] = [low[0], high[0], high[0], low[0]]
    corners[:, b] = [low[1], low[1], high[1], high[1]]
    return corners


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_box_is_as_deep_as_it_is_wide_on_average(axis: int) -> None:
    drawn = _rectangle(axis, 20, (10.0, 15.0), (20.0, 23.0))
    box = drawn_box(drawn, (1.0, 1.0, 1.0), SHAPE)
    assert box is not None
    assert box.shape[axis] == 9
    assert box.start[axis] == 16


def test_depth_counts_millimetres_and_is_clipped_to_the_scan() -> None:
    drawn = _rectangle(0, 1, (10.2, 15.0), (19.8, 23.4))
    box = drawn_box(drawn, (5.0, 1.0, 1.0), SHAPE, depth=25.0)
    assert box == Box((0, 11, 15), (4, 20, 24))


def test_only_voxels_whose_centre_is_inside_belong_to_a_box() -> None:
    drawn = _rectangle(2, 7.3, (9.6, 14.5), (12.4, 16.49))
    assert drawn_box(drawn, (1, 1, 1), SHAPE, depth=1.0) == Box((10, 15, 7), (13, 17, 8))


def test_a_rectangle_beside_the_scan_is_no_box() -> None:
    drawn = _rectangle(0, 5, (-20.0, 3.0), (-10.0, 9.0))
    assert drawn_box(drawn, (1, 1, 1), SHAPE) is None
