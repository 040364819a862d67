"""Click constraints: what was clicked lies in the mask or outside it, whatever the network said."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.prompt import Point

# In multiples of the smallest voxel size and of a cell of the model's finest grid. A lone voxel
# would satisfy it and not be seen; a ball much wider than a cell, or than the voxels next to the
# click, would paint what the model, which can draw that finely by itself, was right to leave alone.
_VOXELS = 1.0
_CELLS = 0.75


def reach_mm(volume: Volume, cell: float) -> float:
    """Return the radius in mm of the ball around a click that is constrained by it.

    Parameters
    ----------
    volume : Volume
    cell : float
        Size in mm of a cell of the model's finest grid.
    """
    return max(_VOXELS * min(volume.spacing), _CELLS * cell)


def enforce_clicks(mask: Mask, points: Sequence[Point], volume: Volume, reach: float) -> Mask:
    """Put every positive click inside the mask and every negative one outside it.

    Each click constrains a small ball around it, not one voxel. Where balls of opposite clicks
    meet, the nearer click decides, and at equal distance the later: so each click's own voxel
    always satisfies it, and of several on one voxel the last.

    Parameters
    ----------
    mask : Mask
        What the model said, source index.
    points : sequence of Point
        All clicks of the object, the oldest first, within the volume.
    volume : Volume
        Whose grid it is; distances are taken in mm along its axes.
    reach : float
        Radius of the balls in mm.

    Returns
    -------
    Mask
        Its box grows where a positive ball lies outside it.
    """
    if not points:
        return mask
    windows = [_window(point.index, volume, reach) for point in points]
    added = [w for w, p in zip(windows, points, strict=True) if p.positive]
    box = mask.box
    for window in added:
        box = box.union(window)
    voxels = mask.within(box)
    for place, window in enumerate(windows):
        seen = window.intersection(box)
        if not seen.is_empty:
            constrained = _constrained(place, points, volume, seen, reach)
            i, j, k = box.start
            voxels[seen.shifted((-i, -j, -k)).slices][constrained] = points[place].positive
    return Mask.of(box, voxels)


def _window(index: Index, volume: Volume, reach: float) -> Box:
    r, s, t = (ceil(reach / size) for size in volume.spacing)
    i, j, k = index
    ball = Box((i - r, j - s, k - t), (i + r + 1, j + s + 1, k + t + 1))
    return ball.clipped(volume.shape)


def _constrained(
    place: int, points: Sequence[Point], volume: Volume, window: Box, reach: float
) -> NDArray[np.bool_]:
    """Return which voxels of a window belong to the ball of one click."""
    point = points[place]
    here = _squared_mm(point.index, volume, window)
    constrained = (here <= reach**2) | (here == 0)
    for other_place, other in enumerate(points):
        if other.positive != point.positive and _close(point.index, other.index, volume, reach):
            there = _squared_mm(other.index, volume, window)
            constrained &= (here < there) | ((here == there) & (place > other_place))
    return constrained


def _close(a: Index, b: Index, volume: Volume, reach: float) -> bool:
    """Whether balls around two voxels can meet."""
    apart = [abs(x - y) * s for x, y, s in zip(a, b, volume.spacing, strict=True)]
    return max(apart) <= 2 * reach


def _squared_mm(index: Index, volume: Volume, window: Box) -> NDArray[np.float64]:
    """Return squared distances in mm from a voxel to those of a window, source order."""
    offsets = np.ogrid[window.shifted([-x for x in index]).slices]
    terms = [(d * size) ** 2 for d, size in zip(offsets, volume.spacing, strict=True)]
    # Summed in the order of the patient's axes: the same bits in whichever order a file has them.
    r, a, s = volume.canonical.axes
    return terms[r] + terms[a] + terms[s]
