"""One training sample: a crop as the network will see it, and the structure to be segmented."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.evaluation.data_folder import Case, by_set, label_map_cases, labelled_cases
from napari_fastsam3d.geometry import Crop
from napari_fastsam3d.model.normalisation import Inside, foreground_contrast
from napari_fastsam3d.training import augmentation, shapes
from napari_fastsam3d.training.cases import LabelledVolume, Structure, load_case

SMALLEST = 120
"""Crop voxels that a target needs; smaller ones are drawn anew."""

TRIES = 6
"""Draws before a sample with too small a target is taken from random shapes."""


@dataclass(frozen=True)
class Sample:
    """A normalised crop and its target.

    Attributes
    ----------
    image : ndarray of float32
        (S, S, S), canonical RAS axis order, normalised.
    target : ndarray of bool
        (S, S, S), the structure.
    """

    image: NDArray[np.float32]
    target: NDArray[np.bool_]


@dataclass(frozen=True)
class Sampler:
    """Draws samples by number: the same number gives the same sample, in any process.

    Attributes
    ----------
    sources : tuple of (str, float)
        The shares of the sources: names of sets, or "shapes".
    cases : dict of str to list of Case
        The cases of each set.
    seed : int
        Of the run.
    """

    sources: tuple[tuple[str, float], ...]
    cases: dict[str, list[Case]]
    seed: int

    @classmethod
    def of_folder(cls, folder: Path, sources: dict[str, float], seed: int) -> "Sampler":
        """Take the `train` part of a data folder, and its label maps."""
        cases = by_set(labelled_cases(folder, "train") + label_map_cases(folder))
        used = {name: share for name, share in sources.items() if name == "shapes" or name in cases}
        return cls(tuple(used.items()), cases, seed)

    def draw(self, number: int, size: int) -> Sample:
        """Draw sample `number` as a crop of size^3 voxels."""
        rng = np.random.default_rng((self.seed, number))
        names = [name for name, _ in self.sources]
        shares = np.array([share for _, share in self.sources])
        source = names[rng.choice(len(names), p=shares / shares.sum())]
        for _ in range(TRIES):
            if source == "shapes":
                break
            case = self.cases[source][rng.integers(len(self.cases[source]))]
            sample = _sample_of_case(load_case(case), size, rng)
            if sample is not None:
                return sample
        return _finish(*shapes.random_shapes(size, rng), rng)


def _sample_of_case(loaded: LabelledVolume, size: int, rng: np.random.Generator) -> Sample | None:
    if not loaded.structures:
        return None
    structure, others = _choose(loaded, rng)
    crop = _place(loaded, structure, size, rng)
    target = crop.extract(_mask(loaded.labels, (structure, *others), crop), fill=0.0) >= 0.5
    if target.sum() < SMALLEST:
        return None
    if loaded.has_image:
        return _finish(crop.extract(loaded.volume.voxels), crop.inside, target, rng)
    labels = _extract_labels(crop, loaded.labels)
    labels, target = augmentation.deform(labels, target, rng)
    if target.sum() < SMALLEST:
        return None
    return _finish(shapes.paint(labels, rng), crop.inside, target, rng)


def _choose(
    loaded: LabelledVolume, rng: np.random.Generator
) -> tuple[Structure, tuple[Structure, ...]]:
    """Choose one structure, and sometimes another that is to be segmented with it."""
    structures = loaded.structures
    first = structures[rng.integers(len(structures))]
    if len(structures) > 1 and rng.random() < 0.12:
        return first, (structures[rng.integers(len(structures))],)
    return first, ()


def _mask(
    labels: NDArray[np.int16], structures: tuple[Structure, ...], crop: Crop
) -> NDArray[np.bool_]:
    """Mark structures, only where the crop will look."""
    mask = np.zeros(labels.shape, bool)
    here = crop.box.padded(8).clipped(labels.shape).slices
    mask[here] = np.isin(labels[here], [s.value for s in structures])
    return mask


def _place(
    loaded: LabelledVolume, structure: Structure, size: int, rng: np.random.Generator
) -> Crop:
    """Place a crop around a random voxel of the structure, shifted, at a random scale.

    The scale covers what the crop policy will use: from a close look at a small structure to one
    that is larger than the crop.
    """
    voxel = np.array(loaded.volume.spacing)
    anchor = structure.seeds[rng.integers(len(structure.seeds))]
    fraction = np.exp(rng.uniform(np.log(0.12), np.log(1.3)))
    spacing = float(np.clip(structure.extent / (fraction * size), 0.4, 4.5))
    spacing = max(spacing, 0.3 * float(voxel.min()))
    offset = rng.uniform(-1, 1, 3) * (0.3 * size * spacing / voxel) * (rng.random() < 0.6)
    centre = np.clip(anchor + offset, 0, np.array(loaded.labels.shape) - 1)
    return Crop.around(loaded.volume, [float(c) for c in centre], spacing=spacing, size=size)


def _extract_labels(crop: Crop, labels: NDArray[np.integer]) -> NDArray[np.int16]:
    """Take the label of the nearest source voxel at every crop voxel; 0 outside the volume."""
    view = crop.orientation.view(labels)
    axes = np.eye(3)
    nearest: list[NDArray[np.intp]] = []
    for axis in range(3):
        line = np.arange(crop.size)[:, None] * axes[axis]
        canonical = crop.orientation.to_target(crop.to_source(line))[:, axis]
        nearest.append(np.clip(np.rint(canonical), 0, view.shape[axis] - 1).astype(np.intp))
    out = view[np.ix_(*nearest)].astype(np.int16)
    for axis, planes in enumerate(crop.inside):
        out[(slice(None),) * axis + (~planes,)] = 0
    return out


def _finish(
    image: NDArray[np.float32], inside: Inside, target: NDArray[np.bool_], rng: np.random.Generator
) -> Sample:
    image = augmentation.degrade(image, rng)
    image, target, inside = augmentation.flip(image, target, inside, rng)
    return Sample(
        np.ascontiguousarray(foreground_contrast(np.ascontiguousarray(image), inside), np.float32),
        np.ascontiguousarray(target),
    )
