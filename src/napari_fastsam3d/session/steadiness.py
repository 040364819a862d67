"""Far from the newest click a mask keeps what it was: a click corrects a place, not the whole."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from napari_fastsam3d.geometry.axis_filter import AxisFilter, resample
from napari_fastsam3d.session.predictor import Floats, Segmentation

# Clicks from which on most of the structure is known, and each further one is a correction.
CORRECTIONS_FROM = 3
# Share of the logits of the step before that is kept far from the newest click; and how near that
# is, in crop voxels, as the standard deviation of a Gaussian. On 42 structures of training cases
# the share of clicks that cost more than 0.01 Dice fell from 16 % to 12 %.
_KEPT = 0.7
_NEAR = 10.0


def steadied(
    seen: Segmentation, previous: Floats, place: Sequence[float], size: int
) -> tuple[Floats, Floats]:
    """Mix what a model says with what was known before, the more so the farther from a click.

    Parameters
    ----------
    seen : Segmentation
        The answer to the click.
    previous : ndarray of float32, shape (size / 4,) * 3
        Logits of the step before over the same crop.
    place : sequence of float
        The click, crop index.
    size : int
        Crop voxels along each axis.

    Returns
    -------
    low : ndarray of float32, shape (size / 4,) * 3
        Logits to be fed back.
    fine : ndarray of float32, shape (F, F, F)
        Logits over the crop.
    """
    cells = len(seen.low)
    centres = (np.arange(cells) + 0.5) * size / cells - 0.5
    x, y, z = (np.exp(-(((centres - at) / _NEAR) ** 2) / 2) for at in place)
    near = x[:, None, None] * y[:, None] * z
    change = (_KEPT * (1 - near) * (previous - seen.low)).astype(np.float32)
    finer = _interpolation(cells, len(seen.fine))
    return seen.low + change, seen.fine + resample(change, (finer,) * 3, (0, 1, 2))


@cache
def _interpolation(cells: int, finer: int) -> AxisFilter:
    return AxisFilter.triangle((np.arange(finer) + 0.5) * cells / finer - 0.5, 1, cells)
