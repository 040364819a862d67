"""The area of the surface of a mask, without the steps of its voxels."""

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import SphericalVoronoi

_STEPS = (-1, 0, 1)
_OFFSETS = [each for each in product(_STEPS, _STEPS, _STEPS) if each > (0, 0, 0)]


def surface_area(inside: NDArray[np.bool_], axes: NDArray[np.float64]) -> float:
    """Return the area of the surface of a mask, estimated by Crofton's formula.

    Lines in 13 directions, through neighbours along faces, edges and corners of the voxels, cross
    the surface as often as its area says (Lehmann and Legland 2012, as ITK does it). The faces of
    the voxels themselves would add up to half as much again for a sphere.

    Parameters
    ----------
    inside : ndarray of bool
        (I, J, K); what lies beyond the array is outside.
    axes : ndarray of float64, shape (3, 3)
        The steps between voxels in mm, one column for each axis of the array.

    Returns
    -------
    float
        mm².
    """
    padded = np.pad(inside, 1)
    steps = np.array(_OFFSETS) @ axes.T
    lengths = np.linalg.norm(steps, axis=1)
    voxel = abs(float(np.linalg.det(axes)))
    crossings = [_crossings(padded, offset) for offset in _OFFSETS]
    shares = _shares_of_directions(steps / lengths[:, None])
    return 2 * voxel * float(np.sum(shares * crossings / lengths))


def _crossings(padded: NDArray[np.bool_], offset: tuple[int, int, int]) -> int:
    """Count the neighbours in one direction of which one is inside."""
    here = tuple(
        slice(max(0, -d), n - max(0, d)) for d, n in zip(offset, padded.shape, strict=True)
    )
    there = tuple(
        slice(max(0, d), n - max(0, -d)) for d, n in zip(offset, padded.shape, strict=True)
    )
    return int(np.count_nonzero(padded[here] ^ padded[there]))


def _shares_of_directions(units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of all directions is nearest to each of some lines; they add up to 1."""
    areas = SphericalVoronoi(np.concatenate([units, -units])).calculate_areas()
    both = areas[: len(units)] + areas[len(units) :]
    return both / both.sum()
