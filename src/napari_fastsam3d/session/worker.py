"""A thread that does jobs one after the other, and is replaced should it ever die."""

import atexit
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from napari_fastsam3d.errors import SessionError

P = ParamSpec("P")
R = TypeVar("R")

_Job = tuple[Future[Any], Callable[[], Any]]


class Worker:
    """One long-lived thread and the jobs that wait for it.

    A thread pool of one would hang for ever once its thread died, as by an error in the
    interpreter's own work between two jobs. Here another thread goes on with the jobs that wait;
    the one that was being done fails.

    Parameters
    ----------
    name : str
        What the thread is for, one word; in its name and in errors.
    patience : float, optional
        Seconds that the end of the program waits for its jobs; by default as long as they take.
    """

    def __init__(self, name: str, patience: float | None = None) -> None:
        self._name = name
        self._patience = patience
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # Reentrant: a future's callback may submit, in a thread that is just being started.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def is_current(self) -> bool:
        """Whether this is being asked in the thread itself."""
        return threading.current_thread() is self._thread

    @property
    def has_waiting(self) -> bool:
        """Whether a job waits for the one that is being done."""
        return not self._jobs.empty()

    def submit(self, job: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Do a job after those before it; SessionError once the worker is closed."""
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise SessionError("The session is closed.", "Make a new one.")
            if self._thread is None:
                # A program that forgets to close must neither hang nor lose jobs at its end.
                atexit.register(self._end)
                self._start()
            self._jobs.put((future, lambda: job(*args, **kwargs)))
        return future

    def close(self, wait: bool = True) -> None:
        """End the thread after the jobs it has; wait for that by default, unless this is it."""
        with self._lock:
            was_closed, self._closed = self._closed, True
            if self._thread is not None and not was_closed:
                self._jobs.put(None)
        if wait:
            self._join(None)

    def _end(self) -> None:
        """End with the program."""
        self.close(wait=False)
        self._join(self._patience)

    def _join(self, patience: float | None) -> None:
        thread = self._thread
        while thread is not None and thread is not threading.current_thread():
            thread.join(patience)
            # One that died has a successor, which does what was left.
            thread = self._thread if self._thread is not thread else None

    def _start(self) -> None:
        self._thread = threading.Thread(
            target=self._work, name=f"fastsam3d-{self._name}", daemon=True
        )
        self._thread.start()

    def _work(self) -> None:
        running: Future[Any] | None = None
        ended = False
        try:
            while (job := self._jobs.get()) is not None:
                running, call = job
                if running.set_running_or_notify_cancel():
                    _settle(running, call)
                running = None
                del job, call
            ended = True
            atexit.unregister(self._end)
        finally:
            if not ended:
                self._succeed(running)

    def _succeed(self, running: Future[Any] | None) -> None:
        """Let another thread take over from this one, which dies."""
        with self._lock:
            self._start()
        if running is not None and not running.done():
            running.set_exception(
                SessionError(f"The thread of the {self._name} died.", "Try again.")
            )


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        outcome = call()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(outcome)
