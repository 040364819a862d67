"""The file in which a session is kept, change by change, until it is discarded."""

import json
import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from napari_fastsam3d.errors import JournalBusyError, JournalError
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.backup import copied_aside, moved_aside, parts_of
from napari_fastsam3d.session.journal.record import LogRecord, records_in, restored

# Large enough for most records to lie whole in one page, where `records_in` finds them although
# the database around them is damaged.
_PAGE = 16384
# Moving the write-ahead log into the database takes time, so it is done after masks, for which
# nobody waits; within a record only where that would make the log too large.
_MASKS_BEFORE_CHECKPOINT = 32
_PAGES_BEFORE_CHECKPOINT = 2048
# Seconds that a journal is waited for which a session that was just closed still writes.
_PATIENCE = 2.0
# Python can't read SQLite's complaint about a damaged file where that quotes damaged letters.
_DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
_SCHEMA = (
    "create table if not exists facts (name text primary key, value text not null)",
    "create table if not exists records (number integer primary key, line text not null)",
    "create table if not exists masks (object integer primary key, prompts text not null,"
    " box text not null, bits blob not null, model text not null)",
)


@dataclass(frozen=True)
class KeptMask:
    """A finished mask of an object, so that opening a journal needs no model.

    Parameters
    ----------
    prompts : str
        Digest of the prompts that it answers.
    mask : PackedMask
        Source index; not yet laid over other objects.
    model : str
        Fingerprint of the model that made it.
    """

    prompts: str
    mask: PackedMask
    model: str


@dataclass(frozen=True, eq=False)
class Kept:
    """What a journal holds.

    Parameters
    ----------
    history : History
        The log, with what can be redone.
    masks : mapping of int to KeptMask
        By the ids of their objects.
    facts : mapping of str to str
        What was noted beside the log: versions, names, the view.
    damage : str or None
        What was found damaged, a sentence; None where all is whole.
    saved : datetime or None
        When it was written last, local time.
    """

    history: History
    masks: Mapping[int, KeptMask]
    facts: Mapping[str, str]
    damage: str | None = None
    saved: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever done."""
        return not self.history.entries

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that was used last."""
        return self.facts.get("fingerprint")

    @property
    def view(self) -> object:
        """What the window wanted to find again; None where it said nothing."""
        try:
            return json.loads(self.facts.get("view", "null"))
        except ValueError:
            return None


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
        the damaged file is put aside, and a new one is begun with what was read.

    Attributes
    ----------
    kept : Kept
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
            saved = _last_written(path)
            self._database, kept = _opened(path)
            self.kept = replace(kept, saved=saved)
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

    def put_masks(self, masks: Mapping[int, KeptMask]) -> None:
        """Write the masks of objects, in place of those they had."""
        with self._writing() as database:
            _insert_masks(database, masks)
        self._unmoved += 1
        if self._unmoved >= _MASKS_BEFORE_CHECKPOINT:
            self._unmoved = 0
            with _failing_legibly(self.path):
                self._database.execute("pragma wal_checkpoint(passive)").fetchone()

    def put_facts(self, facts: Mapping[str, str]) -> None:
        """Write what is to be known beside the log, in place of what had that name."""
        with self._writing() as database:
            _insert_facts(database, facts)

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

    def set_aside(self, why: str) -> Path:
        """Close, and give the file another name beside its own, with the day and a reason."""
        self.close()
        with _failing_legibly(self.path):
            return moved_aside(self.path, why)

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        with _failing_legibly(self.path):
            if _identity(self.path) != self._identity:
                raise OSError(f"{self.path.name} was removed or replaced")
            with self._database:
                yield self._database


def _opened(path: Path) -> tuple[sqlite3.Connection, Kept]:
    """Open a journal, or what can be saved of it; sqlite3.Error or OSError if it can't be."""
    database = None
    try:
        database = _locked(path)
        return database, _read(database, path)
    except _DAMAGED as error:
        if not _tells_of_damage(error):
            if database is not None:
                database.close()
            raise
        return _rescued(database, path)


def _tells_of_damage(error: Exception) -> bool:
    """Whether a complaint is about what was read, such as a spoilt header.

    Others tell of locks, space and access, with which the file may be whole.
    """
    operational = isinstance(error, sqlite3.OperationalError)
    return not operational or error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR


