"""Fills the empty slices of a mask between those that were drawn."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Voxels = NDArray[np.bool_]
Floats = NDArray[np.float64]


def between_slices(inside: Voxels, spacing: tuple[float, float, float]) -> Voxels:
    """Interpolate the shape of a mask across its empty slices.

    The axis is the one with the most empty slices between filled ones. Between two neighbouring
    filled slices the distances to their outlines change evenly (shape-based interpolation, Raya
    and Udupa 1990). Where each is one piece, or the two do not overlap, both are moved so that
    their centres lie on the line from one to the other: a slanted vessel stays as wide as it is.

    Parameters
    ----------
    inside : ndarray of bool
        (I, J, K).
    spacing : tuple of float
        Voxel sizes in mm along the axes.

    Returns
    -------
    ndarray of bool
        (I, J, K); without an empty slice in between, the mask as it is.
    """
    gaps = [_gaps(np.moveaxis(inside, axis, 0)) for axis in range(3)]
    axis = int(np.argmax([sum(b - a - 1 for a, b in each) for each in gaps]))
    result = inside.copy()
    slices = np.moveaxis(result, axis, 0)
    sampling = tuple(size for each, size in enumerate(spacing) if each != axis)
    for below, above in gaps[axis]:
        slices[below + 1 : above] = _between(slices[below], slices[above], above - below, sampling)
    return result


def _gaps(slices: Voxels) -> list[tuple[int, int]]:
    """Return the pairs of filled slices that have empty ones between them."""
    filled = np.array([each.any() for each in slices])
    return [(int(a), int(b)) for a, b in pairwise(np.flatnonzero(filled)) if b - a > 1]


def _between(one: Voxels, other: Voxels, steps: int, sampling: tuple[float, ...]) -> Voxels:
    """Return the slices between two that lie `steps` apart."""
    way = np.zeros(2)
    if not (one & other).any() or all(_in_one_piece(each) for each in (one, other)):
        way = np.subtract(ndimage.center_of_mass(other), ndimage.center_of_mass(one))
    # Room for what is moved, and for distances that are right at the edge of the slice.
    room = [(int(abs(step)) + 1,) * 2 for step in way]
    depths = [_depth(np.pad(each, room), sampling) for each in (one, other)]
    cut = tuple(slice(before, -after) for before, after in room)
    found = np.zeros((steps - 1, *one.shape), dtype=np.bool_)
    for number in range(1, steps):
        share = number / steps
        first, last = _moved(depths[0], share * way), _moved(depths[1], (share - 1) * way)
        # Rounded, so that the order in which a file stores its axes decides no voxel.
        found[number - 1] = (np.round((1 - share) * first + share * last, 6) > 0)[cut]
    return found


def _in_one_piece(inside: Voxels) -> bool:
    parts = np.zeros(inside.shape, dtype=np.int32)
    ndimage.label(inside, output=parts)
    return int(parts.max()) == 1


def _depth(inside: Voxels, sampling: tuple[float, ...]) -> Floats:
    """Return the distance of each pixel to the outline, negative outside."""
    within, outside = np.zeros(inside.shape), np.zeros(inside.shape)
    ndimage.distance_transform_edt(inside, sampling=sampling, distances=within)
    ndimage.distance_transform_edt(~inside, sampling=sampling, distances=outside)
    # Both are to centres of pixels; the outline runs between them.
    half = min(sampling) / 2
    return np.where(inside, within - half, half - outside)


def _moved(depth: Floats, step: Floats) -> Floats:
    return ndimage.shift(depth, step, order=1, mode="nearest") if step.any() else depth
