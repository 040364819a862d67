"""Calls in the main thread from other threads, and cleanup that happens exactly once."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from threading import get_ident
from typing import ParamSpec, TypeVar

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
from qtpy.QtWidgets import QWidget

from napari_fastsam3d.errors import FastSAM3DError

T = TypeVar("T")
P = ParamSpec("P")
Callback = Callable[[], object]


class MainThreadQueue(QObject):
    """Calls functions in the main thread, in the order in which other threads posted them.

    It is made in the main thread and belongs to the application. superqt's `ensure_main_thread`
    makes a QObject for each call instead, which dies in whichever thread lets go of it last; under
    PySide6 6.11.3 that crashes the process once in some hundreds or thousands of calls.
    """

    _posted = Signal()

    def __init__(self, application: QCoreApplication) -> None:
        super().__init__(application)
        self._calls: deque[Callback] = deque()
        self._main_thread = get_ident()
        self._posted.connect(self._call_next, Qt.ConnectionType.QueuedConnection)

    @classmethod
    def of_application(cls) -> MainThreadQueue:
        """Return the queue of the application that runs, making it at the first call."""
        application = QCoreApplication.instance()
        if application is None:
            raise RuntimeError("There is no Qt application yet.")
        return application.findChild(cls) or cls(application)

    def post(self, call: Callback) -> None:
        """Call a function in the main thread: at once if this is it, and soon otherwise."""
        if get_ident() == self._main_thread:
            call()
            return
        self._calls.append(call)
        with suppress(RuntimeError):  # Qt has ended, and the main thread with it
            self._posted.emit()

    def _call_next(self) -> None:
        # One call for each signal: an exception in one must not keep the others back.
        self._calls.popleft()()


class Dispatcher:
    """Calls functions in the main thread until it is closed.

    What arrives after `close` is dropped: its widgets may be gone.
    """

    def __init__(self) -> None:
        self._open = True
        self._queue = MainThreadQueue.of_application()
        # Kept here and not by the futures, one of which may run long after the widget is gone.
        self._watched: dict[object, Callback] = {}

    def to_main(self, function: Callable[P, object]) -> Callable[P, None]:
        """Return a function that any thread may call and that runs `function` in the main one."""

        def send(*args: P.args, **kwargs: P.kwargs) -> None:
            if self._open:
                self._queue.post(lambda: function(*args, **kwargs) if self._open else None)

        return send

    def defer(self, function: Callback) -> None:
        """Call a function from the event loop, once what runs now has ended; main thread only."""
        QTimer.singleShot(0, lambda: function() if self._open else None)

    def watch(
        self,
        future: Future[T],
        done: Callable[[T], object],
        failed: Callable[[BaseException], object] | None = None,
    ) -> None:
        """Pass the outcome of a future to `done` or `failed` (by default a notification)."""
        key = object()
        self._watched[key] = lambda: _settle(future, done, failed or notify)
        settle = self.to_main(self._settle)
        future.add_done_callback(lambda _: settle(key))

    def close(self) -> None:
        """Drop every call from now on."""
        self._open = False
        self._watched.clear()

    def _settle(self, key: object) -> None:
        self._watched.pop(key)()


class CleanupStack:
    """Runs callbacks once, the newest first: when the application quits or the owner is collected.

    Parameters
    ----------
    owner : object
        The callbacks must not hold it.
    """

    def __init__(self, owner: object) -> None:
        self._callbacks: list[Callback] = []
        self.close: Callback = weakref.finalize(owner, _run, self._callbacks)
        """Run every callback now; a second call does nothing."""
        application = QCoreApplication.instance()
        if application is not None:
            # Qt would hold a bound method only weakly.
            application.aboutToQuit.connect(self.slot())

    def push(self, callback: Callback) -> Callable[[], None]:
        """Add a callback; it must bear being called twice.

        Returns
        -------
        callable
            Runs the callback now and removes it; so what ends earlier does not live to the end.
        """
        callbacks = self._callbacks
        callbacks.append(callback)

        def run_now() -> None:
            if callback in callbacks:
                callbacks.remove(callback)
                callback()

        return run_now

    def slot(self) -> Callable[..., object]:
        """Return a slot for signals, which does not hold the owner."""
        close = self.close
        return lambda *_: close()


def notify(error: BaseException) -> None:
    """Notify the user of an error: ours by its message, another's with its traceback."""
    if isinstance(error, FastSAM3DError):
        show_error(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))


def show_message(message: str) -> None:
    """Show a short message."""
    show_info(message)


def single_shot(parent: QWidget, milliseconds: int, done: Callable[[], None]) -> QTimer:
    """Return a timer that, when it was not started again meanwhile, calls a function once."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(done)
    return timer


def _settle(
    future: Future[T], done: Callable[[T], object], failed: Callable[[BaseException], object]
) -> None:
    try:
        outcome = future.result()
    except CancelledError:
        return
    except BaseException as error:  # every failure of a thread has to reach the user
        failed(error)
        return
    done(outcome)


def _run(callbacks: list[Callback]) -> None:
    while callbacks:
        callbacks.pop()()
