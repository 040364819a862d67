"""What the steps and prompts of a session are called: the words of both lists, in one place."""

from __future__ import annotations

from functools import lru_cache, singledispatch

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import BoxPrompt, Edit, Freeze, MaskPrompt, PackedMask, Point, Prompt
from napari_fastsam3d.session.actions import (
    AcceptObject,
    Action,
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    LockObject,
    MovePrompt,
    NewObject,
    RecolourObject,
    RemoveObject,
    RenameObject,
    ResetObject,
    RevalueObject,
    SelectObject,
    SetOverlap,
    UnlockObject,
)
from napari_fastsam3d.session.state import SessionState

_AXES = (("R", "L"), ("A", "P"), ("S", "I"))
RULE_WORDS = {
    "keep": "the object begun first keeps it",
    "overwrite": "the one prompted last takes it",
    "share": "both hold it",
}
"""Who has a voxel that several objects claim, by the name of the rule, in the order to offer."""


@singledispatch
def step_words(action: Action, before: SessionState, after: SessionState) -> str:
    """Say in a few words what an action did, with the names that the objects had then.

    Parameters
    ----------
    action : Action
    before, after : SessionState
        The states that it led from and to.

    Raises
    ------
    TypeError
        Where there are no words for that kind of action.
    """
    raise TypeError(f"There are no words for {action!r}")


@step_words.register
def _(action: AddPrompt, before: SessionState, after: SessionState) -> str:
    return f"{_added(action.prompt)} {after.object(action.object).name}"


@step_words.register
def _(action: MovePrompt, before: SessionState, after: SessionState) -> str:
    return f"Moved {_noun(action, before)} of {after.object(action.object).name}"


@step_words.register
def _(action: FlipPrompt, before: SessionState, after: SessionState) -> str:
    own = after.object(action.object)
    point = own.prompt(action.prompt)
    to = "include" if isinstance(point, Point) and point.positive else "exclude"
    return f"Flipped point of {own.name} to {to}"


@step_words.register
def _(action: DeletePrompt, before: SessionState, after: SessionState) -> str:
    return f"Deleted {_noun(action, before)} of {after.object(action.object).name}"


@step_words.register
def _(action: NewObject, before: SessionState, after: SessionState) -> str:
    name = after.object(action.object).name
    return f"Begun {name}" if action.mask is None else f"Mask opened as {name}"


@step_words.register
def _(action: SelectObject, before: SessionState, after: SessionState) -> str:
    return f"Chose {after.object(action.object).name}"


@step_words.register
def _(action: RenameObject, before: SessionState, after: SessionState) -> str:
    old, new = before.object(action.object).name, after.object(action.object).name
    return f"Renamed {old} to {new}"


@step_words.register
def _(action: RemoveObject, before: SessionState, after: SessionState) -> str:
    return f"Removed {before.object(action.object).name}"


@step_words.register
def _(action: ResetObject, before: SessionState, after: SessionState) -> str:
    return f"Reset {after.object(action.object).name}"


@step_words.register
def _(action: RecolourObject, before: SessionState, after: SessionState) -> str:
    return f"Another colour for {after.object(action.object).name}"


@step_words.register
def _(action: RevalueObject, before: SessionState, after: SessionState) -> str:
    return f"Label value {action.value} for {after.object(action.object).name}"


@step_words.register
def _(action: LockObject, before: SessionState, after: SessionState) -> str:
    return f"Locked {after.object(action.object).name}"


@step_words.register
def _(action: AcceptObject, before: SessionState, after: SessionState) -> str:
    return f"Accepted {after.object(action.object).name}"


@step_words.register
def _(action: UnlockObject, before: SessionState, after: SessionState) -> str:
    return f"Unlocked {after.object(action.object).name}"


@step_words.register
def _(action: SetOverlap, before: SessionState, after: SessionState) -> str:
    return f"Overlap: {RULE_WORDS[action.rule]}"


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


def _added(prompt: Prompt) -> str:
    match prompt:
        case Point():
            return "Point in" if prompt.positive else "Excluding point for"
        case BoxPrompt():
            return "Box round"
        case Freeze():
            return "Froze a region of"
        case MaskPrompt():
            return "Mask opened for"
        case Edit():
            if prompt.removed.is_empty:
                return "Painted"
            return "Erased from" if prompt.added.is_empty else "Painted and erased"


def _noun(action: MovePrompt | DeletePrompt, before: SessionState) -> str:
    match before.object(action.object).prompt(action.prompt):
        case Point():
            return "point"
        case BoxPrompt():
            return "box"
        case Freeze():
            return "frozen region"
        case MaskPrompt():
            return "mask"
        case Edit():
            return "stroke"


def _size(box: Box, volume: Volume) -> str:
    sizes = (n * mm for n, mm in zip(box.shape, volume.spacing, strict=True))
    return f"{' × '.join(f'{size:.0f}' for size in sizes)} mm"


def _voxels(mask: PackedMask) -> str:
    count = count_of(mask)
    return f"{count:,} voxel{'' if count == 1 else 's'}"
