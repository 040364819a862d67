"""Prompts that a memory answers: what to recall for an object, and a structure to be found."""

from dataclasses import dataclass
from typing import ClassVar

from napari_fastsam3d.memory.question import Way


@dataclass(frozen=True)
class FromMemory:
    """How cases are recalled for an object; it stands before the object's own prompts.

    Parameters
    ----------
    way : "reader", "prior" or "published"
    structure : str or None
        What is recalled where it is remembered; None for an object without a name.
    without : tuple of str
        Ids of cases that are not to be used.
    """

    noun: ClassVar[str] = "memory"
    added_as: ClassVar[str] = "Memory for"

    way: Way
    structure: str | None = None
    without: tuple[str, ...] = ()

    @property
    def id(self) -> int:
        """No prompt of the user has it."""
        return 0

    @property
    def key(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What it says; two prompts with one key have the same effect."""
        return ("memory", self.way, self.structure or "", self.without)


@dataclass(frozen=True)
class WithAdapter:
    """The adapter that answers for an object; it stands before the object's own prompts.

    Parameters
    ----------
    structure : str
        What it was fitted to.
    identity : str
        What tells its weights from others, so that a later version changes no mask.
    """

    noun: ClassVar[str] = "adapter"
    added_as: ClassVar[str] = "Adapter for"

    structure: str
    identity: str

    @property
    def id(self) -> int:
        """No prompt of the user has it."""
        return 0

    @property
    def key(self) -> tuple[str, str]:
        """What it says; two prompts with one key have the same effect."""
        return ("adapter", self.identity)


@dataclass(frozen=True)
class FindPrompt:
    """A remembered structure that is to be found without a click.

    Parameters
    ----------
    id : int
        Its number, unique in the session.
    structure : str
    known : int
        How many cases of it were remembered then. With more it may be found elsewhere.
    """

    noun: ClassVar[str] = "search"
    added_as: ClassVar[str] = "Looked for"

    id: int
    structure: str
    known: int = 0

    @property
    def key(self) -> tuple[str, str, int]:
        """What it says; two prompts with one key have the same effect."""
        return ("find", self.structure, self.known)
