"""Random anatomy: volumes that never existed, so that "the thing I clicked" is learnt, not organs.

The idea of painting label maps with random intensities is that of Billot et al. 2023 (SynthSeg).
Everything is drawn where the fields of the random are: on a GPU, if there is one.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.training.augmentation import blur, smooth_noise
from napari_fastsam3d.training.axis_matrices import along
from napari_fastsam3d.training.random_generator import RandomGenerator

SMALLEST = 120
"""Voxels that a structure needs to be asked for."""

ALIKE = 0.35
"""Share of the volumes in which most structures are painted nearly alike, as soft tissues are."""


def paint(labels: Tensor, random: RandomGenerator) -> Tensor:
    """Give every structure its own intensity and texture.

    Parameters
    ----------
    labels : Tensor
        (S, S, S) integer structure numbers from 0.
    random : RandomGenerator

    Returns
    -------
    Tensor
        (S, S, S) float32 intensities, blurred as by a scanner.
    """
    rng = random.numbers
    count = int(labels.max()) + 1
    means = rng.uniform(0, 1, count)
    spread = rng.uniform(0.0, 0.06, count)
    if random.happens(ALIKE):
        soft = rng.random(count) < 0.8
        means[soft] = rng.uniform(0.3, 0.7) + rng.uniform(-0.1, 0.1, int(soft.sum()))
        spread *= 0.5
    if random.happens(0.6):
        means[0] = 0.0 if random.happens(0.7) else rng.uniform(0, 0.15)
    table = torch.from_numpy(np.stack([means, spread]).astype(np.float32)).to(labels.device)
    mean, noise = table[:, labels.long()]
    coarse = smooth_noise((1, *labels.shape), int(rng.integers(6, 16)), random)[0]
    image = mean + noise * (0.6 * random.normal(*labels.shape) + coarse)
    return blur(image, float(rng.uniform(0.3, 1.1)))


def random_shapes(
    size: int, random: RandomGenerator, count: int = 1
) -> tuple[Tensor, list[Tensor]]:
    """Make a volume of touching regions, blobs, tubes, shells and lesions, and choose some of them.

    Parameters
    ----------
    size : int
        Edge in voxels.
    random : RandomGenerator
    count : int
        How many are wanted.

    Returns
    -------
    image : Tensor
        (size, size, size) float32.
    targets : list of Tensor
        One to `count` masks (size, size, size) bool, each mostly one connected structure.
    """
    rng = random.numbers
    regions = int(rng.integers(3, 9))
    labels = _regions(regions, size, random)
    shapes = int(rng.integers(2, 7))
    for number in range(shapes):
        kind = (_blob, _tube, _shell, _lesions)[rng.choice(4, p=(0.45, 0.25, 0.15, 0.15))]
        labels.masked_fill_(kind(size, random), regions + number)
    if random.happens(0.4):  # a body with air around it
        labels.masked_fill_(_distance(size, random) > float(rng.uniform(0.4, 0.7)), 0)
    return paint(labels, random), _choose(labels, regions + shapes, count, random)


def surrounded(labels: Tensor, random: RandomGenerator) -> Tensor:
    """Fill the background, label 0, of a label map (S, S, S) with regions that nobody labelled."""
    count = int(random.numbers.integers(2, 6))
    regions = _regions(count, labels.shape[0], random) + labels.max().long() + 1
    return torch.where(labels == 0, regions, labels.long())


def _regions(count: int, size: int, random: RandomGenerator) -> Tensor:
    """Fill a volume with smooth touching regions: where which noise is largest."""
    cells = int(random.numbers.integers(3, 8))
    return smooth_noise((count, size, size, size), cells, random).argmax(0)


def _choose(labels: Tensor, numbers: int, count: int, random: RandomGenerator) -> list[Tensor]:
    rng = random.numbers
    sizes = torch.bincount(labels.flatten(), minlength=numbers).cpu().numpy()
    usable = np.flatnonzero((sizes > SMALLEST) & (sizes < 0.4 * labels.numel()))
    values = usable if usable.size else np.flatnonzero(sizes)
    chosen = rng.choice(values, min(count, len(values)), replace=False)
    return [_piece(labels == int(value), random) for value in chosen]


def _piece(target: Tensor, random: RandomGenerator) -> Tensor:
    if random.happens(0.15):  # all lesions together, as they are often labelled
        return target
    parts, sizes = pieces(target)
    share = sizes / sizes.sum()
    part = (
        int(sizes.argmax())
        if random.happens(0.7)
        else int(random.numbers.choice(len(sizes), p=share))
    )
    return parts == part


def pieces(mask: Tensor) -> tuple[Tensor, NDArray[np.int64]]:
    """Tell the connected pieces of a mask apart by numbers.

    Parameters
    ----------
    mask : Tensor
        (S, S, S) bool.

    Returns
    -------
    parts : Tensor
        (S, S, S) int32, 0 outside, pieces from 1.
    sizes : ndarray
        Voxels of each piece; 0 for number 0.
    """
    parts: NDArray[np.int32] = np.empty(mask.shape, np.int32)
    ndimage.label(mask.cpu().numpy(), output=parts)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return torch.from_numpy(parts).to(mask.device), sizes


def _line(size: int, axis: int, centre: float, device: torch.device) -> Tensor:
    """Give the distances along an axis from a place, ready to be broadcast."""
    return along(torch.arange(size, device=device, dtype=torch.float32) - centre, axis)


def _distance(size: int, random: RandomGenerator) -> Tensor:
    """Give a deformed, anisotropic distance from a random centre, in edges of the volume."""
    rng = random.numbers
    centre = (rng.uniform(-0.35, 0.35, 3) + 0.5) * (size - 1)
    turn = _rotation(rng) * np.exp(rng.uniform(-0.6, 0.6, 3))[:, None] / (size - 1)
    x, y, z = (_line(size, a, float(centre[a]), random.device) for a in range(3))
    square = torch.zeros((size,) * 3, device=random.device)
    for a, b, c in turn:
        square += (float(a) * x + float(b) * y + float(c) * z) ** 2
    wobble = smooth_noise((1, size, size, size), int(rng.integers(4, 9)), random)[0]
    return square.sqrt_() * (1 + float(rng.uniform(0.05, 0.3)) * wobble)


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r))


def _blob(size: int, random: RandomGenerator) -> Tensor:
    radius = float(np.exp(random.numbers.uniform(np.log(0.06), np.log(0.45))))
    return _distance(size, random) < radius


def _shell(size: int, random: RandomGenerator) -> Tensor:
    distance = _distance(size, random)
    radius, thickness = random.numbers.uniform(0.15, 0.35), random.numbers.uniform(0.02, 0.06)
    return (distance < float(radius)) & (distance > float(radius - thickness))


def _tube(size: int, random: RandomGenerator) -> Tensor:
    """Draw a bent tube: the distance to a smooth curve sampled densely.

    The distance is computed on a grid of half the size; it is smooth enough to be interpolated.
    """
    rng = random.numbers
    knots = np.cumsum(rng.normal(0, 0.16, (5, 3)), axis=0) + rng.uniform(0.2, 0.8, 3)
    curve = np.asarray(ndimage.zoom(knots, (24, 1), order=3)) * size
    near = curve[((curve >= -8) & (curve < size + 8)).all(1)]
    radius = max(1.2, size * float(np.exp(rng.uniform(np.log(0.015), np.log(0.07)))))
    half = size // 2
    least = torch.full((half,) * 3, torch.inf, device=random.device)
    for point in near:
        x, y, z = (_line(half, a, float(point[a] - 0.5) / 2, random.device) ** 2 for a in range(3))
        torch.minimum(least, x + y + z, out=least)
    distance = 2 * least.sqrt_()
    fine = F.interpolate(distance[None, None], scale_factor=2, mode="trilinear")[0, 0]
    return fine <= radius


def _lesions(size: int, random: RandomGenerator) -> Tensor:
    """Scatter small balls around a place, some of them touching."""
    rng = random.numbers
    lesions = torch.zeros((size,) * 3, dtype=torch.bool, device=random.device)
    centre, spread = rng.uniform(0.25, 0.75, 3) * size, size * rng.uniform(0.05, 0.3)
    for _ in range(int(rng.integers(1, 13))):
        place = np.clip(np.rint(rng.normal(centre, spread)), 0, size - 1).astype(int)
        radius = float(rng.uniform(1.5, 5.0))
        low = np.maximum(place - int(np.ceil(radius)), 0)
        high = np.minimum(place + int(np.ceil(radius)) + 1, size)
        x, y, z = (
            _line(int(b - a), axis, float(p - a), random.device) ** 2
            for axis, (a, b, p) in enumerate(zip(low, high, place, strict=True))
        )
        here = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        lesions[here] |= x + y + z <= radius**2
    return lesions
