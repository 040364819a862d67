"""The file in which a session is kept, change by change, until it is discarded."""

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from napari_fastsam3d.errors import JournalBusyError, JournalError
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.database import (
    insert_facts,
    insert_masks,
    insert_records,
    opened,
    read_facts,
    read_masks,
)
from napari_fastsam3d.session.journal.record import LogRecord, records_in, restored
from napari_fastsam3d.session.journal.recovery import (
    bytes_of,
    missing,
    move_to_backup,
    parts_of,
    put_aside,
    rescued,
    sorted_records,
)
from napari_fastsam3d.session.journal.saved_session import SavedMask, SavedSession
from napari_fastsam3d.session.state import worked_on

# Moving the write-ahead log into the database takes time, so it is done after masks, for which
# nobody waits.
_MASKS_BEFORE_CHECKPOINT = 32
# Python can't read SQLite's complaint about a damaged file where that quotes damaged letters.
_DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)


class _NewerError(Exception):
    """A journal that a newer version of this program wrote."""


class Journal:
    """A store of log records, masks and facts in one file; to be used from one thread.

    It is an SQLite database in WAL mode, fully synchronous: when `put_record` returns, the record
    is on the disk and not only in the system's memory, so that it outlives a power cut too, and
    whatever cuts a write short leaves what was there. Records are only ever added. The file is
    locked as long as the journal is open, in a way that ends with the process.

    Parameters
    ----------
    path : Path
        Made with its folder where it isn't there. Where it is damaged, what is intact is read,
        the damaged file is kept as a backup, and a new one is begun with what was read. One of a
        newer version, with steps unknown here, is kept as it is, and an empty one begun.

    Attributes
    ----------
    saved : SavedSession
        What it held when it was opened.

    Raises
    ------
    JournalError
        If another session has it open, or it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _failing_legibly(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = _last_written(path)
            self._database, saved = _open(path)
            self.saved = replace(saved, saved=written)
            self._identity = _identity(path)
            (self._number,) = self._database.execute(
                "select coalesce(max(number), 0) from records"
            ).fetchone()
            self._unmoved = 0

    def put_record(self, before: History, after: History) -> None:
        """Write what changed in the log; JournalError if it can't be written."""
        with self._writing() as database:
            record = LogRecord.between(self._number + 1, before, after)
            database.execute("insert into records values (?, ?)", (record.number, record.to_line()))
        self._number = record.number

    def put_masks(self, masks: Mapping[int, SavedMask]) -> None:
        """Write the masks of objects, in place of those they had."""
        with self._writing() as database:
            insert_masks(database, masks)
        self._unmoved += 1
        if self._unmoved >= _MASKS_BEFORE_CHECKPOINT:
            self._unmoved = 0
            with _failing_legibly(self.path):
                self._database.execute("pragma wal_checkpoint(passive)").fetchone()

    def put_facts(self, facts: Mapping[str, str]) -> None:
        """Write what is to be known beside the log, in place of what had that name."""
        with self._writing() as database:
            insert_facts(database, facts)

    def close(self) -> None:
        """Give the file free, with all that was written."""
        with suppress(sqlite3.Error):
            self._database.close()

    def discard(self) -> None:
        """Close, and remove the file."""
        self.close()
        with _failing_legibly(self.path):
            for path in parts_of(self.path):
                path.unlink(missing_ok=True)

    def move_to_backup(self, why: str) -> Path:
        """Close, and give the file another name beside its own, with the day and a reason."""
        self.close()
        with _failing_legibly(self.path):
            return move_to_backup(self.path, why)

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with _failing_legibly(self.path):
            if _identity(self.path) != self._identity:
                raise OSError(f"{self.path.name} was removed or replaced")
            with self._database:
                yield self._database


def bring_back(earlier: Path, own: Path) -> None:
    """Put a journal in the place of a scan's own, which becomes a backup.

    Raises
    ------
    JournalError
        If either is in use or can't be written.
    """
    if earlier == own:
        return
    if not earlier.exists():
        raise JournalError(
            "That session is not there any more.", "Choose another in the list of earlier sessions."
        )
    # Opened and closed, all that was written lies in the one file.
    Journal(earlier).close()
    if own.exists():
        present = Journal(own)
        present.move_to_backup("before" if worked_on(present.saved.history.state) else "empty")
    try:
        for part in parts_of(own):
            part.unlink(missing_ok=True)
        earlier.replace(own)
    except OSError as error:
        raise JournalError(
            f"The journal {earlier} can't be used: {error.strerror or error}.",
            "Make room or give access there; what was kept before is still whole.",
        ) from error


def _open(path: Path) -> tuple[sqlite3.Connection, SavedSession]:
    """Open a journal, or what can be saved of it; sqlite3.Error or OSError if it can't be."""
    database = None
    try:
        database = opened(path)
        return database, _read(database, path)
    except _NewerError:
        if database is not None:
            database.close()
        return put_aside(path)
    except _DAMAGED as error:
        if not _is_damage(error):
            if database is not None:
                database.close()
            raise
        return rescued(database, path)


def _is_damage(error: Exception) -> bool:
    """Whether a complaint is about what was read, such as a spoilt header.

    Others are about locks, space and access, with which the file may be whole.
    """
    operational = isinstance(error, sqlite3.OperationalError)
    return not operational or error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR


def _read(database: sqlite3.Connection, path: Path) -> SavedSession:
    """Return what a database holds; sqlite3.DatabaseError if any of it is damaged."""
    (state,) = database.execute("pragma quick_check(1)").fetchone()
    lines = [line for _, line in database.execute("select number, line from records")]
    found = sorted_records(map(LogRecord.from_line, lines))
    if len(found) < len(lines) and any(map(LogRecord.is_newer, lines)):
        raise _NewerError
    if state != "ok" or len(found) < len(lines) or missing(found):
        raise sqlite3.DatabaseError("damaged")
    # SQLite passes in silence over what follows a damaged place in its write-ahead log, and over
    # a record whose writing was cut short at the very end.
    there = sorted_records((*found, *records_in(bytes_of(parts_of(path)[1:2]))))
    if len(there) > len(found) + 1 or missing(there):
        raise sqlite3.DatabaseError("damaged")
    with database:
        insert_records(database, there[len(found) :])
    return SavedSession(restored(there), dict(read_masks(database)), dict(read_facts(database)))


def _last_written(path: Path) -> datetime | None:
    times = [part.stat().st_mtime for part in parts_of(path) if part.exists()]
    return datetime.fromtimestamp(max(times)) if times else None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_busy(error: Exception) -> bool:
    """Whether another has the file; its name and the words of a message tell nothing of that."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def _failing_legibly(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if _is_busy(error):
            raise JournalBusyError(
                "Another window or program works on this scan, and keeps its journal.",
                "Close it there, or go on here without a journal.",
            ) from error
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise JournalError(
            f"The journal {path} can't be used: {reason}.",
            "Make room or give access there; what was kept before is still whole.",
        ) from error
