"""Random anatomy: volumes that never existed, so that "the thing I clicked" is learnt, not organs.

The idea of painting label maps with random intensities is that of Billot et al. 2023 (SynthSeg).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.model.normalisation import Inside
from napari_fastsam3d.training.augmentation import blur, smooth_noise

Array = NDArray[np.float32]


def paint(labels: NDArray[np.integer], rng: np.random.Generator) -> Array:
    """Give every structure its own intensity and texture.

    Parameters
    ----------
    labels : ndarray of integer
        (S, S, S) structure numbers.

    Returns
    -------
    ndarray of float32
        (S, S, S) intensities, blurred as by a scanner.
    """
    values, inverse = np.unique(labels, return_inverse=True)
    inverse = inverse.reshape(labels.shape)
    means = rng.uniform(0, 1, len(values)).astype(np.float32)
    spread = rng.uniform(0.0, 0.06, len(values)).astype(np.float32)
    if rng.random() < 0.6:
        means[0] = 0.0 if rng.random() < 0.7 else rng.uniform(0, 0.15)
    image = means[inverse]
    fine = rng.standard_normal(labels.shape, dtype=np.float32)
    coarse = smooth_noise((1, *labels.shape), int(rng.integers(6, 16)), rng)[0]
    image += spread[inverse] * (0.6 * fine + coarse)
    return blur(image, float(rng.uniform(0.3, 1.1)))


def random_shapes(size: int, rng: np.random.Generator) -> tuple[Array, Inside, NDArray[np.bool_]]:
    """Make a volume of touching regions, blobs, tubes, shells and lesions, and choose one of them.

    Parameters
    ----------
    size : int
        Edge in voxels.

    Returns
    -------
    image : ndarray of float32
        (size, size, size).
    inside : tuple of ndarray of bool
        All true: a made volume has no outside.
    target : ndarray of bool
        (size, size, size), one connected structure.
    """
    labels = _regions(size, rng)
    for _ in range(int(rng.integers(2, 7))):
        kind = (_blob, _tube, _shell, _lesions)[rng.choice(4, p=(0.45, 0.25, 0.15, 0.15))]
        shape = kind(size, rng)
        labels[shape] = labels.max() + 1
    whole = np.ones(size, bool)
    return paint(labels, rng), (whole, whole, whole), _choose(labels, rng)


def _choose(labels: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.bool_]:
    values, counts = np.unique(labels, return_counts=True)
    usable = values[(counts > 120) & (counts < 0.4 * labels.size)]
    value = rng.choice(usable if usable.size else values)
    if rng.random() < 0.15:  # all lesions together, as they are often labelled
        return labels == value
    parts = np.zeros(labels.shape, np.int32)
    ndimage.label(labels == value, output=parts)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return parts == (
        sizes.argmax() if rng.random() < 0.7 else rng.choice(len(sizes), p=sizes / sizes.sum())
    )


def _regions(size: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Fill the volume with smooth touching regions: where which noise is largest."""
    channels, cells = int(rng.integers(3, 9)), int(rng.integers(3, 8))
    return smooth_noise((channels, size, size, size), cells, rng).argmax(0).astype(np.int16)


def _distance(size: int, rng: np.random.Generator) -> Array:
    """Give a deformed, anisotropic distance from a random centre, in edges of the volume."""
    axes = [np.linspace(-0.5, 0.5, size, dtype=np.float32) - c for c in rng.uniform(-0.35, 0.35, 3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    grid = np.tensordot(_rotation(rng), grid, axes=1).astype(np.float32)
    stretch = np.exp(rng.uniform(-0.6, 0.6, 3)).astype(np.float32)
    radius = np.sqrt(((grid * stretch[:, None, None, None]) ** 2).sum(0))
    wobble = smooth_noise((1, size, size, size), int(rng.integers(4, 9)), rng)[0]
    return radius * (1 + np.float32(rng.uniform(0.05, 0.3)) * wobble)


def _rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    return q * np.sign(np.diag(r))


def _blob(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    return _distance(size, rng) < np.exp(rng.uniform(np.log(0.06), np.log(0.35)))


def _shell(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    distance = _distance(size, rng)
    radius = rng.uniform(0.15, 0.35)
    return (distance < radius) & (distance > radius - rng.uniform(0.02, 0.06))


def _tube(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a bent tube: the distance to a smooth curve sampled densely."""
    knots = np.cumsum(rng.normal(0, 0.16, (5, 3)), axis=0) + rng.uniform(0.2, 0.8, 3)
    curve = np.asarray(ndimage.zoom(knots, (24, 1), order=3)) * size
    seeds = np.rint(curve).astype(int)
    seeds = seeds[((seeds >= 0) & (seeds < size)).all(1)]
    radius = max(1.2, size * float(np.exp(rng.uniform(np.log(0.015), np.log(0.07)))))
    tube = np.zeros((size, size, size), bool)
    ball = _ball(radius)
    for seed in np.unique(seeds, axis=0):
        _stamp(tube, ball, seed)
    return tube


def _lesions(size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Scatter small balls around a place, some of them touching."""
    lesions = np.zeros((size, size, size), bool)
    centre, spread = rng.uniform(0.25, 0.75, 3) * size, size * rng.uniform(0.05, 0.3)
    for _ in range(int(rng.integers(1, 13))):
        place = np.clip(np.rint(rng.normal(centre, spread)), 0, size - 1).astype(int)
        _stamp(lesions, _ball(float(rng.uniform(1.5, 5.0))), place)
    return lesions


def _ball(radius: float) -> NDArray[np.bool_]:
    reach = int(np.ceil(radius))
    axes = np.arange(-reach, reach + 1)
    x, y, z = np.meshgrid(axes, axes, axes, indexing="ij")
    return x**2 + y**2 + z**2 <= radius**2


def _stamp(volume: NDArray[np.bool_], ball: NDArray[np.bool_], centre: NDArray[np.intp]) -> None:
    reach = ball.shape[0] // 2
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, volume.shape)
    here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    there = tuple(
        slice(a - c + reach, b - c + reach) for a, b, c in zip(low, high, centre, strict=True)
    )
    volume[here] |= ball[there]
