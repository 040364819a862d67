"""The fields of an NRRD header, nothing of them judged."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.io.data_file import header_text

_VECTOR = re.compile(r"none|\([^()]*\)")
_QUOTED = re.compile(r'"([^"]*)"|(\S+)')
_ESCAPE = re.compile(r"\\([n\\])")
_LONGEST_HEADER = 1 << 24


@dataclass(frozen=True, eq=False)
class NrrdHeader:
    """What an NRRD header says, nothing of it judged.

    Parameters
    ----------
    fields : mapping
        By name in lower case without blanks.
    keys : mapping
        Free pairs of key and value.
    start : int
        The byte after the header.
    listed : tuple of str
        The lines after ``data file: LIST``.
    """

    fields: Mapping[str, str]
    keys: Mapping[str, str] = field(default_factory=dict)
    start: int = 0
    listed: tuple[str, ...] = ()

    def numbers(self, name: str) -> list[float]:
        """Return the numbers of a field; none where it is absent."""
        return [parse_number(word, name) for word in self.fields.get(name, "").split()]

    @property
    def sizes(self) -> list[int]:
        """How many voxels there are along each axis of the file."""
        return [int(word) for word in self.fields["sizes"].split()]

    @property
    def kinds(self) -> list[str]:
        """What each axis counts, in lower case; empty where it is not said."""
        told = self.fields.get("kinds", "").lower().split()
        return told if len(told) == len(self.sizes) else [""] * len(self.sizes)

    @property
    def directions(self) -> list[NDArray[np.float64] | None] | None:
        """One vector for each axis, in the file's space, None for one that has none; or None."""
        if "spacedirections" not in self.fields:
            return None
        words = _VECTOR.findall(self.fields["spacedirections"].lower())
        if len(words) != len(self.sizes):
            raise ValueError("it has not one space direction for each axis")
        found = [
            None if word == "none" else parse_vector(word, "space directions") for word in words
        ]
        return [None if v is None or np.isnan(v).all() else v for v in found]


def read_nrrd_header(path: Path) -> NrrdHeader:
    """Read the header of a .nrrd or .nhdr file.

    Raises
    ------
    ValueError
        If it is none, doesn't end, or lacks what every header has.
    """
    with path.open("rb") as stream:
        if not stream.readline(_LONGEST_HEADER).startswith(b"NRRD"):
            raise ValueError("it doesn't begin with NRRD")
        return _parse(stream)


def _parse(stream: BinaryIO) -> NrrdHeader:
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    listed: list[str] = []
    while line := stream.readline(_LONGEST_HEADER):
        text = header_text(line).rstrip("\r\n")
        if fields.get("datafile", "").split()[:1] == ["LIST"]:
            listed.append(text)
            continue
        if not text.strip():
            break
        if stream.tell() > _LONGEST_HEADER:
            raise ValueError("it doesn't end")
        _take(text, fields, keys)
    missing = [name for name in ("type", "sizes", "encoding") if name not in fields]
    if missing:
        raise ValueError(f"it doesn't say {', '.join(missing)}")
    return NrrdHeader(fields, keys, stream.tell(), tuple(listed))


def _take(text: str, fields: dict[str, str], keys: dict[str, str]) -> None:
    if text.startswith("#"):
        return
    parts = re.match(r"([^:]*):(=?)(.*)", text, re.DOTALL)
    if parts is None:
        raise ValueError(f"a line of it is no field: {text[:40]!r}")
    if parts[2]:
        keys[parts[1].strip()] = _ESCAPE.sub(lambda c: "\n" if c[1] == "n" else "\\", parts[3])
        return
    name = parts[1].strip().lower().replace(" ", "")
    value = parts[3].strip()
    if fields.setdefault(name, value) != value:
        raise ValueError(f"it says two things of {parts[1].strip()}")


def parse_vector(text: str, name: str) -> NDArray[np.float64]:
    """Return the numbers between the brackets of a field of that name."""
    return np.array([parse_number(word, name) for word in text.strip().strip("()").split(",")])


def parse_number(word: str, name: str) -> float:
    """Return a number of the field of that name; ValueError for anything else."""
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word.strip()!r} is no number ({name})") from None


def quoted_words(text: str) -> list[str]:
    """Return the words of a field, each quoted or bare."""
    return [quoted or bare for quoted, bare in _QUOTED.findall(text)]
