"""How a session uses a journal, where it has one."""

from collections.abc import Callable
from concurrent.futures import Future

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal import Kept
from napari_fastsam3d.session.mask import Mask
from napari_fastsam3d.session.predictor import Predictor
from napari_fastsam3d.session.recorder import JournalStatus, Recorder
from napari_fastsam3d.session.request import Prompts

_DIFFERS = (
    "The masks were made with another model. They stay as they are until their prompts change; "
    "then they are made anew with this one, and will differ."
)


class Keeping:
    """Passes on to a recorder what is to be kept, and does nothing without one.

    Parameters
    ----------
    tell : callable
        Told each `JournalStatus`.
    noted : callable
        Told what the user should know.
    """

    def __init__(
        self, tell: Callable[[JournalStatus], object], noted: Callable[[str], object]
    ) -> None:
        self.recorder: Recorder | None = None
        self.status = JournalStatus()
        self._tell = tell
        self._noted = noted
        self._predictor: Predictor | None = None
        self._made_with: str | None = None

    def begin(self, recorder: Recorder, history: History) -> Future[Kept]:
        """Open a recorder and keep from now on, with what was done so far.

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
        found = recorder.open()
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

    def keep_mask(self, number: int, prompts: Prompts, mask: Mask) -> None:
        """Have a finished mask written when there is time."""
        if self.recorder is not None:
            model = "" if self._predictor is None else self._predictor.fingerprint
            self.recorder.keep_mask(number, prompts, mask, model)

    def resumed(self, fingerprint: str | None) -> None:
        """Learn with which model the masks were made that the session goes on with."""
        self._made_with = fingerprint
        self._compare()

    def uses(self, predictor: Predictor) -> None:
        """Learn with which model masks are made from now on."""
        if predictor is not self._predictor:
            self._predictor = predictor
            self._keep_model()
            self._compare()

    def wait(self) -> None:
        """Block until all is on disk."""
        if self.recorder is not None:
            self.recorder.wait()

    def close(self) -> None:
        """Write what is left."""
        if self.recorder is not None:
            self.recorder.close()

    @property
    def replay_differs(self) -> bool:
        """Whether masks of a journal were made with another model than the one there is now."""
        if self._predictor is None or self._made_with is None:
            return False
        return self._made_with != self._predictor.fingerprint

    def _keep_model(self) -> None:
        if self.recorder is not None and self._predictor is not None:
            named = {"model": self._predictor.name, "fingerprint": self._predictor.fingerprint}
            self.recorder.keep_facts(named)

    def _compare(self) -> None:
        if self.replay_differs:
            self._noted(_DIFFERS)
