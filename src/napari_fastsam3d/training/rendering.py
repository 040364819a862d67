"""A crop of a case as an image: what a scan shows there, or a label map that is painted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.geometry import Crop
from napari_fastsam3d.model.normalisation import Inside
from napari_fastsam3d.training import shapes
from napari_fastsam3d.training.augmentation import ElasticDeformation, blur, smooth_noise
from napari_fastsam3d.training.data import LabelledVolume, Structure, marked
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.synthesis import paint_anatomy, reshaped

SURROUNDED = 0.5
"""Share of the label maps whose background is not of one kind."""

ANATOMICAL = 0.7
"""Share of the label maps with names that are painted as what they are; the others at random."""


@dataclass(frozen=True)
class Rendering:
    """A crop and what lies in it.

    Attributes
    ----------
    image : Tensor
        (S, S, S) float32 intensities.
    target : Tensor
        (S, S, S) bool: the structures that it was made for, or the lesions in them.
    labels : Tensor
        (S, S, S) integer label of the nearest voxel.
    inside : tuple of ndarray of bool
        For each axis, which planes lie in the volume.
    mask : callable
        Gives the mask (S, S, S) bool of structures.
    """

    image: Tensor
    target: Tensor
    labels: Tensor
    inside: Inside
    mask: Callable[[tuple[Structure, ...]], Tensor]


def render(
    loaded: LabelledVolume,
    crop: Crop,
    structures: tuple[Structure, ...],
    click: NDArray[np.float64],
    random: RandomGenerator,
    deformed: float = 0.0,
    lesioned: bool = False,
    names: dict[int, str] | None = None,
) -> Rendering:
    """Render a crop of a case, whose shape may be changed.

    Parameters
    ----------
    loaded : LabelledVolume
        A scan, or a label map, which is painted and always deformed.
    crop : Crop
    structures : tuple of Structure
        What is to be segmented.
    click : ndarray of float64
        (3,) the crop index that stays in its place; the middle where it is NaN.
    random : RandomGenerator
    deformed : float
        Share of the scans that are deformed.
    lesioned : bool
        Whether lesions in the structures are the target.
    names : dict of int to str or None
        What the labels are called, where that is known.
    """
    if loaded.image is None:
        return _painted(loaded, crop, structures, click, random, lesioned, names or {})
    return _scanned(loaded, crop, structures, click, random, deformed, lesioned)


def _painted(
    loaded: LabelledVolume,
    crop: Crop,
    structures: tuple[Structure, ...],
    click: NDArray[np.float64],
    random: RandomGenerator,
    lesioned: bool,
    names: dict[int, str],
) -> Rendering:
    strength = float(random.numbers.uniform(0.5, 2.0))
    deformation = ElasticDeformation.drawn(crop.inside, click, strength, random)
    labels = reshaped(
        deformation.warp_labels(loaded.nearest_labels(crop)), names, crop.spacing, random
    )
    target = marked(labels, structures)
    shown = labels
    if "body" not in names.values() and random.happens(SURROUNDED):
        shown = shapes.surrounded(labels, random)
    if lesioned:
        target = lesions_in(target, random)
        shown = shown.long().masked_fill(target, int(shown.max()) + 1)
    if names and random.happens(ANATOMICAL):
        image = paint_anatomy(shown, names, crop.spacing, random)
    else:
        image = shapes.paint(shown, random)
    image = blanked(image, crop.inside, image.min())
    return Rendering(image, target, labels, crop.inside, lambda chosen: marked(labels, chosen))


def _scanned(
    loaded: LabelledVolume,
    crop: Crop,
    structures: tuple[Structure, ...],
    click: NDArray[np.float64],
    random: RandomGenerator,
    deformed: float,
    lesioned: bool,
) -> Rendering:
    image, labels = loaded.intensities(crop), loaded.nearest_labels(crop)
    deformation = None
    if random.happens(deformed):
        strength = float(random.numbers.uniform(0.3, 1.0))
        deformation = ElasticDeformation.drawn(crop.inside, click, strength, random)
        image = blanked(deformation.warp(image), crop.inside, image.min())
        labels = blanked(deformation.warp_labels(labels), crop.inside, 0)

    def mask(chosen: tuple[Structure, ...]) -> Tensor:
        occupancy = loaded.occupancy(crop, chosen)
        if deformation is not None:
            occupancy = blanked(deformation.warp(occupancy), crop.inside, 0.0)
        return occupancy >= 0.5

    target = mask(structures) if structures else torch.zeros_like(image, dtype=torch.bool)
    if lesioned:
        organ, target = target, lesions_in(target, random)
        image = show_lesions(image, organ, target, random)
    return Rendering(image, target, labels, crop.inside, mask)


def blanked(field: Tensor, inside: Inside, value: Tensor | bool | float) -> Tensor:
    """Put a value, in place, where the planes of a field (S, S, S) lie outside the volume."""
    for axis, planes in enumerate(inside):
        if not planes.all():
            outside = torch.from_numpy(np.flatnonzero(~planes)).to(field.device)
            field.index_fill_(axis, outside, value)
    return field


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
