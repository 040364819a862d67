"""What lies around a structure, and where it is found again: against loops over cells."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.memory.surroundings import (
    REACH,
    cells_in_scan,
    contrasted,
    likeness_of_surroundings,
    surroundings_of,
)

SEEDS = st.integers(0, 2**32 - 1)
SIDE, CHANNELS = 5, 3
PER_CELL = 2  # crop voxels along a cell


def crop_that_sees(*axes: np.ndarray) -> Any:
    """A crop that is told along each axis which of its planes lie in the scan."""
    return SimpleNamespace(inside=axes)


def random_crop(rng: np.random.Generator) -> Any:
    """One that reaches beyond the scan at either end of each axis, by no more than half of it."""
    planes = []
    for _ in range(3):
        low, high = rng.integers(0, SIDE * PER_CELL // 2, 2)
        places = np.arange(SIDE * PER_CELL)
        planes.append((places >= low) & (places < len(places) - high))
    return crop_that_sees(*planes)


@given(SEEDS)
def test_a_cell_lies_in_the_scan_with_all_its_voxels(seed):
    crop = random_crop(np.random.default_rng(seed))
    x, y, z = crop.inside
    voxels = x[:, None, None] & y[:, None] & z
    found = cells_in_scan(crop, SIDE)
    for i, j, k in np.ndindex(found.shape):
        part = tuple(slice(PER_CELL * n, PER_CELL * (n + 1)) for n in (i, j, k))
        assert found[i, j, k] == voxels[part].all()


@given(SEEDS)
def test_contrast_is_the_direction_away_from_the_mean_of_the_scan(seed):
    rng = np.random.default_rng(seed)
    crop = random_crop(rng)
    features = rng.normal(size=(SIDE,) * 3 + (CHANNELS,)).astype(np.float32)
    inside = cells_in_scan(crop, SIDE)

    found = contrasted(features, crop)

    directions = {
        cell: features[cell] / np.linalg.norm(features[cell])
        for cell in map(tuple, np.argwhere(inside))
    }
    mean = np.mean([*directions.values()], axis=0) if directions else None
    for cell in np.ndindex(inside.shape):
        if cell not in directions or np.linalg.norm(directions[cell] - mean) <= 1e-3:
            assert not found[cell].any()
            continue
        away = directions[cell] - mean
        np.testing.assert_allclose(found[cell], away / np.linalg.norm(away), atol=1e-4)


def test_what_is_alike_everywhere_says_nothing():
    everything = np.ones(SIDE * PER_CELL, dtype=bool)
    features = np.ones((SIDE,) * 3 + (CHANNELS,), dtype=np.float32)
    assert not contrasted(features, crop_that_sees(*[everything] * 3)).any()


@given(SEEDS, st.tuples(*[st.integers(0, SIDE - 1)] * 3))
def test_surroundings_are_cut_out_with_nothing_beyond_the_crop(seed, cell):
    contrast = np.random.default_rng(seed).normal(size=(SIDE,) * 3 + (CHANNELS,))
    around = surroundings_of(contrast.astype(np.float32), cell)
    for offset in np.ndindex(around.shape[:3]):
        place = tuple(c + o - REACH for c, o in zip(cell, offset, strict=True))
        if all(0 <= n < SIDE for n in place):
            np.testing.assert_allclose(around[offset], contrast[place], atol=5e-3)
        else:
            assert not around[offset].any()


@settings(max_examples=15)
@given(SEEDS, st.integers(1, REACH), st.sampled_from([0.0, 0.4, 0.9]))
def test_likeness_is_a_cosine_over_what_is_seen_around(seed, reach, unseen):
    rng = np.random.default_rng(seed)
    contrast = rng.normal(size=(SIDE,) * 3 + (CHANNELS,))
    contrast /= np.linalg.norm(contrast, axis=-1, keepdims=True)
    contrast[rng.random((SIDE,) * 3) < unseen] = 0
    remembered = rng.normal(size=(2 * reach + 1,) * 3 + (CHANNELS,)).astype(np.float32)

    found = likeness_of_surroundings(contrast.astype(np.float32), remembered)

    least = 0.1 * (2 * reach + 1) ** 3
    for cell in np.ndindex(found.shape):
        product, seen = 0.0, 0
        for offset in np.ndindex(remembered.shape[:3]):
            place = tuple(c + o - reach for c, o in zip(cell, offset, strict=True))
            if all(0 <= n < SIDE for n in place):
                product += float(contrast[place] @ remembered[offset])
                seen += bool(contrast[place].any())
        wanted = product / (np.sqrt(max(seen, least)) * np.linalg.norm(remembered))
        assert found[cell] == pytest.approx(wanted, abs=1e-4)


@given(SEEDS, st.tuples(*[st.integers(0, SIDE - 1)] * 3))
def test_a_place_is_likest_to_its_own_surroundings(seed, cell):
    contrast = np.random.default_rng(seed).normal(size=(SIDE,) * 3 + (CHANNELS,))
    contrast /= np.linalg.norm(contrast, axis=-1, keepdims=True)
    contrast = contrast.astype(np.float32)
    likeness = likeness_of_surroundings(
        contrast, surroundings_of(contrast, cell).astype(np.float32)
    )
    assert np.unravel_index(likeness.argmax(), likeness.shape) == cell
    assert likeness.max() == pytest.approx(1, abs=5e-3)


def test_nothing_remembered_is_like_nothing():
    contrast = np.ones((SIDE,) * 3 + (CHANNELS,), dtype=np.float32)
    remembered = np.zeros((2 * REACH + 1,) * 3 + (CHANNELS,), dtype=np.float32)
    np.testing.assert_allclose(likeness_of_surroundings(contrast, remembered), 0, atol=1e-6)
