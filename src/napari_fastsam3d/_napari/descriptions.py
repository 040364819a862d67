"""What the prompts of a session are called, in their list and in messages."""

from __future__ import annotations

from functools import lru_cache

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    PackedMask,
    Point,
    Prompt,
)

_AXES = (("R", "L"), ("A", "P"), ("S", "I"))


def prompt_words(prompt: Prompt, volume: Volume) -> str:
    """Say what a prompt is, and where in the patient a point is or how large the rest."""
    match prompt:
        case Point():
            sign = "Include" if prompt.positive else "Exclude"
            return f"{sign} at {place_words(prompt.index, volume)}"
        case BoxPrompt():
            guess = "" if prompt.guessed is None else ", depth guessed"
            return f"Box of {_size(prompt.box, volume)}{guess}"
        case Freeze():
            return f"Frozen: {_size(prompt.box, volume)}"
        case MaskPrompt():
            return f"Mask opened, {_voxels(prompt.mask)}"
        case Edit():
            return edit_words(prompt)
        case Choice():
            return f"Candidate {prompt.rank + 1} by size"


def edit_words(edit: Edit) -> str:
    """Say how much was painted and erased by hand."""
    if edit.removed.is_empty:
        return f"Painted {_voxels(edit.added)}"
    if edit.added.is_empty:
        return f"Erased {_voxels(edit.removed)}"
    return f"Painted {_voxels(edit.added)}, erased {count_of(edit.removed):,}"


def place_words(index: tuple[float, ...], volume: Volume) -> str:
    """Say where in the patient a voxel lies: millimetres towards right or left, and so on."""
    world = volume.to_world(index).reshape(3)
    parts = (
        f"{plus if value >= 0 else minus} {abs(value):.0f}"
        for value, (plus, minus) in zip(world, _AXES, strict=True)
    )
    return f"{', '.join(parts)} mm"


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
