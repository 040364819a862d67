"""What scanners and patients vary: contrast, noise, bias, blur, slice thickness, shape, side.

Images are float32 tensors (S, S, S), on whatever device the fields of the random are drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.normalisation import Inside
from napari_fastsam3d.training.axis_matrices import (
    along,
    filter_axes,
    gaussian,
    on_device,
    thick_slices,
)
from napari_fastsam3d.training.random_generator import RandomGenerator


def smooth_noise(shape: tuple[int, ...], cells: int, random: RandomGenerator) -> Tensor:
    """Draw normal noise on a coarse grid and interpolate it.

    Parameters
    ----------
    shape : tuple of int
        (C, D, H, W) of the result.
    cells : int
        Nodes along each axis of the coarse grid.
    random : RandomGenerator

    Returns
    -------
    Tensor
        float32, about unit variance at the nodes.
    """
    coarse = random.normal(1, shape[0], cells, cells, cells)
    return F.interpolate(coarse, size=shape[1:], mode="trilinear", align_corners=True)[0]


def blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (S, S, S) by a Gaussian of `sigma` voxels."""
    matrix = on_device(gaussian(image.shape[0], sigma), image.device)
    return filter_axes(image, (matrix, matrix, matrix))


def augment_intensities(image: Tensor, random: RandomGenerator) -> Tensor:
    """Change a crop's intensities as another scanner might; the result is in arbitrary units."""
    rng = random.numbers
    sparse = image[::3, ::3, ::3].flatten()
    low, high = sparse.quantile(sparse.new_tensor([0.005, 0.995])).unbind()
    image = (image - low) / (high - low).clamp(min=1e-6)
    if random.happens(0.3):
        image = _window(image, float(rng.uniform(2, 6)))
    if random.happens(0.3):
        image = image.clamp(0, 1.5) ** float(np.exp(rng.uniform(-0.5, 0.5)))
    if random.happens(0.12):
        image = 1 - image.clamp(-0.2, 1.2)
    if random.happens(0.3):
        field = smooth_noise((1, *image.shape), int(rng.integers(2, 5)), random)[0]
        image = image * torch.exp(float(rng.uniform(0.05, 0.25)) * field)
    if random.happens(0.25):
        image = _thickened(image, (int(rng.integers(3)),), int(rng.integers(2, 6)))
    elif random.happens(0.12):
        image = _thickened(image, (0, 1, 2), int(rng.integers(2, 6)))
    if random.happens(0.2):
        image = blur(image, float(rng.uniform(0.3, 1.0)))
    if random.happens(0.5):
        level = float(np.exp(rng.uniform(np.log(0.003), np.log(0.08))))
        image = image + level * random.normal(*image.shape)
    return image


def _window(image: Tensor, width: float) -> Tensor:
    """Clip to a display window, `width` deviations around the tissue, as exported CT often is."""
    sparse = image[::3, ::3, ::3].flatten()
    tissue = torch.where(sparse > sparse.mean(), sparse, torch.nan)
    centre, mean = tissue.nanmedian(), tissue.nanmean()
    reach = width * ((tissue - mean) ** 2).nanmean().sqrt() + 1e-3
    windowed = torch.minimum(torch.maximum(image, centre - reach), centre + reach)
    return torch.where(centre.isnan(), image, windowed)


def _thickened(image: Tensor, axes: tuple[int, ...], thickness: int) -> Tensor:
    """Average along axes and interpolate back, as thick slices and coarse voxels do."""
    if image.shape[0] < 2 * thickness:
        return image
    matrix = on_device(thick_slices(image.shape[0], thickness), image.device)
    x, y, z = (matrix if axis in axes else None for axis in range(3))
    return filter_axes(image, (x, y, z))


@dataclass(frozen=True)
class View:
    """A crop with what must move as it does.

    Attributes
    ----------
    image : Tensor
        (S, S, S) float32.
    targets : Tensor
        (T, S, S, S) bool.
    inside : tuple of ndarray of bool
        For each axis, which planes lie in the volume.
    clicks : ndarray of float64
        (T, 3) crop indices of a voxel for each target; NaN where there is none.
    """

    image: Tensor
    targets: Tensor
    inside: Inside
    clicks: NDArray[np.float64]


