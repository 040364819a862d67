import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.mask import NOWHERE, Mask, dice

SHAPE = (6, 5, 7)


@st.composite
def arrays(draw):
    """A mask of the whole volume: a box of noise, often nothing."""
    start = [draw(st.integers(0, n - 1)) for n in SHAPE]
    stop = [draw(st.integers(a, n)) for a, n in zip(start, SHAPE, strict=True)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = np.zeros(SHAPE, dtype=bool)
    part = array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    part[...] = rng.random(part.shape) < draw(st.sampled_from([0.1, 0.5, 1.0]))
    return array


@st.composite
def boxes(draw, low=-3, high=9):
    start = [draw(st.integers(low, high)) for _ in range(3)]
    stop = [draw(st.integers(a, high)) for a in start]
    return Box(tuple(start), tuple(stop))


@given(arrays())
def test_a_mask_holds_what_it_was_made_of_in_the_tightest_box(array):
    mask = Mask.of_volume(array)
    assert mask.box == (Box.of_mask(array) or NOWHERE)
    assert mask.voxels.shape == mask.box.shape
    assert np.array_equal(mask.volume(SHAPE), array)
    assert mask.is_empty == (not array.any())


@given(arrays(), boxes())
def test_a_part_of_a_mask_is_a_part_of_the_array(array, box):
    mask = Mask.of_volume(array)
    inside = np.zeros(SHAPE, dtype=bool)
    inside[box.clipped(SHAPE).slices] = True
    assert np.array_equal(mask.inside(box).volume(SHAPE), array & inside)
    assert np.array_equal(mask.outside(box).volume(SHAPE), array & ~inside)
    assert np.array_equal(mask.within(box.clipped(SHAPE)), array[box.clipped(SHAPE).slices])
    assert mask.within(box).shape == box.shape
    assert mask.within(box).sum() == (array & inside).sum()


@given(arrays(), arrays())
def test_union_and_change_are_those_of_the_arrays(a, b):
    one, other = Mask.of_volume(a), Mask.of_volume(b)
    assert np.array_equal(one.union(other).volume(SHAPE), a | b)
    assert one.changed_box(other) == (Box.of_mask(a ^ b) or NOWHERE)
    assert one.equals(other) == np.array_equal(a, b)
    total = a.sum() + b.sum()
    assert one.agreement(other) == (2 * (a & b).sum() / total if total else 1)
    assert type(one.agreement(other)) is float


@given(arrays(), st.tuples(*[st.integers(-1, 8)] * 3))
def test_a_voxel_is_contained_where_the_array_says_so(array, index):
    inside = all(0 <= x < n for x, n in zip(index, SHAPE, strict=True))
    assert Mask.of_volume(array).contains(index) == (inside and bool(array[index]))


def test_values_are_written_only_where_the_mask_is():
    array = np.zeros(SHAPE, dtype=bool)
    array[1:3, 1:3, 1:3] = True
    labels = np.full((3, 3, 3), 9, dtype=np.uint8)
    Mask.of_volume(array).write(labels, Box((2, 2, 2), (5, 5, 5)), 4)
    assert labels[0, 0, 0] == 4
    assert (labels == 9).sum() == 26


def test_memory_follows_the_object_and_not_what_it_was_cut_from():
    array = np.zeros((200, 200, 50), dtype=bool)
    array[10:12, 10:12, 10:12] = True
    mask = Mask.of_volume(array)
    assert mask.nbytes == 8
    held = mask.voxels if mask.voxels.base is None else mask.voxels.base
    assert held.nbytes == 8


def test_two_masks_far_apart_are_compared_without_what_lies_between():
    one = Mask.of(Box((0, 0, 0), (1, 1, 1)), np.ones((1, 1, 1), bool))
    far = 1 << 20  # the box of both would have 10^18 voxels
    other = Mask.of(Box((far,) * 3, (far + 1,) * 3), np.ones((1, 1, 1), bool))
    assert one.changed_box(other) == Box((0, 0, 0), (far + 1,) * 3)


def test_a_mask_cannot_be_written_to():
    mask = Mask.of(Box((0, 0, 0), (2, 2, 2)), np.ones((2, 2, 2), bool))
    with pytest.raises(ValueError, match="read-only"):
        mask.voxels[0, 0, 0] = False


@given(arrays(), arrays())
def test_masks_kept_as_boxes_agree_as_much_as_arrays(one, two):
    assert Mask.of_volume(one).agreement(Mask.of_volume(two)) == dice(one, two)


@given(
    arrays(),
    st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3),
    st.tuples(*[st.integers(-1, 8)] * 3),
)
def test_depth_is_the_distance_to_the_nearest_voxel_outside(array, spacing, index):
    deep = np.zeros(tuple(n + 2 for n in array.shape))
    ndimage.distance_transform_edt(np.pad(array, 1), sampling=spacing, distances=deep)
    inside = all(0 <= at < n for at, n in zip(index, array.shape, strict=True))
    wanted = deep[tuple(at + 1 for at in index)] if inside else 0.0
    assert Mask.of_volume(array).depth(index, spacing) == pytest.approx(wanted)


def test_depth_is_found_however_deep_a_voxel_lies():
    mask = Mask.of(Box((3, 4, 5), (44, 45, 46)), np.ones((41, 41, 41), bool))
    assert mask.depth((23, 24, 25), (1.0, 1.0, 1.0)) == 21
    assert mask.depth((23, 24, 25), (3.0, 0.5, 1.0)) == 10.5
    assert mask.depth((43, 24, 25), (2.0, 0.5, 1.0)) == 2
