"""One training sample: a crop as the network will see it, and the structure to be segmented."""

from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.evaluation.data_folder import (
    Case,
    by_set,
    label_map_cases,
    label_names,
    labelled_cases,
)
from napari_fastsam3d.geometry import Box, Crop
from napari_fastsam3d.model.normalisation import Inside, tensor_foreground_contrast
from napari_fastsam3d.model.pyramid_predictor import PyramidPredictor
from napari_fastsam3d.session.crop_policy import CropPolicy
from napari_fastsam3d.training import shapes
from napari_fastsam3d.training.augmentation import Bending, View, degrade, flip
from napari_fastsam3d.training.cases import LabelledVolume, Structure, load_case, marked
from napari_fastsam3d.training.chance import Chance
from napari_fastsam3d.training.families import relatives
from napari_fastsam3d.training.lesions import lesions_in, show_lesions

SMALLEST = 120
"""Crop voxels that a target needs; smaller ones are drawn anew."""

TRIES = 6
"""Draws before a sample with too small a target is taken from random shapes."""

SURROUNDED = 0.5
"""Share of the label maps whose background is not of one kind."""

AIMED_SMALLEST = 30
"""Crop voxels that a target needs where the crop lies as at a first click, as coarse as it is."""

SINGLE = 0.35
"""Share of the lesions that are asked for one by one; the others all together."""

EVERYWHERE = 0.3
"""Share of the lesions that lie in any structure of the scan."""

_NOWHERE = np.full(3, np.nan)


@dataclass(frozen=True)
class Sample:
    """A normalised crop and its target.

    Attributes
    ----------
    image : Tensor
        (S, S, S) float32, canonical RAS axis order, normalised; on the sampler's device.
    target : Tensor
        (S, S, S) bool, the structure; on the sampler's device.
    click : ndarray of float32
        (3,) crop index of the voxel that the crop lies around as at a first click, inside the
        structure; NaN where it lies otherwise.
    """

    image: Tensor
    target: Tensor
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
    bent : float
        Share of the scans whose shape is changed a little; label maps always are.
    lesioned : float
        Share of the structures that are given lesions, which are the target then.
    """

    aimed: float = 0.0
    regrouped: float = 0.0
    large: float = 0.0
    boxed: float = 0.0
    bent: float = 0.0
    lesioned: float = 0.0


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
    device : str
        Where scans are kept and samples are made. Random fields are others on a GPU than on a CPU.
    """

    sources: tuple[tuple[str, float], ...]
    cases: dict[str, list[Case]]
    seed: int
    names: dict[str, dict[int, str]] = field(default_factory=dict)
    device: str = "cpu"

    @classmethod
    def of_folder(
        cls, folder: Path, sources: dict[str, float], seed: int, device: str = "cpu"
    ) -> "Sampler":
        """Take the `train` part of a data folder, and its label maps."""
        cases = by_set(labelled_cases(folder, "train") + label_map_cases(folder))
        used = {name: share for name, share in sources.items() if name == "shapes" or name in cases}
        names = {name: label_names(folder, name) for name in used}
        return cls(tuple(used.items()), cases, seed, names, device)

    def draw(self, number: int, size: int, choice: Choice | None = None) -> Sample:
        """Draw sample `number` as a crop of size^3 voxels."""
        choice = choice or Choice()
        device = torch.device(self.device)
        chance = Chance.seeded((self.seed, number), device)
        rng = chance.numbers
        names = [name for name, _ in self.sources]
        shares = np.array([share for _, share in self.sources])
        source = names[rng.choice(len(names), p=shares / shares.sum())]
        for _ in range(TRIES):
            if source == "shapes":
                break
            case = self.cases[source][rng.integers(len(self.cases[source]))]
            loaded = load_case(case, device)
            sample = _sample_of_case(loaded, size, chance, choice, self.names.get(source, {}))
            if sample is not None:
                return sample
        image, target = shapes.random_shapes(size, chance)
        return _finish(_cut(image, target, chance), chance)


def _sample_of_case(
    loaded: LabelledVolume, size: int, chance: Chance, choice: Choice, names: dict[int, str]
) -> Sample | None:
    if not loaded.structures:
        return None
    rng = chance.numbers
    regrouped = chance.happens(choice.regrouped)
    aimed = chance.happens(choice.aimed)
    large = aimed and chance.happens(choice.large)
    lesioned = chance.happens(choice.lesioned)
    if lesioned:
        structure, others = _choose(loaded, True, rng)
        others = loaded.structures if chance.happens(EVERYWHERE) else others
    elif regrouped:
        structure, others = _family(loaded, names, rng)
    else:
        structure, others = _choose(loaded, large, rng)
    anchor = structure.seeds[rng.integers(len(structure.seeds))]
    if aimed:
        crop = _aim(loaded, anchor, size, rng)
    elif chance.happens(choice.boxed):
        crop = _frame(loaded, (structure, *others), size, rng)
    else:
        crop = _place(loaded, structure, anchor, size, rng)
    point = crop.to_crop(anchor)
    click = point if aimed else _NOWHERE
    image, target = _seen(loaded, crop, (structure, *others), click, chance, choice.bent, lesioned)
    if lesioned:
        point = _nearest(target, point)
        click = point if aimed else _NOWHERE
        single = chance.happens(SINGLE)
    else:
        single = regrouped and not others
    if single:
        target = _piece(target, point)
    if int(target.sum()) < (AIMED_SMALLEST if aimed else SMALLEST):
        return None
    return _finish(View(image, target, crop.inside, click), chance)


