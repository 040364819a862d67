"""How deep in a region its voxels lie."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Index


def deepest_voxel(
    region: NDArray[np.bool_], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Index:
    """Return the voxel of a region that lies farthest from its rim; the first of several.

    Parameters
    ----------
    region : ndarray of bool
        (I, J, K), not empty. What lies beyond the array counts as outside.
    spacing : tuple of float
        Voxel sizes along the axes, mm.

    Returns
    -------
    tuple of int
        Index into the array.
    """
    depth = np.zeros(tuple(n + 2 for n in region.shape))
    ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing, distances=depth)
    where = np.unravel_index(int(depth[1:-1, 1:-1, 1:-1].argmax()), region.shape)
    i, j, k = (int(at) for at in where)
    return i, j, k
