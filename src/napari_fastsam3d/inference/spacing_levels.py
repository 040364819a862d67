"""Sizes of a crop voxel that a model works at, made to follow the voxels of a scan."""

from collections.abc import Sequence

import numpy as np

# Voxel sizes in mm, as the cube root of the voxel's volume, of the scans that models know: there a
# structure is told by its size in mm. Of micro-CT, microscopy and simulations all that is known is
# how many voxels a structure has, so they are looked at as if voxels were of the nominal size, at
# which balls of 5 to 20 voxels are found best.
_ORDINARY = (0.5, 4.0)
_NOMINAL = 1.0


def spacing_levels(spacing: Sequence[float], of_model: Sequence[float]) -> tuple[float, ...]:
    """Return the sizes in mm of a crop voxel for a scan, fine to coarse.

    Where voxels are far smaller or larger than those that the model knows, its levels are that many
    times finer or coarser (see `scale_of`). So a crop never spans more voxels than in the finest
    ordinary scan. Levels made finer go on to where the last one would be there.

    Parameters
    ----------
    spacing : sequence of float
        Voxel sizes of the scan, mm.
    of_model : sequence of float
        What the model works at in ordinary scans, mm, fine to coarse.
    """
    scale = scale_of(spacing)
    levels = [scale * level for level in of_model]
    if scale < 1 and len(levels) > 1:
        widest = max(of_model) * _voxel(spacing) / _ORDINARY[0]
        while (wider := levels[-1] ** 2 / levels[-2]) <= widest:
            levels.append(wider)
    return tuple(levels)


def scale_of(spacing: Sequence[float]) -> float:
    """Return how many times finer or coarser than usual a scan is to be looked at.

    1 for voxels of 0.5 to 4 mm, by the cube root of their volume. From there on the size that
    voxels are taken for moves to 1 mm, as fast as they shrink or grow, and stays there.

    Parameters
    ----------
    spacing : sequence of float
        Voxel sizes in mm.
    """
    voxel = _voxel(spacing)
    low, high = _ORDINARY
    if voxel < low:
        return voxel / min(_NOMINAL, low**2 / voxel)
    if voxel > high:
        return voxel / max(_NOMINAL, high**2 / voxel)
    return 1.0


def _voxel(spacing: Sequence[float]) -> float:
    """Return the edge in mm of the cube that is as large as a voxel; 3 decimals where ordinary."""
    edge = float(np.cbrt(np.prod(np.asarray(spacing, dtype=np.float64))))
    near = round(edge, 3)
    # Rounding in a header must not make of a scan of half a millimetre one that is finer.
    return near if near in _ORDINARY else edge
