"""What a session holds at one moment, immutable, and what an action is that leads to another."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import ClassVar, Literal

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.io.segment import Colour
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.inference.recall_prompts import FromMemory, WithAdapter
from napari_fastsam3d.memory.question import Way

HIGHEST_VALUE = 65535

LATER = {"later": True}
"""Marks a field that actions of earlier versions lack; it is written where it isn't None."""

_UNNAMED = re.compile(r"object \d+( \(\d+\))?")

OverlapRule = Literal["keep", "overwrite", "share"]


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
    recall : FromMemory or None
        How earlier cases are recalled for it, as chosen when its first prompt came or later; None
        where none are. Another name changes nothing of it.
    adapter : WithAdapter or None
        What answers for it in the model's place, as chosen when its first prompt came; None where
        the model itself does. Another name changes nothing of it.
    """

    id: int
    name: str
    value: int
    colour: Colour
    prompts: tuple[Prompt, ...] = ()
    locked: PackedMask | None = None
    accepted: bool = False
    recall: FromMemory | None = None
    adapter: WithAdapter | None = None

    @property
    def is_named(self) -> bool:
        """Whether the user gave it a name."""
        return _UNNAMED.fullmatch(self.name) is None

    @property
    def told(self) -> tuple[Prompt, ...]:
        """What its mask is made of: how to recall, what answers, and then its prompts."""
        if not self.prompts:
            return ()
        context = (self.recall, self.adapter)
        return (*(each for each in context if each is not None), *self.prompts)

    def prompt(self, number: int) -> Prompt:
        """Return the prompt of that id; PromptError if the object has none."""
        for prompt in self.prompts:
            if prompt.id == number:
                return prompt
        raise PromptError(
            f"{self.name} has no prompt number {number}.", "Name a prompt that it has."
        )


@dataclass(frozen=True)
class OwnPrompt:
    """A prompt, and the id of the object that it is for."""

    object: int
    prompt: Prompt


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
        Whose a voxel is that several objects claim. "keep": a locked object's, else the one's that
        was begun first; "overwrite": a locked object's, else the one's that has the newest prompt;
        "share": all hold it.
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

    def chosen(self, number: int | None) -> ObjectState:
        """Return the object of that id, by default the current one; SessionError if none."""
        number = self.current if number is None else number
        if number is None:
            raise SessionError("There is no object yet.", "Add a point or a box first.")
        return self.object(number)

    @property
    def target(self) -> int:
        """The object that a new prompt belongs to: the current one, or else a new one."""
        return self.next_object if self.current is None else self.current

    def free_value(self, wanted: int) -> int:
        """Return a label value that no object has: the wanted one, or the next."""
        used = {each.value for each in self.objects}
        return next(value for value in count(wanted) if value not in used)

    def named(self, name: str) -> ObjectState | None:
        """Return the object of that name, if there is one; capitals don't tell names apart."""
        wanted = name.strip().casefold()
        return next((each for each in self.objects if each.name.casefold() == wanted), None)

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

    def unlocked(self, number: int) -> ObjectState:
        """Return the object of that id; SessionError if there is none, or it is locked."""
        found = self.object(number)
        if found.locked is not None:
            raise SessionError(f"{found.name} is locked.", "Unlock it, or work on another object.")
        return found

    def with_object(self, changed: ObjectState) -> "SessionState":
        """Return the state with another object in the place of the one of the same id."""
        objects = tuple(changed if each.id == changed.id else each for each in self.objects)
        return replace(self, objects=objects)

    def with_prompts(self, number: int, prompts: tuple[Prompt, ...]) -> "SessionState":
        """Return the state with other prompts of an object; SessionError if it is locked."""
        return self.with_object(replace(self.unlocked(number), prompts=prompts))

    def with_new_prompt(self, number: int, prompt: Prompt) -> "SessionState":
        """Return the state with one more prompt of an object, which becomes the current one.

        SessionError if that is locked; PromptError if there was a prompt of that id.
        """
        if prompt.id < self.next_prompt:
            raise PromptError(f"There was a prompt number {prompt.id}.", "Number it anew.")
        grown = replace(self, next_prompt=prompt.id + 1, current=number)
        return grown.with_prompts(number, (*self.object(number).prompts, prompt))

    def with_prompt(self, number: int, changed: Prompt) -> "SessionState":
        """Return the state with another prompt in the place of an object's one of the same id."""
        prompts = self.object(number).prompts
        return self.with_prompts(
            number, tuple(changed if each.id == changed.id else each for each in prompts)
        )

    def check_value(self, value: int) -> int:
        """Return a label value that an object may get; SessionError if it is taken or none."""
        if not 1 <= value <= HIGHEST_VALUE:
            raise SessionError(
                f"{value} can't be the value of an object.", f"Give one from 1 to {HIGHEST_VALUE}."
            )
        for each in self.objects:
            if each.value == value:
                raise SessionError(f"{each.name} has the value {value}.", "Choose another value.")
        return value


def recall_for(
    each: ObjectState | None, way: Way | None, without: tuple[str, ...] = ()
) -> FromMemory | None:
    """Return how earlier cases are recalled for an object of that name, or for a new one."""
    if way is None:
        return None
    return FromMemory(way, each.name if each is not None and each.is_named else None, without)


def worked_on(state: SessionState) -> tuple[str, ...]:
    """Return the names of the objects that have prompts."""
    return tuple(each.name for each in state.objects if each.prompts)


@dataclass(frozen=True)
class Action(ABC):
    """One step of the log: something that the user did.

    Parameters
    ----------
    object : int or None
        Id of the object that it is about; None where it is about none.

    Attributes
    ----------
    kind : str
        Its name in journals and files of prompts, which never changes.
    done : str
        What it did, to be followed by the name of the object.
    """

    kinds: ClassVar[dict[str, type["Action"]]] = {}
    kind: ClassVar[str]
    done: ClassVar[str]

    object: int | None

    def __init_subclass__(cls, kind: str, done: str = "Changed") -> None:
        cls.kind, cls.done = kind, done
        Action.kinds[kind] = cls

    @abstractmethod
    def apply(self, state: SessionState) -> SessionState:
        """Return the state after the action.

        Raises
        ------
        SessionError, PromptError
            If it makes no sense in that state: an object or prompt that isn't there, a name
            without a letter, a value that another object has, a change to a locked object.
        """

    def describe(self, before: SessionState, after: SessionState) -> str:
        """Say in a few words what it did, with the names that the objects had then.

        Parameters
        ----------
        before, after : SessionState
            The states that it led from and to.
        """
        name = "session" if self.object is None else after.object(self.object).name
        return f"{self.done} {name}"
