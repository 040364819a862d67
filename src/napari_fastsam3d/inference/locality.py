"""Far from the newest click a mask keeps what it was: a click corrects a place, not the whole."""

from collections.abc import Sequence
from functools import cache

import numpy as np

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.resample import AxisFilter, resample
from napari_fastsam3d.inference.crop_policy import ROOM
from napari_fastsam3d.model.predictor import Floats, Segmentation

# Clicks from which on most of the structure is known, and each further one is a correction. What is
# small in the crop is known after the first: on 32 parts of hippocampi held out that gained 1.8
# points of Dice at the second click.
_CORRECTIONS_FROM = 3
# Share of the logits of the step before that is kept far from the newest click; and how far a click
# on the rim of the mask reaches, in crop voxels, as the standard deviation of a Gaussian. One in
# the middle of something larger that is missing or too much reaches farther by its distance from
# the mask's surface. On 42 structures of training cases the share of clicks that cost more than
# 0.01 Dice fell from 16 % to 13 %.
_KEPT = 0.7
_REACH = 10.0


def is_correction(clicks: int, previous: Floats) -> bool:
    """Tell whether the newest of some clicks corrects a mask that is known for the most part.

    Parameters
    ----------
    clicks : int
    previous : ndarray of float32, shape (F, F, F)
        Logits of the step before over the crop.
    """
    if clicks != _CORRECTIONS_FROM - 1:
        return clicks >= _CORRECTIONS_FROM
    known = Box.of_mask(previous > 0)
    return known is not None and ROOM * max(known.shape) <= len(previous)


def locally_blended(
    seen: Segmentation, previous: Floats, place: Sequence[float], positive: bool, size: int
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
    positive : bool
        Whether it asks for what is there.
    size : int
        Crop voxels along each axis.

    Returns
    -------
    low_res_logits : ndarray of float32, shape (size / 4,) * 3
        Logits to be fed back.
    mask_logits : ndarray of float32, shape (F, F, F)
        Logits over the crop.
    """
    cells = len(seen.low_res_logits)
    centres = (np.arange(cells) + 0.5) * size / cells - 0.5
    x, y, z = ((centres - at) ** 2 for at in place)
    away = x[:, None, None] + y[:, None] + z
    right = away[(previous > 0) == positive]
    depth = np.sqrt(right.min()) - size / cells if right.size else size
    near = np.exp(-away / (2 * (_REACH + max(0.0, depth)) ** 2))
    change = (_KEPT * (1 - near) * (previous - seen.low_res_logits)).astype(np.float32)
    finer = _interpolation(cells, len(seen.mask_logits))
    # The first axis goes last, so that both terms of the sum lie alike in memory.
    return seen.low_res_logits + change, seen.mask_logits + resample(
        change, (finer,) * 3, (2, 1, 0)
    )


@cache
def _interpolation(cells: int, finer: int) -> AxisFilter:
    return AxisFilter.triangle((np.arange(finer) + 0.5) * cells / finer - 0.5, 1, cells)
