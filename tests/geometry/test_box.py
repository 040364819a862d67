import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box

SIDE = 7
relaxed = settings(deadline=None)
corners = st.tuples(*[st.integers(0, SIDE)] * 3)


@st.composite
def boxes(draw) -> Box:
    a, b = draw(corners), draw(corners)
    return Box(tuple(map(min, a, b)), tuple(map(max, a, b)))


def voxels(box: Box) -> np.ndarray:
    """The box as a mask, which is what it means."""
    mask = np.zeros((SIDE,) * 3, dtype=bool)
    mask[box.slices] = True
    return mask


@relaxed
@given(boxes())
def test_shape_size_and_mask_agree(box):
    assert box.size == voxels(box).sum()
    assert box.shape == voxels(box)[box.slices].shape
    assert box.is_empty == (not voxels(box).any())


@relaxed
@given(boxes())
def test_box_of_its_own_mask(box):
    assert Box.of_mask(voxels(box)) == (None if box.is_empty else box)


@relaxed
@given(boxes(), boxes())
def test_intersection_is_that_of_the_masks(a, b):
    both = a.intersection(b)
    assert np.array_equal(voxels(both), voxels(a) & voxels(b))
    assert all(x <= y for x, y in zip(both.start, both.stop, strict=True))


@relaxed
@given(boxes(), boxes())
def test_union_is_the_tightest_box_around_both(a, b):
    expected = Box.of_mask(voxels(a) | voxels(b))
    assert (None if a.union(b).is_empty else a.union(b)) == expected


@relaxed
@given(boxes(), corners)
def test_contains_what_its_mask_holds(box, index):
    inside = all(i < SIDE for i in index) and bool(voxels(box)[index])
    assert box.contains(index) == inside


@relaxed
@given(boxes(), st.integers(0, 4))
def test_padding_is_undone_by_clipping_where_the_grid_ends(box, margin):
    padded = box.padded(margin)
    assert all(
        b - a == n + 2 * margin
        for a, b, n in zip(padded.start, padded.stop, np.subtract(box.stop, box.start), strict=True)
    )
    clipped = padded.clipped((SIDE,) * 3)
    assert clipped.intersection(Box.whole((SIDE,) * 3)) == clipped


@relaxed
@given(boxes(), corners)
def test_shift_there_and_back(box, offset):
    assert box.shifted(offset).shifted([-o for o in offset]) == box
    assert box.shifted(offset).shape == box.shape


@relaxed
@given(st.lists(st.tuples(*[st.floats(0, SIDE - 1)] * 3), min_size=1, max_size=5))
def test_box_around_points_holds_the_voxel_of_each(points):
    box = Box.around_points(points)
    assert all(box.contains(np.floor(np.add(p, 0.5))) for p in points)


def test_empty_where_boxes_do_not_meet():
    assert Box((0, 0, 0), (2, 2, 2)).intersection(Box((5, 0, 0), (6, 2, 2))).is_empty


def test_a_box_is_a_value():
    a, b = Box((0, 0, 0), (1, 2, 3)), Box((0, 0, 0), (1, 2, 3))
    assert a == b
    assert hash(a) == hash(b)
    assert a < Box((0, 0, 1), (1, 2, 3))
    with pytest.raises(AttributeError):
        a.start = (1, 1, 1)
