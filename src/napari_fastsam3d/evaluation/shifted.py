"""The same model, looking a little aside: how much a mask depends on where the crop lies."""

import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.session import BoxPrompt, Mask, ModelThread, Point
from napari_fastsam3d.session.replay import Replay


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

    def box(self, box: Box) -> Mask | None:
        """Answer as ever: the crop of a box has no place but around it."""
        return Replay(self.volume, self.predictor).step([BoxPrompt(1, box)]).mask

    def _aside(self, index: tuple[int, int, int]) -> tuple[float, float, float]:
        seed = zlib.crc32(repr(tuple(int(i) for i in index)).encode())
        x, y, z = np.random.default_rng(seed).uniform(-self.shift, self.shift, 3)
        return float(x), float(y), float(z)


@dataclass(frozen=True)
class ShiftedSegmenter:
    """A model whose first crops are moved aside, as far as chance has it.

    Attributes
    ----------
    name : str
        What tables call it.
    thread : ModelThread
        Keeps the model between structures.
    shift : float
        Crop voxels, at most, along each canonical axis.
    """

    name: str
    thread: ModelThread
    shift: float

    @property
    def fingerprint(self) -> str:
        """The hash of the weights; loads the model."""
        return self.thread.load().result().fingerprint

    @contextmanager
    def begin(self, volume: Volume) -> Generator[ShiftedAttempt, None, None]:
        """Begin a structure in a volume."""
        yield ShiftedAttempt(volume, self.thread.load().result(), self.shift)
