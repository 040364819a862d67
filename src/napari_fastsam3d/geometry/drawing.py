"""What is drawn in a slice, as voxels: a line along a path, or the region inside an outline."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask

_DECIMALS = 9


def voxels_along(path: ArrayLike) -> NDArray[np.intp]:
    """Return the voxels that the straight lines from each place to the next pass through.

    Parameters
    ----------
    path : array_like of float, shape (N, 3)
        Places in voxels, N at least 1; whole numbers are the centres of voxels.

    Returns
    -------
    ndarray of int, shape (M, 3)
        In the order of the path, none twice in a row; consecutive ones touch.
    """
    # Rounded, so that what lies between two voxels falls to the same one all along a line.
    places = np.asarray(path, np.float64).reshape(-1, 3).round(_DECIMALS)
    steps = np.ceil(np.abs(np.diff(places, axis=0)).max(axis=1, initial=0)).astype(int)
    pieces = [
        start * (1 - share) + stop * share
        for start, stop, n in zip(places, places[1:], steps, strict=False)
        for share in [np.arange(1, n + 1)[:, None] / max(n, 1)]
    ]
    line = np.concatenate([places[:1], *pieces]).round(_DECIMALS)
    voxels = np.floor(line + 0.5).astype(np.intp)
    kept = np.ones(len(voxels), np.bool_)
    kept[1:] = (voxels[1:] != voxels[:-1]).any(axis=1)
    return voxels[kept]


def region_inside(outline: ArrayLike, axis: int, position: int, shape: Index) -> Mask:
    """Return the voxels of a slice whose centres lie inside a closed outline.

    An outline that crosses itself holds what it runs round at all, in either direction.

    Parameters
    ----------
    outline : array_like of float, shape (N, 2)
        Corners in voxels along the other two axes, in their order; the last is joined to the first.
    axis : int
        Axis that the slice is across.
    position : int
        Index of the slice along it.
    shape : tuple of int
        Shape of the volume.

    Returns
    -------
    Mask
        Of the volume; empty where the outline runs round no voxel's centre in it.
    """
    if not 0 <= position < shape[axis]:
        return Mask.empty()
    rows, columns = np.delete(shape, axis).tolist()
    inside = _winding(np.asarray(outline, np.float64).reshape(-1, 2), rows, columns) != 0
    box = Box.whole(shape).stretched(axis, position, position + 1)
    return Mask.of(box, np.expand_dims(inside, axis))


def _winding(corners: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.int64]:
    """Return how often an outline runs round each cell's centre, counted by its direction."""
    turns = np.zeros((rows, columns + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Half open, so that a corner on a row's centre counts once.
        first, last = sorted((x0, x1))
        crossed = np.arange(max(0, np.ceil(first)), min(rows, np.ceil(last))).astype(np.intp)
        if len(crossed):
            at = y0 + (crossed - x0) * (y1 - y0) / (x1 - x0)
            places = np.ceil(at).clip(0, columns).astype(np.intp)
            turns[crossed, places] += 1 if x1 > x0 else -1
    return turns.cumsum(axis=1)[:, :-1]
