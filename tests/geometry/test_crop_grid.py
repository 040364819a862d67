"""Where a crop lies: every voxel and plane by itself, from the definition of the grid."""

from itertools import product

import numpy as np
import pytest
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.crop_grid import CropGrid

SHAPE = (7, 6, 5)
SIZE = 8
few = settings(max_examples=15, deadline=None)
places = st.tuples(*[st.floats(-9, 14).map(lambda x: round(x, 1) + 0.013)] * 3)
spacings = st.sampled_from([0.37, 1.0, 1.6, 4.1])
orders = st.sampled_from(ORDERS)


def volume(order=ORDERS[0]) -> Volume:
    plain = Volume.from_array(np.zeros(SHAPE, np.uint8), spacing=(0.8, 1.1, 2.3))
    return order.volume(plain)


def crop_of(place, spacing, order) -> tuple[CropGrid, Volume]:
    """The crop around a place that is given in the order of R, A, S."""
    stored = volume(order)
    return CropGrid.around(stored, stored.canonical.to_source(place), spacing, SIZE), stored


def crop_index(index, stored, place, spacing) -> np.ndarray:
    """The definition: mm from the centre along R, A and S, in crop voxels from `size // 2`."""
    away = stored.to_world(index) - stored.to_world(stored.canonical.to_source(place))
    return away / spacing + SIZE // 2


@few
@given(places, spacings, orders)
def test_the_box_holds_the_voxels_whose_centres_the_crop_covers(place, spacing, order):
    crop, stored = crop_of(place, spacing, order)
    held = np.zeros(stored.shape, bool)
    for index in product(*map(range, stored.shape)):
        at = crop_index(index, stored, place, spacing)
        held[index] = ((at >= -0.5) & (at < SIZE - 0.5)).all()
        np.testing.assert_allclose(crop.to_crop(index), at, atol=1e-3)
        np.testing.assert_allclose(crop.to_source(at), index, atol=1e-3)
        assert crop.contains(index) == held[index]
    assert (Box.of_mask(held) or Box((0, 0, 0), (0, 0, 0))).size == crop.box.size
    assert crop.box.is_empty or crop.box == Box.of_mask(held)


@few
@given(places, spacings, orders)
def test_planes_lie_in_the_volume_or_beyond_it(place, spacing, order):
    crop, stored = crop_of(place, spacing, order)
    length = [stored.shape[axis] for axis in stored.canonical.axes]
    step = [spacing / stored.spacing[axis] for axis in stored.canonical.axes]
    for axis in range(3):
        at = [(plane - SIZE // 2) * step[axis] + place[axis] for plane in range(SIZE)]
        within = [-0.5 <= x < length[axis] - 0.5 for x in at]
        assert crop.inside[axis].tolist() == within
        assert [SIZE - 1 >= n >= 0 and within[n] for n in range(SIZE)[crop.seen[axis]]] == [
            True
        ] * sum(within)
    assert crop.is_outside == any(not planes.any() for planes in crop.inside)


@few
@given(places, st.sampled_from([0.0, 0.5, 2.0, 3.9]), orders)
def test_a_margin_keeps_away_from_every_face(place, margin, order):
    crop, _ = crop_of(place, 1.0, order)
    for at in product((margin - 0.6, margin - 0.4, SIZE / 2, SIZE - margin - 0.6), repeat=3):
        wanted = all(margin - 0.5 <= x < SIZE - margin - 0.5 for x in at)
        assert crop.contains(crop.to_source(at), margin) == wanted
    assert not crop.contains(crop.to_source((SIZE / 2, SIZE / 2, SIZE - margin - 0.4)), margin)


@few
@given(places, spacings, orders, st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=3))
def test_what_is_interpolated_from_cells_reaches_no_voxel_beyond(place, spacing, order, cells):
    """Trilinear weights by hand: a voxel within a cell of a positive one may be positive."""
    crop, stored = crop_of(place, spacing, order)
    positive = np.zeros((4, 4, 4), bool)
    for cell in cells:
        positive[cell] = True
    covered = crop.covered(positive)
    assert cells or covered.is_empty
    for index in product(*map(range, stored.shape)):
        at = ((crop_index(index, stored, place, spacing) + 0.5) / 2 - 0.5).clip(0, 3)
        near = [c for c in cells if (np.abs(at - c) < 1 - 1e-6).all()]
        if near and crop.box.contains(index):
            assert covered.contains(index)
    assert covered.intersection(crop.box) == covered or covered.is_empty


def test_cells_at_the_faces_reach_to_the_end_of_the_crop_and_others_do_not():
    grid = CropGrid.around(
        Volume.from_array(np.zeros((16, 16, 16), np.uint8)), (8.0, 8.0, 8.0), 1.0, 16
    )
    positive = np.zeros((4, 4, 4), bool)
    positive[0, 1, 3] = True
    # Centres of cells lie at 1.5, 5.5, 9.5 and 13.5; the second reaches its neighbours' centres.
    assert grid.covered(positive) == Box((0, 2, 10), (6, 10, 16))
    assert grid.covered(np.ones((4, 4, 4), bool)) == Box.whole((16, 16, 16))


@pytest.mark.parametrize("told", [1.4999999, 1.5000001])
def test_a_spacing_that_a_header_rounds_is_that_of_the_crop(told):
    exact = Volume.from_array(np.zeros(SHAPE, np.uint8), spacing=(1.5, 1.5, 3))
    rounded = Volume.from_array(np.zeros(SHAPE, np.uint8), spacing=(told, told, 2 * told))
    one, other = (CropGrid.around(each, (3, 3, 2), 1.5, SIZE) for each in (exact, rounded))
    points = np.random.default_rng(0).uniform(0, 7, (9, 3))
    assert np.array_equal(one.to_crop(points), other.to_crop(points))
    assert one.box == other.box
