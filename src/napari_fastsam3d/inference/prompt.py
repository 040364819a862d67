"""What the user says about an object: points, boxes, masks to begin with, and what is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import NOWHERE
from napari_fastsam3d.inference.drawn_prompts import Edit, Freeze, PromptKey, Scribble
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter


@dataclass(frozen=True)
class Point:
    """A click on one voxel.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    index : tuple of int
        The voxel, source index.
    positive : bool
        Whether the voxel belongs to the object.
    """

    noun: ClassVar[str] = "point"

    id: int
    index: Index
    positive: bool = True

    @property
    def added_as(self) -> str:
        """What adding it is called, to be followed by the name of the object."""
        return "Point in" if self.positive else "Excluding point for"

    @property
    def key(self) -> PromptKey:
        """What the model is told; two prompts with one key have the same effect."""
        return ("point", self.index, self.positive)


@dataclass(frozen=True)
class BoxPrompt:
    """A box drawn around the object.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    box : Box
        The voxels it holds, half-open, source index; not empty.
    guessed : int or None
        The source axis along which its extent is a guess, as of a rectangle drawn in one slice:
        there the object may go on beyond it. None where all six sides are meant.
    """

    noun: ClassVar[str] = "box"

    id: int
    box: Box
    guessed: int | None = None

    @property
    def added_as(self) -> str:
        """What adding it is called, to be followed by the name of the object."""
        return "Box round"

    @property
    def key(self) -> PromptKey:
        """What the model is told; two prompts with one key have the same effect."""
        sides = ("box", self.box.start, self.box.stop)
        return sides if self.guessed is None else (*sides, self.guessed)

    def moved(self, box: Box) -> "BoxPrompt":
        """Return the prompt with another box, whose depth is meant once it was changed."""
        axis = self.guessed
        sides = [] if axis is None else [(b.start[axis], b.stop[axis]) for b in (self.box, box)]
        return BoxPrompt(self.id, box, axis if sides and sides[0] == sides[1] else None)


@dataclass(frozen=True)
class MaskPrompt:
    """A mask to go on from, such as one read from a file; the model may change all of it.

    It takes the place of what the prompts before it made.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    mask : PackedMask
        Source index.
    """

    noun: ClassVar[str] = "mask"

    id: int
    mask: PackedMask

    @property
    def added_as(self) -> str:
        """What adding it is called, to be followed by the name of the object."""
        return "Mask opened for"

    @property
    def key(self) -> PromptKey:
        """What it says; two prompts with one key have the same effect."""
        return ("mask", self.mask)


@dataclass(frozen=True)
class Choice:
    """Another of the candidates that the prompt before it may mean.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    rank : int
        Which: 0 for the smallest; past the largest it is that.
    """

    noun: ClassVar[str] = "choice"

    id: int
    rank: int

    @property
    def key(self) -> PromptKey:
        """What it says; two prompts with one key have the same effect."""
        return ("choice", self.rank)

    @property
    def added_as(self) -> str:
        """What adding it is called, before the name of the object."""
        return "Another candidate for"


Prompt = (
    Point
    | BoxPrompt
    | MaskPrompt
    | Edit
    | Freeze
    | Choice
    | Scribble
    | FindPrompt
    | FromMemory
    | WithAdapter
)


def locates(prompt: Prompt) -> bool:
    """Whether a prompt says where the object is, not only where it isn't."""
    match prompt:
        case Point() | Scribble():
            return prompt.positive
        case BoxPrompt() | FindPrompt():
            return True
        case MaskPrompt():
            return not prompt.mask.is_empty
        case Edit():
            return not prompt.added.is_empty
        case Freeze() | Choice() | FromMemory() | WithAdapter():
            return False


def place_of(prompt: Prompt) -> Box:
    """Return the source box of what a prompt is about; for an edit, of what it adds.

    It is empty for a choice, and for what a memory is asked.
    """
    match prompt:
        case Point():
            return Box.around_points([prompt.index])
        case BoxPrompt() | Freeze():
            return prompt.box
        case MaskPrompt():
            return prompt.mask.box
        case Edit():
            return prompt.added.box
        case Scribble():
            return prompt.voxels.box
        case Choice() | FindPrompt() | FromMemory() | WithAdapter():
            return NOWHERE


def asked_for(prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    """Return prompts without the choices at their end."""
    length = len(prompts)
    while length and isinstance(prompts[length - 1], Choice):
        length -= 1
    return prompts[:length]


def has_candidates(prompts: Sequence[Prompt]) -> bool:
    """Whether the newest prompt, choices left out, is one that may mean several things."""
    asked = asked_for(prompts)
    return bool(asked) and isinstance(asked[-1], Point | BoxPrompt)


def clicks_of(prompts: Sequence[Prompt]) -> list[Point]:
    """Return the points among prompts."""
    return [prompt for prompt in prompts if isinstance(prompt, Point)]
