"""What is left of a damaged journal, and backups: copies under another name beside the journal."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.database import (
    UNREADABLE,
    insert_facts,
    insert_masks,
    insert_records,
    opened,
    read_facts,
    read_masks,
)
from napari_fastsam3d.session.journal.record import LogRecord, records_in, restored
from napari_fastsam3d.session.journal.saved_session import SavedMask, SavedSession

SUFFIX = ".journal"
KEPT = 20
"""How many backups of a journal there are, for each reason."""


def rescued(
    database: sqlite3.Connection | None, path: Path
) -> tuple[sqlite3.Connection, SavedSession]:
    """Begin a new file with what is intact of a damaged one, which is kept."""
    masks, facts, found = _salvaged(database) if database else ({}, {}, [])
    found = sorted_records((*found, *records_in(bytes_of(parts_of(path)))))
    backup = copy_to_backup(path, "damaged")
    if database is not None:
        database.close()
    for part in parts_of(path):
        part.unlink(missing_ok=True)
    new = opened(path)
    with new:
        insert_records(new, found)
        insert_masks(new, masks)
        insert_facts(new, facts)
    lost = missing(found)
    what = f"{lost} of its changes could not be read" if lost else "all changes found were read"
    damage = f"The journal was damaged; {what}. The damaged file is kept as {backup.name}."
    return new, SavedSession(restored(found), masks, facts, damage)


def put_aside(path: Path) -> tuple[sqlite3.Connection, SavedSession]:
    """Begin a new file in place of one of a newer version, which is kept as it is."""
    backup = copy_to_backup(path, "newer")
    for part in parts_of(path):
        part.unlink(missing_ok=True)
    told = (
        "An earlier session on this scan was written by a newer version of this program. It is "
        f"kept as {backup.name}, and listed among the earlier sessions after an update."
    )
    return opened(path), SavedSession(History(), {}, {}, told)


def sorted_records(records: Iterable[LogRecord | None]) -> list[LogRecord]:
    """Return the records that there are in their order; of one number the first."""
    found: dict[int, LogRecord] = {}
    for record in records:
        if record is not None:
            found.setdefault(record.number, record)
    return [record for _, record in sorted(found.items())]


def missing(records: list[LogRecord]) -> int:
    """Return how many of the numbers from 1 to the last of sorted records none of them has."""
    return records[-1].number - len(records) if records else 0


def _salvaged(
    database: sqlite3.Connection,
) -> tuple[dict[int, SavedMask], dict[str, str], list[LogRecord | None]]:
    """Return what SQLite can still read of masks, facts and records."""
    masks: dict[int, SavedMask] = {}
    facts: dict[str, str] = {}
    records: list[LogRecord | None] = []
    with suppress(*UNREADABLE):
        masks.update(read_masks(database))
    with suppress(*UNREADABLE):
        facts.update(read_facts(database))
    with suppress(*UNREADABLE):
        for (line,) in database.execute("select line from records"):
            records.append(LogRecord.from_line(line))
    return masks, facts, records


def bytes_of(paths: Iterable[Path]) -> bytes:
    """Return the bytes of those of some files that are there, one after the other."""
    return b"".join(path.read_bytes() for path in paths if path.exists())


def journal_path(folder: Path, content_hash: str) -> Path:
    """Return where the journal of a volume is kept in a folder."""
    return folder / f"{content_hash}{SUFFIX}"


def parts_of(path: Path) -> list[Path]:
    """Return the files that SQLite may make of a journal."""
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]


def move_to_backup(path: Path, why: str) -> Path:
    """Give a closed journal another name, with a reason and the moment; OSError if it can't be."""
    backup = path.replace(_name_of(path, why))
    _remove_old(path, why)
    return backup


def copy_to_backup(path: Path, why: str) -> Path:
    """Copy a journal, with what belongs to it; OSError if it can't be."""
    backup = _name_of(path, why)
    for old, new in zip(parts_of(path), parts_of(backup), strict=True):
        if old.exists():
            shutil.copyfile(old, new)
    _remove_old(path, why)
    return backup


def _name_of(path: Path, why: str) -> Path:
    stamp = datetime.now().strftime("%Y-%m-%d_%H%M%S_%f")
    return path.with_name(f"{path.stem}.{why}-{stamp}{SUFFIX}")


def _remove_old(path: Path, why: str) -> None:
    """Remove all but the newest few, whose names sort by their moments."""
    found = sorted(path.parent.glob(f"{path.stem}.{why}-*{SUFFIX}"))
    for old in found[:-KEPT]:
        for part in parts_of(old):
            with suppress(OSError):  # tried again the next time
                part.unlink(missing_ok=True)
