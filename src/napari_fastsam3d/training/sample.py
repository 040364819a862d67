"""One training sample: a crop as the network will see it, and the structures to be segmented."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.evaluation.dataset import (
    LabelledCase,
    by_set,
    label_map_cases,
    label_names,
    labelled_cases,
    unlabelled_scans,
)
from napari_fastsam3d.model.normalisation import Inside, tensor_foreground_contrast
from napari_fastsam3d.training import placement, shapes, targets
from napari_fastsam3d.training.augmentation import View, augment_intensities, flip
from napari_fastsam3d.training.data import LabelledVolume, load_case, load_scan
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.recipe import SamplingOptions
from napari_fastsam3d.training.rendering import blanked, render
from napari_fastsam3d.training.supervoxels import supervoxel_targets
from napari_fastsam3d.training.tissues import scenery_of

SMALLEST = 120
"""Crop voxels that a target needs; smaller ones are drawn anew."""

TRIES = 6
"""Draws before a sample with too small a target is taken from random shapes."""

AIMED_SMALLEST = 30
"""Crop voxels that a target needs where the crop lies as at a first click, as coarse as it is."""

SINGLE = 0.35
"""Share of the lesions that are asked for one by one; the others all together."""

EVERYWHERE = 0.3
"""Share of the lesions that lie in any structure of the scan."""

CUT, SHAPES_CUT = 0.08, 0.16
"""Shares of the axes along which made crops end: of label maps, and of random shapes."""

_NOWHERE = np.full(3, np.nan)


@dataclass(frozen=True)
class Sample:
    """A normalised crop and its targets, each to be segmented by itself.

    Attributes
    ----------
    image : Tensor
        (S, S, S) float32, canonical RAS axis order, normalised; on the sampler's device.
    targets : Tensor
        (T, S, S, S) bool, the structures; on the sampler's device.
    clicks : ndarray of float32
        (T, 3) crop indices inside each structure where its first click falls: of the first one, the
        voxel that the crop lies around as at a first click. NaN where it may fall anywhere.
    """

    image: Tensor
    targets: Tensor
    clicks: NDArray[np.float32]


@dataclass(frozen=True)
class Sampler:
    """Draws samples by number: the same number gives the same sample, in any process.

    Attributes
    ----------
    sources : tuple of (str, float)
        The shares of the sources: names of sets, "unlabelled" or "shapes".
    cases : dict of str to list of LabelledCase
        The cases of each set.
    seed : int
        Of the run.
    names : dict of str to dict
        What the values of each set's label files are called, where that is known.
    device : str
        Where scans are kept and samples are made. Random fields are others on a GPU than on a CPU.
    scans : tuple of Path
        The scans without labels, of the source "unlabelled".
    """

    sources: tuple[tuple[str, float], ...]
    cases: dict[str, list[LabelledCase]]
    seed: int
    names: dict[str, dict[int, str]] = field(default_factory=dict)
    device: str = "cpu"
    scans: tuple[Path, ...] = ()

    @classmethod
    def of_folder(
        cls,
        folder: Path,
        sources: dict[str, float],
        seed: int,
        device: str = "cpu",
        held_out: dict[str, int] | None = None,
    ) -> "Sampler":
        """Take the `train` part of a data folder, its label maps and its scans without labels.

        Parameters
        ----------
        folder, sources, seed, device
            As above.
        held_out : dict of str to int or None
            How many cases at the end of each set are left out, for measurements that choose.

        Raises
        ------
        TrainingError
            When it holds nothing of the sources.
        """
        cases = by_set(labelled_cases(folder, "train") + label_map_cases(folder))
        scans = tuple(unlabelled_scans(folder))
        for name, count in (held_out or {}).items():
            cases[name] = cases.get(name, [])[: -count or None]
        usable = {"shapes", *(name for name, of in cases.items() if of)}
        if scans:
            usable.add("unlabelled")
        used = {name: share for name, share in sources.items() if name in usable and share}
        if not used:
            raise TrainingError(
                f"{folder} holds nothing of the recipe's sources.",
                f"It holds {', '.join(sorted(usable))}: name some of these under [sources].",
            )
        names = {name: label_names(folder, name) for name in used}
        return cls(tuple(used.items()), cases, seed, names, device, scans)

    def draw(self, number: int, size: int, choice: SamplingOptions | None = None) -> Sample:
        """Draw sample `number` as a crop of size^3 voxels."""
        choice = choice or SamplingOptions()
        device = torch.device(self.device)
        random = RandomGenerator.seeded((self.seed, number), device)
        rng = random.numbers
        sources = [name for name, _ in self.sources]
        shares = np.array([share for _, share in self.sources])
        source = sources[rng.choice(len(sources), p=shares / shares.sum())]
        names = self.names.get(source, {})
        for _ in range(TRIES):
            if source == "shapes":
                break
            if source == "unlabelled":
                scan = load_scan(self.scans[rng.integers(len(self.scans))], device)
                view = _view_of_unlabelled(scan, size, random, choice)
            else:
                case = self.cases[source][rng.integers(len(self.cases[source]))]
                loaded = load_case(case, device, scenery_of(names))
                view = _view_of_case(loaded, size, random, choice, names)
            if view is not None:
                return _finish(view, random)
        return _finish(_view_of_shapes(size, choice.targets, random), random)


def _view_of_case(
    loaded: LabelledVolume,
    size: int,
    random: RandomGenerator,
    choice: SamplingOptions,
    names: dict[int, str],
) -> View | None:
    if not loaded.structures:
        return None
    rng = random.numbers
    regrouped = random.happens(choice.regrouped)
    aimed = random.happens(choice.aimed)
    large = aimed and random.happens(choice.large)
    lesioned = random.happens(choice.lesioned)
    if regrouped and not lesioned:
        group = targets.label_group(loaded, names, rng)
    else:
        group = targets.one_or_two(loaded, large or lesioned, rng)
    structure = group[0]
    if lesioned and random.happens(EVERYWHERE):
        group = loaded.structures
    anchor = structure.seeds[rng.integers(len(structure.seeds))]
    if aimed and random.happens(choice.middle):
        anchor = structure.middle
    if aimed:
        crop = placement.at_first_click(loaded, anchor, size, choice.spacings, rng)
    elif random.happens(choice.boxed):
        crop = placement.at_box(loaded, group, size, rng)
    else:
        crop = placement.scattered(loaded, structure, anchor, size, rng)
    point = crop.to_crop(anchor)
    click = point if aimed else _NOWHERE
    rendering = render(loaded, crop, group, click, random, choice.deformed, lesioned, names)
    target = rendering.target
    if lesioned:
        point = targets.nearest_voxel(target, point)
        click = point if aimed else _NOWHERE
        single = random.happens(SINGLE)
    else:
        single = regrouped and len(group) == 1
    if single:
        target = targets.piece_at(target, point)
    smallest = AIMED_SMALLEST if aimed else SMALLEST
    if int(target.sum()) < smallest:
        return None
    masks = [target]
    if choice.targets > 1:
        masks += targets.further_targets(rendering, loaded, names, group, choice, smallest, random)
    view = _of_masks(rendering.image, masks, crop.inside, click, choice.targets)
    return _cut(view, CUT, smallest, random) if loaded.image is None else view


def _view_of_unlabelled(
    loaded: LabelledVolume, size: int, random: RandomGenerator, choice: SamplingOptions
) -> View | None:
    """Take supervoxels of a scan of which nothing is known."""
    rng = random.numbers
    anchor = rng.integers(0, loaded.volume.shape)
    crop = placement.at_first_click(loaded, anchor, size, choice.spacings, rng)
    image = render(loaded, crop, (), _NOWHERE, random, choice.deformed).image
    masks = supervoxel_targets(image, crop.inside, choice.targets, SMALLEST, random)
    return _of_masks(image, masks, crop.inside, _NOWHERE, choice.targets) if masks else None


def _view_of_shapes(size: int, count: int, random: RandomGenerator) -> View:
    image, masks = shapes.random_shapes(size, random, count)
    everywhere = np.ones(size, bool)
    view = _of_masks(image, masks, (everywhere, everywhere, everywhere), _NOWHERE, count)
    return _cut(view, SHAPES_CUT, SMALLEST, random)


def _of_masks(
    image: Tensor, masks: list[Tensor], inside: Inside, click: NDArray[np.float64], count: int
) -> View:
    """Make a view of `count` targets: where there are fewer, they come again.

    The click is that of the first target, and of every other that holds it: they are what it may
    mean. Where a target comes again, it may fall anywhere in it.
    """
    again = [masks[number % len(masks)] for number in range(count)]
    clicks = [click if targets.holds(mask, click) else _NOWHERE for mask in masks]
    clicks += [_NOWHERE] * (count - len(masks))
    return View(image, torch.stack(again), inside, np.stack(clicks))


def _cut(view: View, share: float, smallest: int, random: RandomGenerator) -> View:
    """Let a made volume end somewhere, as scans do, now and then."""
    size = view.image.shape[0]
    planes = [axis.copy() for axis in view.inside]
    first = view.targets[0]
    for axis in range(3):
        if not random.happens(share):
            continue
        low, high = sorted(int(n) for n in random.numbers.integers(0, size + 1, 2))
        clicked = view.clicks[0, axis]
        if high - low < size // 3 or (not np.isnan(clicked) and not low <= clicked < high):
            continue
        if int(first.narrow(axis, low, high - low).sum()) >= smallest:
            planes[axis][:low] = planes[axis][high:] = False
    inside = (planes[0], planes[1], planes[2])
    if all(axis.all() for axis in inside):
        return view
    image = blanked(view.image, inside, view.image.min())
    masks = [blanked(mask.clone(), inside, False) for mask in view.targets]
    left = [mask for mask in masks if int(mask.sum()) >= smallest] or [first]
    return _of_masks(image, left, inside, view.clicks[0], len(masks))


def _finish(view: View, random: RandomGenerator) -> Sample:
    augmented = augment_intensities(view.image, random)
    view = flip(View(augmented, view.targets, view.inside, view.clicks), random)
    return Sample(
        tensor_foreground_contrast(view.image, view.inside).contiguous(),
        view.targets.contiguous(),
        view.clicks.astype(np.float32),
    )
