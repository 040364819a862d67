"""What is evaluated: anything that answers clicks and boxes with masks."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import Mask, ModelThread, Session


class Attempt(Protocol):
    """One structure of one volume being segmented."""

    def click(self, index: tuple[int, int, int], positive: bool) -> Mask:
        """Answer a click on a voxel, source index, and all before it."""
        ...

    def box(self, box: Box) -> Mask | None:
        """Answer a box, source index, given first; None from what knows no boxes."""
        ...


class Segmenter(Protocol):
    """Something that segments by clicks.

    Attributes
    ----------
    name : str
        What tables call it.
    fingerprint : str
        What tells it from others of its name, such as a hash of its weights.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - told by the class

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def begin(self, volume: Volume) -> AbstractContextManager[Attempt]:
        """Begin a structure in a volume; nothing is known from those before it."""
        ...


@dataclass(frozen=True)
class SessionAttempt:
    """A session whose one object is the structure."""

    session: Session

    def click(self, index: tuple[int, int, int], positive: bool) -> Mask:
        """Add a point."""
        self.session.add_point(index, positive=positive)
        return self.session.region()

    def box(self, box: Box) -> Mask | None:
        """Add a box."""
        self.session.add_box(box.start, box.stop)
        return self.session.region()


@dataclass(frozen=True)
class SessionSegmenter:
    """A model, used through `Session` as the window uses it.

    Attributes
    ----------
    name : str
        What tables call it.
    thread : ModelThread
        Keeps the model between structures.
    """

    name: str
    thread: ModelThread

    @property
    def fingerprint(self) -> str:
        """The hash of the weights; loads the model."""
        return self.thread.load().result().fingerprint

    @contextmanager
    def begin(self, volume: Volume) -> Generator[SessionAttempt, None, None]:
        """Open a session on the volume."""
        with Session(volume, model=self.thread) as session:
            yield SessionAttempt(session)
