"""The SQLite database of a journal: its tables, and what is read from them and written to them."""

import json
import sqlite3
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.session.journal.record import LogRecord
from napari_fastsam3d.session.journal.saved_session import SavedMask

# Large enough for most records to lie whole in one page, where `records_in` finds them although
# the database around them is damaged.
_PAGE = 16384
# Moving the write-ahead log into the database takes time, so it is done after masks, for which
# nobody waits; within a record only where that would make the log too large.
_PAGES_BEFORE_CHECKPOINT = 2048
# Seconds that a journal is waited for which a session that was just closed still writes.
_PATIENCE = 2.0
# Python can't read SQLite's complaint about a damaged file where that quotes damaged letters.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
_SCHEMA = (
    "create table if not exists facts (name text primary key, value text not null)",
    "create table if not exists records (number integer primary key, line text not null)",
    "create table if not exists masks (object integer primary key, prompts text not null,"
    " box text not null, bits blob not null, model text not null)",
)


def opened(path: Path) -> sqlite3.Connection:
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
    except UNREADABLE:
        database.close()
        raise
    return database


def read_facts(database: sqlite3.Connection) -> Generator[tuple[str, str]]:
    """Yield the facts that are intact, by name and value."""
    for name, value in database.execute("select name, value from facts"):
        if isinstance(name, str) and isinstance(value, str):
            yield name, value


def read_masks(database: sqlite3.Connection) -> "Generator[tuple[int, SavedMask]]":
    """Yield the masks that are intact, with the ids of their objects."""
    for number, prompts, box, bits, model in database.execute(
        "select object, prompts, box, bits, model from masks"
    ):
        with suppress(ValueError, TypeError):
            mask = PackedMask(json_values.box(parse_json(box)), bits)
            mask.unpack()
            if isinstance(prompts, str) and isinstance(model, str):
                yield number, SavedMask(prompts, mask, model)


def insert_records(database: sqlite3.Connection, records: Iterable[LogRecord]) -> None:
    """Add records; sqlite3.IntegrityError where there is one of that number."""
    rows = [(record.number, record.to_line()) for record in records]
    database.executemany("insert into records values (?, ?)", rows)


def insert_masks(database: sqlite3.Connection, masks: Mapping[int, SavedMask]) -> None:
    """Put masks in the place of those that their objects had."""
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


def insert_facts(database: sqlite3.Connection, facts: Mapping[str, str]) -> None:
    """Put facts in the place of those of the same name."""
    database.executemany("insert or replace into facts values (?, ?)", facts.items())


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")
