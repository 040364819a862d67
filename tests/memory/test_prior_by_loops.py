"""Priors and what is remembered, against loops in double precision and ITK."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.memory.case import Tokens
from napari_fastsam3d.memory.prior import (
    ABSENT,
    LIKELY,
    SURE,
    Prior,
    _attended,
    _finer,
    _reach,
    foreground_prior,
    mask_prompt,
    trust_in,
)
from napari_fastsam3d.memory.remember import _means, _tokens, centres, descriptor, unit

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=15, deadline=None)
SIZE, SIDE = 32, 8


def tokens_of(rng, shape=(2, 3, 2), cell=6.0):
    features = rng.normal(size=(*shape, 5)).astype(np.float16)
    origin = tuple(float(x) for x in rng.uniform(-9, 3, 3))
    return Tokens(features, rng.random(shape).astype(np.float16), origin, cell)


@few
@given(SEEDS, st.sampled_from([0.05, 0.3]), st.sampled_from([4.0, 7.0]))
def test_attention_weighs_cosine_place_and_case(seed, temperature, place):
    rng = np.random.default_rng(seed)
    tokens, weights = [tokens_of(rng) for _ in range(2)], [0.7, 0.3]
    own = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
    axes = [np.sort(rng.uniform(-9, 9, n)).astype(np.float32) for n in own.shape[:3]]
    found = _attended(own, axes, tokens, weights, temperature, place)
    for cell in np.ndindex(*own.shape[:3]):
        query = own[cell].astype(np.float64)
        here = np.array([axis[n] for axis, n in zip(axes, cell, strict=True)])
        top = bottom = 0.0
        for each, weight in zip(tokens, weights, strict=True):
            for at in np.ndindex(*each.mask.shape):
                key = each.features[at].astype(np.float64)
                cosine = query @ key / np.linalg.norm(query) / np.linalg.norm(key)
                there = np.array(each.origin) + np.array(at) * each.cell
                away = ((here - there) ** 2).sum() / (2 * place**2)
                share = weight * np.exp(cosine / temperature - away)
                top += share * float(each.mask[at])
                bottom += share
        assert found[cell] == pytest.approx(top / bottom, abs=2e-3)


@few
@given(SEEDS)
def test_only_cells_near_what_is_remembered_are_compared(seed):
    rng = np.random.default_rng(seed)
    tokens = [tokens_of(rng) for _ in range(2)]
    axes = [np.arange(-24, 24, 6).astype(np.float32) + rng.uniform(0, 6) for _ in range(3)]
    for d, (axis, cut) in enumerate(zip(axes, _reach(axes, tokens), strict=True)):
        low = min(t.origin[d] - t.cell / 2 for t in tokens)
        high = max(t.origin[d] + (t.mask.shape[d] - 0.5) * t.cell for t in tokens)
        wanted = [n for n, x in enumerate(axis) if low <= x < high]
        assert [*range(len(axis))[cut]] == wanted


def volume_of(shape=(40, 40, 40), spacing=(1.5, 1.5, 1.5)):
    return Volume.from_array(np.zeros(shape, np.int16), spacing=spacing)


@few
@given(SEEDS)
def test_a_prior_on_another_crop_is_itk_s_linear_interpolation(seed):
    rng = np.random.default_rng(seed)
    volume = volume_of()
    first = Crop.around(volume, (20.0, 20.0, 20.0), 1.5, SIZE)
    other = Crop.around(volume, tuple(rng.uniform(17, 23, 3)), float(rng.uniform(0.8, 1.4)), SIZE)
    logits = rng.uniform(ABSENT, SURE, (SIDE,) * 3).astype(np.float32)
    prior = Prior(first, logits)
    found = prior.on(other)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(logits.T))
    checked = 0
    for cell in list(np.ndindex(SIDE, SIDE, SIDE))[::11]:
        place = (np.array(cell) + 0.5) * 4 - 0.5
        at = (first.to_crop(other.to_source(place[None]))[0] + 0.5) / 4 - 0.5
        if ((at >= 0) & (at <= SIDE - 1)).all():
            wanted = image.EvaluateAtContinuousIndex([float(x) for x in at])
            assert found[cell] == pytest.approx(wanted, abs=1e-3)
            checked += 1
    assert checked > 10
    assert prior.on(first) is logits


def test_beyond_its_crop_a_prior_expects_nothing():
    volume = volume_of((200, 40, 40))
    near, far = (Crop.around(volume, (x, 20.0, 20.0), 1.5, SIZE) for x in (20.0, 180.0))
    assert (Prior(near, np.full((SIDE,) * 3, SURE, np.float32)).on(far) == ABSENT).all()


@few
@given(SEEDS)
def test_a_prior_is_sure_where_all_is_full_and_absent_beyond(seed):
    rng = np.random.default_rng(seed)
    crop = Crop.around(volume_of(), (20.0, 20.0, 20.0), 1.5, SIZE)
    features = rng.normal(size=(SIDE, SIDE, SIDE, 5)).astype(np.float32)
    full = np.ones((2, 2, 2), np.float16)
    tokens = Tokens(features[:2, :2, :2].astype(np.float16), full, (-6.0, -6.0, -6.0), 6.0)
    case = SimpleNamespace(tokens=(tokens, tokens))
    point = np.array([15.5, 15.5, 15.5])
    found = foreground_prior((features, features[::2, ::2, ::2]), crop, point, [case], [1.0])
    along = centres(SIDE, 4, 15.5, crop.spacing)
    near = (along >= -9) & (along < 3)
    assert (found.logits[np.ix_(near, near, near)] == SURE).all()
    assert (found.logits[~near] == ABSENT).all()
    assert found.logits.dtype == np.float32
    assert pytest.approx(LIKELY - SURE) == ABSENT


@few
@given(SEEDS, st.sampled_from([4, 8, 16]))
def test_finer_cells_lie_between_coarse_ones(seed, side):
    filled = np.random.default_rng(seed).random((4, 4, 4)).astype(np.float32)
    found = _finer(filled, side)
    for cell in np.ndindex(side, side, side):
        at = ((np.array(cell) + 0.5) * 4 / side - 0.5).clip(0, 3)
        low = np.floor(at).astype(int).clip(0, 2)
        wanted = 0.0
        for corner in product((0, 1), repeat=3):
            share = np.prod(
                [x - a if c else 1 - (x - a) for c, x, a in zip(corner, at, low, strict=True)]
            )
            wanted += share * filled[tuple(low + corner)]
        assert found[cell] == pytest.approx(wanted, abs=1e-5)


@few
@given(SEEDS, st.integers(0, 5))
def test_trust_is_halved_by_each_contradiction(seed, count):
    rng = np.random.default_rng(seed)
    logits = rng.uniform(-8, 8, (SIDE,) * 3).astype(np.float32)
    points = rng.uniform(-1, SIZE, (count, 3)).astype(np.float32)
    labels = rng.integers(0, 2, count)
    wrong = 0
    for point, label in zip(points, labels, strict=True):
        said = logits[tuple(min(SIDE - 1, max(0, int(np.floor((x + 0.5) / 4)))) for x in point)]
        wrong += said < -2 if label else said > 2
    expected = 0.5**wrong
    assert trust_in(logits, points, labels, SIZE) == (expected if expected >= 0.2 else 0)


@few
@given(SEEDS, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_what_is_fed_back_mixes_prior_and_step(seed, trust):
    rng = np.random.default_rng(seed)
    prior, previous = (rng.normal(size=(2, 2, 2)).astype(np.float32) for _ in range(2))
    first, later = mask_prompt(prior, None, trust), mask_prompt(prior, previous, trust)
    if trust == 0:
        assert first is None
        assert later is previous
        return
    np.testing.assert_allclose(first, trust * prior, rtol=1e-6)
    np.testing.assert_allclose(later, (1 - trust / 2) * previous + trust / 2 * prior, atol=1e-6)
    assert first.dtype == later.dtype == np.float32


@few
@given(SEEDS)
def test_a_descriptor_is_the_features_of_the_clicked_cells(seed):
    rng = np.random.default_rng(seed)
    fine, coarse = rng.normal(size=(8, 8, 8, 3)), rng.normal(size=(4, 4, 4, 2))
    point = rng.uniform(-3, 34, 3)
    found = descriptor((fine.astype(np.float32), coarse.astype(np.float32)), point)
    parts = []
    for each, cell in ((fine, 4), (coarse, 8)):
        away = [np.abs((np.arange(len(each)) + 0.5) * cell - 0.5 - x) for x in point]
        one = each[tuple(int(a.argmin()) for a in away)]
        parts.append(one / np.linalg.norm(one))
    np.testing.assert_allclose(found, np.concatenate(parts) / np.sqrt(2), atol=1e-5)


@few
@given(SEEDS)
def test_tokens_hold_the_mask_with_a_margin_where_it_lies(seed):
    rng = np.random.default_rng(seed)
    volume = volume_of()
    crop = Crop.around(volume, (20.0, 20.0, 20.0), 1.5, SIZE)
    low = rng.integers(14, 20, 3)
    voxels = np.zeros(volume.shape, bool)
    voxels[tuple(slice(a, a + 6) for a in low)] = True
    mask = Mask.of_volume(voxels)
    features = rng.normal(size=(SIDE, SIDE, SIDE, 4)).astype(np.float32)
    middle = crop.to_crop(np.array([low + 2.5]))[0]
    found = _tokens(features, crop, 4, mask, middle)
    whole = crop.resample_mask(mask.box, mask.voxels, 4)
    assert float(found.mask.astype(np.float64).sum()) == pytest.approx(whole.sum(), rel=1e-2)
    assert found.cell == 6.0
    weights = found.mask.astype(np.float64)[..., None]
    seen = (found.places() * weights).sum((0, 1, 2)) / weights.sum()
    assert np.abs(seen).max() < 1.0, "the middle of the mask lies at the origin, in mm"
    start = np.rint((np.array(found.origin) / 1.5 + middle + 0.5) / 4 - 0.5).astype(int)
    part = tuple(slice(a, a + n) for a, n in zip(start, found.mask.shape, strict=True))
    np.testing.assert_array_equal(found.features, features[part].astype(np.float16))


@few
@given(SEEDS, st.integers(0, 12))
def test_vectors_that_stand_for_others_are_unit_vectors_among_them(seed, count):
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    found = _means(vectors).astype(np.float64)
    assert len(found) <= 4
    assert (len(found) > 0) == (count > 0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=2e-3)


@given(SEEDS)
def test_unit_vectors_have_length_one_and_zeros_stay(seed):
    vectors = np.random.default_rng(seed).normal(size=(4, 3)) * 1e-3
    vectors[0] = 0
    found = unit(vectors)
    assert not found[0].any()
    np.testing.assert_allclose(np.linalg.norm(found[1:], axis=1), 1, atol=1e-5)
