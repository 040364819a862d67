"""One training sample: a crop as the network will see it, and the structure to be segmented."""

from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.evaluation.data_folder import (
    Case,
    by_set,
    label_map_cases,
    label_names,
    labelled_cases,
)
from napari_fastsam3d.geometry import Box, Crop
from napari_fastsam3d.model.normalisation import Inside, foreground_contrast
from napari_fastsam3d.model.pyramid_predictor import PyramidPredictor
from napari_fastsam3d.session.crop_policy import CropPolicy
from napari_fastsam3d.training import augmentation, shapes
from napari_fastsam3d.training.cases import LabelledVolume, Structure, load_case
from napari_fastsam3d.training.families import relatives

SMALLEST = 120
"""Crop voxels that a target needs; smaller ones are drawn anew."""

TRIES = 6
"""Draws before a sample with too small a target is taken from random shapes."""

AIMED_SMALLEST = 30
"""Crop voxels that a target needs where the crop lies as at a first click, as coarse as it is."""


_NOWHERE = np.full(3, np.nan)


@dataclass(frozen=True)
class Sample:
    """A normalised crop and its target.

    Attributes
    ----------
    image : ndarray of float32
        (S, S, S), canonical RAS axis order, normalised.
    target : ndarray of bool
        (S, S, S), the structure.
    click : ndarray of float32
        (3,) crop index of the voxel that the crop lies around as at a first click, inside the
        structure; NaN where it lies otherwise.
    """

    image: NDArray[np.float32]
    target: NDArray[np.bool_]
    click: NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """How the target of a sample and the place of its crop are chosen.

    Attributes
    ----------
    aimed : float
        Share of the crops that lie where, and are as coarse as, the crop policy has them at a
        first click; the others lie around the structure in all scales.
    regrouped : float
        Share of the targets that are a family of structures, such as all vertebrae, or one piece
        of a structure in several, such as one lesion.
    large : float
        Share of the aimed crops whose structure is drawn by its extent, so that organs come more
        often than the many small parts of a scan.
    boxed : float
        Share of the crops that aren't aimed that lie where the crop policy has them at a box.
    """

    aimed: float = 0.0
    regrouped: float = 0.0
    large: float = 0.0
    boxed: float = 0.0


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
    names : dict of str to dict
        What the values of each set's label files are called, where that is known.
    """

    sources: tuple[tuple[str, float], ...]
    cases: dict[str, list[Case]]
    seed: int
    names: dict[str, dict[int, str]] = field(default_factory=dict)

    @classmethod
    def of_folder(cls, folder: Path, sources: dict[str, float], seed: int) -> "Sampler":
        """Take the `train` part of a data folder, and its label maps."""
        cases = by_set(labelled_cases(folder, "train") + label_map_cases(folder))
        used = {name: share for name, share in sources.items() if name == "shapes" or name in cases}
        names = {name: label_names(folder, name) for name in used}
        return cls(tuple(used.items()), cases, seed, names)

    def draw(self, number: int, size: int, choice: Choice | None = None) -> Sample:
        """Draw sample `number` as a crop of size^3 voxels."""
        choice = choice or Choice()
        rng = np.random.default_rng((self.seed, number))
        names = [name for name, _ in self.sources]
        shares = np.array([share for _, share in self.sources])
        source = names[rng.choice(len(names), p=shares / shares.sum())]
        for _ in range(TRIES):
            if source == "shapes":
                break
            case = self.cases[source][rng.integers(len(self.cases[source]))]
            names = self.names.get(source, {})
            sample = _sample_of_case(load_case(case), size, rng, choice, names)
            if sample is not None:
                return sample
        return _finish(*shapes.random_shapes(size, rng), _NOWHERE, rng)


def _sample_of_case(
    loaded: LabelledVolume,
    size: int,
    rng: np.random.Generator,
    choice: Choice,
    names: dict[int, str],
) -> Sample | None:
    if not loaded.structures:
        return None
    regrouped = _happens(choice.regrouped, rng)
    aimed = _happens(choice.aimed, rng)
    large = aimed and _happens(choice.large, rng)
    if regrouped:
        structure, others = _family(loaded, names, rng)
    else:
        structure, others = _choose(loaded, large, rng)
    anchor = structure.seeds[rng.integers(len(structure.seeds))]
    if aimed:
        crop = _aim(loaded, anchor, size, rng)
    elif _happens(choice.boxed, rng):
        crop = _frame(loaded, (structure, *others), size, rng)
    else:
        crop = _place(loaded, structure, anchor, size, rng)
    point = crop.to_crop(anchor)
    target = crop.extract(_mask(loaded.labels, (structure, *others), crop), fill=0.0) >= 0.5
    if regrouped and not others:
        target = _piece(target, point)
    smallest = AIMED_SMALLEST if aimed else SMALLEST
    click = point if aimed else _NOWHERE
    if target.sum() < smallest:
        return None
    if loaded.has_image:
        return _finish(crop.extract(loaded.volume.voxels), crop.inside, target, click, rng)
    labels = _extract_labels(crop, loaded.labels)
    labels, target = augmentation.deform(labels, target, rng)
    if target.sum() < smallest:
        return None
    return _finish(shapes.paint(labels, rng), crop.inside, target, click, rng)


def _happens(share: float, rng: np.random.Generator) -> bool:
    """Draw only where there is a choice, so that runs that knew none of it stay as they were."""
    return share > 0 and rng.random() < share


def _choose(
    loaded: LabelledVolume, large: bool, rng: np.random.Generator
) -> tuple[Structure, tuple[Structure, ...]]:
    """Choose one structure, and sometimes another that is to be segmented with it."""
    structures = loaded.structures
    if large:
        extents = np.array([s.extent for s in structures])
        first = structures[rng.choice(len(structures), p=extents / extents.sum())]
    else:
        first = structures[rng.integers(len(structures))]
    if len(structures) > 1 and rng.random() < 0.12:
        return first, (structures[rng.integers(len(structures))],)
    return first, ()


def _family(
    loaded: LabelledVolume, names: dict[int, str], rng: np.random.Generator
) -> tuple[Structure, tuple[Structure, ...]]:
    """Choose one structure, and those of its family that are in the scan."""
    first = loaded.structures[rng.integers(len(loaded.structures))]
    values = relatives(first.value, names, sides=bool(rng.random() < 0.3))
    return first, tuple(s for s in loaded.structures if s.value in values)


def _piece(target: NDArray[np.bool_], point: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keep the piece of a target that holds a crop index; none where it lies outside."""
    if not _holds(target, point):
        return np.zeros_like(target)
    pieces: NDArray[np.int32] = np.empty(target.shape, np.int32)
    ndimage.label(target, output=pieces)
    return pieces == pieces[tuple(np.rint(point).astype(int))]


