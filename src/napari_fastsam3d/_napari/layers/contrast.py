"""The grey window of a scan: the one it opens with, the presets, and the range of its values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry import Volume

Limits = tuple[float, float]

_SAMPLES = 200_000
_READ_WHOLE = 1 << 27
_BELOW_AIR = -1100.0
_AIR = -900.0
_LUNG = -700.0
_BELOW_FAT = -300.0
_LEAST_AIR, _LEAST_BODY, _MOST = 0.02, 0.03, 0.5
_BODY = (-200.0, 200.0)
_ENHANCED = (240.0, 700.0)
_MUCH_ENHANCED = 0.14
_BACKGROUND, _HEAP = 0.05, 0.1


@dataclass(frozen=True)
class GreyWindow:
    """Which values are shown from black to white.

    Parameters
    ----------
    level : float
        The middle, in the units of the scan: Hounsfield units for CT.
    width : float
        From black to white, more than 0.
    """

    level: float
    width: float

    @classmethod
    def between(cls, limits: Limits) -> GreyWindow:
        """Return the window with these limits."""
        low, high = limits
        return cls((low + high) / 2, high - low)

    @property
    def limits(self) -> Limits:
        """The value shown black, and the one shown white."""
        return self.level - self.width / 2, self.level + self.width / 2


PRESETS = {
    "soft_tissue": GreyWindow(40, 400),
    "lung": GreyWindow(-600, 1500),
    "bone": GreyWindow(400, 1800),
    "brain": GreyWindow(40, 80),
    "liver": GreyWindow(60, 160),
    "mediastinum": GreyWindow(50, 350),
    "angio": GreyWindow(300, 600),
}
"""The usual windows of CT, in Hounsfield units."""


def is_ct(volume: Volume) -> bool | None:
    """Whether a scan is in Hounsfield units, by its file or else by its values.

    Returns
    -------
    bool or None
        None where neither shows it: a CT of which only a part inside the body was kept looks like
        anything else.
    """
    modality = volume.source.modality
    if modality is not None:
        return modality == "CT"
    return True if _looks_like_ct(_sample(volume)) else None


def opening_window(volume: Volume) -> GreyWindow:
    """Choose the window a scan opens with, by a subsample of the voxels.

    CT opens in the soft-tissue window of a console, or in the one for vessels where contrast medium
    fills so much of the body that the heart would be white. Anything else opens as `auto_window`
    says. Padding counts nowhere.
    """
    if not is_ct(volume):
        return auto_window(volume)
    body = _body(_sample(volume))
    enhanced = (body > _ENHANCED[0]) & (body < _ENHANCED[1])
    much = body.size and np.mean(enhanced) > _MUCH_ENHANCED
    return PRESETS["angio" if much else "soft_tissue"]


def auto_window(volume: Volume) -> GreyWindow:
    """Choose a window by percentiles of tissue.

    For CT they are the 1st and the 99th of what is as dense as fat or denser; otherwise the 1st of
    what is brighter than air and the 99.5th of what is bright.
    """
    sample = _sample(volume)
    if is_ct(volume) and (body := _body(sample)).size:
        low, high = np.percentile(body, [1.0, 99.0])
        return GreyWindow.between((float(low), float(high)) if high > low else _around(float(low)))
    return _of_tissue(sample)


def value_range(volume: Volume) -> Limits:
    """Return the least and the largest value of a scan, without its padding.

    Very large scans are sampled.
    """
    voxels, floor = volume.voxels, volume.intensity_floor
    whole = np.asarray(voxels) if voxels.size <= _READ_WHOLE else _sample(volume)
    if whole.dtype.kind == "f":
        whole = whole[np.isfinite(whole)]
    if floor is not None:
        whole = whole[whole >= floor]
    if not whole.size:
        return 0.0, 1.0
    low, high = float(whole.min()), float(whole.max())
    return (low, high) if high > low else GreyWindow.between(_around(low)).limits


def _body(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    return sample[sample > _BODY[0]]


def _of_tissue(sample: NDArray[np.float64]) -> GreyWindow:
    if not sample.size:
        return GreyWindow(0.5, 1.0)
    top = float(np.percentile(sample, 99.9))
    tissue = sample[sample > _otsu(sample[sample <= top])]
    high = float(np.percentile(tissue if tissue.size else sample, 99.5))
    low = float(np.percentile(_without_background(sample, top), 1.0))
    low = low if high > low else float(sample.min())
    return GreyWindow.between((low, high) if high > low else _around(low))


def _without_background(sample: NDArray[np.float64], top: float) -> NDArray[np.float64]:
    """Leave out air, which is a heap at the dark end; a part inside the body has none."""
    edge = sample.min() + _BACKGROUND * (top - sample.min())
    bright = sample[sample > edge]
    return bright if bright.size and sample.size - bright.size > _HEAP * sample.size else sample


def _otsu(sample: NDArray[np.float64]) -> float:
    """Return the value that parts dark from bright best: the largest variance between them."""
    counts, edges = np.histogram(sample, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = sample.size - below
    total = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    return float(edges[1:-1][np.nan_to_num(between).argmax()])


def _sample(volume: Volume) -> NDArray[np.float64]:
    """Return evenly spaced finite intensities, shape (N,), without those of padding."""
    voxels, floor = volume.voxels, volume.intensity_floor
    step = max(1, int(np.ceil((voxels.size / _SAMPLES) ** (1 / 3))))
    sample = np.asarray(voxels[::step, ::step, ::step], dtype=float)
    measured = np.isfinite(sample) if floor is None else np.isfinite(sample) & (sample >= floor)
    return sample[measured]


def _looks_like_ct(sample: NDArray[np.float64]) -> bool:
    """Whether values are Hounsfield units: air at -1000, hardly anything else below fat, a body."""
    dark = sample[sample < _BELOW_FAT]
    if dark.size < _LEAST_AIR * sample.size or not dark.size:
        return False
    body = np.mean((sample > _BODY[0]) & (sample < _BODY[1]))
    airy = np.mean(dark < _LUNG) > _MOST
    least = np.percentile(dark, 1.0)
    return bool(body > _LEAST_BODY and airy and _BELOW_AIR < least < _AIR)


def _around(value: float) -> Limits:
    return value, value + max(1.0, abs(value) * 1e-3)
