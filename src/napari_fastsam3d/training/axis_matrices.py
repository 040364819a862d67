"""Matrices that filter one axis each: what is dear as a small convolution is cheap as a product."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrices = tuple[Tensor | None, Tensor | None, Tensor | None]
"""One for each axis; None leaves an axis as it is."""


def filter_axes(image: Tensor, matrices: Matrices) -> Tensor:
    """Apply a matrix (P, N) along each axis of an image (N, M, K)."""
    first, second, third = matrices
    if first is not None:
        image = (first @ image.flatten(1)).unflatten(1, image.shape[1:])
    if second is not None:
        image = second @ image
    if third is not None:
        image = image @ third.T
    return image


def along(line: Tensor, axis: int) -> Tensor:
    """Lay a vector (N,) along an axis of three, ready to be broadcast."""
    return line.reshape([-1 if a == axis else 1 for a in range(3)])


def gaussian(size: int, sigma: float) -> NDArray[np.float32]:
    """Give the matrix (size, size) of a Gaussian blur of `sigma` voxels; rows add up to one."""
    at = np.arange(size, dtype=np.float32)
    weights = np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    weights[np.abs(at[:, None] - at) > 2.5 * sigma + 0.5] = 0
    return weights / weights.sum(1, keepdims=True)


def thick_slices(size: int, thickness: int) -> NDArray[np.float32]:
    """Give the matrix (size, size) that averages so many planes and interpolates back.

    At least two slices must fit; what is left over at the end repeats the last one.
    """
    slices = size // thickness
    average = np.zeros((slices, size), np.float32)
    for s in range(slices):
        average[s, s * thickness : (s + 1) * thickness] = 1 / thickness
    at = np.clip((np.arange(size) + 0.5) / thickness - 0.5, 0, slices - 1)
    back = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(slices)))
    return (back @ average).astype(np.float32)


def on_device(matrix: NDArray[np.float32], device: torch.device) -> Tensor:
    """Bring a matrix to a device."""
    return torch.from_numpy(matrix).to(device, non_blocking=True)
