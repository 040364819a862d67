"""Whose a voxel is that several objects claim: masks as they are shown and saved.

What the model makes of an object's prompts, its own mask, knows nothing of its neighbours. Here
the masks of all are laid over each other: locked objects first, then by the rule of the session.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import NOWHERE, Mask, deepest_voxel
from napari_fastsam3d.inference.prompt import Point, Scribble
from napari_fastsam3d.session.state import ObjectState, SessionState

OwnMasks = Callable[[ObjectState], Mask]


def in_order(state: SessionState) -> list[ObjectState]:
    """Return the objects of a session, those first that hold a voxel against the others."""
    return sorted(state.objects, key=lambda each: _rank(each, state))


def holders(state: SessionState, number: int) -> list[ObjectState]:
    """Return the objects whose voxels the object of that id may not have."""
    own = state.object(number)
    if own.locked is not None or state.overlap == "share":
        return []
    return in_order(state)[: in_order(state).index(own)]


def shown_mask(state: SessionState, number: int, masks: OwnMasks) -> Mask:
    """Return the mask of an object as it is shown: without what others hold.

    Parameters
    ----------
    state : SessionState
    number : int
        Id of the object.
    masks : callable
        Gives the own mask of an object: the replay of its prompts, or the locked one.
    """
    shown = masks(state.object(number))
    for other in holders(state, number):
        shown = shown.without(masks(other))
    return shown


def label_map(state: SessionState, box: Box, masks: OwnMasks) -> NDArray[np.uint8 | np.uint16]:
    """Return the values of the objects in a source box, 0 where there is none.

    A voxel that several hold, as objects that share do, is that of the first `in_order`.
    """
    highest = max((each.value for each in state.objects), default=0)
    labels = np.zeros(box.shape, dtype=np.uint8 if highest < 256 else np.uint16)
    for each in reversed(in_order(state)):
        masks(each).write(labels, box, each.value)
    return labels


def changed_box(state: SessionState, old: Mask, new: Mask) -> Box:
    """Return a source box around the labels that change when an object's own mask does."""
    if state.overlap == "overwrite":
        # The object that was worked on last may take voxels that it has claimed all along.
        return old.box.union(new.box)
    return old.changed_box(new)


def holder_of_click(state: SessionState, number: int, masks: OwnMasks) -> ObjectState | None:
    """Return the object that keeps a voxel that another was given by its newest click or line."""
    kept = kept_voxel(state, number, masks)
    return None if kept is None else holder_of(state, number, kept, masks)


def kept_voxel(state: SessionState, number: int, masks: OwnMasks) -> Index | None:
    """Return the voxel that an object was given by its newest prompt and that another one keeps.

    That of a click, or the first such voxel of a scribble. Of a lasso, whose rim may be rough, and
    of other prompts there is none.
    """
    prompts = state.object(number).prompts
    newest = prompts[-1] if prompts else None
    if isinstance(newest, Point) and newest.positive:
        return newest.index if holder_of(state, number, newest.index, masks) else None
    if not isinstance(newest, Scribble) or not newest.positive or newest.filled:
        return None
    line = newest.voxels.unpack()
    for other in holders(state, number):
        kept = np.argwhere(line.voxels & masks(other).within(line.box))
        if len(kept):
            i, j, k = (int(at) for at in kept[0] + line.box.start)
            return i, j, k
    return None


def holder_of(
    state: SessionState, number: int, index: Index, masks: OwnMasks
) -> ObjectState | None:
    """Return the object that keeps a voxel, source index, from another that may claim it."""
    return next((o for o in holders(state, number) if masks(o).contains(index)), None)


@dataclass(frozen=True)
class Overlapped:
    """An object of which others keep every voxel that was clicked for it.

    Parameters
    ----------
    object : int
        Its id.
    clicks : tuple of tuple of int
        Its positive clicks, source index; `Session.take_over` gives it what is kept around one.
    holders : tuple of int
        Ids of the objects that keep them, one for each.
    """

    object: int
    clicks: tuple[Index, ...]
    holders: tuple[int, ...]


def overlapped(state: SessionState, masks: OwnMasks) -> list[Overlapped]:
    """Return the objects of which others keep every positive click, in order of creation."""
    found: list[Overlapped] = []
    for each in state.objects:
        clicks = [p.index for p in each.prompts if isinstance(p, Point) and p.positive]
        keep = [holder_of(state, each.id, index, masks) for index in clicks]
        holders = tuple(holder.id for holder in keep if holder is not None)
        if clicks and len(holders) == len(clicks):
            found.append(Overlapped(each.id, tuple(clicks), holders))
    return found


def deepest_overlaps(
    own: Mask, locked: Iterable[Mask], spacing: tuple[float, float, float]
) -> list[Index]:
    """Return, for each locked mask that a mask runs into, the voxel deepest in what both claim.

    A negative point there makes a neighbour known to the model.

    Parameters
    ----------
    own : Mask
        Of the object, as the model has it: voxels that it must cede to locked objects included.
    locked : iterable of Mask
        Those of the locked objects.
    spacing : tuple of float
        Voxel sizes, mm along the source axes.

    Returns
    -------
    list of tuple of int
        Source indices, in the order of the locked masks; none for those that it stays out of.
    """
    found: list[Index] = []
    for other in locked:
        both = own.box.intersection(other.box)
        if both.is_empty:
            continue
        claimed = own.within(both) & other.within(both)
        if claimed.any():
            at = deepest_voxel(claimed, spacing)
            i, j, k = (offset + low for offset, low in zip(at, both.start, strict=True))
            found.append((i, j, k))
    return found


def contested(own: Mask, holder: Mask, index: Index) -> Mask:
    """Return the connected part of what two masks claim that holds a voxel, source index.

    The voxel itself belongs to it in any case.
    """
    both = own.box.intersection(holder.box)
    clicked = Mask.of_indices([index])
    if not both.contains(index):
        return clicked
    parts = np.zeros(both.shape, dtype=np.int32)
    ndimage.label(own.within(both) & holder.within(both), output=parts)
    i, j, k = (x - a for x, a in zip(index, both.start, strict=True))
    return Mask.of(both, (parts == parts[i, j, k]) & (parts > 0)).union(clicked)


def relabelled_box(before: SessionState, after: SessionState, number: int, masks: OwnMasks) -> Box:
    """Return a source box around all voxels whose label or owner an action changed.

    For actions that change no prompts; it may be larger than need be.
    """
    if before.overlap != after.overlap:
        return _around(masks(each) for each in (*before.objects, *after.objects))
    if not (before.has(number) and after.has(number)):
        return _around(
            masks(state.object(number)) for state in (before, after) if state.has(number)
        )
    old, new = before.object(number), after.object(number)
    if (old.value, old.locked) == (new.value, new.locked):
        return NOWHERE
    return _around((masks(old), masks(new)))


def _around(masks: Iterable[Mask]) -> Box:
    box = NOWHERE
    for mask in masks:
        box = box.union(mask.box)
    return box


def _rank(each: ObjectState, state: SessionState) -> tuple[bool, int]:
    if each.locked is None and state.overlap == "overwrite":
        return True, -max((prompt.id for prompt in each.prompts), default=0)
    return each.locked is None, each.id
