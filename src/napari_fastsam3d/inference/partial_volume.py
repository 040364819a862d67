"""Logits where the scan's voxels are larger than the cells of the prediction."""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit

from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.model.predictor import Floats

# Standard deviation, in cells, under which averaging would change next to nothing.
_NARROW = 0.5
_SUREST = 12


def averaged_over_voxels(crop: Crop, logits: Floats) -> Floats:
    """Average a prediction over the voxels of the scan along axes where these are the larger ones.

    A voxel belongs to a mask where more than half of it does; the logit at its centre, which is
    what is read when a mask is brought back to the scan, doesn't tell that of a structure that is
    hardly wider than a voxel. Probabilities are averaged by a Gaussian of a voxel's variance.

    Parameters
    ----------
    crop : Crop
    logits : ndarray of float32, shape (F, F, F)
        Over the crop.

    Returns
    -------
    ndarray of float32, shape (F, F, F)
        The same array where no axis has large voxels.
    """
    cell = crop.spacing * crop.size / len(logits)
    widths = [size / cell / 12**0.5 for size in crop.voxel_size]
    if max(widths) < _NARROW:
        return logits
    share = expit(logits.clip(-_SUREST, _SUREST))
    for axis, width in enumerate(widths):
        if width >= _NARROW:
            share = gaussian_filter1d(share, width, axis, mode="nearest", truncate=3)
    return np.log(share / (1 - share)).astype(np.float32)
