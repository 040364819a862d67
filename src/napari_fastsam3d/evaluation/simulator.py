"""A deterministic user: clicks in the middle of the largest error."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.mask import deepest_voxel
from napari_fastsam3d.session import Mask

Click = tuple[tuple[int, int, int], bool]
"""A source index and whether it is positive."""


def next_click(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Click:
    """Click in the middle of the largest connected error: the voxel farthest from its rim.

    Parameters
    ----------
    mask, truth : ndarray of bool
        (I, J, K) the present mask and the structure, source order.
    spacing : tuple of float
        Voxel sizes, mm along the source axes.

    Returns
    -------
    tuple
        The source index, and True when it lies in the structure (it was missed) or False (the
        mask spills there). A perfect mask gets a click in the middle of the structure.

    Raises
    ------
    ValueError
        When the structure is empty.
    """
    if not truth.any():
        raise ValueError("A structure without voxels cannot be clicked.")
    error = mask ^ truth
    region = _largest_part(error if error.any() else truth)
    index = _middle(region, spacing)
    return index, bool(truth[index])


def correcting_click(mask: Mask, truth: Mask, spacing: tuple[float, float, float]) -> Click:
    """Click as `next_click` does, reading only the boxes that hold mask and structure."""
    box = mask.box.union(truth.box)
    (i, j, k), positive = next_click(mask.within(box), truth.within(box), spacing)
    di, dj, dk = box.start
    return (i + di, j + dj, k + dk), positive


def click_anywhere(truth: Mask, seed: int) -> Click:
    """Click on any voxel of a structure, all alike likely; the same seed gives the same one."""
    rng = np.random.default_rng(seed)
    voxels = np.flatnonzero(truth.voxels.ravel())
    where = np.unravel_index(int(rng.choice(voxels)), truth.voxels.shape)
    i, j, k = (int(at) + low for at, low in zip(where, truth.box.start, strict=True))
    return (i, j, k), True


def _largest_part(mask: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]]:
    """Give the largest connected part as its box and the mask in it."""
    whole = Box.of_mask(mask)
    assert whole is not None  # the caller has looked
    parts = np.zeros(whole.shape, np.int32)
    ndimage.label(mask[whole.slices], output=parts)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    part = parts == sizes.argmax()
    inner = Box.of_mask(part)
    assert inner is not None
    return inner.shifted(whole.start), part[inner.slices]


def _middle(
    region: tuple[Box, NDArray[np.bool_]], spacing: tuple[float, float, float]
) -> tuple[int, int, int]:
    box, part = region
    i, j, k = (at + low for at, low in zip(deepest_voxel(part, spacing), box.start, strict=True))
    return i, j, k
