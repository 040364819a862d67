# pyright: basic
"""From the model thread to the main thread, and an end that comes exactly once."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any

from napari.utils.notifications import (
    ErrorNotification,
    notification_manager,
    show_error,
    show_info,
)
from qtpy.QtCore import (
    QCoreApplication,
    QObject,
    Qt,
    QTimer,
    Signal,  # pyright: ignore[reportPrivateImportUsage]
)

from napari_fastsam3d.errors import FastSAM3DError


class Mailbox(QObject):
    """Calls functions in the main thread, in the order in which other threads sent them.

    It is made in the main thread and belongs to the application. superqt's `ensure_main_thread`
    makes a QObject for each call instead, which dies in whichever thread lets go of it last; under
    PySide6 6.11.3 that crashes the process once in some hundreds or thousands of calls.
    """

    _posted = Signal()

    def __init__(self, application: QCoreApplication) -> None:
        super().__init__(application)
        self._letters: deque[Callable[[], Any]] = deque()
        self._home = get_ident()
        self._posted.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @classmethod
    def of_application(cls) -> Mailbox:
        """Return the mailbox of the application that runs, making it at the first call."""
        application = QCoreApplication.instance()
        if application is None:
            raise RuntimeError("There is no Qt application yet.")
        return application.findChild(cls) or cls(application)

    def send(self, call: Callable[[], Any]) -> None:
        """Call a function in the main thread: at once if this is it, and soon otherwise."""
        if get_ident() == self._home:
            call()
            return
        self._letters.append(call)
        with suppress(RuntimeError):  # Qt is gone, and whoever would read this with it
            self._posted.emit()

    def _deliver(self) -> None:
        # One letter for each signal: what fails in one must not keep the others back.
        self._letters.popleft()()


class Bridge:
    """Calls functions in the main thread, as long as the widget lives.

    What arrives after `close` is dropped: its widgets may be gone.
    """

    def __init__(self) -> None:
        self._open = True
        # Kept here and not by the futures, one of which may run long after the widget is gone.
        self._watched: dict[object, tuple[Callable[[Any], Any] | None, Callable[..., Any]]] = {}
        self._mailbox = Mailbox.of_application()

    def to_main(self, function: Callable[..., Any]) -> Callable[..., None]:
        """Return a function that any thread may call and that runs `function` in the main one."""

        def send(*args: Any) -> None:
            if self._open:
                self._mailbox.send(lambda: self._call(function, args))

        return send

    def soon(self, function: Callable[[], Any]) -> None:
        """Call a function from the event loop, once what runs now has ended; main thread only."""
        QTimer.singleShot(0, lambda: function() if self._open else None)

    def watch(
        self,
        future: Future[Any],
        done: Callable[[Any], Any] | None = None,
        failed: Callable[[BaseException], Any] | None = None,
    ) -> None:
        """Hand the outcome of a future to `done` or `failed` (by default a notification)."""
        key = object()
        self._watched[key] = done, failed or notify
        future.add_done_callback(partial(self.to_main(self._settle), key))

    def close(self) -> None:
        """Deliver nothing any more."""
        self._open = False
        self._watched.clear()

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self._open:
            function(*args)

    def _settle(self, key: object, future: Future[Any]) -> None:
        done, failed = self._watched.pop(key)
        try:
            outcome = future.result()
        except CancelledError:
            return
        except BaseException as error:  # every failure of a thread has to reach the user
            failed(error)
            return
        if done is not None:
            done(outcome)


class Ending:
    """Runs closers once, whichever end comes first: the application's, or the owner's.

    Parameters
    ----------
    owner : object
        When it is collected the closers run too; they must not hold it.
    """

    def __init__(self, owner: Any) -> None:
        self._closers: list[Callable[[], Any]] = []
        self.now: Callable[[], Any] = weakref.finalize(owner, _run, self._closers)
        """Close everything; a second call does nothing."""
        application = QCoreApplication.instance()
        if application is not None:
            # Qt would hold a bound method only weakly.
            application.aboutToQuit.connect(self.slot())

    def add(self, closer: Callable[[], Any]) -> Callable[[], None]:
        """Add what is to be closed; it must bear being called twice.

        Returns
        -------
        callable
            Closes it now and forgets it; so what is closed earlier does not live to the end.
        """
        closers = self._closers
        closers.append(closer)

        def close() -> None:
            if closer in closers:
                closers.remove(closer)
                closer()

        return close

    def slot(self) -> Callable[..., None]:
        """Return a slot for signals, which does not hold the owner."""
        now = self.now
        return lambda *_: now()


def notify(error: BaseException) -> None:
    """Tell an error to the user: ours by its message, another's with the way to its traceback."""
    if isinstance(error, FastSAM3DError):
        show_error(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))


def tell(message: str) -> None:
    """Show a short message."""
    show_info(message)


def _run(closers: list[Callable[[], Any]]) -> None:
    while closers:
        closers.pop()()
