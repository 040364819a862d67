"""What makes masks in the model thread of prompts, with a model that computes there."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from napari_fastsam3d.errors import card_is_full
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.adapted import Adaptations
from napari_fastsam3d.inference.prompt import Point, Prompt
from napari_fastsam3d.inference.segmenter import BYTES_KEPT, Replay
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import Answer, Question
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.memory.remember import has_features
from napari_fastsam3d.model.predictor import GoOn, ModelIdentity, Predictor, Progress, always

_ON_CPU = (
    "The graphics card ran out of memory, so the model now computes on the CPU: slower, with "
    "masks that may differ by a few voxels."
)


class Interrupted(Exception):  # noqa: N818 - nothing went wrong: what was computed is not wanted
    """Ends a computation between two blocks of the model."""


class Runner(Protocol):
    """Makes masks of prompts, here or elsewhere; to be used in the model thread only.

    What it makes is a pure function of volume, model and prompts: whoever has these can go on.
    """

    def predictor(self) -> ModelIdentity:
        """Return the model, or what is known of it here, loaded."""
        ...

    def step(self, prompts: tuple[Prompt, ...], go_on: GoOn = always) -> Step:
        """Return what prompts make of an object; `go_on` is asked meanwhile, ends it by raising."""
        ...

    def candidates(self, prompts: tuple[Prompt, ...], go_on: GoOn = always) -> tuple[Step, ...]:
        """See `Replay.candidates`; for `go_on` see `step`."""
        ...

    def encode_speculatively(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn = always
    ) -> bool:
        """See `Replay.encode_speculatively`; for `go_on` see `step`."""
        ...

    def predict_speculatively(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn = always
    ) -> bool:
        """See `Replay.predict_speculatively`; for `go_on` see `step`."""
        ...

    def serves(self, prompts: tuple[Prompt, ...]) -> bool:
        """Whether what is being computed is part of what these prompts need."""
        ...

    def forget(self) -> None:
        """Drop what is remembered; may be called from any thread."""
        ...


class Loader(Protocol):
    """Loads the model that computes here, once."""

    def obtain_predictor(self, progress: Progress = ...) -> Predictor:
        """Return it, loading it if need be."""
        ...

    def fall_back(self) -> bool:
        """Let it be loaded on the CPU at its next use; False where it can't."""
        ...


class ModelRunner:
    """Makes masks of prompts with whatever model the thread has; to be used in that thread only.

    Parameters
    ----------
    volume : Volume
    loader : Loader
    progress : callable
        Told of long work.
    note : callable
        Told what the user should know.
    memory : MemoryBank, optional
        What earlier cases are recalled from.
    answers : dict of Question to Answer, optional
        What that said before; grows with each question.
    bytes_kept : int
        See `Replay`.

    Attributes
    ----------
    adapters : callable or None
        Finds an adapter by what tells its weights from others.
    """

    def __init__(
        self,
        volume: Volume,
        loader: Loader,
        progress: Progress,
        note: Callable[[str], object],
        memory: MemoryBank | None = None,
        answers: dict[Question, Answer] | None = None,
        bytes_kept: int = BYTES_KEPT,
    ) -> None:
        self._volume = volume
        self._loader = loader
        self._progress = progress
        self._note = note
        self._memory = memory
        self._answers = answers
        self._bytes_kept = bytes_kept
        self.adapters: Adaptations | None = None
        self._replay: Replay | None = None
        self._noted = 0

    def predictor(self) -> ModelIdentity:
        """Return the model, loaded."""
        return self.ready().predictor

    def ready(self) -> Replay:
        """Return the replay, the model loaded."""
        predictor = self._loader.obtain_predictor(self._progress)
        if self._replay is None or self._replay.predictor is not predictor:
            recall = self._recall(predictor)
            self._replay = Replay(
                self._volume,
                predictor,
                self._progress,
                self._bytes_kept,
                recall=recall,
                adapters=self.adapters,
            )
            self._noted = 0
        return self._replay

    def _recall(self, predictor: Predictor) -> Recall | None:
        if self._memory is None:
            return None
        if not has_features(predictor):
            if self._memory.index().entries:
                self._note(f"{predictor.name} has no features by which cases could be recalled.")
            return None
        return Recall(self._memory, predictor, self._volume, answers=self._answers)

    def step(self, prompts: tuple[Prompt, ...], go_on: GoOn = always) -> Step:
        """Return what prompts make of an object, on the CPU where the GPU has too little room.

        `go_on` is asked between the parts of the work, and ends it by raising.
        """
        try:
            with self._asking(go_on) as replay:
                return replay.step(prompts)
        except Exception as error:
            if not (card_is_full(error) and self._loader.fall_back()):
                raise
        # Out of the handler, whose traceback would keep what fills the card.
        self._replay = None
        self._note(_ON_CPU)
        with self._asking(go_on) as replay:
            return replay.step(prompts)

    def candidates(self, prompts: tuple[Prompt, ...], go_on: GoOn = always) -> tuple[Step, ...]:
        """See `Replay.candidates`; for `go_on` see `step`."""
        with self._asking(go_on) as replay:
            return replay.candidates(prompts)

    def encode_speculatively(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn = always
    ) -> bool:
        """See `Replay.encode_speculatively`; for `go_on` see `step`."""
        with self._asking(go_on) as replay:
            return replay.encode_speculatively(prompts, click)

    def predict_speculatively(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn = always
    ) -> bool:
        """See `Replay.predict_speculatively`; for `go_on` see `step`."""
        with self._asking(go_on) as replay:
            return replay.predict_speculatively(prompts, click)

    def serves(self, prompts: tuple[Prompt, ...]) -> bool:
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
            self._pass_notes_on(replay.predictor)

    def _pass_notes_on(self, predictor: Predictor) -> None:
        """Pass on what a model says of itself, such as that it went on with the CPU, once."""
        notes = tuple(getattr(predictor, "notes", ()))
        for note in notes[self._noted :]:
            self._note(f"{predictor.name}: {note}")
        self._noted = len(notes)

    def forget(self) -> None:
        """Drop what is remembered; may be called from any thread."""
        self._replay = None
