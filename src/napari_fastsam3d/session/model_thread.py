"""The one thread in which a model is loaded and does all its work."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import ParamSpec, TypeVar

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.session.predictor import Predictor
from napari_fastsam3d.session.progress import Progress, silent

P = ParamSpec("P")
R = TypeVar("R")

_LOADING = "Loading the model"

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
        self._model = model
        self._device = device
        self._predictor = None if isinstance(model, str | PathLike) else model
        self._closed = False
        self._identity: int | None = None
        self._executor = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="fastsam3d-model", initializer=self._remember
        )

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
        return threading.get_ident() == self._identity

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def submit(self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a job in the thread, after those before it.

        Raises
        ------
        SessionError
            If the thread is closed.
        """
        try:
            return self._executor.submit(job, *args, **kwargs)
        except RuntimeError:
            raise SessionError("The model is closed.", "Make a new session.") from None

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
                self._predictor = load_model(_name_or_file(self._model), device=self._device)
            finally:
                progress(_LOADING, 1, 1)
        return self._predictor

    def close(self) -> None:
        """End the thread after the jobs it has; those of closed sessions take no time."""
        self._closed = True
        self._executor.shutdown(wait=not self.is_current)

    def _remember(self) -> None:
        self._identity = threading.get_ident()


def _wait_asleep() -> None:
    """Let torch's threads sleep while they wait for each other, if torch is not imported yet.

    By default they wait by counting. Where every processor has something else to do as well, such
    as drawing the window, the one that counts keeps from work the one that it waits for, and a
    click takes up to ten times as long. Where nothing else runs it makes no difference.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _name_or_file(model: str | PathLike[str]) -> str | Path:
    return model if isinstance(model, str) else Path(model)
