"""Which masks of a session are asked for and not there yet."""

import threading
from itertools import count
from time import perf_counter

from napari_fastsam3d.session.request import Request


class PendingRequests:
    """The requests and commands of a session that are still to be answered.

    To be used under the session's lock; what may be called without it takes it.

    Parameters
    ----------
    lock : RLock
        Of the session.

    Attributes
    ----------
    unanswered, postponed : int
        How many requests wait for the model, and how many commands for those requests.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.unanswered = self.postponed = 0
        self._numbers = count(1)
        self._cancelled = 0
        self._newest: dict[int, int] = {}
        self._unsettled: dict[int, list[int]] = {}
        self._fewer = threading.Condition(lock)

    def next_number(self) -> int:
        """Return the number of the next request."""
        return next(self._numbers)

    def new(self, number: int, serial: int | None = None) -> Request:
        """Return a request for the mask of an object that no command asked for."""
        return Request(self.next_number(), number, perf_counter(), serial=serial)

    def add(self, request: Request) -> None:
        """Count a request that waits for the model; it overtakes those for its object."""
        self._newest[request.object] = request.number
        self.unanswered += 1
        if request.serial is not None:
            self._unsettled.setdefault(request.object, []).append(request.serial)

    def overtake(self, request: Request) -> None:
        """Let a request that needs no model overtake those before it for its object."""
        self._newest[request.object] = request.number
        self.settle(request)

    def settle(self, request: Request) -> None:
        """Note that the mask of an object follows all steps so far."""
        self._unsettled.pop(request.object, None)

    def unsettled(self, request: Request) -> list[int]:
        """Return the serials of the steps before a request that never got their mask."""
        return self._unsettled.get(request.object, [])

    def is_newest(self, request: Request) -> bool:
        """Whether no other request for the object came after it."""
        return self._newest.get(request.object) == request.number

    def cancel(self) -> bool:
        """Give up all requests so far; gives whether there are any."""
        with self._fewer:
            self._cancelled = self.next_number()
            return bool(self.unanswered)

    def is_cancelled(self, request: Request) -> bool:
        """Whether a request was given up."""
        return request.number <= self._cancelled

    def answered(self, _answer: object = None) -> None:
        """Count a request as answered."""
        with self._fewer:
            self.unanswered -= 1
            self._fewer.notify_all()

    def postpone(self) -> None:
        """Count a command that waits for requests."""
        with self._fewer:
            self.postponed += 1

    def resume(self) -> None:
        """Count a postponed command as done."""
        with self._fewer:
            self.postponed -= 1
            self._fewer.notify_all()

    def wait(self) -> None:
        """Block until there are none."""
        with self._fewer:
            self._fewer.wait_for(lambda: not (self.unanswered or self.postponed))
