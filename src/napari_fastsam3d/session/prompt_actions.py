"""What a user can do with the prompts of an object; written as `session/object_actions.py`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import dropwhile

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    Scribble,
    locates,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter
from napari_fastsam3d.memory.question import Way
from napari_fastsam3d.session.object_actions import NewObject
from napari_fastsam3d.session.state import (
    LATER,
    Action,
    ObjectState,
    OwnPrompt,
    SessionState,
    recall_for,
)

AdapterOf = Callable[[ObjectState | None], WithAdapter | None]


@dataclass(frozen=True)
class AddPrompt(Action, kind="add_prompt"):
    """Give an object one more prompt; where it is the session's next object, begin it.

    With the first one it is settled how earlier cases are recalled for it, and what answers.
    """

    object: int
    prompt: Prompt
    recall: FromMemory | None = field(default=None, metadata=LATER)
    adapter: WithAdapter | None = field(default=None, metadata=LATER)

    def apply(self, state: SessionState) -> SessionState:
        if self.object == state.next_object:
            state = NewObject(self.object).apply(state)
        own = state.object(self.object)
        earlier = own.prompts
        if isinstance(self.prompt, MaskPrompt | FindPrompt) and earlier:
            raise PromptError(
                f"A {self.prompt.noun} can only begin an object.", "Begin another object with it."
            )
        if not earlier and (own.recall, own.adapter) != (self.recall, self.adapter):
            begun = replace(state.unlocked(own.id), recall=self.recall, adapter=self.adapter)
            state = state.with_object(begun)
        return state.with_new_prompt(self.object, self.prompt)

    def recalling(self, state: SessionState, way: Way | None, adapter_of: AdapterOf) -> "AddPrompt":
        """Return the action by which an object that it begins recalls earlier cases in some way.

        `adapter_of` says which adapter answers for an object, or for a new one.
        """
        own = state.object(self.object) if state.has(self.object) else None
        if own is not None and own.prompts:
            return self
        return replace(self, recall=recall_for(own, way), adapter=adapter_of(own))

    def describe(self, before: SessionState, after: SessionState) -> str:
        return f"{self.prompt.added_as} {after.object(self.object).name}"


@dataclass(frozen=True)
class AddAutomatic(Action, kind="add_automatic", done="Segmented automatically"):
    """Begin an object, called like an adapted structure, with the mask that was found of it."""

    object: int
    name: str
    mask: MaskPrompt
    adapter: WithAdapter

    def apply(self, state: SessionState) -> SessionState:
        begun = NewObject(self.object, state.free_name(self.name)).apply(state)
        return AddPrompt(self.object, self.mask, adapter=self.adapter).apply(begun)


@dataclass(frozen=True)
class FindStructure(Action, kind="find_structure", done="Looked for"):
    """Begin an object, called like a remembered structure, with a search for that."""

    object: int
    prompt: FindPrompt

    def apply(self, state: SessionState) -> SessionState:
        name = state.free_name(self.prompt.structure)
        begun = NewObject(self.object, name).apply(state)
        return AddPrompt(self.object, self.prompt).apply(begun)


@dataclass(frozen=True)
class CleanUpObjects(Action, kind="clean_up_objects"):
    """Clean up several objects, all alike: one step, which gives each an edit of its own.

    The object that it is about is one of them, and stays the current one.
    """

    object: int
    edits: tuple[OwnPrompt, ...]

    def apply(self, state: SessionState) -> SessionState:
        after = state
        for own in self.edits:
            after = AddPrompt(own.object, own.prompt).apply(after)
        return replace(after, current=state.object(self.object).id)

    def describe(self, before: SessionState, after: SessionState) -> str:
        return f"{self.edits[0].prompt.added_as} {len(self.edits)} objects"


@dataclass(frozen=True)
class MovePrompt(Action, kind="move_prompt"):
    """Put a prompt elsewhere: a point to a source index, a box to another box.

    It keeps its place in the order of the prompts.
    """

    object: int
    prompt: int
    to: Index | Box

    def apply(self, state: SessionState) -> SessionState:
        prompt = state.object(self.object).prompt(self.prompt)
        return state.with_prompt(self.object, self._moved(prompt))

    def describe(self, before: SessionState, after: SessionState) -> str:
        own = after.object(self.object)
        return f"Moved {own.prompt(self.prompt).noun} of {own.name}"

    def _moved(self, prompt: Prompt) -> Prompt:
        match prompt, self.to:
            case Point(), (_, _, _):
                return replace(prompt, index=self.to)
            case BoxPrompt(), Box():
                return prompt.moved(self.to)
            case Freeze(), Box():
                return replace(prompt, box=self.to)
            case _:
                raise PromptError(
                    f"Prompt number {prompt.id} can't become another kind of prompt.",
                    "Move a point to a voxel, and a box to a box.",
                )


@dataclass(frozen=True)
class FlipPrompt(Action, kind="flip_prompt"):
    """Make a positive point or scribble negative, or a negative one positive."""

    object: int
    prompt: int

    def apply(self, state: SessionState) -> SessionState:
        prompt = state.object(self.object).prompt(self.prompt)
        if not isinstance(prompt, Point | Scribble):
            raise PromptError(
                "Only points, scribbles and lassos are positive or negative.", "Flip one of these."
            )
        return state.with_prompt(self.object, replace(prompt, positive=not prompt.positive))

    def describe(self, before: SessionState, after: SessionState) -> str:
        own = after.object(self.object)
        prompt = own.prompt(self.prompt)
        to = "include" if locates(prompt) else "exclude"
        return f"Flipped {prompt.noun} of {own.name} to {to}"


@dataclass(frozen=True)
class DeletePrompt(Action, kind="delete_prompt"):
    """Take one prompt away, whichever it is, and the choices among its candidates."""

    object: int
    prompt: int

    def apply(self, state: SessionState) -> SessionState:
        own = state.object(self.object)
        gone = own.prompt(self.prompt)
        place = own.prompts.index(gone)
        after = own.prompts[place + 1 :]
        if not isinstance(gone, Choice):
            after = tuple(dropwhile(lambda prompt: isinstance(prompt, Choice), after))
        return state.with_prompts(own.id, (*own.prompts[:place], *after))

    def describe(self, before: SessionState, after: SessionState) -> str:
        own = before.object(self.object)
        return f"Deleted {own.prompt(self.prompt).noun} of {own.name}"


@dataclass(frozen=True)
class ResetObject(Action, kind="reset_object", done="Reset"):
    """Take all prompts of an object away; it keeps its name, value and colour."""

    object: int

    def apply(self, state: SessionState) -> SessionState:
        return state.with_prompts(self.object, ())
