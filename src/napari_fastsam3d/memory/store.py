"""The files of a memory bank: one shard a case, and an index that can be made again from them."""

import sqlite3
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.memory.case import Case, Entry, Floats, structure_of
from napari_fastsam3d.memory.search import Index, Searchable

# Seconds that another process, which is writing, is waited for.
_PATIENCE = 30.0
_SUFFIX = ".safetensors"
_SCHEMA = (
    "create table if not exists entries (number integer primary key, id text unique not null,"
    " name text not null, model text not null, spacing real not null, quality real,"
    " clicks integer not null, date text not null, salt text not null, volume text not null,"
    " recalled integer not null, size integer not null, checksum integer not null,"
    " descriptor blob not null, scene blob not null)"
)
_COLUMNS = ", ".join(f.name for f in fields(Entry))
_INSERT = (
    f"insert into entries ({_COLUMNS}, checksum, descriptor, scene) values ({', '.join('?' * 14)})"
)


class Store:
    """Entries and shards in a folder that several processes may use at once.

    Everything is written under the index's lock: a shard first, then its row. Whatever is cut off
    in between leaves a shard without a row, or a row without a shard, and both are swept away when
    the folder is next opened: neither was promised to anyone.

    The index keeps no write-ahead log, so that nothing that was forgotten stays in one, and SQLite
    overwrites what it deletes.

    Parameters
    ----------
    folder : Path
        Made where it isn't there.

    Raises
    ------
    MemoryBankError
        If it can't be opened. A damaged index is made again from the shards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = folder / "shards"
        self._lock = threading.RLock()
        self._index: tuple[int, Index] | None = None
        with self._legibly():
            self._shards.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._database = self._opened()
        with self.writing():
            self._sweep()
            if self._journal.exists():
                # One that a killed process left behind is deleted where anything is written.
                self._database.execute("pragma user_version = 0")

    def close(self) -> None:
        """Let go of the folder."""
        with self._lock:
            self._database.close()

    @contextmanager
    def writing(self) -> Generator[None]:
        """Hold the lock of the folder; what fails inside leaves the index as it was."""
        with self._lock, self._legibly():
            self._database.execute("begin immediate")
            try:
                yield
                self._database.execute("commit")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._database.execute("rollback")
                raise
            finally:
                self._index = None

    def put(
        self, case: Case, surplus: Callable[[Sequence[Entry], Entry], tuple[Entry, ...]]
    ) -> tuple[Entry, ...]:
        """Keep a case, and let go of others; return those.

        Parameters
        ----------
        case : Case
        surplus : callable
            Says which entries go, of all, the oldest first, and the new one.
        """
        data = case.to_bytes()
        entry = replace(case.entry, recalled=0, size=len(data))
        path = self._shard(entry.id)
        if self._row(entry.id) is not None:
            raise MemoryBankError(
                f"The case {entry.id[:8]} is remembered already.", "Forget it first to replace it."
            )
        try:
            with self.writing():
                with replacing(path, _SUFFIX) as temporary:
                    temporary.write_bytes(data)
                self._insert(replace(case, entry=entry), data)
                gone = surplus(self._read_index().entries, entry)
                self._delete(entry.id for entry in gone)
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        for each in gone:
            with suppress(OSError):
                self._shard(each.id).unlink(missing_ok=True)
        return gone

    def get(self, identity: str) -> Case:
        """Read a case; MemoryBankError if it isn't there or is damaged."""
        data, checksum = self._read(identity)
        if zlib.crc32(data) == checksum:
            with suppress(ValueError):
                return Case.of_bytes(data)
        raise MemoryBankError(
            f"The remembered case {identity[:8]} is damaged.", "Forget it, or import it again."
        )

    def remove(self, identities: Iterable[str]) -> None:
        """Remove cases. The shard goes first: what is cut off there leaves no data behind."""
        gone = [*identities]
        with self.writing():
            for identity in gone:
                self._shard(identity).unlink(missing_ok=True)
            self._delete(gone)

    def count(self, recalled: Mapping[str, int]) -> None:
        """Add to how often cases were recalled."""
        with self.writing():
            self._database.executemany(
                "update entries set recalled = recalled + ? where id = ?",
                [(times, identity) for identity, times in recalled.items()],
            )

    def index(self) -> Index:
        """Return all entries; read again only where the index has changed."""
        with self._lock, self._legibly():
            (version,) = self._database.execute("pragma data_version").fetchone()
            if self._index is None or self._index[0] != version:
                self._index = version, self._read_index()
            return self._index[1]

    def _opened(self) -> sqlite3.Connection:
        path = self.folder / "index.sqlite"
        try:
            return _connected(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
        for each in (path, self._journal):
            each.unlink(missing_ok=True)
        return _connected(path)

    @property
    def _journal(self) -> Path:
        """What SQLite needs to take back a change that was cut off."""
        return self.folder / "index.sqlite-journal"

    def _sweep(self) -> None:
        """Make rows and shards agree, as they do unless a process was killed or a file lost."""
        shards = {path.stem: path for path in self._shards.iterdir()}
        known = {row[0] for row in self._database.execute("select id from entries")}
        self._delete(known - shards.keys())
        restore = not known
        strays = shards.keys() - known
        # Entered again the oldest first, as entries are.
        for identity in sorted(strays, key=lambda each: shards[each].stat().st_mtime_ns):
            if not (restore and self._restored(shards[identity])):
                shards[identity].unlink(missing_ok=True)

    def _restored(self, shard: Path) -> bool:
        """Enter a shard into the index again; whether it is whole."""
        data = shard.read_bytes()
        try:
            case = Case.of_bytes(data)
        except ValueError:
            return False
        if self._shard(case.entry.id) != shard:
            return False
        self._insert(case, data)
        return True

    def _delete(self, identities: Iterable[str]) -> None:
        rows = [(identity,) for identity in identities]
        self._database.executemany("delete from entries where id = ?", rows)

    def _insert(self, case: Case, data: bytes) -> None:
        found_by = (case.descriptor.astype("<f4").tobytes(), case.scene.astype("<f4").tobytes())
        self._database.execute(_INSERT, (*astuple(case.entry), zlib.crc32(data), *found_by))

    def _read(self, identity: str) -> tuple[bytes, int]:
        with self._lock, self._legibly():
            row = self._row(identity)
            try:
                data = self._shard(identity).read_bytes() if row else None
            except FileNotFoundError:
                data = None
        if data is None or row is None:
            raise MemoryBankError(
                f"The memory bank holds no case {identity}.", "It may have been forgotten."
            )
        return data, row[0]

    def _row(self, identity: str) -> tuple[int] | None:
        """Return the checksum of a case; None where it isn't there."""
        with self._lock, self._legibly():
            return self._database.execute(
                "select checksum from entries where id = ?", (identity,)
            ).fetchone()

    def _read_index(self) -> Index:
        rows = self._database.execute(
            f"select {_COLUMNS}, descriptor, scene from entries order by number"
        ).fetchall()
        entries = tuple(Entry(*row[:-2]) for row in rows)
        by_model: dict[str, list[int]] = {}
        for place, entry in enumerate(entries):
            by_model.setdefault(entry.model, []).append(place)
        return Index(
            entries,
            {
                model: Searchable(
                    tuple(entries[place] for place in places),
                    np.array([structure_of(entries[place].name) for place in places]),
                    _stacked(rows[place][-2] for place in places),
                    _stacked(rows[place][-1] for place in places),
                )
                for model, places in by_model.items()
            },
        )

    def _shard(self, identity: str) -> Path:
        return self._shards / f"{identity}{_SUFFIX}"

    @contextmanager
    def _legibly(self) -> Generator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise MemoryBankError(
                f"The memory bank in {self.folder} can't be used: {error}.",
                "Make room, or choose another folder; what was remembered before is still there.",
            ) from error


def _stacked(blobs: Iterable[bytes]) -> Floats:
    """Stack vectors of one length; zeros for those of another, or none, which nothing finds."""
    rows = [np.frombuffer(blob, "<f4") for blob in blobs]
    ((length, _),) = Counter(len(row) for row in rows if len(row)).most_common(1) or [(0, 0)]
    return np.stack([row if len(row) == length else np.zeros(length, "<f4") for row in rows])


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        database.execute("pragma journal_mode = delete")
        database.execute("pragma synchronous = full")
        database.execute("pragma secure_delete = on")
        database.execute(_SCHEMA)
        (verdict,) = database.execute("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        database.close()
        raise
    return database
