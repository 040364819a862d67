"""How a session uses a journal, where it has one."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.store import Kept
from napari_fastsam3d.session.journal.writer import JournalStatus, Recorder
from napari_fastsam3d.session.request import Shown


class Keeping:
    """Passes on to a recorder what is to be kept, and does nothing without one.

    Parameters
    ----------
    tell : callable
        Told each `JournalStatus`.
    """

    def __init__(self, tell: Callable[[JournalStatus], object]) -> None:
        self.recorder: Recorder | None = None
        self.status = JournalStatus()
        self._tell = tell
        # Not the model itself, which would not be freed once another takes its place.
        self._model: dict[str, str] = {}

    def begin(
        self, recorder: Recorder, history: History, instead: Path | None = None
    ) -> Future[Kept]:
        """Open a recorder and keep from now on, with what was done so far.

        `instead` is as in `Recorder.open`.

        Returns
        -------
        Future of Kept
            What was found.

        Raises
        ------
        SessionError
            If there is a journal; then the recorder is left alone.
        """
        if self.recorder is not None:
            raise SessionError("The session has a journal.", "Go on with that one.")
        self.recorder = recorder
        found = recorder.open(instead)
        self._keep_model()
        if history.entries:
            recorder.record(history)
        return found

    def tell(self, status: JournalStatus) -> None:
        """Remember and tell how safe the session is."""
        self.status = status
        self._tell(status)

    def written(self, history: History) -> "Future[None] | None":
        """Have the log written; the future is done when it is, or can't be."""
        return None if self.recorder is None else self.recorder.record(history)

    def keep_mask(self, number: int, shown: Shown) -> None:
        """Have a finished mask written when there is time."""
        if self.recorder is not None:
            self.recorder.keep_mask(number, shown.prompts, shown.step.mask, shown.model)

    def uses(self, predictor: Predictor) -> bool:
        """Learn with which model masks are made from now on; gives whether it is another one."""
        named = {"model": predictor.name, "fingerprint": predictor.fingerprint}
        if named == self._model:
            return False
        self._model = named
        self._keep_model()
        return True

    def wait(self) -> None:
        """Block until all is on disk."""
        if self.recorder is not None:
            self.recorder.wait()

    def close(self, wait: bool = True) -> None:
        """Write what is left; wait for that by default."""
        if self.recorder is not None:
            self.recorder.close(wait)

    def _keep_model(self) -> None:
        if self.recorder is not None and self._model:
            self.recorder.keep_facts(self._model)
