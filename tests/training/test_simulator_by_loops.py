"""The simulated user beside loops and scipy: where clicks and boxes may fall, and how often."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.simulator import (
    _anywhere,
    _around,
    _box_mean,
    _cell_centre,
    _depth,
    _index,
    _loose_box,
    _spoilt,
    first_prompts,
)

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=15)


def field(seed: int, shape=(6, 7, 5)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((2, 1, *shape), dtype=np.float32))


@few
@given(SEEDS, st.sampled_from([3, 7]), st.tuples(*[st.integers(1, 9)] * 3))
def test_a_mean_over_cubes_is_scipy_s_with_zeros_around(seed, width, shape):
    values = field(seed, shape)
    means = _box_mean(values, width)
    for one, mean in zip(values[:, 0], means[:, 0], strict=True):
        expected = ndimage.uniform_filter(one.numpy(), width, mode="constant")
        assert np.allclose(mean, expected, atol=1e-5)


@few
@given(SEEDS)
def test_the_depth_of_an_error_is_how_much_of_it_lies_around(seed):
    error = field(seed) > 0.4
    found = _depth(error)
    for one, depth in zip(error[:, 0].numpy().astype(np.float32), found[:, 0], strict=True):
        near, far = (ndimage.uniform_filter(one, width, mode="constant") for width in (3, 7))
        assert np.allclose(depth, one * (near + far), atol=1e-5)
        assert not depth[one == 0].any()


@few
@given(SEEDS, st.tuples(*[st.integers(1, 20)] * 3))
def test_a_number_of_a_cell_is_its_place_and_a_click_falls_into_it(seed, shape):
    cells = torch.from_numpy(np.random.default_rng(seed).integers(0, np.prod(shape), 30))
    places = np.stack([each.numpy() for each in _index(cells, shape)], 1)
    assert np.array_equal(places, np.stack(np.unravel_index(cells.numpy(), shape), 1))
    clicks = _cell_centre(cells, shape, RandomGenerator.seeded(seed)).numpy()
    assert np.array_equal(clicks // 2, places)
    assert np.array_equal(clicks, np.floor(clicks))


@few
@given(SEEDS, st.sampled_from([(8, 8, 8), (16, 24, 5), (32, 8, 16)]))
def test_around_a_cell_is_an_eighth_of_the_crop(seed, shape):
    cells = torch.from_numpy(np.random.default_rng(seed).integers(0, np.prod(shape), 2))
    found = _around(cells, shape)
    assert found.shape == (2, 1, *shape)
    for number, mask in zip(cells.tolist(), found[:, 0], strict=True):
        middle = np.unravel_index(number, shape)
        for at in product(*map(range, shape)):
            near = all(
                abs(a - b) <= max(1, n // 8) for a, b, n in zip(at, middle, shape, strict=True)
            )
            assert bool(mask[at]) == near


def test_a_place_anywhere_is_drawn_as_often_as_it_is_deep():
    """In proportion to the square of how much of the structure lies around it."""
    truth = torch.zeros(1, 1, 8, 8, 8)
    truth[..., 1:6, 2:5, 3] = 1
    weights = ndimage.uniform_filter(truth[0, 0].numpy(), 3, mode="constant") ** 2
    weights *= truth[0, 0].numpy()
    count = 6000
    random = RandomGenerator.seeded(0)
    places = _anywhere(truth.expand(count, -1, -1, -1, -1), random).numpy().astype(int) // 2
    drawn = np.zeros(weights.shape)
    np.add.at(drawn, tuple(places.T), 1)
    assert not drawn[weights == 0].any()
    expected = count * weights / weights.sum()
    spread = np.sqrt(expected[weights > 0])
    assert (np.abs(drawn - expected)[weights > 0] < 5 * spread).all()


def test_where_nothing_is_solid_the_fullest_cells_are_clicked():
    truth = torch.zeros(40, 1, 6, 6, 6)
    truth[:, 0, 2, 3, 4] = 0.4
    truth[:, 0, 5, 5, 5] = 0.3
    places = _anywhere(truth, RandomGenerator.seeded(1)).numpy().astype(int) // 2
    found = {tuple(place) for place in places.tolist()}
    assert found <= {(2, 3, 4), (5, 5, 5)}
    assert (2, 3, 4) in found


@few
@given(SEEDS)
def test_a_face_of_a_box_moves_inwards_a_little_or_outwards_by_a_fifth(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((4, 9, 11, 10), bool)
    for one in mask[1:]:
        low = rng.integers(0, 5, 3)
        high = low + rng.integers(1, 5, 3)
        one[tuple(map(slice, low, high))] = rng.random(high - low) < 0.6
    boxes = _loose_box(torch.from_numpy(mask), RandomGenerator.seeded(seed)).numpy()
    assert np.isnan(boxes[0]).all()
    for one, box in zip(mask, boxes, strict=True):
        found = np.argwhere(one)
        if not len(found):
            assert np.isnan(box).all()
            continue
        low, high = 2.0 * found.min(axis=0), 2.0 * found.max(axis=0) + 1
        side = high - low + 1
        assert (box[0] >= low - 0.2 * side - 1e-4).all()
        assert (box[0] <= low + 0.05 * side + 1e-4).all()
        assert (box[1] >= high - 0.05 * side - 1e-4).all()
        assert (box[1] <= high + 0.2 * side + 1e-4).all()
        assert (box[0] <= box[1] - 1).all()


@few
@given(SEEDS)
def test_a_mask_of_somebody_else_is_shifted_and_a_cell_wider_or_narrower_or_neither(seed):
    truth = (field(seed, (6, 7, 8)) > 0.6).float()
    found = _spoilt(truth, RandomGenerator.seeded(seed)).numpy()
    assert np.isin(found, (0, 1)).all()
    cube = np.ones((1, 1, 3, 3, 3), bool)
    grids = truth.numpy() > 0
    possible = []
    for shift in product(range(-2, 3), repeat=3):
        moved = np.roll(grids, shift, (2, 3, 4))
        possible += [
            moved,
            ndimage.binary_dilation(moved, cube),
            ndimage.binary_erosion(moved, cube, border_value=1),
        ]
    assert any(np.array_equal(found > 0.5, each) for each in possible)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_as_many_begin_with_a_box_as_are_asked_for(share):
    truth = torch.zeros(400, 1, 8, 8, 8)
    truth[..., 2:6, 2:6, 2:6] = 1
    clicks = torch.full((400, 3), 7.0)
    for given_clicks in (None, clicks):
        prompts = first_prompts(truth, 2, RandomGenerator.seeded(4), given_clicks, share)
        boxed = ~prompts.box.isnan().flatten(1).any(1)
        # Of those that a crop was placed for, a tenth at the most, unless all begin so.
        wanted = share if given_clicks is None or share == 1 else min(share, 0.1)
        assert float(boxed.float().mean()) == pytest.approx(wanted, abs=0.08)
        assert boxed.any() == (share > 0)
        alone = boxed & (prompts.labels < 0).all(1)
        if share == 0.4 and given_clicks is None:
            assert float(alone.sum() / boxed.sum()) == pytest.approx(0.6, abs=0.12)
        pointed = prompts.labels[:, 0] == 1
        if given_clicks is not None:
            plain = pointed & ~prompts.previous.flatten(1).any(1)
            assert (prompts.points[plain, 0] == 7).all()
