"""What the user draws by hand: strokes that add and erase, scribbles, lassos, frozen regions."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.inference.packed_mask import PackedMask

PromptKey = tuple[Hashable, ...]


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
