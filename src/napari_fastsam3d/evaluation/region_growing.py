"""Region growing: the connected voxels as bright as those that were clicked."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from napari_fastsam3d.evaluation.baseline import Baseline, Floats, Scene

_REACH = 2
_WIDTH = 2.5
_SMOOTHING = 1.0


def region_growing() -> Baseline:
    """Give region growing as a segmenter.

    A voxel of the smoothed image belongs to the object when its intensity is within two and a
    half standard deviations of the mean around the nearest click, that click is a positive one,
    and such voxels lead from it to a positive click.
    """
    settings = f"reach {_REACH}, width {_WIDTH}, smoothing {_SMOOTHING}"
    return Baseline("region-growing", _grow, settings)


def _grow(scene: Scene) -> Floats:
    image = np.asarray(ndimage.gaussian_filter(scene.image, _SMOOTHING), np.float32)
    ranges = np.array([_range(image, place) for place in scene.positive])
    clicks = np.concatenate([scene.positive, scene.negative])
    voxels = np.indices(image.shape).reshape(3, -1).T
    nearest = KDTree(clicks).query(voxels)[1].reshape(image.shape)
    mine = nearest < len(scene.positive)
    low, high = ranges[np.where(mine, nearest, 0)].transpose(3, 0, 1, 2)
    alike = mine & (image >= low) & (image <= high)
    alike[tuple(scene.positive.T)] = True
    parts = np.zeros(image.shape, np.int32)
    ndimage.label(alike, output=parts)
    kept = np.unique(parts[tuple(scene.positive.T)])
    return np.where(np.isin(parts, kept), 1, -1).astype(np.float32)


def _range(image: Floats, place: NDArray[np.intp]) -> tuple[float, float]:
    """Give the intensities that belong together around a click."""
    near = image[tuple(slice(max(0, at - _REACH), at + _REACH + 1) for at in place)]
    mean, spread = float(near.mean()), float(near.std())
    return mean - _WIDTH * spread, mean + _WIDTH * spread
