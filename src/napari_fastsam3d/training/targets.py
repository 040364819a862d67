"""Which structures a sample asks for: one, a label group, a piece, others that its crop holds."""

import re

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.training import shapes
from napari_fastsam3d.training.data import LabelledVolume, Structure
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.recipe import SamplingOptions
from napari_fastsam3d.training.rendering import Rendering
from napari_fastsam3d.training.supervoxels import supervoxel_targets

Group = tuple[Structure, ...]
"""Structures that are one target together."""

PAIRED = 0.12
"""Share of the targets that are two structures which need not belong together."""


def one_or_two(loaded: LabelledVolume, large: bool, rng: np.random.Generator) -> Group:
    """Choose one structure, by its extent if `large`, and sometimes another with it."""
    structures = loaded.structures
    if large:
        extents = np.array([s.extent for s in structures])
        first = structures[rng.choice(len(structures), p=extents / extents.sum())]
    else:
        first = structures[rng.integers(len(structures))]
    if len(structures) > 1 and rng.random() < PAIRED:
        return first, structures[rng.integers(len(structures))]
    return (first,)


def label_group(loaded: LabelledVolume, names: dict[int, str], rng: np.random.Generator) -> Group:
    """Choose one structure, and those of its label group that are in the scan."""
    first = loaded.structures[rng.integers(len(loaded.structures))]
    return (first, *_group_members(first, loaded.structures, names, rng))


def _group_members(
    first: Structure, structures: Group, names: dict[int, str], rng: np.random.Generator
) -> Group:
    values = group_members(first.value, names, sides=bool(rng.random() < 0.3))
    return tuple(s for s in structures if s.value in values)


def further_targets(
    rendering: Rendering,
    loaded: LabelledVolume,
    names: dict[int, str],
    first: Group,
    choice: SamplingOptions,
    smallest: int,
    random: RandomGenerator,
) -> list[Tensor]:
    """Choose more targets in a crop that has been drawn: its drawing and encoding are paid already.

    Parameters
    ----------
    rendering : Rendering
    loaded : LabelledVolume
        The case that it shows.
    names : dict of int to str
        What its labels are called.
    first : Group
        What it was made for: the first of the further targets may be that one's group.
    choice : SamplingOptions
        How many targets are wanted with it, and which.
    smallest : int
        Crop voxels that each needs.
    random : RandomGenerator

    Returns
    -------
    list of Tensor
        At most one mask (S, S, S) bool less than `choice.targets`, none of them twice.
    """
    rng, count = random.numbers, choice.targets - 1
    sizes = torch.bincount(rendering.labels.flatten().long()).cpu().numpy()
    present = [s for s in loaded.structures if s.value < len(sizes) and sizes[s.value] >= smallest]
    groups = _groups(present, sizes, names, first, choice, rng)
    drawn = sum(rng.random() < choice.supervoxels for _ in range(count))
    if loaded.image is None:
        drawn = 0
    kept = groups[: count - drawn]
    found = [rendering.mask(group) for group in kept]
    found = [mask for mask in found if int(mask.sum()) >= smallest]
    if loaded.image is not None and choice.supervoxels and len(found) < count:
        found += supervoxel_targets(
            rendering.image, rendering.inside, count - len(found), smallest, random
        )
    return found


def _groups(
    present: list[Structure],
    sizes: NDArray[np.int64],
    names: dict[int, str],
    first: Group,
    choice: SamplingOptions,
    rng: np.random.Generator,
) -> list[Group]:
    """Draw groups of structures, large ones more often, none of them twice."""
    used = {frozenset(s.value for s in first)}
    groups: list[Group] = []
    order = list(first[:1]) if choice.together else []
    if present:
        weights = np.array([float(sizes[s.value]) for s in present]) ** 0.4
        chosen = rng.choice(len(present), len(present), replace=False, p=weights / weights.sum())
        order += [present[at] for at in chosen]
    for structure in order:
        group: Group = (structure,)
        led = choice.together and structure is order[0]
        if led or rng.random() < choice.grouped:
            group += _group_members(structure, tuple(present), names, rng)
        key = frozenset(s.value for s in group)
        if key not in used:
            used.add(key)
            groups.append(group)
        if len(groups) == choice.targets - 1:
            break
    return groups


def piece_at(target: Tensor, point: NDArray[np.float64]) -> Tensor:
    """Keep the piece of a target that holds a crop index; none where it lies outside."""
    if not holds(target, point):
        return torch.zeros_like(target)
    i, j, k = np.rint(point).astype(int)
    parts, _ = shapes.pieces(target)
    return parts == parts[i, j, k]


def nearest_voxel(target: Tensor, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the voxel of a target that is nearest to a crop index; NaN where there is none."""
    voxels = target.nonzero()
    if not len(voxels):
        return np.full(3, np.nan)
    away = (voxels - torch.from_numpy(point).to(voxels.device)).square().sum(1)
    return voxels[away.argmin()].cpu().numpy().astype(np.float64)


def holds(target: Tensor, point: NDArray[np.float64]) -> bool:
    """Tell whether a crop index lies in the target; deformation may move it out."""
    if np.isnan(point).any():
        return False
    i, j, k = np.rint(point).astype(int)
    size = target.shape[0]
    return min(i, j, k) >= 0 and max(i, j, k) < size and bool(target[i, j, k])


_SIDE = re.compile(r"(left|right)", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(anterior|posterior|upper|middle|lower|lobe|[CTLS]\d{1,2})\b", re.IGNORECASE
)


def group_name(name: str, sides: bool) -> str:
    """Give what a structure is part of: its name without the words that tell parts apart.

    Parameters
    ----------
    name : str
        Such as "lung_upper_lobe_left", "vertebrae T12", "RightParotid", "hippocampus anterior".
    sides : bool
        Whether left and right belong together as well.

    Returns
    -------
    str
        Equal for the structures that belong together: one lung, or with `sides` both; the spine.
    """
    text = _PLACE.sub(" ", name.replace("_", " "))
    if sides:
        text = _SIDE.sub(" ", text)
    return " ".join(text.lower().split())


def group_members(value: int, names: dict[int, str], sides: bool) -> tuple[int, ...]:
    """Give the values, other than one, of the structures of its group; none without a name.

    Parameters
    ----------
    value : int
        A value in the label file.
    names : dict of int to str
        What the values of the file are called.
    sides : bool
        As in `group_name`.
    """
    if value not in names:
        return ()
    wanted = group_name(names[value], sides)
    return tuple(v for v, name in names.items() if v != value and group_name(name, sides) == wanted)
