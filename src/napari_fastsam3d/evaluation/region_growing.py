"""Region growing: the connected voxels as bright as those that were clicked."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from napari_fastsam3d.evaluation.baseline import Baseline, Floats, Scene

_TOLERANCE = 0.05
_SMOOTHING = 1.0
_PERCENTILES = (1, 99)


def region_growing() -> Baseline:
    """Give region growing as a segmenter.

    A voxel of the smoothed image belongs to the object when its intensity is that at a positive
    click, give or take a twentieth of the image's range, no negative click is nearer than every
    positive one, and such voxels lead from it to a positive click.
    """
    settings = f"tolerance {_TOLERANCE}, smoothing {_SMOOTHING}"
    return Baseline("region-growing", _grow, settings)


def _grow(scene: Scene) -> Floats:
    image = np.asarray(ndimage.gaussian_filter(scene.image, _SMOOTHING), np.float32)
    tolerance = _TOLERANCE * float(np.ptp(np.percentile(image, _PERCENTILES)))
    alike = np.zeros(image.shape, bool)
    for place in scene.positive:
        alike |= np.abs(image - image[tuple(place)]) <= tolerance
    if len(scene.negative):
        alike &= _distances(image, scene.positive) <= _distances(image, scene.negative)
    alike[tuple(scene.positive.T)] = True
    parts = np.zeros(image.shape, np.int32)
    ndimage.label(alike, output=parts)
    kept = np.unique(parts[tuple(scene.positive.T)])
    return np.where(np.isin(parts, kept), 1, -1).astype(np.float32)


def _distances(image: Floats, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Give the distance in voxels from each voxel of the image to the nearest of some places."""
    voxels = np.indices(image.shape).reshape(3, -1).T
    return KDTree(places).query(voxels)[0].reshape(image.shape)
