"""Targets that nobody labelled: supervoxels of an image, alone or several merged.

ScribblePrompt (Wong et al. 2024) and nnInteractive (Isensee et al. 2025) train with such targets,
for what the user means need not have a name.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.normalisation import Inside
from napari_fastsam3d.training.random_generator import RandomGenerator

MOST = 6
"""Supervoxels that are merged at most."""

_UNLIKE = 0.15
"""Difference of mean intensity, as a part of the crop's range, over which nothing is merged."""

_THINNEST = 4
"""Planes that there must be along each axis."""

_WORKING_SIZE = 64
"""Larger crops are divided at half their resolution."""


def supervoxel_targets(
    image: Tensor, inside: Inside, count: int, smallest: int, random: RandomGenerator
) -> list[Tensor]:
    """Divide an image by watersheds of its gradient and draw targets from the basins.

    Parameters
    ----------
    image : Tensor
        (S, S, S) float32 intensities.
    inside : tuple of ndarray of bool
        For each axis, which planes lie in the volume; the others belong to no supervoxel.
    count : int
        Targets that are wanted.
    smallest : int
        Voxels that each needs.
    random : RandomGenerator

    Returns
    -------
    list of Tensor
        At most `count` masks (S, S, S) bool; fewer where the image has too little to divide.
    """
    step = 2 if image.shape[0] > _WORKING_SIZE else 1
    within = tuple(slice(*_ends(planes[::step])) for planes in inside)
    small = F.avg_pool3d(image[None, None], step)[0, 0] if step > 1 else image
    part = small.cpu().numpy()[within]
    if min(part.shape) < _THINNEST:
        return []
    basins = np.zeros(small.shape, np.int32)
    basins[within], means = _basins(part, random)
    neighbours = _neighbours(basins)
    found: list[Tensor] = []
    for _ in range(2 * count):
        members = _merged(neighbours, means, random)
        mask = np.isin(basins, members)
        if not smallest <= mask.sum() * step**3 <= 0.4 * image.numel():
            continue
        target = torch.from_numpy(mask).to(image.device)
        if step > 1:
            fine = F.interpolate(target[None, None].float(), scale_factor=2, mode="trilinear")
            target = fine[0, 0] > 0.5
        found.append(target)
        if len(found) == count:
            break
    return found


def _ends(planes: NDArray[np.bool_]) -> tuple[int, int]:
    at = np.flatnonzero(planes)
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)


def _basins(
    image: NDArray[np.float32], random: RandomGenerator
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Give the basins (D, H, W) of an image, numbered from 1, and their means; 0 for number 0."""
    from skimage.segmentation import watershed

    rng = random.numbers
    low, high = np.percentile(image[::2, ::2, ::2], (1, 99))
    scaled = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    smooth = ndimage.gaussian_filter(scaled, float(rng.uniform(0.7, 1.6)), truncate=2)
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(smooth)))
    spacing = int(np.exp(rng.uniform(np.log(6), np.log(22))))
    nodes = np.stack(
        np.meshgrid(
            *(np.arange(min(spacing, n) // 2, n, spacing) for n in image.shape), indexing="ij"
        ),
        -1,
    ).reshape(-1, 3)
    jitter = rng.integers(-(spacing // 3), spacing // 3 + 1, nodes.shape)
    places = np.clip(nodes + jitter, 0, np.array(image.shape) - 1)
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(places.T)] = np.arange(1, len(places) + 1)
    basins = watershed((slope * 1000).astype(np.int16), markers)
    means = ndimage.mean(smooth, basins, np.arange(1, basins.max() + 1))
    return basins, np.concatenate([[0.0], np.nan_to_num(means)])


def _neighbours(basins: NDArray[np.int32]) -> dict[int, list[int]]:
    """List which basins touch which."""
    pairs: list[NDArray[np.int32]] = []
    for axis in range(3):
        ahead = np.moveaxis(basins, axis, 0)
        one, other = ahead[:-1].ravel(), ahead[1:].ravel()
        border = one != other
        pairs.append(np.stack([one[border], other[border]], 1))
    touching: dict[int, list[int]] = {}
    for one, other in np.unique(np.concatenate(pairs), axis=0):
        touching.setdefault(int(one), []).append(int(other))
        touching.setdefault(int(other), []).append(int(one))
    return touching


def _merged(
    neighbours: dict[int, list[int]], means: NDArray[np.float64], random: RandomGenerator
) -> list[int]:
    """Draw a basin that is not background, and those of its neighbours that look most like it."""
    rng = random.numbers
    tissue = 1 + np.flatnonzero(means[1:] > 0.6 * means[1:].mean())
    members = [int(rng.choice(tissue if len(tissue) else len(means) - 1))]
    for _ in range(int(rng.integers(0, MOST))):
        around = sorted({n for m in members for n in neighbours.get(m, [])} - {0, *members})
        if not around:
            break
        unlike = np.abs(means[around] - means[members].mean())
        if unlike.min() > _UNLIKE:
            break
        members.append(around[int(unlike.argmin())])
    return members
