"""The edge-aware step: what is predicted in coarse cells is drawn to the edges of the scan."""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.model.predictor import Floats

_Real = NDArray[np.floating[Any]]

MOST = 1 << 20
"""Voxels of a box above which masks stay as they are: the step would cost more than the click."""

# Weight of the two means against the logits, and where one of both is too far away to be asked.
_WEIGHT = 0.7
_PRESENT = 0.05
# Voxels that a window reaches to either side at most: as many as the widest cell spans in voxels of
# half a millimetre. Along axes with finer voxels windows would grow without end, and so would the
# work.
_FARTHEST = 12
_LARGEST = np.float32(4)
# Of the guided filter: variance, in that of the box, under which an edge is noise.
_EDGE = 0.01
_TINY = 1e-3


def edge_aware_mask(
    crop: Crop, logits: Floats, voxels: NDArray[Any], floor: float | None = None
) -> tuple[Box, Any]:
    """Bring logits to the source grid, draw them to the edges there, and cut them at zero.

    First every voxel moves towards that side of the boundary whose mean intensity nearby is more
    like its own: one step of a localised region-based flow (Lankton and Tannenbaum 2008, in the
    mean of Chan and Vese 2001). Then the probabilities pass a guided filter (He et al. 2013) with
    the scan as its guide. The windows are about as wide as a cell on either side. On training cases
    this adds 0.009 to 0.012 to Dice; windows and weights were chosen there. Along axes whose voxels
    are wider than a cell there is nothing to draw, and the windows are a voxel wide.

    Parameters
    ----------
    crop : Crop
    logits : ndarray of float32, shape (F, F, F)
        Over the crop.
    voxels : ndarray, shape (I, J, K)
        The scan, source order.
    floor : float, optional
        Lower intensities count as this: the volume's `intensity_floor`.

    Returns
    -------
    box : Box
        Source index; all of the mask lies in it.
    mask : ndarray of bool
        One for each voxel of the box, in source order.
    """
    box = crop.covered(logits > 0)
    cell = crop.spacing * crop.size / len(logits)
    view = crop.orientation
    wide = [_odd(cell / size) for size in crop.voxel_size]
    seen = view.box_to_source(_padded(view.box_to_target(box), wide)).intersection(crop.box)
    if box.is_empty or seen.size > MOST:
        return crop.paste_mask(logits)
    pasted = np.ascontiguousarray(view.view(crop.paste(logits, seen)[1]))
    image = _standard(np.ascontiguousarray(view.view(voxels[seen.slices])), floor)
    flow = _towards_likeness(image, pasted, wide)
    narrow = [_odd(0.7 * cell / size) for size in crop.voxel_size]
    return seen, view.source_view(_guided(image, _sigmoid(flow), narrow) > 0.5)


def _towards_likeness(image: _Real, logits: _Real, window: list[int]) -> _Real:
    inside = _sigmoid(logits)
    share, mean, mean_inside, square = (
        _mean(values, window) for values in (inside, image, inside * image, image**2)
    )
    variance = _variance(mean, square) + _TINY
    outer = (mean - mean_inside) / (1 - share + _TINY)
    inner = mean_inside / (share + _TINY)
    likeness = ((image - outer) ** 2 - (image - inner) ** 2) / variance
    known = np.minimum(share, 1 - share) > _PRESENT
    return logits + _WEIGHT * np.minimum(np.maximum(likeness, -_LARGEST), _LARGEST) * known


def _guided(guide: _Real, values: _Real, window: list[int]) -> _Real:
    """Filter values where the guide has edges; elsewhere it would only shrink what is round."""
    products = (values, guide, guide * values, guide**2)
    mean, of_guide, product, square = (_mean(product, window) for product in products)
    variance = _variance(of_guide, square)
    slope = (product - of_guide * mean) / (variance + _EDGE)
    pieces = (slope, mean - slope * of_guide, variance / (variance + _EDGE))
    slope, offset, edges = (_mean(piece, window) for piece in pieces)
    return values + edges * (slope * guide + offset - values)


def _variance(mean: _Real, mean_square: _Real) -> _Real:
    return np.maximum(mean_square - mean**2, np.float32(0))  # rounding can make it negative


def _mean(values: _Real, window: list[int]) -> _Real:
    """Average over windows, the outermost values repeated beyond the ends.

    Windows are short, and so adding shifted arrays is a third of the work of a running sum.
    """
    sums = np.pad(
        values * np.float32(1 / prod(window)), [(n // 2, n // 2) for n in window], mode="edge"
    )
    for axis, length in enumerate(window):
        if length == 1:
            continue
        wide, before = sums, (slice(None),) * axis
        rows = values.shape[axis]
        sums = wide[(*before, slice(rows))] + wide[(*before, slice(1, rows + 1))]
        for first in range(2, length):
            sums += wide[(*before, slice(first, first + rows))]
    return sums


def _sigmoid(logits: _Real) -> _Real:
    return np.reciprocal(1 + np.exp(-logits.clip(-30, 30)))


def _standard(image: NDArray[Any], floor: float | None) -> _Real:
    """Scale to mean 0 and standard deviation 1; what isn't finite becomes the lowest that is."""
    values = image.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        values[~finite] = values[finite].min() if finite.any() else 0.0
    if floor is not None:
        values = np.maximum(values, np.float32(floor))
    deviation = float(values.std(dtype=np.float64))
    return (values - np.float32(values.mean(dtype=np.float64))) / np.float32(deviation + 1e-6)


def _odd(width: float) -> int:
    """Return the odd number of voxels about twice a width, 25 at most; 1 where voxels are wider."""
    return 2 * min(round(width), _FARTHEST) + 1


def _padded(box: Box, margins: list[int]) -> Box:
    low = (a - m for a, m in zip(box.start, margins, strict=True))
    high = (b + m for b, m in zip(box.stop, margins, strict=True))
    (i, j, k), (u, v, w) = low, high
    return Box((i, j, k), (u, v, w))
