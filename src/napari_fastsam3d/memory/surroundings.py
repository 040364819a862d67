"""What lies around a structure, seen from afar: by that it is found again in another scan."""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.memory.case import Floats, Halves, unit

REACH = 3
"""Cells of S/4 that are remembered on either side of a structure's middle.

In five training CTs of head and neck, with eight others remembered, the brainstem was found in all
of them so, and by the features of its middle alone in none.
"""

# Part of the cells around that are taken to be seen at the least, and how far features must be from
# their mean to say anything.
_LEAST_SEEN = 0.1
_LEAST_CONTRAST = 1e-3


def contrasted(features: Floats, crop: Crop) -> Floats:
    """Return how the features (n, n, n, C) of a crop differ from their mean: unit vectors.

    They are 0 in cells that don't lie wholly in the scan.
    """
    inside = cells_in_scan(crop, len(features))
    if not inside.any():
        return np.zeros_like(features, dtype=np.float32)
    found = unit(features)
    unlike = found - found[inside].mean(axis=0)
    says = inside & (np.linalg.norm(unlike, axis=-1) > _LEAST_CONTRAST)
    return unit(unlike) * says[..., None]


def surroundings_of(contrast: Floats, cell: tuple[int, int, int]) -> Halves:
    """Return the part around a cell of what `contrasted` gave, (2 r + 1,) * 3 cells and C."""
    padded = np.pad(contrast, ((REACH, REACH),) * 3 + ((0, 0),))
    around = tuple(slice(n, n + 2 * REACH + 1) for n in cell)
    return padded[around].astype(np.float16)


def likeness_of_surroundings(contrast: Floats, remembered: Floats) -> Floats:
    """Return the cosine of what lies around each cell with what is remembered, (n, n, n).

    Parameters
    ----------
    contrast : ndarray of float32, shape (n, n, n, C)
        As by `contrasted`.
    remembered : ndarray of float32, shape (2 r + 1,) * 3 + (C,)
        A mean over cases.
    """
    mirrored = remembered[::-1, ::-1, ::-1]
    product = np.zeros(contrast.shape[:3])
    for c in range(contrast.shape[-1]):
        product += fftconvolve(contrast[..., c], mirrored[..., c], mode="same")
    seen = (contrast != 0).any(axis=-1).astype(np.float64)
    count = fftconvolve(seen, np.ones(remembered.shape[:3]), mode="same")
    # Where hardly anything of the scan is around, little is known.
    count = np.maximum(count, _LEAST_SEEN * np.prod(remembered.shape[:3]))
    length = float(np.linalg.norm(remembered))
    return (product / (np.sqrt(count) * max(length, 1e-6))).astype(np.float32)


def cells_in_scan(crop: Crop, side: int) -> NDArray[np.bool_]:
    """Return which cells of a crop lie wholly in the scan, (side, side, side)."""
    x, y, z = (np.asarray(np.reshape(planes, (side, -1)).all(axis=1)) for planes in crop.inside)
    return x[:, None, None] & y[:, None] & z
