"""Work that takes long, in a thread of its own, with its progress in the status line."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from psygnal import Signal

from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher, notify

T = TypeVar("T")


class BackgroundTasks:
    """Runs one task after the other, mostly reading and writing files.

    Parameters
    ----------
    dispatcher : Dispatcher
    cleanup : CleanupStack
        Ends the thread.
    """

    started = Signal(str)
    """What is being done, for the status line."""
    finished = Signal()
    failed = Signal(str)
    """What was not done, for the status line; the error itself is notified."""

    def __init__(self, dispatcher: Dispatcher, cleanup: CleanupStack) -> None:
        self.executor = executor = ThreadPoolExecutor(1, thread_name_prefix="fastsam3d-files")
        self._dispatcher = dispatcher
        cleanup.push(lambda: executor.shutdown(wait=False))

    def run(
        self, doing: str, task: Callable[[], T], done: Callable[[T], object], failure: str
    ) -> None:
        """Run a task in the thread, and `done` with its outcome in the main thread.

        Parameters
        ----------
        doing, failure : str
            For the status line, meanwhile and where it fails.
        task, done : callable
        """
        self.started.emit(doing)

        def finish(outcome: T) -> None:
            self.finished.emit()
            done(outcome)

        def fail(error: BaseException) -> None:
            notify(error)
            self.failed.emit(failure)

        self._dispatcher.watch(self.executor.submit(task), finish, fail)
