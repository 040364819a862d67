import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembered import remembered

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.memory.case import Case, Tokens
from napari_fastsam3d.memory.prior import (
    ABSENT,
    LESS,
    SHARE,
    SURE,
    Prior,
    foreground_prior,
    mask_prompt,
    trust_in,
)

SIZE = 64
SIDE = 16
INSIDE, OUTSIDE, OTHER = np.eye(3, 8, dtype=np.float32)


@pytest.fixture
def crop() -> Crop:
    volume = Volume.from_array(np.zeros((SIZE,) * 3, np.int16), spacing=(1.0, 1.0, 1.0))
    return Crop.around(volume, (SIZE // 2,) * 3, 1.0, SIZE)


def scene(ball: tuple[int, int, int], radius: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Features at S/4 of a ball of cells in other tissue, and the ball."""
    grid = np.indices((SIDE,) * 3)
    inside = sum((x - c) ** 2 for x, c in zip(grid, ball, strict=True)) <= radius**2
    return np.where(inside[..., None], INSIDE, OUTSIDE), inside


def remembered_ball(name: str, features: np.ndarray, inside: np.ndarray, cell: int) -> Case:
    low, high = cell - 5, cell + 6
    part = (slice(low, high),) * 3
    tokens = Tokens(
        features[part].astype(np.float16), inside[part].astype(np.float16), (-20.0,) * 3, 4.0
    )
    case = remembered(name)
    return Case(case.entry, case.descriptor, (tokens, tokens), case.foreground, case.background)


def centre(cell: int) -> np.ndarray:
    return np.full(3, cell * 4 + 1.5)


def test_a_remembered_structure_is_expected_where_the_features_are_like_it(crop: Crop):
    features, inside = scene((7, 7, 7))
    there, truth = scene((9, 9, 9), radius=2)  # smaller, and elsewhere
    case = remembered_ball("ball", features, inside, 7)

    prior = foreground_prior((there, there[::2, ::2, ::2]), crop, centre(9), [case], [1.0])

    np.testing.assert_array_equal(prior.logits > 0, truth)
    assert prior.logits[truth].min() > 0.9 * SURE
    assert prior.logits.dtype == np.float32


def test_the_same_features_far_from_where_they_were_count_less(crop: Crop):
    features, inside = scene((7, 7, 7))
    case = remembered_ball("ball", features, inside, 7)
    alike = np.broadcast_to(INSIDE, (SIDE, SIDE, SIDE, 8))

    prior = foreground_prior((alike, alike), crop, centre(7), [case], [1.0], temperature=100)

    # Where features tell nothing, the place alone remains: the middle, not the rim.
    assert prior.logits[7, 7, 7] > 0
    assert prior.logits[7, 7, 12] < 0
    assert prior.logits[0, 0, 0] == ABSENT


def test_other_tissue_is_not_taken_for_a_remembered_organ(crop: Crop):
    features, inside = scene((7, 7, 7))
    case = remembered_ball("ball", features, inside, 7)
    other = np.broadcast_to(OUTSIDE, (SIDE, SIDE, SIDE, 8))

    prior = foreground_prior((other, other), crop, centre(7), [case], [1.0])

    assert (prior.logits < 0).all()


def test_a_case_with_more_weight_decides(crop: Crop):
    features, inside = scene((7, 7, 7))
    yes = remembered_ball("ball", features, inside, 7)
    no = remembered_ball("ball", features, ~inside, 7)

    for weights, expected in (((0.9, 0.1), inside), ((0.1, 0.9), ~inside)):
        prior = foreground_prior((features, features), crop, centre(7), [yes, no], weights)
        np.testing.assert_array_equal(
            prior.logits[4:11, 4:11, 4:11] > 0, expected[4:11, 4:11, 4:11]
        )


def test_a_prior_is_the_same_place_on_a_finer_crop(crop: Crop):
    volume = Volume.from_array(np.zeros((SIZE,) * 3, np.int16), spacing=(1.0, 1.0, 1.0))
    logits = np.full((SIDE,) * 3, ABSENT, dtype=np.float32)
    logits[6:10, 6:10, 6:10] = SURE  # crop voxels 24 to 39
    near = Crop.around(volume, (SIZE // 2,) * 3, 0.5, SIZE)

    there = Prior(crop, logits).on(near)

    np.testing.assert_array_equal(np.flatnonzero(there[8, 8] > 0), np.arange(4, 12))
    assert Prior(crop, logits).on(crop) is logits
    beyond = Crop.around(volume, (0, 0, 0), 2.0, SIZE).to_crop((32, 32, 32))
    wide = Prior(crop, logits).on(Crop.around(volume, (0, 0, 0), 2.0, SIZE))
    cell = tuple(int(x // 4) for x in beyond)
    assert wide[cell] > 0
    assert wide[0, 0, 0] == ABSENT


POINTS = np.array([[2.0, 2.0, 2.0], [30.0, 30.0, 30.0]], np.float32)
LOGITS = np.full((SIDE,) * 3, -SURE, dtype=np.float32)
LOGITS[7, 7, 7] = SURE  # crop voxels 28 to 31


@pytest.mark.parametrize(
    ("labels", "trust"), [([0, 1], 1.0), ([1, 1], 0.5), ([0, 0], 0.5), ([1, 0], 0.25)]
)
def test_each_click_that_contradicts_a_prior_halves_it(labels: list[int], trust: float):
    assert trust_in(LOGITS, POINTS, np.array(labels), SIZE) == trust


def test_a_prior_that_was_refuted_often_is_dropped():
    points = np.repeat(POINTS[:1], 3, axis=0)
    assert trust_in(LOGITS, points, np.ones(3, np.int64), SIZE) == 0


def test_no_click_says_anything_against_what_is_unsure():
    unsure = np.zeros((SIDE,) * 3, dtype=np.float32)
    assert trust_in(unsure, POINTS, np.array([0, 1]), SIZE) == 1


def test_a_trained_prior_errs_at_borders_where_it_is_fairly_sure(crop: Crop):
    fairly, sure = (np.full((SIZE // 2,) * 3, -x, dtype=np.float32) for x in (3, 6))
    coarse, clicks = np.full((SIDE,) * 3, -3, np.float32), np.array([1, 0])
    assert Prior(crop, coarse).trust(POINTS, clicks) == 0.5
    assert Prior(crop, coarse, fairly).trust(POINTS, clicks) == 1
    assert Prior(crop, coarse, sure).trust(POINTS, clicks) == 0.5


def test_a_prior_without_trust_leaves_the_step_before_as_it_is():
    previous = np.random.default_rng(0).normal(size=(4, 4, 4)).astype(np.float32)
    assert mask_prompt(LOGITS, previous, 0.0) is previous
    assert mask_prompt(LOGITS, None, 0.0) is None


@given(st.floats(0.2, 1), st.floats(-8, 8), st.floats(-8, 8))
def test_a_mask_prompt_lies_between_prior_and_step_before(trust: float, prior: float, step: float):
    one, other = (np.full((2, 2, 2), x, np.float32) for x in (prior, step))
    mixed = mask_prompt(one, other, trust)
    assert mixed is not None
    assert (np.minimum(one, other) - 1e-4 <= mixed).all()
    assert (mixed <= np.maximum(one, other) + 1e-4).all()
    assert np.abs(mixed - other).max() <= np.abs(mixed - one).max() + 1e-4


def test_a_mask_is_drawn_with_a_prior_but_where_a_click_contradicts_it(crop: Crop):
    side = SIZE // 2
    fine = np.full((side,) * 3, -SURE, np.float32)
    fine[10:20, 10:20, 10:20] = SURE
    prior = Prior(crop, np.zeros((SIDE,) * 3, np.float32), fine)
    predicted = np.random.default_rng(0).normal(size=fine.shape).astype(np.float32)
    agreed = np.array([[30.0, 30.0, 30.0]], np.float32)
    contrary = np.array([[30.0, 30.0, 30.0], [21.0, 21.0, 21.0]], np.float32)

    first = prior.drawn_with(crop, predicted, agreed, np.array([1]))
    second = prior.drawn_with(crop, predicted, contrary, np.array([1, 0]))

    np.testing.assert_allclose(first, predicted + SHARE * (fine - predicted), rtol=1e-5)
    np.testing.assert_allclose(second[10, 10, 10], predicted[10, 10, 10], atol=0.2)
    # With a second click less counts of the prior, and where no click contradicts it nothing more.
    less = predicted + SHARE / (1 + LESS) * (fine - predicted)
    np.testing.assert_allclose(second[25:, 25:, 25:], less[25:, 25:, 25:], rtol=1e-3)
    same = prior.drawn_with(crop, predicted, contrary, np.array([1, 1]))
    np.testing.assert_allclose(same, less, rtol=1e-5)


def test_beyond_the_crop_of_a_prior_a_prediction_stands(crop: Crop):
    volume = Volume.from_array(np.zeros((SIZE,) * 3, np.int16), spacing=(1.0, 1.0, 1.0))
    fine = np.full((SIZE // 2,) * 3, SURE, np.float32)
    near = Crop.around(volume, (SIZE // 2,) * 3, 0.5, SIZE)
    prior = Prior(near, np.zeros((SIDE,) * 3, np.float32), fine)
    predicted = np.full((SIZE // 2,) * 3, -1.0, np.float32)

    drawn = prior.drawn_with(crop, predicted, POINTS[:0], np.zeros(0, np.int64))

    inside = drawn > 0
    np.testing.assert_array_equal(np.flatnonzero(inside[16, 16]), np.arange(8, 24))
    assert (drawn[~inside] == -1).all()
    coarse = Prior(near, np.zeros((SIDE,) * 3, np.float32))
    assert coarse.drawn_with(crop, predicted, POINTS[:0], np.zeros(0, np.int64)) is predicted
