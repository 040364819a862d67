"""The signals of a session."""

import logging

from psygnal import EmitLoopError, Signal, SignalInstance

from napari_fastsam3d.session.journal.writer import JournalStatus
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.state import SessionState

_log = logging.getLogger(__name__)


class Signals:
    """The signals of a session.

    They are emitted in the thread in which their cause lies: `changed` mostly in the thread that
    called a command, `predicted`, `failed` and `progress` mostly in the model thread, but each may
    come from either. Listeners with a thread of their own, such as a window, bring them there
    themselves. No lock of the session is held while they are emitted. A listener must not wait
    for the model; one that raises is logged and does no harm to the session.
    """

    changed = Signal(SessionState)
    """The log changed: the state now."""

    predicted = Signal(Result)
    """The mask of an object changed, or was confirmed; never for a stale result."""

    failed = Signal(Exception)
    """The model failed: why. The action that asked for it was taken back."""

    progress = Signal(str, int, int)
    """Long work goes on: what, parts done, parts in all. It ends when both are equal."""

    journalled = Signal(JournalStatus)
    """How safe the session is, with each change that is written; in the journal's thread."""

    noted = Signal(str)
    """What the user should know, a sentence: that the model now computes elsewhere, that a
    journal was damaged, that replaying will differ."""

    def note(self, message: str) -> None:
        """Say what the user should know, by a signal and in the log of the program."""
        _log.warning("%s", message)
        emit(self.noted, message)

    def report_progress(self, what: str, done: int, of: int) -> None:
        """Say how far long work has come."""
        emit(self.progress, what, done, of)


def emit(signal: SignalInstance, *news: object) -> None:
    """Emit a signal; a listener that fails is logged, and does no harm to the session."""
    try:
        signal.emit(*news)
    except EmitLoopError:
        _log.exception("A listener to the session failed")
