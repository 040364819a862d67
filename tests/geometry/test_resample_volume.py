"""A scan and a mask on another grid, compared to ITK."""

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Mask, Volume
from napari_fastsam3d.geometry.resample_volume import resample_mask, resample_volume, same_grid

_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])


def affine(rng: np.random.Generator) -> np.ndarray:
    """A turned grid of uneven voxels, mirrored or not."""
    turned, _ = np.linalg.qr(np.eye(3)[rng.permutation(3)] + rng.normal(0, 0.3, (3, 3)))
    made = np.eye(4)
    made[:3, :3] = turned * rng.uniform(0.7, 2.5, 3)
    made[:3, 3] = rng.uniform(-12, 12, 3)
    return made


def volume(rng: np.random.Generator, dtype: str) -> Volume:
    shape = rng.integers(12, 26, 3)
    return Volume.from_array(rng.normal(100, 60, shape).astype(dtype), affine(rng))


def as_itk(voxels: np.ndarray, of: Volume) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.astype(np.float32).T))
    matrix = _RAS_TO_LPS @ of.affine[:3, :3]
    image.SetSpacing(list(of.spacing))
    image.SetDirection((matrix / np.asarray(of.spacing)).ravel().tolist())
    image.SetOrigin((_RAS_TO_LPS @ of.affine[:3, 3]).tolist())
    return image


def by_itk(voxels: np.ndarray, of: Volume, grid: Volume, beyond: float) -> np.ndarray:
    target = as_itk(np.zeros(grid.shape), grid)
    made = SimpleITK.Resample(
        as_itk(voxels, of), target, SimpleITK.Transform(), SimpleITK.sitkLinear, beyond
    )
    return SimpleITK.GetArrayFromImage(made).T


def off_the_edge(of: Volume, grid: Volume) -> np.ndarray:
    """Voxels of a grid that lie clearly within a volume or beyond it."""
    places = np.moveaxis(np.indices(grid.shape), 0, -1)
    index = of.to_index(grid.to_world(places.reshape(-1, 3)))
    to_edge = np.minimum(np.abs(index + 0.5), np.abs(index - np.array(of.shape) + 0.5))
    return (to_edge > 0.01).all(axis=1).reshape(grid.shape)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["int16", "float32", "uint8"]))
def test_a_scan_is_resampled_as_by_itk(seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    one, grid = volume(rng, dtype), volume(rng, "int16")
    made = resample_volume(one, grid)
    assert made.shape == grid.shape
    assert made.dtype == one.voxels.dtype
    expected = by_itk(one.voxels, one, grid, float(one.voxels.min()))
    clear = off_the_edge(one, grid)
    apart = 0.51 if dtype != "float32" else 1e-2
    assert np.abs(made[clear].astype(float) - expected[clear]).max() <= apart


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_mask_is_resampled_as_by_itk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, grid = volume(rng, "int16"), volume(rng, "int16")
    drawn = np.zeros(one.shape, bool)
    low = rng.integers(2, 6, 3)
    drawn[tuple(slice(a, a + 5) for a in low)] = True
    made = resample_mask(Mask.of_volume(drawn), one, grid).volume(grid.shape)
    expected = by_itk(drawn, one, grid, 0.0)
    clear = np.abs(expected - 0.5) > 1e-3
    assert np.array_equal(made[clear], (expected >= 0.5)[clear])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_nothing_changes_on_the_same_grid_nor_where_axes_change_places(order) -> None:
    rng = np.random.default_rng(3)
    one = volume(rng, "int16")
    turned = np.eye(4)
    turned[:3, :3] = one.affine[:3, :3][:, order]
    turned[:3, 3] = one.affine[:3, 3]
    grid = Volume.from_array(one.voxels.transpose(order), turned)
    assert np.array_equal(resample_volume(one, grid), grid.voxels)
    mask = Mask.of_volume(one.voxels > 120)
    expected = mask.volume(one.shape).transpose(order)
    assert np.array_equal(resample_mask(mask, one, grid).volume(grid.shape), expected)
    assert same_grid(one, grid) == (order == (0, 1, 2))


def test_a_mask_beyond_a_grid_is_empty_there() -> None:
    one = Volume.from_array(np.zeros((8, 8, 8), np.int16), np.eye(4))
    far = np.eye(4)
    far[:3, 3] = 100
    grid = Volume.from_array(np.zeros((8, 8, 8), np.int16), far)
    assert resample_mask(Mask.of_indices([(1, 2, 3)]), one, grid).is_empty
    assert resample_mask(Mask.empty(), one, grid).is_empty
