"""The bank of accepted cases: local, bounded, and free of anything that says whose they are."""

import secrets
import threading
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.memory.case import Case, Entry, Floats, structure_of
from napari_fastsam3d.memory.exported import SUFFIX, exported_cases
from napari_fastsam3d.memory.kept_scan import KeptScans
from napari_fastsam3d.memory.search import Index, Neighbour, nearest, of_structure
from napari_fastsam3d.memory.store import Store

LIMIT = 2 << 30
"""Bytes that a bank holds unless it is told otherwise."""

POLICY = (
    "Where there is no room for a new case, one goes of the structure with the most cases: "
    "the least recalled, and of these the oldest."
)


@dataclass(frozen=True)
class Stats:
    """How full a bank is.

    Attributes
    ----------
    cases : int
    structures : dict of str to int
        Cases of each structure, the most frequent first.
    models : dict of str to int
        Cases of each model, by the fingerprint of its encoder.
    size, limit : int
        Bytes that the cases take, and that they may take.
    policy : str
        What happens when that is reached.
    """

    cases: int
    structures: dict[str, int]
    models: dict[str, int]
    size: int
    limit: int
    policy: str = POLICY


class MemoryBank:
    """Cases that were accepted, kept in a folder, to be recalled for later ones.

    May be used from several threads, and the folder by several processes at once. A case is there
    as a whole or not at all. It holds features of a network, a coarse mask, and what `Entry` says:
    no voxels, no file names, nothing of the patient.

    Parameters
    ----------
    path : path, optional
        A folder, made where it isn't there; by default one in the user's data folder.
    limit : int
        Bytes that the cases may take; see `POLICY`.

    Attributes
    ----------
    scans : KeptScans
        Parts of the scans, where the user agreed that they are kept.

    Raises
    ------
    MemoryBankError
        From any command, where the folder can't be read or written.
    """

    def __init__(self, path: str | PathLike[str] | None = None, limit: int = LIMIT) -> None:
        self.path = memory_folder() if path is None else Path(path).expanduser()
        self.limit = limit
        self._store = Store(self.path)
        self.scans = KeptScans(self.path / "scans")
        # Listed first: another process enters a case before it keeps a part of its scan.
        if kept := self.scans.identities():
            self.scans.remove(kept - {entry.id for entry in self._store.index().entries})
        self._recalled: Counter[str] = Counter()
        self._counting = threading.Lock()

    def __enter__(self) -> "MemoryBank":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Write how often cases were recalled, and let go of the folder."""
        self._count()
        self._store.close()

    def add(self, case: Case) -> tuple[Entry, ...]:
        """Remember a case; return what had to go for it.

        Raises
        ------
        MemoryBankError
            If it is larger than the bank may be, or can't be written.
        SaveError
            If its file can't be written, such as on a full disk.
        """
        self._count()
        gone = self._store.put(case, self._surplus)
        self.scans.remove(entry.id for entry in gone)
        return gone

    def list(self, name: str | None = None) -> tuple[Entry, ...]:
        """Return the entries, the oldest first; with a name, those of that structure."""
        self._count()
        entries = self._store.index().entries
        wanted = None if name is None else structure_of(name)
        return tuple(e for e in entries if wanted in (None, structure_of(e.name)))

    def get(self, identity: str) -> Case:
        """Read a case; MemoryBankError if it isn't there or is damaged."""
        return self._store.get(identity)

    def recall(
        self,
        descriptor: Floats,
        model: str,
        *,
        name: str | None = None,
        volume: str | None = None,
        count: int = 3,
        least: float = -1.0,
    ) -> tuple[Neighbour, ...]:
        """Return the cases that are most like something, the likest first.

        They are all of one structure, and of one model. Nothing is read but the index.

        Parameters
        ----------
        descriptor : ndarray of float32, shape (D,)
            Unit vector.
        model : str
            Fingerprint of its encoder; cases of others are kept and not used.
        name : str, optional
            What the object is called: where there are cases of that name, only those are recalled.
        volume : str, optional
            `Volume.content_hash` of the scan, whose own cases are not recalled.
        count : int
            How many, at the most.
        least : float
            Cosine under which a case is too unlike to be used.
        """
        return nearest(
            self.index(), descriptor, model, name=name, volume=volume, count=count, least=least
        )

    def index(self) -> Index:
        """Return all entries as they are now, with what they are found by."""
        return self._store.index()

    def note_recalled(self, identities: Iterable[str]) -> None:
        """Count cases as recalled; written with the next change, or when the bank is closed."""
        with self._counting:
            self._recalled.update(identities)

    def forget(self, identity: str) -> Entry:
        """Remove a case, so that nothing of it stays in the folder.

        Parameters
        ----------
        identity : str
            The entry's id, or as much of its beginning as tells it from others.
        """
        entry = self.entry(identity)
        self._remove([entry.id])
        return entry

    def forget_structure(self, name: str) -> tuple[Entry, ...]:
        """Remove all cases of a structure; return their entries; MemoryBankError if it has none."""
        entries = of_structure(name, self.list())
        self._remove([entry.id for entry in entries])
        return entries

    def export(self, path: str | PathLike[str], name: str | None = None) -> int:
        """Write cases to one file, for a colleague; return how many.

        Parameters
        ----------
        path : path
            Replaced as a whole, or not at all. A zip archive of safetensors files.
        name : str, optional
            Only those of that structure.
        """
        entries = self.list() if name is None else of_structure(name, self.list())
        if not entries:
            raise MemoryBankError("There is nothing to export.", "Accept some cases first.")
        with (
            replacing(Path(path).expanduser(), ".zip") as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for entry in entries:
                archive.writestr(entry.id + SUFFIX, self._store.get(entry.id).to_bytes())
        return len(entries)

    def import_(self, path: str | PathLike[str]) -> tuple[Entry, ...]:
        """Add the cases of a file that `export` wrote; return the entries that were new.

        Raises
        ------
        MemoryBankError
            If it isn't such a file, or a case in it is damaged; then nothing is added.
        """
        cases = {case.entry.id: case for case in exported_cases(Path(path).expanduser())}
        known = {entry.id for entry in self.list()}
        fresh = [case for identity, case in cases.items() if identity not in known]
        for case in fresh:
            self.add(case)
        return tuple(case.entry for case in fresh)

    def stats(self) -> Stats:
        """Tell how full it is."""
        entries = self.list()
        return Stats(
            len(entries),
            dict(Counter(entry.name for entry in entries).most_common()),
            dict(Counter(entry.model for entry in entries).most_common()),
            sum(entry.size for entry in entries),
            self.limit,
        )

    def _remove(self, identities: Sequence[str]) -> None:
        self.scans.remove(identities)
        self._store.remove(identities)

    def entry(self, identity: str) -> Entry:
        """Return the entry of an id, or of as much of its beginning as tells it from others."""
        found = [each for each in self._store.index().entries if each.id.startswith(identity)]
        if len(found) != 1 or not identity:
            raise MemoryBankError(
                f"{len(found) or 'No'} remembered cases have an id that begins with {identity!r}.",
                "See the list of the bank.",
            )
        return found[0]

    def _surplus(self, entries: Sequence[Entry], newest: Entry) -> tuple[Entry, ...]:
        if newest.size > self.limit:
            raise MemoryBankError(
                f"One case takes {newest.size} bytes, and the bank may hold {self.limit}.",
                "Give the bank a higher limit.",
            )
        return surplus(entries, self.limit, newest.id)

    def _count(self) -> None:
        with self._counting:
            recalled, self._recalled = self._recalled, Counter()
        if recalled:
            self._store.count(recalled)


def memory_folder() -> Path:
    """Return where the user's own bank is."""
    import platformdirs

    return Path(platformdirs.user_data_dir("napari-fastsam3d", appauthor=False)) / "memory"


def new_identity() -> tuple[str, str]:
    """Return a random id for an entry, and a random salt."""
    return secrets.token_hex(16), secrets.token_hex(16)


def surplus(entries: Sequence[Entry], limit: int, newest: str) -> tuple[Entry, ...]:
    """Return what has to go so that entries fit into a limit; see `POLICY`.

    Parameters
    ----------
    entries : sequence of Entry
        The oldest first.
    limit : int
        Bytes.
    newest : str
        Id of an entry that stays.
    """
    left, gone, size = [*entries], list[Entry](), sum(entry.size for entry in entries)
    while size > limit:
        cases = Counter(structure_of(entry.name) for entry in left)
        choice = [entry for entry in left if entry.id != newest]
        if not choice:
            break
        most = max(cases[structure_of(entry.name)] for entry in choice)
        crowded = [entry for entry in choice if cases[structure_of(entry.name)] == most]
        least = min(crowded, key=lambda entry: entry.recalled)
        left.remove(least)
        gone.append(least)
        size -= least.size
    return tuple(gone)
