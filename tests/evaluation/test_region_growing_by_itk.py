"""Region growing and the seeds of the random walker, against ITK and loops."""

from itertools import product

import numpy as np
import pytest
import SimpleITK
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_folder import ball, bright
from scipy import ndimage

from napari_fastsam3d.evaluation.baselines import (
    Scene,
    _distances,
    _grow,
    _put_balls,
    random_walker,
    region_growing,
)
from napari_fastsam3d.geometry import Box

SHAPE = (9, 8, 7)
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=25)


def scene(seed, positive=1, negative=0):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1).astype(np.float32)
    places = rng.permutation(np.indices(SHAPE).reshape(3, -1).T)[: positive + negative]
    return Scene(image, places[:positive], places[positive:], np.ones((3, 2), bool))


@few
@given(SEEDS)
def test_from_one_click_it_is_itk_s_connected_threshold(seed):
    given_ = scene(seed)
    smooth = ndimage.gaussian_filter(given_.image, 1.0)
    low, high = np.percentile(smooth, (1, 99))
    at = smooth[tuple(given_.positive[0])]
    reach = 0.05 * (high - low)
    found = SimpleITK.ConnectedThreshold(
        SimpleITK.GetImageFromArray(smooth.astype(np.float64).T),
        [tuple(int(n) for n in given_.positive[0])],
        float(at - reach),
        float(at + reach),
    )
    assert np.array_equal(_grow(given_) > 0, SimpleITK.GetArrayFromImage(found).T > 0)


@few
@given(SEEDS, st.integers(1, 3), st.integers(1, 3))
def test_a_negative_click_takes_what_is_nearer_to_it_and_no_more(seed, positive, negative):
    given_ = scene(seed, positive, negative)
    found = _grow(given_) > 0
    alone = _grow(Scene(given_.image, given_.positive, given_.negative[:0], given_.open_faces)) > 0
    grid = np.indices(SHAPE).reshape(3, -1).T

    def nearest(places):
        return ((grid[:, None] - places[None]) ** 2).sum(-1).min(1).reshape(SHAPE)

    mine = nearest(given_.positive) <= nearest(given_.negative)
    assert not (found & ~mine).any()
    assert not (found & ~alone).any()
    assert found[tuple(given_.positive.T)].all()
    assert not found[tuple(given_.negative.T)].any()


@few
@given(SEEDS, st.integers(1, 4))
def test_distances_are_those_of_a_loop(seed, count):
    places = scene(seed, count).positive
    found = _distances(np.zeros(SHAPE, np.float32), places)
    for voxel in product(*map(range, SHAPE)):
        assert found[voxel] == pytest.approx(min(np.linalg.norm(p - voxel) for p in places))


@few
@given(SEEDS, st.integers(1, 3))
def test_seeds_are_balls_cut_by_the_borders(seed, count):
    places = scene(seed, count).positive
    seeds = np.zeros(SHAPE, np.int32)
    _put_balls(seeds, places, 5)
    for voxel in product(*map(range, SHAPE)):
        near = min(((p - voxel) ** 2).sum() for p in places) <= 9
        assert seeds[voxel] == (5 if near else 0)


@pytest.mark.parametrize("make", [random_walker, region_growing])
@pytest.mark.parametrize("order", ORDERS[1::25])
def test_the_order_in_which_a_scan_is_stored_changes_no_mask(make, order):
    if make is random_walker:
        pytest.importorskip("skimage", reason="the random walker needs the extra 'train'")
    volume = bright(ball((12, 15, 12), 6, (25, 31, 25)), (2, 2, 2))
    clicks = [((12, 15, 12), True), ((12, 15, 20), False)]
    masks = []
    for stored, place in (
        (volume, lambda index: index),
        (order.volume(volume), lambda index: order.index(index, volume.shape)),
    ):
        with make().begin(stored) as attempt:
            for index, positive in clicks:
                mask = attempt.click(place(index), positive)
        masks.append(mask.volume(stored.shape))
    assert np.array_equal(order.array(masks[0]), masks[1])
    assert masks[0][12, 15, 12]


@pytest.mark.parametrize("make", [random_walker, region_growing])
def test_a_baseline_knows_of_one_meaning_and_no_boxes(make):
    if make is random_walker:
        pytest.importorskip("skimage", reason="the random walker needs the extra 'train'")
    volume = bright(ball((12, 15, 12), 6))
    with make().begin(volume) as attempt:
        attempt.click((12, 15, 12), True)
        assert attempt.candidates() == ()
        assert attempt.box(Box((6, 9, 6), (18, 21, 18))) is None
    assert make().fingerprint
