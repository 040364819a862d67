"""What a user can do with the objects of a session as a whole.

All about an action stands in its class: what it does (`apply`), what the list of steps calls it
(`describe`, or `done` before the name of the object), and what is stored of it, which is its fields
under the name given as `kind`.
"""

from dataclasses import dataclass, field, replace
from unicodedata import category

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import MaskPrompt
from napari_fastsam3d.inference.recall_prompts import FromMemory
from napari_fastsam3d.memory.question import DEFAULT_WAY
from napari_fastsam3d.session.colour import Colour, free_colour
from napari_fastsam3d.session.state import (
    LATER,
    Action,
    ObjectState,
    OverlapRule,
    SessionState,
)

OVERLAP_DESCRIPTIONS: dict[str, str] = {
    "keep": "the object begun first keeps it",
    "overwrite": "the one prompted last takes it",
    "share": "both hold it",
}
"""Who has a voxel that several objects claim, by the name of the rule, in the order to offer."""

_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, halves of pairs, ends of lines


@dataclass(frozen=True)
class NewObject(Action, kind="new_object"):
    """Begin an object and make it the current one.

    Without a name it gets a default one, without a value the next free one. With a mask it
    begins with that, as its first prompt. Without a colour it gets one that no other object has.
    """

    object: int
    name: str | None = None
    value: int | None = None
    mask: MaskPrompt | None = None
    colour: Colour | None = field(default=None, metadata=LATER)

    def apply(self, state: SessionState) -> SessionState:
        number = self.object
        if number < state.next_object:
            raise SessionError(f"There was an object number {number}.", "Number it anew.")
        unnamed = state.free_name(f"object {number}")
        name = unnamed if self.name is None else _legible(self.name)
        value = state.free_value(number) if self.value is None else self.value
        colour = self.colour or free_colour(value, [each.colour for each in state.objects])
        added = ObjectState(number, name, state.check_value(value), colour)
        objects = (*state.objects, added)
        begun = replace(state, objects=objects, current=number, next_object=number + 1)
        return begun if self.mask is None else begun.with_new_prompt(number, self.mask)

    def describe(self, before: SessionState, after: SessionState) -> str:
        name = after.object(self.object).name
        return f"Begun {name}" if self.mask is None else f"Mask opened as {name}"


@dataclass(frozen=True)
class SelectObject(Action, kind="select_object", done="Chose"):
    """Make an object the current one: the one that the next prompt belongs to."""

    object: int

    def apply(self, state: SessionState) -> SessionState:
        return replace(state, current=state.object(self.object).id)


@dataclass(frozen=True)
class RenameObject(Action, kind="rename_object"):
    """Give an object another name."""

    object: int
    name: str

    def apply(self, state: SessionState) -> SessionState:
        name = _legible(self.name)
        return state.with_object(replace(state.object(self.object), name=name))

    def describe(self, before: SessionState, after: SessionState) -> str:
        return f"Renamed {before.object(self.object).name} to {after.object(self.object).name}"


@dataclass(frozen=True)
class RemoveObject(Action, kind="remove_object"):
    """Take an object away, with its prompts and its mask."""

    object: int

    def apply(self, state: SessionState) -> SessionState:
        gone = state.unlocked(self.object)
        left = tuple(o for o in state.objects if o is not gone)
        if state.current != gone.id:
            return replace(state, objects=left)
        place = min(state.objects.index(gone), len(left) - 1)
        return replace(state, objects=left, current=left[place].id if left else None)

    def describe(self, before: SessionState, after: SessionState) -> str:
        return f"Removed {before.object(self.object).name}"


@dataclass(frozen=True)
class RecolourObject(Action, kind="recolour_object", done="Another colour for"):
    """Give an object another colour: red, green and blue in [0, 1]."""

    object: int
    colour: Colour

    def apply(self, state: SessionState) -> SessionState:
        if not all(0 <= part <= 1 for part in self.colour):
            raise SessionError(
                f"{self.colour} is no colour.", "Give red, green and blue between 0 and 1."
            )
        return state.with_object(replace(state.object(self.object), colour=self.colour))


@dataclass(frozen=True)
class RevalueObject(Action, kind="revalue_object"):
    """Give an object another value in label maps, 1 to 65535, that no other object has."""

    object: int
    value: int

    def apply(self, state: SessionState) -> SessionState:
        own = state.object(self.object)
        value = own.value if self.value == own.value else state.check_value(self.value)
        return state.with_object(replace(own, value=value))

    def describe(self, before: SessionState, after: SessionState) -> str:
        return f"Label value {self.value} for {after.object(self.object).name}"


@dataclass(frozen=True)
class LockObject(Action, kind="lock_object", done="Locked"):
    """Keep the mask of an object as it is: neither its prompts nor other objects change it.

    The mask is that which is shown when the action is done.
    """

    object: int
    mask: PackedMask

    def apply(self, state: SessionState) -> SessionState:
        return state.with_object(replace(state.unlocked(self.object), locked=self.mask))


@dataclass(frozen=True)
class AcceptObject(Action, kind="accept_object", done="Accepted"):
    """Lock an object and call it finished; one that is locked keeps that mask."""

    object: int
    mask: PackedMask

    def apply(self, state: SessionState) -> SessionState:
        own = state.object(self.object)
        mask = self.mask if own.locked is None else own.locked
        return state.with_object(replace(own, locked=mask, accepted=True))


@dataclass(frozen=True)
class UnlockObject(Action, kind="unlock_object", done="Unlocked"):
    """Let the mask of an object follow its prompts again; it is no longer finished."""

    object: int

    def apply(self, state: SessionState) -> SessionState:
        return state.with_object(replace(state.object(self.object), locked=None, accepted=False))


@dataclass(frozen=True)
class SetRecall(Action, kind="set_recall"):
    """Choose how earlier cases are recalled for an object; its mask is made again."""

    object: int
    recall: FromMemory | None

    def apply(self, state: SessionState) -> SessionState:
        return state.with_object(replace(state.unlocked(self.object), recall=self.recall))

    def describe(self, before: SessionState, after: SessionState) -> str:
        how = "off" if self.recall is None else "on"
        way = self.recall is not None and self.recall.way != DEFAULT_WAY and f" ({self.recall.way})"
        return f"Memory {how} for {after.object(self.object).name}{way or ''}"


@dataclass(frozen=True)
class SetOverlap(Action, kind="set_overlap"):
    """Choose whose a voxel is that several objects claim; for the rules see `SessionState`."""

    object: None = field(default=None, init=False, repr=False)
    rule: OverlapRule

    def apply(self, state: SessionState) -> SessionState:
        return replace(state, overlap=self.rule)

    def describe(self, before: SessionState, after: SessionState) -> str:
        return f"Overlap: {OVERLAP_DESCRIPTIONS[self.rule]}"


def _legible(name: str) -> str:
    """Return a name as one line that every file can hold."""
    name = "".join(" " if category(sign) in _UNWRITABLE else sign for sign in name).strip()
    if not name:
        raise SessionError("The name of an object is empty.", "Give it a name.")
    return name
