"""The adapters of a user: versions for each structure, of which one is in use."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fastsam3d.errors import AdapterError, FastSAM3DError, SaveError
from napari_fastsam3d.geometry.io.atomic_write import replacing

if TYPE_CHECKING:
    from napari_fastsam3d.model.adapter import Adapter

_SUFFIX = ".safetensors"
_IN_USE = "in_use"


class AdapterStore:
    """Adapters in a folder: `<structure>/<version>.safetensors`, and which version is in use.

    Nothing is held in memory but what was asked for; several processes may use the folder.

    Parameters
    ----------
    path : path, optional
        A folder, made where it isn't there; by default one in the user's data folder.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self.path = adapters_folder() if path is None else Path(path).expanduser()

    def structures(self) -> tuple[str, ...]:
        """Return what is adapted: the structures with a version in use, by name."""
        found = [each.structure for each in self.in_use()]
        return tuple(sorted(found, key=str.casefold))

    def in_use(self) -> "Iterator[Adapter]":
        """Yield the adapter in use of each structure; a damaged file is passed over."""
        for home in self._homes():
            yield from _whole(home, [self._version_in_use(home)])

    def versions(self, structure: str) -> "tuple[Adapter, ...]":
        """Return all versions of a structure, the oldest first; damaged files are passed over."""
        return tuple(_whole(self._home(structure)))

    def get(self, structure: str, version: int | None = None) -> "Adapter":
        """Return a version of a structure, by default the one in use.

        Raises
        ------
        AdapterError
            If there is none.
        """
        home = self._home(structure)
        number = self._version_in_use(home) if version is None else version
        path = home / f"{number}{_SUFFIX}"
        if not number or not path.exists():
            known = ", ".join(self.structures())
            of = structure if version is None else f"version {version} of {structure}"
            raise AdapterError(
                f"There is no adapter for {of}.",
                f"Adapted are: {known}." if known else "Fit one: napari-fastsam3d adapt NAME.",
            )
        return _read(path)

    def has(self, structure: str) -> bool:
        """Whether a version for a structure is in use."""
        return self.version_in_use(structure) > 0

    def version_in_use(self, structure: str) -> int:
        """Return the number of the version in use of a structure; 0 where none is."""
        return self._version_in_use(self._home(structure))

    def file_in_use(self, structure: str) -> Path | None:
        """Return the file of the version in use of a structure; None where none is."""
        home = self._home(structure)
        version = self._version_in_use(home)
        return home / f"{version}{_SUFFIX}" if version else None

    def by_identity(self, identity: str) -> "Adapter | None":
        """Return the adapter with certain weights, in use or not; None if it isn't here."""
        for home in self._homes():
            for found in _whole(home):
                if found.identity == identity:
                    return found
        return None

    def add(self, adapter: "Adapter") -> "Adapter":
        """Keep an adapter as the newest version of its structure, and use it; return it so."""
        home = self._home(adapter.structure)
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(f"{home} can't be made: {error}.", "Choose another folder.") from error
        number = max(_numbers(home), default=0) + 1
        kept = adapter.numbered(number)
        kept.save(home / f"{number}{_SUFFIX}")
        self._use(home, number)
        return kept

    def use(self, structure: str, version: int) -> "Adapter":
        """Go back to a version, or on to one; 0 uses none. Return what is in use, or was."""
        found = self.get(structure, version or None)
        self._use(self._home(structure), version)
        return found

    def remove(self, structure: str, version: int | None = None) -> None:
        """Remove a version from the disk, or all of a structure.

        Where the one in use goes, the newest of those left is used.
        """
        home = self._home(structure)
        there, used = _numbers(home), self._version_in_use(home)
        gone = [n for n in there if version in (None, n)]
        if not gone:
            self.get(structure, version)
        for number in gone:
            (home / f"{number}{_SUFFIX}").unlink(missing_ok=True)
        left = _numbers(home)
        if not left:
            (home / _IN_USE).unlink(missing_ok=True)
            with suppress(OSError):  # something else lies there
                home.rmdir()
        elif used in gone:
            self._use(home, left[-1])

    def _homes(self) -> list[Path]:
        return sorted(each for each in self.path.glob("[!.]*") if each.is_dir())

    def _home(self, structure: str) -> Path:
        return self.path / folder_of(structure)

    @staticmethod
    def _use(home: Path, number: int) -> None:
        with replacing(home / _IN_USE, "") as temporary:
            Path(temporary).write_text(str(number), encoding="ascii")

    @staticmethod
    def _version_in_use(home: Path) -> int:
        try:
            number = int((home / _IN_USE).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
        return number if number > 0 and (home / f"{number}{_SUFFIX}").is_file() else 0


def _read(path: Path) -> "Adapter":
    # Imported here, so that a store is there before torch is.
    from napari_fastsam3d.model.adapter import Adapter

    return Adapter.read(path)


def _whole(home: Path, numbers: Iterable[int] | None = None) -> "Iterator[Adapter]":
    """Read versions, by default all; files that are damaged or not there are passed over."""
    for number in _numbers(home) if numbers is None else numbers:
        with suppress(FastSAM3DError):
            yield _read(home / f"{number}{_SUFFIX}")


def folder_of(structure: str) -> str:
    """Return the name of the folder of a structure; capitals and spaces don't tell names apart."""
    plain = " ".join(structure.split()).casefold()
    legible = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40]
    return f"{legible}-{sha256(plain.encode()).hexdigest()[:8]}"


def _numbers(home: Path) -> list[int]:
    found = [each.stem for each in home.glob(f"*{_SUFFIX}")]
    return sorted(int(stem) for stem in found if re.fullmatch("[1-9][0-9]*", stem))


def adapters_folder() -> Path:
    """Return where the user's own adapters are."""
    import platformdirs

    return Path(platformdirs.user_data_dir("napari-fastsam3d", appauthor=False)) / "adapters"
