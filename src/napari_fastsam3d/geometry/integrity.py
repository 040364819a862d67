"""Whether a MetaImage or NRRD file is whole, which their usual readers do not ask."""

import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_fastsam3d.errors import VolumeError

_ITEM_BYTES = {
    "CHAR": 1,
    "SHORT": 2,
    "INT": 4,
    "LONG": 4,
    "LONG_LONG": 8,
    "FLOAT": 4,
    "DOUBLE": 8,
}
_PIECE = 1 << 20
_LONGEST_HEADER = 1 << 16
_FETCH = "Copy or download the file again, with its data file if it has one."


def check_meta_image(path: Path) -> None:
    """Raise VolumeError if a .mha or .mhd file has lost or changed some of its voxels.

    ITK reads a damaged compressed file without a word; here the checksum of the compressed stream
    is verified. Headers that aren't understood are left to ITK to judge.

    Parameters
    ----------
    path : Path
        The header.
    """
    with path.open("rb") as stream:
        fields = _fields(stream)
        expected = _expected_bytes(fields)
        where = fields.get("ElementDataFile", "")
        if expected is None or not where or where.split()[0] == "LIST" or "%" in where:
            return
        compressed = fields.get("CompressedData", "").lower() == "true"
        if where.upper() == "LOCAL":
            _check(stream, path, expected, compressed)
            return
    data = path.parent / where
    if not data.is_file():
        raise VolumeError(f"{path.name} has lost its data file {where}.", _FETCH)
    with data.open("rb") as stream:
        _check(stream, data, expected, compressed)


def check_nrrd(path: Path) -> None:
    """Raise VolumeError if the voxels of a gzip-compressed .nrrd or .nhdr file are damaged.

    Raw ones need no check: their reader counts. Headers that aren't understood are left to it.

    Parameters
    ----------
    path : Path
        The header.
    """
    with path.open("rb") as stream:
        fields = _nrrd_fields(stream)
        if fields.get("encoding", "").lower() not in ("gzip", "gz") or _has_skips(fields):
            return
        where = fields.get("data file", fields.get("datafile", ""))
        if not where:
            _check(stream, path, 0, compressed=True)
    data = path.parent / where
    if where and data.is_file():
        with data.open("rb") as stream:
            _check(stream, data, 0, compressed=True)


def _nrrd_fields(stream: BinaryIO) -> dict[str, str]:
    """Return the header as text, and leave the stream at the empty line where it ends."""
    fields: dict[str, str] = {}
    while (line := stream.readline(_LONGEST_HEADER).strip()) and stream.tell() < _LONGEST_HEADER:
        key, _, value = line.decode("latin-1").partition(":")
        fields[key.strip().lower()] = value.strip()
    return fields


def _has_skips(fields: dict[str, str]) -> bool:
    skips = (fields.get(key, "0") for key in ("line skip", "lineskip", "byte skip", "byteskip"))
    return any(skip != "0" for skip in skips)


def _fields(stream: BinaryIO) -> dict[str, str]:
    """Return the header as text, and leave the stream where it ends."""
    fields: dict[str, str] = {}
    while "ElementDataFile" not in fields and stream.tell() < _LONGEST_HEADER:
        line = stream.readline(_LONGEST_HEADER)
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            break
        fields[key.strip()] = value.strip()
    return fields


def _expected_bytes(fields: dict[str, str]) -> int | None:
    kind = fields.get("ElementType", "").removeprefix("MET_").removesuffix("_ARRAY")
    item = _ITEM_BYTES.get(kind.removeprefix("U"))
    sides = fields.get("DimSize", "").split()
    channels = fields.get("ElementNumberOfChannels", "1")
    text = fields.get("BinaryData", "").lower() == "false"
    if item is None or text or not sides or not all(n.isdecimal() for n in [*sides, channels]):
        return None
    return item * int(channels) * int(np.prod([int(n) for n in sides], dtype=object))


def _check(stream: BinaryIO, path: Path, expected: int, compressed: bool) -> None:
    try:
        found = _inflated_bytes(stream) if compressed else path.stat().st_size - stream.tell()
    except (zlib.error, EOFError) as error:
        raise VolumeError(f"{path.name} is damaged: {error}.", _FETCH) from error
    if found < expected:
        raise VolumeError(
            f"{path.name} is cut short: {found} of {expected} bytes of voxels are there.", _FETCH
        )


def _inflated_bytes(stream: BinaryIO) -> int:
    """Return how long a zlib stream is; zlib verifies its checksum at its end."""
    inflate = zlib.decompressobj(wbits=47)
    count = 0
    while (piece := stream.read(_PIECE)) and not inflate.eof:
        while piece and not inflate.eof:
            count += len(inflate.decompress(piece, _PIECE))
            piece = inflate.unconsumed_tail
    if not inflate.eof:
        raise EOFError("it ends before its last voxel")
    return count
