"""What a session holds at one moment, and what each action makes of it: pure and immutable."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch
from itertools import chain, count

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Freeze, MaskPrompt, Point, Prompt
from napari_fastsam3d.session.actions import (
    AcceptObject,
    Action,
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    LockObject,
    MovePrompt,
    NewObject,
    OverlapRule,
    RecolourObject,
    RemoveObject,
    RenameObject,
    ResetObject,
    RevalueObject,
    SelectObject,
    SetOverlap,
    UnlockObject,
)
from napari_fastsam3d.session.colour import Colour, free_colour

HIGHEST_VALUE = 65535


@dataclass(frozen=True)
class ObjectState:
    """One structure being segmented.

    Parameters
    ----------
    id : int
        Its number, unique in the session, 1 or more in order of creation.
    name : str
        What the user calls it.
    value : int
        Its value in a label map; it stays when other objects are removed.
    colour : tuple of float
        Red, green and blue in [0, 1].
    prompts : tuple of Prompt
        In the order in which the model gets them.
    locked : PackedMask or None
        The mask that the object keeps, whatever happens around it; None while it isn't locked.
    accepted : bool
        Whether the user called it finished; only of locked objects.
    """

    id: int
    name: str
    value: int
    colour: Colour
    prompts: tuple[Prompt, ...] = ()
    locked: PackedMask | None = None
    accepted: bool = False

    def prompt(self, number: int) -> Prompt:
        """Return the prompt of that id; PromptError if the object has none."""
        for prompt in self.prompts:
            if prompt.id == number:
                return prompt
        raise PromptError(
            f"{self.name} has no prompt number {number}.", "Name a prompt that it has."
        )


@dataclass(frozen=True)
class SessionState:
    """All objects and their prompts.

    Parameters
    ----------
    objects : tuple of ObjectState
        In order of creation.
    current : int or None
        Id of the object that the next prompt belongs to; None before the first.
    next_object, next_prompt : int
        Ids that the next object and the next prompt get.
    overlap : {"keep", "overwrite", "share"}
        Whose a voxel is that several objects claim; see `SetOverlap`.
    """

    objects: tuple[ObjectState, ...] = ()
    current: int | None = None
    next_object: int = 1
    next_prompt: int = 1
    overlap: OverlapRule = "keep"

    def has(self, number: int) -> bool:
        """Whether there is an object of that id."""
        return any(o.id == number for o in self.objects)

    def object(self, number: int) -> ObjectState:
        """Return the object of that id; SessionError if there is none."""
        for candidate in self.objects:
            if candidate.id == number:
                return candidate
        raise SessionError(f"There is no object number {number}.", "Name an object of the session.")

    def free_value(self, wanted: int) -> int:
        """Return a label value that no object has: the wanted one, or the next."""
        used = {each.value for each in self.objects}
        return next(value for value in count(wanted) if value not in used)

    def named(self, name: str) -> ObjectState | None:
        """Return the object of that name, if there is one; capitals don't tell names apart."""
        told = name.strip().casefold()
        return next((each for each in self.objects if each.name.casefold() == told), None)

    def free_name(self, wanted: str) -> str:
        """Return a name that no object has: the wanted one, or that with a number."""
        numbered = (f"{wanted} ({number})" for number in count(2))
        return next(name for name in chain([wanted], numbered) if self.named(name) is None)

    def owner(self, prompt: int) -> ObjectState:
        """Return the object that has the prompt of that id; PromptError if none has."""
        for candidate in self.objects:
            if any(p.id == prompt for p in candidate.prompts):
                return candidate
        raise PromptError(
            f"There is no prompt number {prompt}.", "Name a point or box of the session."
        )


@singledispatch
def apply(action: Action, state: SessionState) -> SessionState:
    """Return the state after an action.

    Raises
    ------
    SessionError, PromptError
        If the action makes no sense in that state: an object or prompt that isn't there, a
        name without a letter, a value that another object has, a change to a locked object.
    """
    raise TypeError(f"{action!r} is no action")


@apply.register
def _(action: AddPrompt, state: SessionState) -> SessionState:
    if action.object == state.next_object:
        state = apply(NewObject(action.object), state)
    if action.prompt.id < state.next_prompt:
        raise PromptError(f"There was a prompt number {action.prompt.id}.", "Number it anew.")
    if isinstance(action.prompt, MaskPrompt) and state.object(action.object).prompts:
        raise PromptError("A mask can only begin an object.", "Begin another object with it.")
    grown = replace(state, next_prompt=action.prompt.id + 1, current=action.object)
    return _with_prompts(grown, action.object, lambda prompts: (*prompts, action.prompt))


@apply.register
def _(action: MovePrompt, state: SessionState) -> SessionState:
    prompt = state.object(action.object).prompt(action.prompt)
    return _with_prompt(state, action.object, _moved(prompt, action))


@apply.register
def _(action: FlipPrompt, state: SessionState) -> SessionState:
    prompt = state.object(action.object).prompt(action.prompt)
    if not isinstance(prompt, Point):
        raise PromptError("Only a point is positive or negative.", "Flip a point.")
    return _with_prompt(state, action.object, replace(prompt, positive=not prompt.positive))


