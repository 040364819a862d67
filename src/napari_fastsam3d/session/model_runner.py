"""The model of a session, and what it remembers of the volume; lives in the model thread."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.model.progress import GoOn, Progress, always
from napari_fastsam3d.session.model_failure import card_is_full
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.request import Prompts

_ON_CPU = (
    "The graphics card ran out of memory, so the model now computes on the CPU: slower, with "
    "masks that may differ by a few voxels."
)


class Resident:
    """Makes masks of prompts with whatever model the thread has; to be used in that thread only.

    Parameters
    ----------
    volume : Volume
    thread : ModelThread
    progress : callable
        Told of long work.
    noted : callable
        Told what the user should know.
    """

    def __init__(
        self,
        volume: Volume,
        thread: ModelThread,
        progress: Progress,
        noted: Callable[[str], object],
    ) -> None:
        self._volume = volume
        self._thread = thread
        self._progress = progress
        self._noted = noted
        self._replay: Replay | None = None
        self._told = 0

    def ready(self) -> Replay:
        """Return the replay, the model loaded."""
        predictor = self._thread.obtain(self._progress)
        if self._replay is None or self._replay.predictor is not predictor:
            self._replay = Replay(self._volume, predictor, self._progress)
            self._told = 0
        return self._replay

    def step(self, prompts: Prompts, go_on: GoOn = always) -> Step:
        """Return what prompts make of an object, on the CPU where the GPU has too little room.

        `go_on` is asked between the parts of the work, and ends it by raising.
        """
        try:
            with self._asking(go_on) as replay:
                return replay.step(prompts)
        except Exception as error:
            if not (card_is_full(error) and self._thread.fall_back()):
                raise
        # Out of the handler, whose traceback would keep what fills the card.
        self._replay = None
        self._noted(_ON_CPU)
        with self._asking(go_on) as replay:
            return replay.step(prompts)

    def look_ahead(self, prompts: Prompts, click: Point, go_on: GoOn = always) -> bool:
        """See `Replay.look_ahead`; for `go_on` see `step`."""
        with self._asking(go_on) as replay:
            return replay.look_ahead(prompts, click)

    def foresee(self, prompts: Prompts, click: Point, go_on: GoOn = always) -> bool:
        """See `Replay.foresee`; for `go_on` see `step`."""
        with self._asking(go_on) as replay:
            return replay.foresee(prompts, click)

    def serves(self, prompts: Prompts) -> bool:
        """Whether what is being computed is part of what these prompts need."""
        return self._replay is not None and self._replay.serves(prompts)

    @contextmanager
    def _asking(self, go_on: GoOn) -> Generator[Replay]:
        replay = self.ready()
        replay.go_on = replay.predictor.before_block = go_on
        try:
            yield replay
        finally:
            replay.go_on = replay.predictor.before_block = always
            self._tell_notes(replay.predictor)

    def _tell_notes(self, predictor: Predictor) -> None:
        """Tell what a model says of itself, such as that it went on with the CPU, once."""
        notes = tuple(getattr(predictor, "notes", ()))
        for note in notes[self._told :]:
            self._noted(f"{predictor.name}: {note}")
        self._told = len(notes)

    def forget(self) -> None:
        """Drop what is remembered; may be called from any thread."""
        self._replay = None