def _cut(image: Tensor, target: Tensor, chance: Chance) -> View:
    """Let a made volume end somewhere, as scans do, now and then."""
    size = image.shape[0]
    planes = [np.ones(size, bool) for _ in range(3)]
    for axis in range(3):
        if chance.happens(0.15):
            low, high = sorted(int(n) for n in chance.numbers.integers(0, size + 1, 2))
            if high - low >= size // 3 and target.narrow(axis, low, high - low).sum() >= SMALLEST:
                planes[axis][:low] = planes[axis][high:] = False
    inside = (planes[0], planes[1], planes[2])
    image, kept = _blanked(image, inside, image.min()), _blanked(target, inside, False)
    return View(image, kept, inside, _NOWHERE)


def _blanked(field: Tensor, inside: Inside, value: Tensor | bool | float) -> Tensor:
    """Put a value, in place, where the planes of a field lie outside the volume."""
    for axis, planes in enumerate(inside):
        if not planes.all():
            outside = torch.from_numpy(np.flatnonzero(~planes)).to(field.device)
            field.index_fill_(axis, outside, value)
    return field


def _seen(
    loaded: LabelledVolume,
    crop: Crop,
    structures: tuple[Structure, ...],
    click: NDArray[np.float64],
    chance: Chance,
    bent: float,
    lesioned: bool,
) -> tuple[Tensor, Tensor]:
    """Give the image and the mask of structures in a crop, whose shape may have been changed.

    The voxel `click` stays in its place. The mask is that of lesions in the structures where
    these are wanted.
    """
    if loaded.image is None:
        strength = float(chance.numbers.uniform(0.5, 1.5))
        bending = Bending.drawn(crop.inside, click, strength, chance)
        labels = bending.bend_labels(loaded.nearest_labels(crop))
        target = marked(labels, structures)
        if chance.happens(SURROUNDED):
            labels = shapes.surrounded(labels, chance)
        if lesioned:
            target = lesions_in(target, chance)
            labels = labels.masked_fill(target, int(labels.max()) + 1)
        image = shapes.paint(labels, chance)
        return _blanked(image, crop.inside, image.min()), target
    image, occupancy = loaded.intensities(crop), loaded.occupancy(crop, structures)
    if chance.happens(bent):
        strength = float(chance.numbers.uniform(0.3, 1.0))
        bending = Bending.drawn(crop.inside, click, strength, chance)
        image = _blanked(bending.bend(image), crop.inside, image.min())
        occupancy = _blanked(bending.bend(occupancy), crop.inside, 0.0)
    target = occupancy >= 0.5
    if lesioned:
        organ, target = target, lesions_in(target, chance)
        image = show_lesions(image, organ, target, chance)
    return image, target


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


def _piece(target: Tensor, point: NDArray[np.float64]) -> Tensor:
    """Keep the piece of a target that holds a crop index; none where it lies outside."""
    if not _holds(target, point):
        return torch.zeros_like(target)
    i, j, k = np.rint(point).astype(int)
    parts, _ = shapes.pieces(target)
    return parts == parts[i, j, k]


def _nearest(target: Tensor, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the voxel of a target that is nearest to a crop index; NaN where there is none."""
    voxels = target.nonzero()
    if not len(voxels):
        return _NOWHERE
    away = (voxels - torch.from_numpy(point).to(voxels.device)).square().sum(1)
    return voxels[away.argmin()].cpu().numpy().astype(np.float64)


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
    centre = np.clip(anchor + offset, 0, np.array(loaded.volume.shape) - 1)
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


def _finish(view: View, chance: Chance) -> Sample:
    degraded = degrade(view.image, chance)
    view = flip(View(degraded, view.target, view.inside, view.click), chance)
    click = view.click if _holds(view.target, view.click) else _NOWHERE
    return Sample(
        tensor_foreground_contrast(view.image, view.inside).contiguous(),
        view.target.contiguous(),
        click.astype(np.float32),
    )


def _holds(target: Tensor, point: NDArray[np.float64]) -> bool:
    """Tell whether a crop index lies in the target; bending may move it out."""
    if np.isnan(point).any():
        return False
    i, j, k = np.rint(point).astype(int)
    size = target.shape[0]
    return min(i, j, k) >= 0 and max(i, j, k) < size and bool(target[i, j, k])
