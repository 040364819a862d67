"""The one thread in which a model is loaded and does all its work, and that work."""

import os
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import ParamSpec, TypeVar

from napari_fastsam3d.errors import SessionError, card_is_full
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.prompt import Point, Prompt
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import Answer, Question
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.memory.remember import has_features
from napari_fastsam3d.model.predictor import GoOn, Predictor, Progress, always, silent
from napari_fastsam3d.session.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")

_LOADING = "Loading the model"
# How far threads count before they sleep. On two idle cores 3 000 and more make a click a quarter
# faster; beside another busy program it takes half as long again at 3 000, at 10 000 twice as long.
_COUNTED = "3000"
# Seconds that the end of the program waits for what the model computes.
_PATIENCE = 5.0
_ON_CPU = (
    "The graphics card ran out of memory, so the model now computes on the CPU: slower, with "
    "masks that may differ by a few voxels."
)

Model = str | PathLike[str] | Predictor


class ModelThread:
    """A model and the long-lived thread that it lives in.

    Loading, encoding and every click run there, one after the other: the plans that cuDNN makes
    are kept by thread, and a fresh thread for each click would make them anew. Give one to
    several sessions, such as those of one window, and the model is loaded once.

    Parameters
    ----------
    model : str, path or Predictor
        A name of the zoo or a file of weights, loaded in the thread at first use; or a model
        that is loaded already.
    device : str
        Where a model yet to be loaded is to compute: "auto", "cpu", "cuda", "cuda:1", "mps".
    """

    def __init__(self, model: Model = "default", device: str = "auto") -> None:
        self._model: Model | None = model
        self._device = device
        self._predictor = None if isinstance(model, str | PathLike) else model
        self._closed = False
        self._worker = Worker("model", _PATIENCE)

    def __enter__(self) -> "ModelThread":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def predictor(self) -> Predictor | None:
        """The model; None until it is loaded."""
        return self._predictor

    @property
    def is_current(self) -> bool:
        """Whether this is being asked in the model thread itself."""
        return self._worker.is_current

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def check_may_wait(self) -> None:
        """Raise SessionError where this is called in the thread, which would wait for itself."""
        if self.is_current:
            raise SessionError(
                "A command that waits was called in the model thread, which would wait for itself.",
                "Call it in another thread, or use the commands of session.futures.",
            )

    def submit(self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a job in the thread, after those before it.

        Raises
        ------
        SessionError
            If the thread is closed.
        """
        return self._worker.submit(job, *args, **kwargs)

    def load(self) -> "Future[Predictor]":
        """Load the model ahead of its first use.

        Returns
        -------
        Future of Predictor
            Fails with CheckpointError or DeviceError if it can't be loaded; the next use tries
            again.
        """
        return self.submit(self.obtain)

    def obtain(self, progress: Progress = silent) -> Predictor:
        """Return the model, loading it if need be; to be called by jobs in the thread only."""
        if self._predictor is None:
            assert isinstance(self._model, str | PathLike)
            _wait_asleep()
            # Imported here, so that torch's seconds are spent in this thread.
            from napari_fastsam3d.model import load_model

            progress(_LOADING, 0, 1)
            try:
                model = self._model if isinstance(self._model, str) else Path(self._model)
                self._predictor = load_model(model, device=self._device)
            finally:
                progress(_LOADING, 1, 1)
        return self._predictor

    def fall_back(self) -> bool:
        """Let a model that computes elsewhere be loaded on the CPU at its next use.

        Returns
        -------
        bool
            False where it does so already, or was given and can't be loaded again.
        """
        named = isinstance(self._model, str | PathLike)
        if not named or self._predictor is None or str(self._predictor.device) == "cpu":
            return False
        self._device, self._predictor = "cpu", None
        return True

    def close(self) -> None:
        """End the thread after the jobs it has, and let the model go; waits for nothing.

        Jobs of closed sessions take no time, and the one that runs ends at the model's next block.
        """
        if not self._closed:
            self._closed = True
            with suppress(SessionError):  # at the end of the program the worker ended by itself
                self._worker.submit(self._let_go)
            self._worker.close(wait=False)

    def _let_go(self) -> None:
        """Free the model, on the graphics card too, however long this object lives."""
        self._model = self._predictor = None
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.empty_cache()


class Interrupted(Exception):  # noqa: N818 - nothing went wrong: what was computed is not wanted
    """Ends a computation between two blocks of the model."""


class ModelRunner:
    """Makes masks of prompts with whatever model the thread has; to be used in that thread only.

    Parameters
    ----------
    volume : Volume
    thread : ModelThread
    progress : callable
        Told of long work.
    note : callable
        Told what the user should know.
    memory : MemoryBank, optional
        What earlier cases are recalled from.
    answers : dict of Question to Answer, optional
        What that said before; grows with each question.
    """

    def __init__(
        self,
        volume: Volume,
        thread: ModelThread,
        progress: Progress,
        note: Callable[[str], object],
        memory: MemoryBank | None = None,
        answers: dict[Question, Answer] | None = None,
    ) -> None:
        self._volume = volume
        self._thread = thread
        self._progress = progress
        self._note = note
        self._memory = memory
        self._answers = answers
        self._replay: Replay | None = None
        self._noted = 0

    def ready(self) -> Replay:
        """Return the replay, the model loaded."""
        predictor = self._thread.obtain(self._progress)
        if self._replay is None or self._replay.predictor is not predictor:
            recall = self._recall(predictor)
            self._replay = Replay(self._volume, predictor, self._progress, recall=recall)
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
            if not (card_is_full(error) and self._thread.fall_back()):
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


def _wait_asleep() -> None:
    """Let torch's threads sleep while they wait for each other, if torch is not imported yet.

    By default they wait by counting. Where every processor has something else to do as well, such
    as drawing the window, the one that counts keeps from work the one that it waits for, and a
    click takes up to ten times as long. Going to sleep at once would cost a third of a click on a
    machine that does nothing else; so they count for a moment first, which GNU's OpenMP can.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", _COUNTED)