def _locked(path: Path) -> sqlite3.Connection:
    """Open a database for this process alone."""
    # Used by one thread at a time, which need not be the one that opened it.
    database = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    # A damaged letter must not keep the rest from being read.
    database.text_factory = _text
    try:
        # Locked before the write-ahead log is first used, so that no shared memory is needed and
        # a home folder on a network serves too.
        database.execute("pragma locking_mode = exclusive")
        database.execute(f"pragma page_size = {_PAGE}")
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute(f"pragma wal_autocheckpoint = {_PAGES_BEFORE_CHECKPOINT}")
        with database:
            database.execute("begin exclusive")
            for table in _SCHEMA:
                database.execute(table)
    except _UNREADABLE:
        database.close()
        raise
    return database


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _read(database: sqlite3.Connection, path: Path) -> Kept:
    """Return what a database holds; sqlite3.DatabaseError if any of it is damaged."""
    (state,) = database.execute("pragma quick_check(1)").fetchone()
    lines = [line for (line,) in database.execute("select line from records")]
    found = sorted_records(map(LogRecord.from_line, lines))
    if state != "ok" or len(found) < len(lines) or _lacking(found):
        raise sqlite3.DatabaseError("damaged")
    # SQLite passes in silence over what follows a damaged place in its write-ahead log, and over
    # a record whose writing was cut short at the very end.
    there = sorted_records((*found, *records_in(_bytes(parts_of(path)[1:2]))))
    if len(there) > len(found) + 1 or _lacking(there):
        raise sqlite3.DatabaseError("damaged")
    with database:
        _insert_records(database, there[len(found) :])
    return Kept(restored(there), dict(_masks(database)), dict(_facts(database)))


def _rescued(database: sqlite3.Connection | None, path: Path) -> tuple[sqlite3.Connection, Kept]:
    """Begin a new file with what is intact of a damaged one, which is kept."""
    masks, facts, found = _salvaged(database) if database else ({}, {}, [])
    found = sorted_records((*found, *records_in(_bytes(parts_of(path)))))
    aside = copied_aside(path, "damaged")
    if database is not None:
        database.close()
    for part in parts_of(path):
        part.unlink(missing_ok=True)
    new = _locked(path)
    with new:
        _insert_records(new, found)
        _insert_masks(new, masks)
        _insert_facts(new, facts)
    lost = len(_lacking(found))
    what = f"{lost} of its changes could not be read" if lost else "all changes found were read"
    damage = f"The journal was damaged; {what}. The damaged file is kept as {aside.name}."
    return new, Kept(restored(found), masks, facts, damage)


def sorted_records(records: Iterable[LogRecord | None]) -> list[LogRecord]:
    """Return the records that there are in their order; of one number the first."""
    found: dict[int, LogRecord] = {}
    for record in records:
        if record is not None:
            found.setdefault(record.number, record)
    return [record for _, record in sorted(found.items())]


def _lacking(records: list[LogRecord]) -> set[int]:
    numbers = {record.number for record in records}
    return set(range(1, max(numbers, default=0))) - numbers


def _facts(database: sqlite3.Connection) -> Generator[tuple[str, str]]:
    for name, value in database.execute("select name, value from facts"):
        if isinstance(name, str) and isinstance(value, str):
            yield name, value


def _masks(database: sqlite3.Connection) -> "Generator[tuple[int, KeptMask]]":
    for number, prompts, box, bits, model in database.execute("select * from masks"):
        with suppress(ValueError, TypeError):
            mask = PackedMask(json_values.box(json.loads(box)), bits)
            mask.unpack()
            if isinstance(prompts, str) and isinstance(model, str):
                yield number, KeptMask(prompts, mask, model)


def _insert_records(database: sqlite3.Connection, records: Iterable[LogRecord]) -> None:
    rows = [(record.number, record.to_line()) for record in records]
    database.executemany("insert into records values (?, ?)", rows)


def _insert_masks(database: sqlite3.Connection, masks: Mapping[int, KeptMask]) -> None:
    rows = [
        (
            n,
            kept.prompts,
            json.dumps(json_values.box_to_json(kept.mask.box)),
            kept.mask.bits,
            kept.model,
        )
        for n, kept in masks.items()
    ]
    database.executemany("insert or replace into masks values (?, ?, ?, ?, ?)", rows)


def _insert_facts(database: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    database.executemany("insert or replace into facts values (?, ?)", facts.items())


def _salvaged(
    database: sqlite3.Connection,
) -> tuple[dict[int, KeptMask], dict[str, str], list[LogRecord | None]]:
    """Return what SQLite can still read of masks, facts and records."""
    masks: dict[int, KeptMask] = {}
    facts: dict[str, str] = {}
    records: list[LogRecord | None] = []
    with suppress(*_UNREADABLE):
        masks.update(_masks(database))
    with suppress(*_UNREADABLE):
        facts.update(_facts(database))
    with suppress(*_UNREADABLE):
        for (line,) in database.execute("select line from records"):
            records.append(LogRecord.from_line(line))
    return masks, facts, records


def _bytes(paths: Iterable[Path]) -> bytes:
    return b"".join(path.read_bytes() for path in paths if path.exists())


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
