"""What a session holds at one moment, and what each action makes of it: pure and immutable."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.session.action import (
    Action,
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    MovePrompt,
    NewObject,
    RemoveObject,
    RenameObject,
    ResetObject,
    SelectObject,
)
from napari_fastsam3d.session.colour import Colour, colour_of
from napari_fastsam3d.session.prompt import BoxPrompt, Point, Prompt


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
    """

    id: int
    name: str
    value: int
    colour: Colour
    prompts: tuple[Prompt, ...] = ()

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
    """

    objects: tuple[ObjectState, ...] = ()
    current: int | None = None
    next_object: int = 1
    next_prompt: int = 1

    def has(self, number: int) -> bool:
        """Whether there is an object of that id."""
        return any(o.id == number for o in self.objects)

    def object(self, number: int) -> ObjectState:
        """Return the object of that id; SessionError if there is none."""
        for candidate in self.objects:
            if candidate.id == number:
                return candidate
        raise SessionError(f"There is no object number {number}.", "Name an object of the session.")

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
        name without a letter.
    """
    raise TypeError(f"{action!r} is no action")


@apply.register
def _(action: AddPrompt, state: SessionState) -> SessionState:
    if action.object == state.next_object:
        state = apply(NewObject(action.object), state)
    if action.prompt.id < state.next_prompt:
        raise PromptError(f"There was a prompt number {action.prompt.id}.", "Number it anew.")
    grown = replace(state, next_prompt=action.prompt.id + 1, current=action.object)
    return _with_prompts(grown, action.object, lambda prompts: (*prompts, action.prompt))


@apply.register
def _(action: MovePrompt, state: SessionState) -> SessionState:
    prompt = state.object(action.object).prompt(action.prompt)
    return _with_prompt(state, action.object, _moved(prompt, action))


@apply.register
def _(action: FlipPrompt, state: SessionState) -> SessionState:
    prompt = state.object(action.object).prompt(action.prompt)
    if isinstance(prompt, BoxPrompt):
        raise PromptError("A box is neither positive nor negative.", "Flip a point.")
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
    name = f"object {number}" if action.name is None else _legible(action.name)
    added = ObjectState(number, name, number, colour_of(number))
    return replace(state, objects=(*state.objects, added), current=number, next_object=number + 1)


@apply.register
def _(action: SelectObject, state: SessionState) -> SessionState:
    return replace(state, current=state.object(action.object).id)


@apply.register
def _(action: RenameObject, state: SessionState) -> SessionState:
    name = _legible(action.name)
    return _with_object(state, replace(state.object(action.object), name=name))


@apply.register
def _(action: RemoveObject, state: SessionState) -> SessionState:
    gone = state.object(action.object)
    left = tuple(o for o in state.objects if o is not gone)
    if state.current != gone.id:
        return replace(state, objects=left)
    place = min(state.objects.index(gone), len(left) - 1)
    return replace(state, objects=left, current=left[place].id if left else None)


@apply.register
def _(action: ResetObject, state: SessionState) -> SessionState:
    return _with_prompts(state, action.object, lambda _: ())


def _moved(prompt: Prompt, action: MovePrompt) -> Prompt:
    if isinstance(prompt, Point) and not isinstance(action.to, Box):
        return replace(prompt, index=action.to)
    if isinstance(prompt, BoxPrompt) and isinstance(action.to, Box):
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
    owner = state.object(number)
    return _with_object(state, replace(owner, prompts=change(owner.prompts)))


def _with_object(state: SessionState, changed: ObjectState) -> SessionState:
    objects = tuple(changed if o.id == changed.id else o for o in state.objects)
    return replace(state, objects=objects)