def _mask(
    labels: NDArray[np.int16], structures: tuple[Structure, ...], crop: Crop
) -> NDArray[np.bool_]:
    """Mark structures, only where the crop will look."""
    mask = np.zeros(labels.shape, bool)
    here = crop.box.padded(8).clipped(labels.shape).slices
    mask[here] = np.isin(labels[here], [s.value for s in structures])
    return mask


def _place(
    loaded: LabelledVolume,
    structure: Structure,
    anchor: NDArray[np.integer],
    size: int,
    rng: np.random.Generator,
) -> Crop:
    """Place a crop around a voxel of the structure, shifted, at a random scale.

    The scale covers what the crop policy will use: from a close look at a small structure to one
    that is larger than the crop.
    """
    voxel = np.array(loaded.volume.spacing)
    fraction = np.exp(rng.uniform(np.log(0.12), np.log(1.3)))
    spacing = float(np.clip(structure.extent / (fraction * size), 0.4, 4.5))
    spacing = max(spacing, 0.3 * float(voxel.min()))
    offset = rng.uniform(-1, 1, 3) * (0.3 * size * spacing / voxel) * (rng.random() < 0.6)
    centre = np.clip(anchor + offset, 0, np.array(loaded.labels.shape) - 1)
    return Crop.around(loaded.volume, [float(c) for c in centre], spacing=spacing, size=size)


def _aim(
    loaded: LabelledVolume,
    anchor: NDArray[np.integer],
    size: int,
    rng: np.random.Generator,
) -> Crop:
    """Place a crop as at a first click on a voxel, a little finer or coarser."""
    spacing = PyramidPredictor.start_spacing * float(np.exp(rng.normal(0, 0.08)))
    policy = CropPolicy(loaded.volume, (spacing,), spacing, size)
    i, j, k = anchor
    return policy.at_click((int(i), int(j), int(k)))


def _frame(
    loaded: LabelledVolume,
    structures: tuple[Structure, ...],
    size: int,
    rng: np.random.Generator,
) -> Crop:
    """Place a crop as at a box around structures, a little finer or coarser."""
    change = float(np.exp(rng.normal(0, 0.12)))
    spacings = tuple(s * change for s in PyramidPredictor.spacings)
    policy = CropPolicy(loaded.volume, spacings, PyramidPredictor.start_spacing, size)
    return policy.around_box(reduce(Box.union, (s.box for s in structures)))


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
    image: NDArray[np.float32],
    inside: Inside,
    target: NDArray[np.bool_],
    click: NDArray[np.float64],
    rng: np.random.Generator,
) -> Sample:
    image = augmentation.degrade(image, rng)
    image, target, inside, click = augmentation.flip(image, target, inside, click, rng)
    if not _holds(target, click):
        click = _NOWHERE
    return Sample(
        np.ascontiguousarray(foreground_contrast(np.ascontiguousarray(image), inside), np.float32),
        np.ascontiguousarray(target),
        click.astype(np.float32),
    )


def _holds(target: NDArray[np.bool_], point: NDArray[np.float64]) -> bool:
    """Tell whether a crop index lies in the target; the bending of a label map may move it out."""
    if np.isnan(point).any():
        return False
    at = np.rint(point).astype(int)
    return bool((at >= 0).all() and (at < target.shape).all() and target[tuple(at)])
