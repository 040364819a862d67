"""What is evaluated: anything that answers clicks and boxes with masks."""

import zlib
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.session import BoxPrompt, Mask, ModelThread, Point, Session

if TYPE_CHECKING:
    from napari_fastsam3d.model.adapter_store import AdapterStore


class Attempt(Protocol):
    """One structure of one volume being segmented."""

    def click(self, index: tuple[int, int, int], positive: bool) -> Mask:
        """Answer a click on a voxel, source index, and all before it."""
        ...

    def candidates(self) -> Sequence[Mask]:
        """Return what the newest click may mean; empty from what knows of one meaning only."""
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

    def candidates(self) -> Sequence[Mask]:
        """Return the session's candidates."""
        return [each.mask for each in self.session.candidates()]

    def box(self, box: Box) -> Mask | None:
        """Add a box."""
        self.session.add_box(box.start, box.stop)
        return self.session.region()


@dataclass(frozen=True)
class ModelSegmenter:
    """A segmenter whose model lives in a thread.

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

    def predictor(self) -> Predictor:
        """Return the model, which computes here, loaded."""
        return self.thread.submit(self.thread.obtain_predictor).result()


@dataclass(frozen=True)
class SessionSegmenter(ModelSegmenter):
    """A model, used through `Session` as the window uses it; see `ModelSegmenter`."""

    @contextmanager
    def begin(self, volume: Volume) -> Generator[SessionAttempt, None, None]:
        """Open a session on the volume."""
        with Session(volume, model=self.thread) as session:
            yield SessionAttempt(session)


@dataclass(frozen=True)
class AdaptedAttempt(SessionAttempt):
    """A session whose one object is called like the structure, which may be adapted.

    Attributes
    ----------
    unprompted : Mask or None
        What was segmented automatically, before any click; None where that was not asked for.
    """

    unprompted: Mask | None = None


@dataclass(frozen=True)
class AdaptedSegmenter(SessionSegmenter):
    """A model with the adapters of a store.

    Attributes
    ----------
    store : AdapterStore
    automatic : bool
        Whether adapted structures are segmented before the first click, which then corrects.
    structure : str
        What is being segmented.
    """

    store: "AdapterStore"
    automatic: bool = False
    structure: str = ""

    @property
    def fingerprint(self) -> str:
        """The hash of the weights, and of those of all adapters in use."""
        own = [super().fingerprint, *sorted(each.identity for each in self.store.in_use())]
        return sha256(" ".join(own).encode()).hexdigest()

    def of(self, structure: str) -> "AdaptedSegmenter":
        """Return it for a structure."""
        return replace(self, structure=structure)

    @contextmanager
    def begin(self, volume: Volume) -> Generator[AdaptedAttempt, None, None]:
        """Open a session on the volume, with an object of the structure's name."""
        with Session(volume, model=self.thread, adapters=self.store) as session:
            mask = None
            if self.automatic and self.store.has(self.structure):
                mask = session.segment_automatically([self.structure])[0].mask
            if mask is None or mask.is_empty:
                session.new_object(self.structure)
            yield AdaptedAttempt(session, mask)


@dataclass
class ShiftedAttempt:
    """The replay of clicks whose first crop lies aside."""

    volume: Volume
    predictor: Predictor
    shift: float
    prompts: list[Point] = field(default_factory=list)
    replay: Replay | None = None

    def click(self, index: tuple[int, int, int], positive: bool) -> Mask:
        """Add a point; the first one decides how far and whither crops are moved."""
        self.prompts.append(Point(len(self.prompts) + 1, index, positive))
        if self.replay is None:
            self.replay = Replay(self.volume, self.predictor, shift=self._aside(index))
        return self.replay.step(self.prompts).mask

    def candidates(self) -> Sequence[Mask]:
        """Return what the newest click may mean."""
        return [] if self.replay is None else [s.mask for s in self.replay.candidates(self.prompts)]

    def box(self, box: Box) -> Mask | None:
        """Answer as ever: the crop of a box has no place but around it."""
        return Replay(self.volume, self.predictor).step([BoxPrompt(1, box)]).mask

    def _aside(self, index: tuple[int, int, int]) -> tuple[float, float, float]:
        seed = zlib.crc32(repr(tuple(int(i) for i in index)).encode())
        x, y, z = np.random.default_rng(seed).uniform(-self.shift, self.shift, 3)
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class ShiftedSegmenter(ModelSegmenter):
    """A model whose first crops are moved aside, as far as chance has it; see `ModelSegmenter`.

    Attributes
    ----------
    shift : float
        Crop voxels, at most, along each canonical axis.
    """

    shift: float

    @contextmanager
    def begin(self, volume: Volume) -> Generator[ShiftedAttempt, None, None]:
        """Begin a structure in a volume."""
        yield ShiftedAttempt(volume, self.predictor(), self.shift)
