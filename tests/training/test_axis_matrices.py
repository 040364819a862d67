"""Filters along the axes beside scipy's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.training.axis_matrices import (
    along,
    filter_axes,
    gaussian,
    on_device,
    thick_slices,
)


def image_of(seed: int, shape=(7, 9, 8)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.booleans(), min_size=3, max_size=3))
def test_a_matrix_along_each_axis_is_an_einsum(seed, present):
    image = image_of(seed)
    rng = np.random.default_rng(seed + 1)
    matrices = [
        rng.normal(0, 1, (5, n)).astype(np.float32) if there else None
        for n, there in zip(image.shape, present, strict=True)
    ]

    given_ = tuple(None if m is None else torch.from_numpy(m) for m in matrices)
    found = filter_axes(torch.from_numpy(image), given_)

    whole = [np.eye(n) if m is None else m for n, m in zip(image.shape, matrices, strict=True)]
    wanted = np.einsum("ai,bj,ck,ijk->abc", *whole, image.astype(np.float64))
    assert np.allclose(found.numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.4, 0.8, 1.5])
def test_a_blur_is_scipy_s_away_from_the_ends(sigma):
    image = image_of(0, (40, 3, 3))

    found = gaussian(40, sigma) @ image.reshape(40, -1)

    wanted = ndimage.gaussian_filter1d(image.astype(np.float64), sigma, axis=0, truncate=2.5)
    inner = slice(8, -8)
    assert np.allclose(found.reshape(image.shape)[inner], wanted[inner], atol=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.floats(0.2, 4))
def test_a_blur_keeps_what_is_flat_and_is_symmetric(size, sigma):
    matrix = gaussian(size, sigma)

    assert np.allclose(matrix.sum(1), 1, atol=1e-5)
    assert np.allclose(matrix, matrix[::-1, ::-1], atol=1e-6)
    assert (matrix >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(2, 9))
def test_thick_slices_keep_what_is_flat_and_the_mean_of_each_slice_in_its_middle(thickness, count):
    size = thickness * count
    line = np.arange(size, dtype=np.float32)

    found = thick_slices(size, thickness) @ line

    assert np.allclose(thick_slices(size, thickness).sum(1), 1, atol=1e-5)
    means = line.reshape(count, thickness).mean(1)
    middles = np.arange(count) * thickness + (thickness - 1) / 2
    wanted = np.interp(line, middles, means)
    assert np.allclose(found, wanted, atol=1e-3)


def test_what_is_left_over_at_the_end_repeats_the_last_slice():
    found = thick_slices(8, 3) @ np.array([1, 1, 1, 5, 5, 5, 100, 100], np.float32)

    assert np.allclose(found[-3:], 5)


@pytest.mark.parametrize("axis", range(3))
def test_a_vector_lies_along_its_axis(axis):
    line = torch.arange(4.0)

    field = torch.zeros(4, 4, 4) + along(line, axis)

    for n in range(4):
        assert (field.select(axis, n) == n).all()


def test_a_matrix_is_brought_as_it_is():
    matrix = gaussian(5, 1.0)

    assert np.array_equal(on_device(matrix, torch.device("cpu")).numpy(), matrix)
