"""Keeps a session in its journal, in a thread of its own."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal
from uuid import uuid4

from napari_fastsam3d import __version__
from napari_fastsam3d.errors import JournalBusyError, JournalError, SessionError
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.session.codec import prompts_digest
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.recovery import journal_path
from napari_fastsam3d.session.journal.saved_session import SavedMask, SavedSession
from napari_fastsam3d.session.journal.store import Journal, bring_back
from napari_fastsam3d.session.state import worked_on
from napari_fastsam3d.session.worker import Worker

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JournalStatus:
    """How safe the session is.

    Parameters
    ----------
    state : {"off", "saving", "saved", "failed"}
        "failed": the last changes are not on disk; it is tried again at each change.
    error : JournalError or None
        Why it failed.
    """

    state: Literal["off", "saving", "saved", "failed"] = "off"
    error: JournalError | None = None


def sessions_folder() -> Path:
    """Return where journals are kept for this user."""
    import platformdirs

    return Path(platformdirs.user_data_dir("napari-fastsam3d", appauthor=False)) / "sessions"


class JournalWriter:
    """Writes what a session does, one change after the other, and never in the caller's thread.

    The log in memory is the truth: what could not be written is written with the next change.

    Parameters
    ----------
    volume : Volume
        The journal is named after its content.
    folder : Path
    report : callable
        Given each `JournalStatus`, in the thread of the writer.
    """

    def __init__(
        self, volume: Volume, folder: Path, report: Callable[[JournalStatus], object]
    ) -> None:
        self._volume = volume
        self._folder = folder
        self._report = report
        self._worker = Worker("journal")
        self._lock = Lock()
        self._masks: dict[int, tuple[tuple[Prompt, ...], Mask, str]] = {}
        self._masks_due: set[int] = set()
        self._facts = {
            "session": uuid4().hex,
            "scan": volume.name,
            **_origin(volume),
            "program": f"napari-fastsam3d {__version__}",
        }
        self._facts_due = True
        self._journal: Journal | None = None
        self._is_foreign = False
        self._offer: SavedSession | None = None
        self._written = History()
        self._wanted = History()
        self._stopped = False

    @property
    def path(self) -> Path:
        """Where the journal of the volume is; reads all voxels the first time."""
        return journal_path(self._folder, self._volume.content_hash)

    def open(self, instead: Path | None = None) -> "Future[SavedSession]":
        """Find the journal of the volume and lock it; fails with JournalError.

        Parameters
        ----------
        instead : Path, optional
            Journal of an earlier session on the volume; it takes the place of the one that is
            there, which becomes a backup.
        """
        return self._worker.submit(self._open, instead)

    def resume(self, take: Callable[[SavedSession], object]) -> "Future[None]":
        """Go on with what was found: give it to `take`, in the thread of the writer."""
        return self._worker.submit(self._resume, take)

    def record(self, history: History) -> "Future[None]":
        """Write the log as it is now; the future never fails."""
        return self._worker.submit(self._record, history)

    def keep_mask(self, number: int, prompts: tuple[Prompt, ...], mask: Mask, model: str) -> None:
        """Write an object's own mask when there is nothing else to do; the newest only."""
        with self._lock:
            self._masks[number] = (prompts, mask, model)
            self._masks_due.add(number)
        with suppress(SessionError):  # closed meanwhile
            self._worker.submit(self._write_masks)

    def keep_facts(self, facts: Mapping[str, str]) -> None:
        """Write what is to be known beside the log; the newest only."""
        with suppress(SessionError):  # closed meanwhile
            self._worker.submit(self._note, dict(facts))

    def discard(self) -> "Future[None]":
        """Remove the journal, and keep nothing any more."""
        return self._worker.submit(self._discard)

    def wait(self) -> None:
        """Block until all that was asked for so far is done; once closed, until all is."""
        if self._worker.is_current:
            return
        try:
            asked = self._worker.submit(lambda: None)
        except SessionError:  # closed: masks can still be had, and so saved
            self._worker.close()
        else:
            asked.result()

    def close(self, wait: bool = True) -> None:
        """Write what is left and give the file free; wait for that by default."""
        with suppress(SessionError):  # closed meanwhile, as when the interpreter ends first
            self._worker.submit(self._close)
        self._worker.close(wait)

    def _open(self, instead: Path | None) -> SavedSession:
        try:
            if instead is not None:
                bring_back(instead, self.path)
            saved = self._opened().saved
        except JournalError as error:
            # Were it tried again, the work of the other session might be taken for this one's.
            self._stopped = isinstance(error, JournalBusyError)
            self._fail(error)
            raise
        self._offer = None if saved.is_empty else saved
        self._report(JournalStatus("saved"))
        return saved

    def _resume(self, take: Callable[[SavedSession], object]) -> None:
        if self._offer is None:
            raise JournalError("There is nothing to go on with.", "Begin with a click.")
        take(self._offer)
        self._is_foreign = False
        self._wanted = self._offer.history
        self._offer = None

    def _record(self, history: History) -> None:
        self._wanted = history
        if self._stopped:
            return
        self._report(JournalStatus("saving"))
        try:
            try:
                self._put(history)
            except JournalError:
                # Opened anew, it may serve: the file may have been removed, and is made again.
                self._let_go()
                self._put(history)
        except JournalError as error:
            self._stopped = isinstance(error, JournalBusyError)
            self._fail(error)
        except Exception as error:  # whatever it is, the session goes on
            self._fail(JournalError(f"The journal failed: {error}.", "Save your masks."))
        else:
            self._written = history
            self._report(JournalStatus("saved"))

    def _put(self, history: History) -> None:
        journal = self._own_journal()
        self._put_facts(journal)
        journal.put_record(self._written, history)

    def _own_journal(self) -> Journal:
        """Return the journal to be written; another session's that was found becomes a backup."""
        journal = self._journal or self._opened()
        if self._is_foreign:
            self._offer = None
            self._journal = None
            journal.move_to_backup("before" if worked_on(journal.saved.history.state) else "empty")
            journal = self._opened()
        return journal

    def _opened(self) -> Journal:
        self._journal = journal = Journal(self.path)
        self._written = journal.saved.history
        same = journal.saved.facts.get("session") == self._facts["session"]
        self._is_foreign = not (journal.saved.is_empty or same)
        self._facts_due = True
        with self._lock:
            self._masks_due.update(self._masks)
        if self._masks_due:
            with suppress(SessionError):  # closed meanwhile
                self._worker.submit(self._write_masks)
        return journal

    def _fail(self, error: JournalError) -> None:
        _log.warning("%s", error)
        self._let_go()
        self._report(JournalStatus("failed", error))

    def _let_go(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _write_masks(self) -> None:
        if self._journal is None or self._is_foreign:
            return
        with self._lock:
            masks = {number: self._masks[number] for number in self._masks_due}
            self._masks_due.clear()
        if not masks:
            return
        self._write(
            lambda journal: journal.put_masks(
                {
                    number: SavedMask(prompts_digest(prompts), PackedMask.of(mask), model)
                    for number, (prompts, mask, model) in masks.items()
                }
            )
        )

    def _note(self, facts: Mapping[str, str]) -> None:
        self._facts.update(facts)
        self._facts_due = True
        if self._wanted.entries:
            self._write(self._put_facts)

    def _put_facts(self, journal: Journal) -> None:
        if self._facts_due:
            journal.put_facts(self._facts)
            self._facts_due = False

    def _write(self, put: Callable[[Journal], None]) -> None:
        """Write what can be made again; where that fails, the next change tries it all."""
        if self._journal is None or self._is_foreign:
            return
        try:
            put(self._journal)
        except JournalError as error:
            self._fail(error)

    def _discard(self) -> None:
        self._stopped = True
        self._offer = None
        if self._journal is not None:
            journal, self._journal = self._journal, None
            journal.discard()
        self._report(JournalStatus("off"))

    def _close(self) -> None:
        if self._wanted is not self._written and self._wanted.next_serial > 1:
            self._record(self._wanted)
        if self._journal is None:
            return
        self._write_masks()
        if self._written == History():
            self._journal.discard()
        self._let_go()


def _origin(volume: Volume) -> dict[str, str]:
    """Say where a volume was read from, so that it can be opened again."""
    source = volume.source
    if source.path is None:
        return {}
    origin = {"source": str(source.path.absolute())}
    if source.frame is not None:
        origin["frame"] = str(source.frame)
    if source.series is not None:
        origin["series"] = source.series
    return origin
