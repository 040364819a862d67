"""The memory of one window: the bank, whether it is used, and what is remembered of its scans."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_fastsam3d._napari.background import BackgroundTasks
from napari_fastsam3d._napari.contributions.settings import save_recall, save_remember
from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher, notify
from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Entry
from napari_fastsam3d.memory.question import DEFAULT_WAY, WAYS, Way
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.session import Session

T = TypeVar("T")

WHEN = ("always", "ask", "never")
"""Whether an accepted object is remembered."""

_REMEMBERING = "Remembering {}..."


class MemoryKeeper:
    """Opens the user's memory bank, and changes it without keeping the window waiting.

    Parameters
    ----------
    tasks : BackgroundTasks
    dispatcher : Dispatcher
    cleanup : CleanupStack
        Closes the bank.
    way : "reader", "prior", "published" or None
        How cases are recalled for objects to come; None where they are not.
    when : "always", "ask" or "never"
        Whether an accepted object is remembered.

    Attributes
    ----------
    preferred : "reader", "prior" or "published"
        The way that is taken when the memory is turned on again.
    adapters : AdapterStore
        What the model was taught.
    """

    changed = Signal()
    """Something was remembered, forgotten or imported."""

    def __init__(
        self,
        tasks: BackgroundTasks,
        dispatcher: Dispatcher,
        cleanup: CleanupStack,
        way: Way | None,
        when: str,
    ) -> None:
        self._tasks, self._dispatcher = tasks, dispatcher
        self.way: Way | None = way
        self.preferred: Way = way or DEFAULT_WAY
        self.when = when if when in WHEN else "ask"
        self.trouble = ""
        self.bank = self._opened()
        self.adapters = AdapterStore()
        self._pictures: dict[str, NDArray[np.float32]] = {}
        if self.bank is not None:
            cleanup.push(self.bank.close)

    def structures(self) -> dict[str, int]:
        """Return how many cases there are of each structure, by its name, in alphabetical order."""
        found: dict[str, int] = {}
        for entry in self.entries():
            found[entry.name] = found.get(entry.name, 0) + 1
        return dict(sorted(found.items(), key=lambda pair: pair[0].casefold()))

    def entries(self) -> tuple[Entry, ...]:
        """Return what is remembered, the oldest first; nothing where the bank can't be read."""
        if self.bank is None:
            return ()
        try:
            return self.bank.index().entries
        except FastSAM3DError as error:
            self.trouble = str(error)
            return ()

    def set_when(self, when: str) -> None:
        """Choose whether an accepted object is remembered; the setting is saved."""
        self.when = when
        save_remember(when)

    def set_way(self, way: Way | None) -> None:
        """Choose how cases are recalled for objects to come; the setting is saved."""
        self.way = way
        self.preferred = way or self.preferred
        save_recall(way or "off")

    def remember(
        self, session: Session, number: int, done: Callable[[Entry], object] = lambda _: None
    ) -> None:
        """Remember an object, once the model has time; `done` gets the entry."""
        try:
            future = session.futures.remember(number)
        except FastSAM3DError as error:
            notify(error)
            return
        self._tasks.started.emit(_REMEMBERING.format(session.state.object(number).name))

        def finish(entry: Entry) -> None:
            self._tasks.finished.emit()
            self.changed.emit()
            done(entry)

        def fail(error: BaseException) -> None:
            notify(error)
            self._tasks.failed.emit("Nothing was remembered.")

        self._dispatcher.watch(future, finish, fail)

    def forget(self, identity: str, done: Callable[[Case | None], object]) -> None:
        """Remove a case from the disk; `done` gets what it was, to put it back."""

        def task(bank: MemoryBank) -> Case | None:
            try:
                case = bank.get(identity)
            except FastSAM3DError:
                case = None  # damaged: all the more to be removed
            bank.forget(identity)
            self._pictures.pop(identity, None)
            return case

        self._run("Forgetting...", task, done, "Nothing was forgotten.")

    def forget_structure(self, name: str) -> None:
        """Remove all cases of a structure."""
        self._run(
            f"Forgetting {name}...",
            lambda bank: bank.forget_structure(name),
            lambda _: None,
            "Nothing was forgotten.",
        )

    def put_back(self, case: Case) -> None:
        """Add a case that was forgotten by mistake."""
        self._run(
            "Remembering...", lambda bank: bank.add(case), lambda _: None, "It was not put back."
        )

    def export(self, path: Path, name: str | None, done: Callable[[int], object]) -> None:
        """Write cases to a file; `done` gets how many."""
        doing = f"Writing {path.name}..."
        self._run(doing, lambda bank: bank.export(path, name), done, "Nothing was written.")

    def import_(self, path: Path, done: Callable[[tuple[Entry, ...]], object]) -> None:
        """Add the cases of a file; `done` gets the new entries."""
        doing = f"Reading {path.name}..."
        self._run(doing, lambda bank: bank.import_(path), done, "Nothing was added.")

    def picture(self, identity: str, done: Callable[[], object]) -> NDArray[np.float32] | None:
        """Return a picture of a case's mask from the front, (S, R) from 0 to 1.

        None where it is being read: then `done` is called once it is there, after this has returned
        however quickly it was read, for who asks draws rows that `done` draws anew.
        """
        if identity in self._pictures or self.bank is None:
            return self._pictures.get(identity)
        bank = self.bank
        read: Future[Case] = self._tasks.executor.submit(bank.get, identity)

        def keep(case: Case) -> None:
            self._pictures[identity] = from_the_front(case)
            self._dispatcher.defer(done)

        self._dispatcher.watch(read, keep, lambda _error: None)
        return None

    def _run(
        self,
        doing: str,
        task: Callable[[MemoryBank], T],
        done: Callable[[T], object],
        failure: str,
    ) -> None:
        bank = self.bank
        if bank is None:
            return

        def finish(outcome: T) -> None:
            self.changed.emit()
            done(outcome)

        self._tasks.run(doing, lambda: task(bank), finish, failure)

    def _opened(self) -> MemoryBank | None:
        try:
            return MemoryBank()
        except FastSAM3DError as error:
            self.trouble = str(error)
            return None


def as_way(setting: str) -> Way | None:
    """Return how cases are recalled by a setting; None where it says that they aren't."""
    return next((way for way in WAYS if way == setting), None)


def from_the_front(case: Case) -> NDArray[np.float32]:
    """Return a case's mask as seen from the front, (S, R) from 0 to 1, as radiologists see it."""
    mask = case.tokens[0].mask.astype(np.float32)
    return np.ascontiguousarray(mask.max(axis=1).T[::-1, ::-1])
