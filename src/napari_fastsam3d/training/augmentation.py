"""What scanners and patients vary: contrast, noise, bias, blur, slice thickness, shape, side."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional as F

from napari_fastsam3d.model.normalisation import Inside

Array = NDArray[np.float32]


def smooth_noise(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> Array:
    """Draw normal noise on a coarse grid and interpolate it.

    Parameters
    ----------
    shape : tuple of int
        (C, D, H, W) of the result.
    cells : int
        Nodes along each axis of the coarse grid.

    Returns
    -------
    ndarray of float32
        About unit variance at the nodes.
    """
    coarse = rng.standard_normal((1, shape[0], cells, cells, cells), dtype=np.float32)
    fine = F.interpolate(
        torch.from_numpy(coarse), size=shape[1:], mode="trilinear", align_corners=True
    )
    return fine[0].numpy()


def blur(image: Array, sigma: float) -> Array:
    """Blur (S, S, S) by a Gaussian of `sigma` voxels."""
    return np.asarray(ndimage.gaussian_filter(image, sigma, truncate=2.5), np.float32)


def degrade(image: Array, rng: np.random.Generator) -> Array:
    """Change a crop's intensities as another scanner might.

    Parameters
    ----------
    image : ndarray of float32
        (S, S, S) raw intensities.

    Returns
    -------
    ndarray of float32
        (S, S, S), in arbitrary units.
    """
    low, high = (float(v) for v in np.percentile(image[::3, ::3, ::3], (0.5, 99.5)))
    image = (image - low) / max(high - low, 1e-6)
    if rng.random() < 0.3:
        image = _window(image, rng)
    if rng.random() < 0.3:
        image = np.power(np.clip(image, 0, 1.5), np.float32(np.exp(rng.uniform(-0.5, 0.5))))
    if rng.random() < 0.12:
        image = np.float32(1) - np.clip(image, -0.2, 1.2)
    if rng.random() < 0.3:
        field = smooth_noise((1, *image.shape), int(rng.integers(2, 5)), rng)[0]
        image = image * np.exp(np.float32(rng.uniform(0.05, 0.25)) * field)
    if rng.random() < 0.25:
        image = _thick_slices(image, rng)
    if rng.random() < 0.2:
        image = blur(image, float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.5:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        level = float(np.exp(rng.uniform(np.log(0.003), np.log(0.08))))
        image = np.add(image, level * noise, dtype=np.float32)
    return image.astype(np.float32, copy=False)


def _window(image: Array, rng: np.random.Generator) -> Array:
    """Clip to a display window around the tissue, as exported CT often is."""
    tissue = image[image > image.mean()]
    if tissue.size == 0:
        return image
    centre, width = float(np.median(tissue)), float(rng.uniform(2, 6)) * float(tissue.std() + 1e-3)
    return np.clip(image, centre - width, centre + width)


def _thick_slices(image: Array, rng: np.random.Generator) -> Array:
    """Average along one axis and interpolate back, as thick slices do."""
    axis = int(rng.integers(3))
    thickness = int(rng.integers(2, 6))
    planes = image.shape[axis] // thickness
    if planes < 2:
        return image
    moved = np.moveaxis(image, axis, -1)
    used = moved[..., : planes * thickness].reshape(*moved.shape[:-1], planes, thickness).mean(-1)
    where = np.clip((np.arange(moved.shape[-1]) + 0.5) / thickness - 0.5, 0, planes - 1)
    below = np.minimum(where.astype(int), planes - 2)
    part = (where - below).astype(np.float32)
    thick = used[..., below] * (1 - part) + used[..., below + 1] * part
    return np.moveaxis(thick, -1, axis)


def flip(
    image: Array,
    target: NDArray[np.bool_],
    inside: Inside,
    point: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Array, NDArray[np.bool_], Inside, NDArray[np.float64]]:
    """Mirror left and right half the time; other axes, and their order, rarely.

    The canonical frame tells the network where up is, and most scans keep to it. The crop index
    `point`, (3,), moves with the voxel it names.
    """
    planes = list(inside)
    point = point.copy()
    for axis, chance in enumerate((0.5, 0.15, 0.15)):
        if rng.random() < chance:
            image, target = np.flip(image, axis), np.flip(target, axis)
            planes[axis] = np.flip(planes[axis])
            point[axis] = image.shape[axis] - 1 - point[axis]
    if rng.random() < 0.15:
        order = rng.permutation(3)
        image, target = image.transpose(order), target.transpose(order)
        planes = [planes[axis] for axis in order]
        point = point[order]
    return image, target, (planes[0], planes[1], planes[2]), point


def deform(
    labels: NDArray[np.int16], target: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Bend a label crop smoothly, nearest neighbour.

    Parameters
    ----------
    labels, target : ndarray
        (S, S, S) labels and the structure's mask; both move alike.
    """
    size = labels.shape[0]
    amplitude = np.float32(size * rng.uniform(0.01, 0.06))
    shift = amplitude * smooth_noise((3, size, size, size), int(rng.integers(3, 6)), rng)
    axes = np.arange(size, dtype=np.float32)
    index = [
        np.clip(
            np.rint(shift[a] + axes.reshape([-1 if i == a else 1 for i in range(3)])), 0, size - 1
        )
        for a in range(3)
    ]
    where = tuple(i.astype(np.intp) for i in index)
    return labels[where], target[where]
