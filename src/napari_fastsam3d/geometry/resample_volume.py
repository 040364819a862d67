"""A volume or a mask on the grid of another volume, by the affines of both."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume, finite_minimum

_HALF = 0.5
_SAME = 1e-3  # voxels


def resample_volume(volume: Volume, grid: Volume) -> NDArray[Any]:
    """Resample a scan to the grid of another, linearly, as ITK's resample filter does.

    Nothing is registered: both are taken to lie where their files say.

    Parameters
    ----------
    volume : Volume
    grid : Volume
        Whose shape and affine are meant.

    Returns
    -------
    ndarray, shape of `grid`
        The intensities, of the type of `volume`, rounded where that is an integer one; the lowest
        of `volume` beyond its edges.
    """
    if same_grid(volume, grid):
        return volume.voxels
    voxels, matrix = volume.voxels, _between(grid, volume)
    lowest = finite_minimum(voxels)
    whole = voxels.dtype.kind in "iu"
    out = np.empty(grid.shape, np.float32)
    # A bool or half-precision array is nothing that scipy interpolates.
    ndimage.affine_transform(
        voxels if whole else np.nan_to_num(voxels, nan=lowest).astype(np.float32, copy=False),
        matrix[:3, :3],
        matrix[:3, 3],  # pyright: ignore[reportArgumentType]
        output=out,
        output_shape=grid.shape,
        order=1,
        mode="nearest",
    )
    _clear_beyond(out, matrix, volume.shape, lowest)
    return np.rint(out).astype(voxels.dtype) if whole else out


def resample_mask(mask: Mask, volume: Volume, grid: Volume) -> Mask:
    """Resample a mask to another grid: a voxel belongs to it that is at least half inside.

    Parameters
    ----------
    mask : Mask
        Source index of `volume`.
    volume, grid : Volume

    Returns
    -------
    Mask
        Source index of `grid`; empty where nothing of it lies there.
    """
    if mask.is_empty or same_grid(volume, grid):
        return mask
    corners = np.stack(np.meshgrid(*zip(mask.box.start, mask.box.stop, strict=True)), -1)
    placed = grid.to_index(volume.to_world(corners.reshape(-1, 3) - _HALF))
    low, high = np.floor(placed.min(axis=0)), np.ceil(placed.max(axis=0)) + 1
    start = np.clip(low, 0, grid.shape).astype(int)
    stop = np.clip(high, 0, grid.shape).astype(int)
    box = Box(tuple(start.tolist()), tuple(stop.tolist()))
    if box.is_empty:
        return Mask.empty()
    matrix = _between(grid, volume)
    offset = matrix[:3, :3] @ start + matrix[:3, 3] - np.asarray(mask.box.start)
    inside = ndimage.affine_transform(
        mask.voxels.astype(np.float32),
        matrix[:3, :3],
        offset,
        output_shape=box.shape,
        order=1,
        mode="grid-constant",
    )
    return Mask.of(box, inside >= _HALF)


def same_grid(one: Volume, other: Volume) -> bool:
    """Whether two volumes have the same voxels, in the same order."""
    if one.shape != other.shape:
        return False
    corners = np.vstack([np.zeros(3), np.diag(one.shape)])
    return bool(np.abs(other.to_index(one.to_world(corners)) - corners).max() < _SAME)


def _clear_beyond(
    out: NDArray[np.float32], matrix: NDArray[np.float64], shape: Index, value: float
) -> None:
    """Fill what lies more than half a voxel beyond a volume; a slab at a time, to save memory."""
    j, k = np.meshgrid(np.arange(out.shape[1]), np.arange(out.shape[2]), indexing="ij")
    for i, slab in enumerate(out):
        beyond = np.zeros(slab.shape, bool)
        for row, length in zip(matrix, shape, strict=False):
            at = row[1] * j + row[2] * k + (row[0] * i + row[3])
            beyond |= (at < -_HALF) | (at > length - _HALF)
        slab[beyond] = value


def _between(one: Volume, other: Volume) -> NDArray[np.float64]:
    """Affine (4, 4) from source indices of one volume to those of another."""
    return np.asarray(np.linalg.solve(other.affine, one.affine), np.float64)
