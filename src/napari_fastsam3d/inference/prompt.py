"""What the user says about an object: points, boxes, scribbles, a mask to begin with, strokes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory

PromptKey = (
    tuple[str, Index, bool]
    | tuple[str, Index, Index, int]
    | tuple[str, Index, Index]
    | tuple[str, PackedMask]
    | tuple[str, int]
    | tuple[str, PackedMask, PackedMask]
    | tuple[str, PackedMask, PackedMask, str]
    | tuple[str, PackedMask, bool]
    | tuple[str, str, str, tuple[str, ...]]
    | tuple[str, str, int]
)


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
class Edit:
    """Voxels that the user painted and erased; the model doesn't change them afterwards.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    added, removed : PackedMask
        Voxels that belong to the object, and that don't; one in both doesn't. Source index.
    by : CleanUp or None
        What cleaned the mask up, where that made the edit; None of what was drawn by hand. Around
        later clicks the model may change it again.
    """

    id: int
    added: PackedMask
    removed: PackedMask
    by: CleanUp | None = None

    @property
    def noun(self) -> str:
        """What it is called."""
        return "stroke" if self.by is None else "clean-up"

    @property
    def added_as(self) -> str:
        """What adding it is called, to be followed by the name of the object."""
        if self.by is not None:
            return self.by.done
        if self.removed.is_empty:
            return "Painted"
        return "Erased from" if self.added.is_empty else "Painted and erased"

    @property
    def key(self) -> PromptKey:
        """What it says; two prompts with one key have the same effect."""
        if self.by is not None:
            return ("edit", self.added, self.removed, "clean-up")
        return ("edit", self.added, self.removed)


@dataclass(frozen=True)
class Freeze:
    """A region in which the object stays as it is then, whatever later prompts change.

    A later edit there counts, and so does the very voxel of a later click.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    box : Box
        The voxels it holds, half-open, source index; not empty.
    """

    noun: ClassVar[str] = "frozen region"

    id: int
    box: Box

    @property
    def added_as(self) -> str:
        """What adding it is called, to be followed by the name of the object."""
        return "Froze a region of"

    @property
    def key(self) -> PromptKey:
        """What it says; two prompts with one key have the same effect."""
        return ("freeze", self.box.start, self.box.stop)


@dataclass(frozen=True)
class Scribble:
    """A line drawn in the object or beside it, or a region that was circled, a lasso.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    voxels : PackedMask
        What was drawn, of a lasso all that it holds; source index, not empty.
    positive : bool
        Whether it belongs to the object.
    filled : bool
        Whether it is a lasso.
    """

    id: int
    voxels: PackedMask
    positive: bool = True
    filled: bool = False

    @property
    def noun(self) -> str:
        """What it is called."""
        return "lasso" if self.filled else "scribble"

    @property
    def added_as(self) -> str:
        """What adding it is called, to be followed by the name of the object."""
        return f"{self.noun.capitalize()} in" if self.positive else f"Excluding {self.noun} for"

    @property
    def key(self) -> PromptKey:
        """What it says; two prompts with one key have the same effect."""
        return (self.noun, self.voxels, self.positive)


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
    Point | BoxPrompt | MaskPrompt | Edit | Freeze | Choice | Scribble | FindPrompt | FromMemory
)

_NOWHERE = Box((0, 0, 0), (0, 0, 0))


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
        case Freeze() | Choice() | FromMemory():
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
        case Choice() | FindPrompt() | FromMemory():
            return _NOWHERE


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
