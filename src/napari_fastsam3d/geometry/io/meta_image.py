"""Volumes from MetaImage files.

Read here and not by ITK, which copies the header's own strings and sizes into memory on trust: it
shows random memory where the size of a compressed block isn't written down, takes 1 mm for a voxel
size that isn't given, and ignores the unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.data_file import data_files, header_text
from napari_fastsam3d.geometry.io.label_names import names_in_texts
from napari_fastsam3d.geometry.io.length_unit import doubt_unnamed_unit, in_millimetres, length_unit
from napari_fastsam3d.geometry.io.refusals import (
    TURNED_ROUND,
    choose_frame,
    colour_refused,
    no_sizes,
    no_unit,
    reported_damage,
)
from napari_fastsam3d.geometry.io.stored_voxels import Encoding, StoredVoxels
from napari_fastsam3d.geometry.orientation import axis_codes, axis_directions, ras_affine
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume, check_affine

_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")
_ORIGINS = ("Offset", "Position", "Origin")
_MSB = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
_LONGEST_HEADER = 1 << 24
_UNIT_LENGTH = 1e-3
_UPRIGHT = 0.8
_OPPOSITE = str.maketrans("LRAPSI", "RLPAIS")


@dataclass(frozen=True, eq=False)
class _Header:
    """What a MetaImage header says: its fields, the byte after it, and the lines after ``LIST``."""

    fields: Mapping[str, str]
    start: int
    listed: tuple[str, ...]

    def numbers(self, *names: str) -> list[float] | None:
        """Return the numbers of the first field that is there, or None without any."""
        for name in names:
            if self.fields.get(name, "").strip():
                return [_number(word, name) for word in self.fields[name].split()]
        return None

    def says(self, *names: str) -> bool:
        """Whether the first of these fields that is there says true."""
        told = next((self.fields[name] for name in names if name in self.fields), "")
        return told[:1].lower() in ("t", "1")

    @property
    def sizes(self) -> list[int]:
        return [int(word) for word in self.fields["DimSize"].split()]


def read_meta_image(path: Path, frame: int | None = None) -> Volume:
    """Read a .mha or .mhd file; see `read_volume`."""
    with reported_damage(path):
        header = _read_header(path)
        frames = _frames(path, header)
        chosen = choose_frame(path.name, frames, frame)
        affine, notes = _affine(path, header)
        voxels, more = _read_voxels(path, header)
    voxels = voxels.reshape((*voxels.shape[:3], frames), order="F")[..., chosen]
    if frames > 1:  # let the others go
        voxels = np.array(voxels, order="F")
    names = names_in_texts([header.fields.get("label_names", "")])
    source = Source(path, "metaimage", frame=None if frame is None else chosen, label_names=names)
    return Volume.from_array(voxels, affine, name=path.stem, source=source, notes=notes + more)


def count_meta_image_frames(path: Path) -> int:
    """Return how many volumes a MetaImage file holds."""
    with reported_damage(path):
        return _frames(path, _read_header(path))


def _read_header(path: Path) -> _Header:
    fields: dict[str, str] = {}
    with path.open("rb") as stream:
        while "ElementDataFile" not in fields:
            line = stream.readline(_LONGEST_HEADER)
            key, equals, value = header_text(line).partition("=")
            if not line.strip() and line:
                continue
            if not equals or stream.tell() > _LONGEST_HEADER:
                raise ValueError("it has no ElementDataFile")
            name, value = key.strip(), value.strip()
            if fields.setdefault(name, value) != value and name != "Comment":
                raise ValueError(f"it says two things of {name}")
        start = stream.tell()
        listed = ()
        if fields["ElementDataFile"].split()[:1] == ["LIST"]:
            listed = tuple(header_text(line).strip() for line in stream)
    missing = [name for name in ("DimSize", "ElementType") if name not in fields]
    if missing or not fields["ElementDataFile"]:
        raise ValueError(f"it does not say {', '.join(missing or ['ElementDataFile'])}")
    return _Header(fields, start, listed)


def _frames(path: Path, header: _Header) -> int:
    sizes = header.sizes
    if header.fields.get("NDims", str(len(sizes))) != str(len(sizes)) or min(sizes) < 1:
        raise ValueError(f"its sizes are {sizes}")
    channels = int(header.fields.get("ElementNumberOfChannels", "1"))
    if channels != 1:
        raise colour_refused(path)
    if not 3 <= len(sizes) <= 4:
        raise VolumeError(f"{path.name} has {len(sizes)} dimensions.", "Choose a 3D volume.")
    return prod(sizes[3:])


def _affine(path: Path, header: _Header) -> tuple[NDArray[np.float64], list[str]]:
    notes: list[str] = []
    count = len(header.sizes)
    steps = _directions(header, count, notes) * _spacing(path, header, notes)
    affine = ras_affine(steps, _origin(header, count, notes))
    check_affine(affine)
    notes += _other_letters(header, affine)
    told = header.fields.get("DistanceUnits", "").strip()
    if told.strip("?\"' ") == "":
        doubt_unnamed_unit(affine, notes)
        return affine, notes
    unit = length_unit(told)
    if unit is None:
        raise no_unit(path, told)
    return in_millimetres(affine, [unit] * 3, notes), notes


def _spacing(path: Path, header: _Header, notes: list[str]) -> NDArray[np.float64]:
    spacing = header.numbers("ElementSpacing")
    if spacing is None:
        spacing = header.numbers("ElementSize")
        if spacing is not None:
            notes.append(
                "The file gives the size of its voxels and not their distance: no gaps between "
                "slices are assumed."
            )
    sizes = np.array(spacing[:3] if spacing and len(spacing) >= 3 else [np.nan] * 3)
    if not (np.isfinite(sizes).all() and sizes.all()):
        raise no_sizes(path, "ElementSpacing")
    if (sizes < 0).any():
        notes.append(TURNED_ROUND)
    return sizes


def _directions(header: _Header, count: int, notes: list[str]) -> NDArray[np.float64]:
    """Return unit steps (3, 3), one a column, in LPS."""
    told = header.numbers(*_DIRECTIONS)
    if told is None:
        # AnatomicalOrientation is no help: its letters say where an axis goes to by the format's
        # own description, and where it comes from by ITK.
        notes.append(
            "The file does not say how its axes run in the patient (TransformMatrix): LPS, as in "
            "DICOM, is assumed."
        )
        return np.eye(3)
    if len(told) != count**2:
        raise ValueError(f"its TransformMatrix has {len(told)} numbers")
    matrix = np.reshape(told, (count, count))
    if count == 4 and (matrix[3, :3].any() or matrix[:3, 3].any()):
        raise ValueError("its TransformMatrix mixes space and time")
    directions = matrix[:3, :3].T
    lengths = np.linalg.norm(directions, axis=0)
    if np.abs(lengths - 1).max() > _UNIT_LENGTH and lengths.all():
        sizes = " x ".join(f"{length:.4g}" for length in lengths)
        notes.append(f"The file's TransformMatrix stretches its voxels, by {sizes}.")
    return directions


def _other_letters(header: _Header, affine: NDArray[np.float64]) -> list[str]:
    """Tell where AnatomicalOrientation, read either way, is another than that of an affine."""
    letters = header.fields.get("AnatomicalOrientation", "").strip().upper()
    if header.numbers(*_DIRECTIONS) is None:
        return []
    upright = np.abs(axis_directions(affine)).max(axis=0).min() > _UPRIGHT
    towards = axis_codes(affine)
    agree = letters in (towards, towards.translate(_OPPOSITE))
    if agree or not upright or not set(letters) <= set("LRAPSI") or len(letters) != 3:
        return []
    return [
        f"The file's AnatomicalOrientation, {letters}, is none of its axes, which run towards "
        f"{towards}; it is ignored."
    ]


def _origin(header: _Header, count: int, notes: list[str]) -> NDArray[np.float64]:
    told = header.numbers(*_ORIGINS)
    if told is not None and len(told) == count and np.isfinite(told[:3]).all():
        return np.array(told[:3])
    if told is not None and len(told) != count:
        raise ValueError(f"its Offset has {len(told)} numbers")
    notes.append("The file does not say where its first voxel lies: at 0, 0, 0 is assumed.")
    return np.zeros(3)


def _read_voxels(path: Path, header: _Header) -> tuple[NDArray[Any], list[str]]:
    """Return the voxels with the axes of the file, and what was assumed of them."""
    encoding: Encoding = "zlib" if header.says("CompressedData") else "raw"
    if "BinaryData" in header.fields and not header.says("BinaryData"):
        encoding = "text"
    stored, notes = _stored(path, header, encoding)
    name = header.fields["ElementDataFile"]
    local = name.upper() == "LOCAL"
    files = [path] if local else data_files(path, name, header.listed, header.sizes[-1])
    share = stored.nbytes // len(files)
    parts = [(file, _begin(file, header, local, encoding, share)) for file in files]
    notes += stored.surplus(parts, encoding)
    return stored.of_files(parts, encoding), notes


def _stored(path: Path, header: _Header, encoding: Encoding) -> tuple[StoredVoxels, list[str]]:
    code = _DTYPES.get(header.fields["ElementType"].upper().removesuffix("_ARRAY"))
    if code is None:
        raise VolumeError(
            f"{path.name} holds {header.fields['ElementType']} values, which are not intensities.",
            "Choose a volume of one real number a voxel.",
        )
    orders = {header.says(name) for name in _MSB if name in header.fields}
    if len(orders) > 1:
        raise ValueError("it says two things of the order of its bytes")
    notes: list[str] = []
    if not orders and encoding != "text" and np.dtype(code).itemsize > 1:
        notes.append(
            "The file does not say in which order its bytes are (BinaryDataByteOrderMSB): "
            "little-endian is assumed."
        )
    order = "=" if encoding == "text" else ">" if True in orders else "<"
    slope = (header.numbers("ElementToIntensityFunctionSlope") or [1.0])[0]
    intercept = (header.numbers("ElementToIntensityFunctionOffset") or [0.0])[0]
    scale = None if (slope, intercept) == (1, 0) else slope
    return StoredVoxels(tuple(header.sizes), np.dtype(order + code), scale, intercept), notes


def _begin(file: Path, header: _Header, local: bool, encoding: Encoding, share: int) -> int:
    """Return the byte of a data file at which its voxels begin."""
    size = int(header.fields.get("HeaderSize", "0"))
    first = header.start if local else 0
    if size == -1 and encoding == "raw":
        return max(first, file.stat().st_size - share)
    return size if size > 0 else first


def _number(word: str, name: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is no number ({name})") from None
