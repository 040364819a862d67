"""Lesions that nobody had: what a structure holds that looks otherwise than it, here and there."""

import numpy as np
from torch import Tensor

from napari_fastsam3d.training.augmentation import blur, smooth_noise
from napari_fastsam3d.training.random_generator import RandomGenerator


def lesions_in(organ: Tensor, random: RandomGenerator) -> Tensor:
    """Draw lesions in an organ: the peaks of smooth noise, few or many, apart or run together.

    Parameters
    ----------
    organ : Tensor
        (S, S, S) bool.
    random : RandomGenerator

    Returns
    -------
    Tensor
        (S, S, S) bool, inside the organ; nothing where there is no organ.
    """
    rng = random.numbers
    shape = (1, *organ.shape)
    nodes = int(np.exp(rng.uniform(np.log(6), np.log(36))))
    height = smooth_noise(shape, nodes, random)[0]
    gathered = float(rng.uniform(0.2, 2))
    height += gathered * smooth_noise(shape, int(rng.integers(3, 7)), random)[0]
    share = float(np.exp(rng.uniform(np.log(0.004), np.log(0.15))))
    inside = height[organ]
    if not len(inside):
        return organ
    return organ & (height > inside.quantile(1 - share))


def show_lesions(image: Tensor, organ: Tensor, lesions: Tensor, random: RandomGenerator) -> Tensor:
    """Make lesions brighter or darker than the organ that they are in.

    Parameters
    ----------
    image : Tensor
        (S, S, S) float32 intensities.
    organ, lesions : Tensor
        (S, S, S) bool.
    random : RandomGenerator

    Returns
    -------
    Tensor
        (S, S, S) float32; the lesions differ by one and a half to five standard deviations of the
        organ, and end as softly as a scanner shows edges.
    """
    if not lesions.any():
        return image
    rng = random.numbers
    contrast = float(rng.uniform(1.5, 5) * rng.choice((-1, 1)))
    soft = blur(lesions.float(), float(rng.uniform(0.3, 1.0)))
    return image + contrast * image[organ].std(correction=0) * soft
