"""How a session uses a journal, where it has one."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.model.predictor import ModelIdentity
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.saved_session import SavedSession
from napari_fastsam3d.session.journal.writer import JournalStatus, JournalWriter
from napari_fastsam3d.session.mask_cache import FinishedMask
from napari_fastsam3d.session.recollections import Recollections, said_to_json


class Autosave:
    """Passes on to a journal writer what is to be kept, and does nothing without one.

    Parameters
    ----------
    report : callable
        Given each `JournalStatus`.
    """

    def __init__(self, report: Callable[[JournalStatus], object]) -> None:
        self.writer: JournalWriter | None = None
        self.status = JournalStatus()
        self._on_status = report
        # Not the model itself, which would not be freed once another takes its place.
        self._model: dict[str, str] = {}

    def begin(
        self, writer: JournalWriter, history: History, instead: Path | None = None
    ) -> Future[SavedSession]:
        """Open a writer and keep from now on, with what was done so far.

        `instead` is as in `JournalWriter.open`.

        Returns
        -------
        Future of SavedSession
            What was found.

        Raises
        ------
        SessionError
            If there is a journal; then the writer is left alone.
        """
        if self.writer is not None:
            raise SessionError("The session has a journal.", "Go on with that one.")
        self.writer = writer
        found = writer.open(instead)
        self._keep_model()
        if history.entries:
            writer.record(history)
        return found

    def report(self, status: JournalStatus) -> None:
        """Remember and report how safe the session is."""
        self.status = status
        self._on_status(status)

    def written(self, history: History) -> "Future[None] | None":
        """Have the log written; the future is done when it is, or can't be."""
        return None if self.writer is None else self.writer.record(history)

    def keep_mask(self, number: int, finished: FinishedMask) -> None:
        """Have a finished mask written when there is time."""
        if self.writer is not None:
            self.writer.keep_mask(number, finished.prompts, finished.step.mask, finished.model)

    def keep_recollections(self, said: Recollections) -> None:
        """Have what the memory said written, so that the same is said of the same prompts."""
        if self.writer is not None and said.used():
            self.writer.keep_facts({"recalled": json.dumps(said_to_json(said.used()))})

    def uses(self, predictor: ModelIdentity) -> bool:
        """Learn with which model masks are made from now on; gives whether it is another one."""
        named = {"model": predictor.name, "fingerprint": predictor.fingerprint}
        if named == self._model:
            return False
        self._model = named
        self._keep_model()
        return True

    def wait(self) -> None:
        """Block until all is on disk."""
        if self.writer is not None:
            self.writer.wait()

    def close(self, wait: bool = True) -> None:
        """Write what is left; wait for that by default."""
        if self.writer is not None:
            self.writer.close(wait)

    def _keep_model(self) -> None:
        if self.writer is not None and self._model:
            self.writer.keep_facts(self._model)
