# pyright: basic
"""The grey window in which a scan is first shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry import Volume

SOFT_TISSUE = (-160.0, 240.0)
_SAMPLES = 200_000
_AIR = -300.0
_BODY = (-100.0, 200.0)


def contrast_limits(volume: Volume) -> tuple[float, float]:
    """Choose the limits by a subsample of the voxels.

    Hounsfield units, known by air far below zero and a body around it, get the soft-tissue
    window of a CT console. Anything else gets the 1st to the 99.5th percentile of what is above
    the background.
    """
    sample = _subsample(volume.voxels)
    if not sample.size:
        return 0.0, 1.0
    if _is_hounsfield(sample):
        return SOFT_TISSUE
    body = sample[sample > sample.min()]
    low, high = np.percentile(body if body.size else sample, [1.0, 99.5])
    return (float(low), float(high)) if high > low else _around(float(low))


def contrast_range(volume: Volume) -> tuple[float, float]:
    """Range of the sliders: what the subsample holds, and the limits."""
    sample = _subsample(volume.voxels)
    limits = contrast_limits(volume)
    if not sample.size:
        return limits
    return min(float(sample.min()), limits[0]), max(float(sample.max()), limits[1])


def _subsample(voxels: NDArray[np.generic]) -> NDArray[np.float64]:
    step = max(1, int(np.ceil((voxels.size / _SAMPLES) ** (1 / 3))))
    sample = np.asarray(voxels[::step, ::step, ::step], dtype=float)
    return sample[np.isfinite(sample)]


def _is_hounsfield(sample: NDArray[np.float64]) -> bool:
    air = np.mean(sample < _AIR)
    body = np.mean((sample > _BODY[0]) & (sample < _BODY[1]))
    return bool(air > 0.02 and body > 0.1 and sample.min() > -5000)


def _around(value: float) -> tuple[float, float]:
    return value, value + max(1.0, abs(value) * 1e-3)
