"""Descriptions of the prompts of a session and of changes to its masks, for the panels."""

from __future__ import annotations

from functools import lru_cache

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import (
    BoxPrompt,
    Change,
    Choice,
    Edit,
    FindPrompt,
    Freeze,
    FromMemory,
    MaskPrompt,
    PackedMask,
    Point,
    Prompt,
    Scribble,
    WithAdapter,
)

_AXES = (("R", "L"), ("A", "P"), ("S", "I"))


def describe_prompt(prompt: Prompt, volume: Volume) -> str:
    """Describe a prompt: where in the patient a point is, or how large anything else."""
    match prompt:
        case Point():
            sign = "Include" if prompt.positive else "Exclude"
            return f"{sign} at {describe_place(prompt.index, volume)}"
        case BoxPrompt():
            guess = "" if prompt.guessed is None else ", depth guessed"
            return f"Box of {_size(prompt.box, volume)}{guess}"
        case Scribble():
            sign = "Include" if prompt.positive else "Exclude"
            return f"{sign} by {prompt.noun} of {_voxels(prompt.voxels)}"
        case Freeze():
            return f"Frozen: {_size(prompt.box, volume)}"
        case Choice():
            return f"Candidate {prompt.rank + 1} by size"
        case MaskPrompt():
            return f"Mask opened, {_voxels(prompt.mask)}"
        case Edit():
            return describe_edit(prompt)
        case FindPrompt():
            return f"Found without a click, by {prompt.known} remembered"
        case FromMemory():
            return "Memory"
        case WithAdapter():
            return "Adapter"


def describe_edit(edit: Edit) -> str:
    """Describe how much was painted and erased, and what did it if no hand."""
    if edit.by is not None:
        what = edit.by.done.removesuffix(" of")
        amount = f" ({edit.by.amount_text})" if edit.by.amount else ""
        return f"{what}{amount}: +{count_of(edit.added):,}, −{count_of(edit.removed):,} voxels"
    if edit.removed.is_empty:
        return f"Painted {_voxels(edit.added)}"
    if edit.added.is_empty:
        return f"Erased {_voxels(edit.removed)}"
    return f"Painted {_voxels(edit.added)}, erased {count_of(edit.removed):,}"


def describe_place(index: tuple[float, ...], volume: Volume) -> str:
    """Describe where in the patient a voxel lies: mm towards right or left, and so on."""
    world = volume.to_world(index).reshape(3)
    parts = (
        f"{plus if value >= 0 else minus} {abs(value):.0f}"
        for value, (plus, minus) in zip(world, _AXES, strict=True)
    )
    return f"{', '.join(parts)} mm"


def change_text(change: Change) -> str:
    """Describe how much an object gained and lost, in millilitres."""
    added, removed = change.millilitres
    parts = [f"{sign}{_amount(much)}" for sign, much in (("+", added), ("−", removed)) if much]
    return f"{' '.join(parts)} ml" if parts else "nothing changed"


@lru_cache(maxsize=4096)
def count_of(mask: PackedMask) -> int:
    """Return the number of voxels of a mask."""
    return int(mask.unpack().voxels.sum())


def _size(box: Box, volume: Volume) -> str:
    sizes = (n * mm for n, mm in zip(box.shape, volume.spacing, strict=True))
    return f"{' × '.join(f'{size:.0f}' for size in sizes)} mm"


def _voxels(mask: PackedMask) -> str:
    count = count_of(mask)
    return f"{count:,} voxel{'' if count == 1 else 's'}"


def _amount(millilitres: float) -> str:
    return f"{millilitres:.3g}" if millilitres < 10 else f"{millilitres:,.0f}"