@apply.register
def _(action: DeletePrompt, state: SessionState) -> SessionState:
    gone = state.object(action.object).prompt(action.prompt)
    return _with_prompts(
        state, action.object, lambda prompts: tuple(p for p in prompts if p != gone)
    )


@apply.register
def _(action: NewObject, state: SessionState) -> SessionState:
    number = action.object
    if number < state.next_object:
        raise SessionError(f"There was an object number {number}.", "Number it anew.")
    unnamed = state.free_name(f"object {number}")
    name = unnamed if action.name is None else _legible(action.name)
    value = state.free_value(number) if action.value is None else action.value
    colour = free_colour(value, [each.colour for each in state.objects])
    added = ObjectState(number, name, _free(value, state), colour)
    begun = replace(state, objects=(*state.objects, added), current=number, next_object=number + 1)
    return begun if action.mask is None else apply(AddPrompt(number, action.mask), begun)


@apply.register
def _(action: SelectObject, state: SessionState) -> SessionState:
    return replace(state, current=state.object(action.object).id)


@apply.register
def _(action: RenameObject, state: SessionState) -> SessionState:
    name = _legible(action.name)
    return _with_object(state, replace(state.object(action.object), name=name))


@apply.register
def _(action: RemoveObject, state: SessionState) -> SessionState:
    gone = _unlocked(state, action.object)
    left = tuple(o for o in state.objects if o is not gone)
    if state.current != gone.id:
        return replace(state, objects=left)
    place = min(state.objects.index(gone), len(left) - 1)
    return replace(state, objects=left, current=left[place].id if left else None)


@apply.register
def _(action: ResetObject, state: SessionState) -> SessionState:
    return _with_prompts(state, action.object, lambda _: ())


@apply.register
def _(action: RecolourObject, state: SessionState) -> SessionState:
    if not all(0 <= part <= 1 for part in action.colour):
        raise SessionError(
            f"{action.colour} is no colour.", "Give red, green and blue between 0 and 1."
        )
    return _with_object(state, replace(state.object(action.object), colour=action.colour))


@apply.register
def _(action: RevalueObject, state: SessionState) -> SessionState:
    own = state.object(action.object)
    value = action.value if action.value == own.value else _free(action.value, state)
    return _with_object(state, replace(own, value=value))


@apply.register
def _(action: LockObject, state: SessionState) -> SessionState:
    own = _unlocked(state, action.object)
    return _with_object(state, replace(own, locked=action.mask))


@apply.register
def _(action: AcceptObject, state: SessionState) -> SessionState:
    own = state.object(action.object)
    mask = action.mask if own.locked is None else own.locked
    return _with_object(state, replace(own, locked=mask, accepted=True))


@apply.register
def _(action: UnlockObject, state: SessionState) -> SessionState:
    return _with_object(state, replace(state.object(action.object), locked=None, accepted=False))


@apply.register
def _(action: SetOverlap, state: SessionState) -> SessionState:
    return replace(state, overlap=action.rule)


def _unlocked(state: SessionState, number: int) -> ObjectState:
    own = state.object(number)
    if own.locked is not None:
        raise SessionError(f"{own.name} is locked.", "Unlock it, or work on another object.")
    return own


def _free(value: int, state: SessionState) -> int:
    """Return a label value after checking that an object may have it."""
    if not 1 <= value <= HIGHEST_VALUE:
        raise SessionError(
            f"{value} can't be the value of an object.", f"Give one from 1 to {HIGHEST_VALUE}."
        )
    for each in state.objects:
        if each.value == value:
            raise SessionError(f"{each.name} has the value {value}.", "Choose another value.")
    return value


def _moved(prompt: Prompt, action: MovePrompt) -> Prompt:
    if isinstance(prompt, Point) and not isinstance(action.to, Box):
        return replace(prompt, index=action.to)
    if isinstance(prompt, BoxPrompt) and isinstance(action.to, Box):
        return prompt.moved(action.to)
    if isinstance(prompt, Freeze) and isinstance(action.to, Box):
        return replace(prompt, box=action.to)
    raise PromptError(
        f"Prompt number {prompt.id} can't become another kind of prompt.",
        "Move a point to a voxel, and a box to a box.",
    )


def _legible(name: str) -> str:
    name = name.strip()
    if not name:
        raise SessionError("The name of an object is empty.", "Give it a name.")
    return name


def _with_prompt(state: SessionState, number: int, changed: Prompt) -> SessionState:
    return _with_prompts(
        state,
        number,
        lambda prompts: tuple(changed if p.id == changed.id else p for p in prompts),
    )


def _with_prompts(
    state: SessionState,
    number: int,
    change: Callable[[tuple[Prompt, ...]], tuple[Prompt, ...]],
) -> SessionState:
    owner = _unlocked(state, number)
    return _with_object(state, replace(owner, prompts=change(owner.prompts)))


def _with_object(state: SessionState, changed: ObjectState) -> SessionState:
    objects = tuple(changed if o.id == changed.id else o for o in state.objects)
    return replace(state, objects=objects)
