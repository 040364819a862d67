"""What a user can do to a session, one frozen record for each."""

from dataclasses import dataclass
from typing import Literal

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import MaskPrompt, Prompt
from napari_fastsam3d.session.colour import Colour

OverlapRule = Literal["keep", "overwrite", "share"]


@dataclass(frozen=True)
class AddPrompt:
    """Give object `object` one more prompt; where it is the session's next object, begin it."""

    object: int
    prompt: Prompt


@dataclass(frozen=True)
class MovePrompt:
    """Put a prompt elsewhere: a point to a source index, a box to another box.

    It keeps its place in the order of the prompts.
    """

    object: int
    prompt: int
    to: Index | Box


@dataclass(frozen=True)
class FlipPrompt:
    """Make a positive point negative, or a negative one positive."""

    object: int
    prompt: int


@dataclass(frozen=True)
class DeletePrompt:
    """Take one prompt away, whichever it is."""

    object: int
    prompt: int


@dataclass(frozen=True)
class NewObject:
    """Begin an object and make it the current one.

    Without a name it gets a default one, without a value the next free one. With a mask it
    begins with that, as its first prompt.
    """

    object: int
    name: str | None = None
    value: int | None = None
    mask: MaskPrompt | None = None


@dataclass(frozen=True)
class SelectObject:
    """Make an object the current one: the one that the next prompt belongs to."""

    object: int


@dataclass(frozen=True)
class RenameObject:
    """Give an object another name."""

    object: int
    name: str


@dataclass(frozen=True)
class RemoveObject:
    """Take an object away, with its prompts and its mask."""

    object: int


@dataclass(frozen=True)
class ResetObject:
    """Take all prompts of an object away; it keeps its name, value and colour."""

    object: int


@dataclass(frozen=True)
class RecolourObject:
    """Give an object another colour: red, green and blue in [0, 1]."""

    object: int
    colour: Colour


@dataclass(frozen=True)
class RevalueObject:
    """Give an object another value in label maps, 1 to 65535, that no other object has."""

    object: int
    value: int


@dataclass(frozen=True)
class LockObject:
    """Keep the mask of an object as it is: neither its prompts nor other objects change it.

    The mask is that which is shown when the action is done.
    """

    object: int
    mask: PackedMask


@dataclass(frozen=True)
class AcceptObject:
    """Lock an object and call it finished."""

    object: int
    mask: PackedMask


@dataclass(frozen=True)
class UnlockObject:
    """Let the mask of an object follow its prompts again; it is no longer finished."""

    object: int


@dataclass(frozen=True)
class SetOverlap:
    """Choose whose a voxel is that several objects claim.

    "keep": a locked object's, else the one's that was begun first; "overwrite": a locked
    object's, else the one's that has the newest prompt; "share": all hold it.
    """

    rule: OverlapRule

    @property
    def object(self) -> None:
        """It is about no object."""
        return None


Action = (
    AddPrompt
    | MovePrompt
    | FlipPrompt
    | DeletePrompt
    | NewObject
    | SelectObject
    | RenameObject
    | RemoveObject
    | ResetObject
    | RecolourObject
    | RevalueObject
    | LockObject
    | AcceptObject
    | UnlockObject
    | SetOverlap
)
