"""The cases of a worklist in a window: one is open, its mask is saved when it is left."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_fastsam3d._napari.background import BackgroundTasks
from napari_fastsam3d._napari.dialogs.scan_parts import Part, ask_part, parts_of, read_part
from napari_fastsam3d._napari.host import Host
from napari_fastsam3d._napari.main_thread import notify
from napari_fastsam3d.session.open_case import OpenCase
from napari_fastsam3d.session.worklist import Case, Worklist

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView
    from napari_fastsam3d.geometry import Volume
    from napari_fastsam3d.session import SavedSession


class Cases:
    """Opens one case of a worklist after the other, and saves the mask of the one that is left.

    Parameters
    ----------
    host : Host
    """

    changed = Signal()
    """Cases were found, another one is open, or one was marked."""

    def __init__(self, host: Host) -> None:
        self._host, self._tasks, self._dispatcher = host, host.tasks, host.dispatcher
        self._finder = finder = ThreadPoolExecutor(1, thread_name_prefix="fastsam3d-cases")
        self._stop = Event()
        host.cleanup.push(lambda: finder.shutdown(wait=False))
        self.worklist: Worklist | None = None
        self.cases: list[Case] = []
        self.problems: dict[str, str] = {}
        """Why cases could not be opened or saved, by their names."""
        self.looking = False
        self._going: Case | None = None
        self._open: OpenCase | None = None
        self._view: SessionView | None = None
        self._awaited: tuple[Case, Volume] | None = None
        self._leave_at_end: Callable[[], object] = _nothing
        host.switched.connect(self._on_switched)

    @property
    def current(self) -> Case | None:
        """The case that is open, or being opened."""
        if self._going is not None:
            return self._going
        return None if self._open is None else self._open.case

    def open(self, folder: Path, output: Path | None, pattern: str, scans: str) -> None:
        """Make a folder of scans the worklist, and open the case to go on with."""
        self._tasks.run(
            f"Opening the worklist {folder.name}...",
            lambda: Worklist(folder, output, pattern, scans),
            lambda worklist: self._leave(lambda: self._begin(worklist)),
            "The worklist could not be opened.",
        )

    def go(self, case: Case, by: int = 1) -> None:
        """Save the mask of the case that is open, and open another.

        Parameters
        ----------
        case : Case
        by : int
            Where to go on if it can't be read: 1 for the next case, -1 for the one before.
        """
        self._going = case
        self.changed.emit()
        self._leave(lambda: self._read(case, by))

    def neighbour(self, by: int, undone: bool = False) -> Case | None:
        """Return the next case, or the one before, that could be read so far.

        Parameters
        ----------
        by : int
            1 or -1.
        undone : bool
            Whether to look for one that isn't done, round the end of the list.
        """
        current = self.current
        if current is None or self.worklist is None:
            return None
        at = self.cases.index(current)
        order = self.cases[at + 1 :] if by > 0 else self.cases[:at][::-1]
        if undone:
            order += self.cases[:at] if by > 0 else []
        for each in order:
            if each.name not in self.problems and not (undone and self.worklist.is_done(each)):
                return each
        return None

    def mark(self, case: Case, done: bool) -> None:
        """Note that a case is done, or that it isn't."""
        if self.worklist is not None:
            self.worklist.mark(case, done)
            self._keep()
            self.changed.emit()

    def _on_switched(self, _view: SessionView | None) -> None:
        self._dispatcher.defer(self._settle)

    def _settle(self) -> None:
        """Go on with the case whose scan is shown now, if it was opened for that."""
        view = self._host.view
        if view is None or self._awaited is None or self.worklist is None:
            return
        case, volume = self._awaited
        if view.frame.volume is not volume:
            return
        self._awaited = self._going = None
        self._view, self._open = view, OpenCase(self.worklist, case, view.session)
        self._leave_at_end = self._host.cleanup.push(_saver(self._tasks, self._open))
        self.worklist.go_to(case)
        self._keep()
        self.changed.emit()
        if view.journal.searched is None:
            self._take_mask(view)
        else:
            self._dispatcher.watch(
                view.journal.searched,
                lambda kept: self._resume(view, kept),
                lambda _error: self._take_mask(view),
            )

    def save(self) -> None:
        """Save the mask of the case that is open, in its turn."""
        if self._open is not None:
            self._dispatcher.watch(self._tasks.executor.submit(self._open.save), _nothing)

    def close(self) -> None:
        """Save the mask of the case that is open, and look for no further ones."""
        self._stop.set()
        self._leave_at_end()
        self._leave_at_end = _nothing

    def _begin(self, worklist: Worklist) -> None:
        self._stop.set()
        self._stop = stop = Event()
        self.worklist, self.cases, self.problems = worklist, [], {}
        self._going, self.looking = None, True
        self.changed.emit()
        add = self._dispatcher.to_main(lambda found: self._add(worklist, found))
        looked = self._finder.submit(worklist.find_into, add, stop)
        self._dispatcher.watch(looked, lambda _: self._end_search(worklist))

    def _add(self, worklist: Worklist, found: list[Case]) -> None:
        if worklist is not self.worklist:
            return
        self.cases += found
        wanted = worklist.progress.current
        if self.current is None:
            first = worklist.next_open(found)
            if first is not None and wanted in (None, first.name):
                self.go(first)
        self.changed.emit()

    def _end_search(self, worklist: Worklist) -> None:
        if worklist is not self.worklist:
            return
        self.looking = False
        if self.current is None:
            first = worklist.next_open(self.cases)
            if first is not None:
                self.go(first)
            else:
                self._host.tell(
                    f"All {len(self.cases)} cases are done." if self.cases else "No scan was found."
                )
        self.changed.emit()

    def _leave(self, then: Callable[[], object]) -> None:
        """Save the mask of the case that is open, close it, and go on."""
        left, view = self._open, self._view
        if left is None or view is None:
            then()
            return
        self._open = self._view = None

        def go_on(_done: object = None) -> None:
            self._host.views.discard(view)
            then()

        def fail(error: BaseException) -> None:
            notify(error)
            self.problems[left.case.name] = str(error)
            left.worklist.mark(left.case, False)
            go_on()

        saved = self._tasks.executor.submit(left.save)
        self._dispatcher.watch(saved, go_on, fail)
        self._leave_at_end()
        self._leave_at_end = _nothing

    def _read(self, case: Case, by: int) -> None:
        if case is not self._going or self.worklist is None:
            return
        self._host.tell(f"Opening {case.name}...")
        chosen = self.worklist.progress.volumes.get(case.name)

        def ask(parts: list[Part]) -> None:
            part = Part("", *chosen) if chosen else ask_part(self._host.parent, case.path, parts)
            if part is None:
                self._going = None
                self._host.tell(f"No volume of {case.name} was chosen.")
                self.changed.emit()
                return
            read = self._tasks.executor.submit(read_part, case.path, part)
            self._dispatcher.watch(read, lambda volume: self._opened(case, volume), fail)

        def fail(error: BaseException) -> None:
            self._skip(case, by, error)

        parts = self._tasks.executor.submit(parts_of, case.path)
        self._dispatcher.watch(parts, ask, fail)

    def _opened(self, case: Case, volume: Volume) -> None:
        if case is self._going and self.worklist is not None:
            self.problems.pop(case.name, None)
            self.worklist.choose(case, volume)
            self._awaited = (case, volume)
            self._host.add_scan(volume)

    def _skip(self, case: Case, by: int, error: BaseException) -> None:
        """Tell that a case can't be read, and open the next one that can."""
        notify(error)
        self.problems[case.name] = str(error)
        further = self.neighbour(by) if case is self._going else None
        if further is not None:
            self._host.tell(f"{case.name} can't be read and is left out.")
            self.go(further, by)
            return
        self._going = None
        self._host.tell(f"{case.name} can't be read, and there is no further case.")
        self.changed.emit()

    def _resume(self, view: SessionView, kept: SavedSession) -> None:
        if view.journal.offer is None:
            self._take_mask(view)
            return
        own = self._open
        if own is not None and own.session is view.session and own.holds(kept):
            own.saved = kept.history.state
        self._host.earlier.accept_offer(view)

    def _take_mask(self, view: SessionView) -> None:
        """Begin with the mask that is there already, where nothing was done yet."""
        own = self._open
        if own is None or own.session is not view.session or view.begun:
            return
        target = own.worklist.target(own.case)
        if not target.exists():
            return

        def opened(_results: object) -> None:
            own.worklist.note_written(own.case)
            own.saved = own.session.state
            self._host.tell(f"{target.name} was there already; go on with it.")

        self._tasks.run(
            f"Reading {target.name}...",
            lambda: own.session.open_mask(target),
            opened,
            f"{target.name} was not opened, and is not replaced.",
        )

    def _keep(self) -> None:
        """Keep the progress on disk."""
        if self.worklist is not None:
            saved = self._tasks.executor.submit(self.worklist.save)
            self._dispatcher.watch(saved, _nothing)


def _saver(tasks: BackgroundTasks, left: OpenCase) -> Callable[[], object]:
    """Return what saves a case when the window ends; it mustn't hold the window."""
    executor = tasks.executor
    return lambda: executor.submit(left.save)


def _nothing(_outcome: object = None) -> None:
    """Do nothing."""
