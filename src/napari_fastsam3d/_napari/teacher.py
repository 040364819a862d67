"""Teaches the model a structure in the background, and gives way to every click."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_fastsam3d._napari.main_thread import Dispatcher, notify
from napari_fastsam3d._napari.memory_keeper import MemoryKeeper
from napari_fastsam3d._napari.model_loader import ModelLoader
from napari_fastsam3d.session.model_thread import ModelThread

if TYPE_CHECKING:
    from napari_fastsam3d.training.adaptation.outcome import TeachingOptions
    from napari_fastsam3d.training.adaptation.teaching import Teaching

_Progress = tuple[str, int, int]


class Teacher:
    """Fits one adapter at a time in the model thread, a short piece after the other.

    A piece is given up at the next block of the network where anything else waits for the model,
    and done again afterwards. What is done is on the disk every twenty seconds, so that what is
    cancelled, or stopped by closing the window, goes on when the structure is taught again.

    Parameters
    ----------
    loader : ModelLoader
    memory : MemoryKeeper
    dispatcher : Dispatcher

    Attributes
    ----------
    structure : str or None
        What is being taught.
    progress : tuple
        What is being done, how many parts are done, and of how many.
    options : TeachingOptions or None
        How it is taught; None for the usual way.
    ticked : list of str
        Taught structures that are to be segmented automatically.
    """

    changed = Signal()
    """Something began, went on, paused or ended."""
    told = Signal(str)
    """What came of it, a sentence or two."""

    def __init__(self, loader: ModelLoader, memory: MemoryKeeper, dispatcher: Dispatcher) -> None:
        self._loader, self._memory, self._dispatcher = loader, memory, dispatcher
        self._store = memory.adapters
        self.ticked: list[str] = []
        self.options: TeachingOptions | None = None
        self._teaching: Teaching | None = None
        self._thread: ModelThread | None = None
        self.structure: str | None = None
        self.paused = self._piece_waits = False
        self.progress: _Progress = ("", 0, 0)

    def start(self, structure: str) -> None:
        """Teach a remembered structure, from what was kept of its scans."""
        if self.structure is not None or self._memory.bank is None:
            return
        self.structure, self.paused = structure, False
        self.progress = ("Reading the cases", 0, 0)
        self._thread = thread = self._loader.thread
        self._dispatcher.watch(
            thread.submit(self._prepared, thread, structure), self._on_prepared, self._on_failed
        )
        self.changed.emit()

    def pause(self, paused: bool) -> None:
        """Rest, or go on."""
        self.paused = paused
        if not paused:
            self._next()
        self.changed.emit()

    def cancel(self) -> None:
        """Stop; what was done is gone on with when the structure is taught again."""
        self._end()

    def _prepared(self, thread: ModelThread, structure: str) -> Teaching:
        """Read the cases; in the model thread."""
        from napari_fastsam3d.training.adaptation.adapt import work_folder
        from napari_fastsam3d.training.adaptation.cases import remembered_teaching_cases
        from napari_fastsam3d.training.adaptation.teaching import Teaching, adaptable

        assert self._memory.bank is not None
        cases = remembered_teaching_cases(self._memory.bank, structure)
        folder = work_folder(self._store, structure, cases)
        return Teaching(structure, cases, adaptable(thread.obtain()), self.options, folder)

    def _on_prepared(self, teaching: Teaching) -> None:
        if self.structure == teaching.structure:
            self._teaching = teaching
            self._next()

    def _next(self) -> None:
        teaching, thread = self._teaching, self._thread
        if teaching is None or thread is None or self.paused or self._piece_waits or thread.closed:
            return
        if thread is not self._loader.thread:  # another model was chosen meanwhile
            self._end()
            return
        # One at a time: of two, each would give way to the other for ever.
        self._piece_waits = True
        wanted = partial(self._is_wanted, teaching)
        future = thread.submit(teaching.advance_in, thread, wanted)
        self._dispatcher.watch(future, lambda more: self._on_piece(teaching, more), self._on_failed)

    def _is_wanted(self, teaching: Teaching) -> bool:
        return teaching is self._teaching

    def _on_piece(self, teaching: Teaching, more: bool) -> None:
        self._piece_waits = False
        if teaching is not self._teaching:
            self._next()
            return
        self.progress = teaching.progress
        if more:
            self._next()
        elif teaching.outcome is not None:
            self._finish(teaching)
        self.changed.emit()

    def _finish(self, teaching: Teaching) -> None:
        from napari_fastsam3d.training.adaptation.adapt import finished, work_folder

        assert teaching.outcome is not None
        folder = work_folder(self._store, teaching.structure, teaching.cases)
        outcome = finished(teaching.outcome, self._store, folder)
        self._end()
        self.told.emit(str(outcome))

    def _on_failed(self, error: BaseException) -> None:
        self._piece_waits = False
        self._end()
        notify(error)

    def _end(self) -> None:
        self._teaching = self._thread = self.structure = None
        self.paused = False
        self.changed.emit()
