"""The one thread in which a model is loaded and does all its work."""

import os
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import ParamSpec, TypeVar

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import Answer, Question
from napari_fastsam3d.model.predictor import ModelIdentity, Predictor, Progress, silent
from napari_fastsam3d.session.model_runner import ModelRunner, Runner
from napari_fastsam3d.session.worker import Worker

P = ParamSpec("P")
R = TypeVar("R")

_LOADING = "Loading the model"
# How far threads count before they sleep. On two idle cores 3 000 and more make a click a quarter
# faster; beside another busy program it takes half as long again at 3 000, at 10 000 twice as long.
_COUNTED = "3000"
# Seconds that the end of the program waits for what the model computes.
_PATIENCE = 5.0

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
    def predictor(self) -> ModelIdentity | None:
        """The model, or what is known of it here; None until it is loaded."""
        return self._predictor

    @property
    def network_milliseconds(self) -> float | None:
        """What the network took of the last answer; None of a model that computes here."""
        return None

    @property
    def is_current(self) -> bool:
        """Whether this is being asked in the model thread itself."""
        return self._worker.is_current

    @property
    def has_waiting(self) -> bool:
        """Whether a job waits for the one that is being done."""
        return self._worker.has_waiting

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
        """Run a job in the thread, after those before it; SessionError if that is closed."""
        return self._worker.submit(job, *args, **kwargs)

    def load(self) -> "Future[ModelIdentity]":
        """Load the model ahead of its first use.

        Returns
        -------
        Future of Predictor, or of what is known here of a model elsewhere
            Fails with CheckpointError or DeviceError if it can't be loaded; the next use tries
            again.
        """
        return self.submit(self.obtain)

    def runner(
        self,
        volume: Volume,
        progress: Progress,
        note: Callable[[str], object],
        memory: MemoryBank | None = None,
        answers: dict[Question, Answer] | None = None,
    ) -> Runner:
        """Return what makes the masks of a volume in this thread; see `ModelRunner`."""
        return ModelRunner(volume, self, progress, note, memory, answers)

    def obtain(self, progress: Progress = silent) -> ModelIdentity:
        """Return the model, loading it if need be; to be called by jobs in the thread only."""
        return self.obtain_predictor(progress)

    def obtain_predictor(self, progress: Progress = silent) -> Predictor:
        """Return a model that computes here; see `obtain`."""
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
