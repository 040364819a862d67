"""Data files beside a header, found by the name that the header gives them."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from napari_fastsam3d.errors import VolumeError

_NUMBER = re.compile(r"%0?\d{0,2}[du]")
_PATTERN = re.compile(r"(.+?)(?:\s+(-?\d{1,9}))?(?:\s+(-?\d{1,9}))?(?:\s+(-?\d{1,9}))?(?:\s+\d)?")
_MOST_FILES = 100_000
_FETCH = "Copy or download the file again, with its data file if it has one."


def header_text(line: bytes) -> str:
    """Return a line of a header as text, of which the bytes can be had again; see `_spellings`."""
    return line.decode("utf-8", "surrogateescape")


def data_files(
    header: Path, name: str, following: Sequence[str] = (), slices: int = 1
) -> list[Path]:
    """Return the data files that a header names, each of them there.

    Parameters
    ----------
    header : Path
    name : str
        What the header says, by `header_text`: a file's name, relative to the header or absolute;
        a pattern with its first number, last number and step, such as ``slice%03d.raw 1 90 1``; or
        ``LIST``. A file of just that name goes before a pattern.
    following : sequence of str
        For ``LIST``, the lines after it.
    slices : int
        Number of the last file of a pattern that doesn't say.

    Raises
    ------
    VolumeError
        If one isn't there.
    """
    if name.split()[0] == "LIST" and all(word.isdigit() for word in name.split()[1:]):
        return [_existing(header, each.strip()) for each in following if each.strip()]
    found = _found(header, name)
    if found is not None:
        return [found]
    names = _numbered(name, slices)
    return [_existing(header, each) for each in names] if names else [_existing(header, name)]


def _existing(header: Path, name: str) -> Path:
    found = _found(header, name)
    if found is None:
        shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raise VolumeError(f"{header.name} has lost its data file {shown}.", _FETCH)
    return found


def _found(header: Path, name: str) -> Path | None:
    for spelling in _spellings(name):
        with suppress(OSError, ValueError):
            path = header.parent / spelling
            if path.is_file() and not (path.exists() and path.samefile(header)):
                return path
    return None


def _spellings(name: str) -> Iterator[str]:
    """Yield the ways in which the bytes of a name may be meant, the likely ones first."""
    raw = name.encode("utf-8", "surrogateescape")
    for text in (os.fsdecode(raw), name, raw.decode("latin-1"), raw.decode("cp1252", "replace")):
        for form in (text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))):
            yield form
            if "\\" in form:
                yield form.replace("\\", "/")


def _numbered(pattern: str, files: int) -> list[str]:
    """Return the names that a pattern stands for; none where it is no pattern."""
    parts = _PATTERN.fullmatch(pattern)
    if parts is None or len(_NUMBER.findall(parts[1])) != 1 or parts[1].count("%") != 1:
        return []
    first, last, step = (int(parts[2] or 1), int(parts[3] or files), int(parts[4] or 1))
    numbers = range(first, last + (1 if step > 0 else -1), step or 1)[:_MOST_FILES]
    return [_NUMBER.sub(lambda found, n=n: found[0] % n, parts[1]) for n in numbers]