def flip(view: View, random: RandomGenerator) -> View:
    """Mirror left and right half the time; other axes, and their order, rarely.

    The canonical frame tells the network where up is, and most scans keep to it.
    """
    image, targets, planes = view.image, view.targets, list(view.inside)
    clicks = view.clicks.copy()
    size = image.shape[0]
    for axis, share in enumerate((0.5, 0.15, 0.15)):
        if random.happens(share):
            image, targets = image.flip(axis), targets.flip(axis + 1)
            planes[axis] = np.flip(planes[axis])
            clicks[:, axis] = size - 1 - clicks[:, axis]
    if random.happens(0.15):
        a, b, c = (int(axis) for axis in random.numbers.permutation(3))
        image, targets = image.permute(a, b, c), targets.permute(0, a + 1, b + 1, c + 1)
        planes = [planes[a], planes[b], planes[c]]
        clicks = clicks[:, [a, b, c]]
    return View(image, targets, (planes[0], planes[1], planes[2]), clicks)


@dataclass(frozen=True)
class ElasticDeformation:
    """A smooth change of shape: from where each voxel of the deformed crop is taken.

    Attributes
    ----------
    grid : Tensor
        (1, S, S, S, 3) places as `grid_sample` wants them, the last axis of the crop first.
    """

    grid: Tensor

    @classmethod
    def drawn(
        cls, inside: Inside, click: NDArray[np.float64], strength: float, random: RandomGenerator
    ) -> "ElasticDeformation":
        """Draw a small rotation, a change of scale and a smooth displacement.

        Parameters
        ----------
        inside : tuple of ndarray of bool
            Planes that lie in the volume: nothing is taken from outside them.
        click : ndarray of float64
            (3,) the crop index that stays where it is; the middle where it is NaN.
        strength : float
            1 turns by about 7 degrees, scales by 10 % and displaces by some per cent of the crop.
        """
        size, device, rng = len(inside[0]), random.device, random.numbers
        fixed = np.nan_to_num(click, nan=(size - 1) / 2)
        turn = _small_rotation(rng, 0.12 * strength) * np.exp(rng.normal(0, 0.1 * strength, 3))
        amplitude = size * strength * float(rng.uniform(0.005, 0.04))
        displaced = amplitude * smooth_noise((3, size, size, size), int(rng.integers(3, 6)), random)
        i, j, k = np.rint(fixed).clip(0, size - 1).astype(int)
        displaced -= displaced[:, i, j, k, None, None, None].clone()
        steps = np.arange(size) - fixed[:, None]
        for axis in range(3):
            moved = turn[axis][:, None] * steps
            for other in range(3):
                line = torch.from_numpy(moved[other].astype(np.float32)).to(device)
                displaced[axis] += along(line, other)
            low, high = np.flatnonzero(inside[axis])[[0, -1]]
            displaced[axis] = (displaced[axis] + float(fixed[axis])).clamp_(int(low), int(high))
        return cls((displaced.flip(0).movedim(0, -1)[None] + 0.5) * (2 / size) - 1)

    def warp(self, image: Tensor) -> Tensor:
        """Bend float intensities or occupancies (S, S, S), by trilinear interpolation."""
        return F.grid_sample(image[None, None], self.grid, align_corners=False)[0, 0]

    def warp_labels(self, labels: Tensor) -> Tensor:
        """Bend integer labels (S, S, S), by the nearest voxel."""
        near = ((self.grid[0] + 1) * (labels.shape[0] / 2) - 0.5).round_().long()
        k, j, i = near.clamp_(0, labels.shape[0] - 1).unbind(-1)
        return labels[i, j, k]


def _small_rotation(rng: np.random.Generator, spread: float) -> NDArray[np.float64]:
    """Give a rotation (3, 3) about a random axis, its vector normal with `spread` in radians."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(rng.normal(0, spread, 3)).as_matrix()
