"""Volumes from NRRD files.

Read here and not by a library: teem, which ITK calls, reads numbers by the locale of the process
and takes 1 mm for a voxel size that isn't given; pynrrd loses letters of file names and labels,
knows no list of data files and verifies no checksum.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.data_file import data_files
from napari_fastsam3d.geometry.io.label_names import names_in_texts, names_of_segments
from napari_fastsam3d.geometry.io.length_unit import doubt_unnamed_unit, in_millimetres, length_unit
from napari_fastsam3d.geometry.io.nrrd_header import (
    NrrdHeader,
    parse_vector,
    quoted_words,
    read_nrrd_header,
)
from napari_fastsam3d.geometry.io.refusals import (
    TURNED_ROUND,
    choose_frame,
    colour_refused,
    no_sizes,
    no_unit,
    reported_damage,
    two_sizes,
)
from napari_fastsam3d.geometry.io.stored_voxels import Encoding, StoredVoxels
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "zlib",
    "gz": "zlib",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "text": "text",
    "txt": "text",
    "ascii": "text",
}
_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
_FRAME_KINDS = ("list", "time", "domain", "space", "point", "???", "none", "unknown", "")
_SPATIAL_KINDS = ("domain", "space", "???", "none", "unknown", "")
_SAME = 1e-3


@dataclass(frozen=True)
class _Axes:
    """Which axes of a file lie in space, three in its order, and which counts volumes."""

    spatial: tuple[int, ...]
    frames: int | None


def read_nrrd(path: Path, frame: int | None = None) -> Volume:
    """Read a .nrrd or .nhdr file; see `read_volume`."""
    with reported_damage(path):
        header = read_nrrd_header(path)
        axes = _axes(path, header)
        chosen = choose_frame(path.name, _frames(header, axes), frame)
        affine, notes = _affine(path, header, axes)
        voxels = _one_volume(_read_voxels(path, header, notes), header, axes, chosen)
    names = names_of_segments(header.keys)
    names |= names_in_texts([header.keys.get("label_names", "")])
    source = Source(path, "nrrd", frame=None if frame is None else chosen, label_names=names)
    return Volume.from_array(voxels, affine, name=path.stem, source=source, notes=notes)


def count_nrrd_frames(path: Path) -> int:
    """Return how many volumes an NRRD file holds."""
    with reported_damage(path):
        header = read_nrrd_header(path)
        return _frames(header, _axes(path, header))


def _axes(path: Path, header: NrrdHeader) -> _Axes:
    sizes, kinds = header.sizes, header.kinds
    if header.fields.get("dimension", str(len(sizes))) != str(len(sizes)) or min(sizes) < 1:
        raise ValueError(f"its sizes are {sizes}")
    spatial = [axis for axis in range(len(sizes)) if _in_space(header, axis)]
    if header.directions is None:
        spatial = spatial[:3]  # a fourth without directions can only count volumes
    if len(spatial) != 3:
        raise VolumeError(
            f"{path.name} has {len(spatial)} dimensions in space.", "Choose a 3D volume."
        )
    others = [axis for axis, size in enumerate(sizes) if axis not in spatial and size > 1]
    if any(kinds[axis] not in _FRAME_KINDS for axis in others):
        raise colour_refused(path)
    if len(others) > 1:
        raise VolumeError(f"{path.name} has {len(sizes)} dimensions.", "Choose a 3D volume.")
    return _Axes(tuple(spatial), others[0] if others else None)


def _in_space(header: NrrdHeader, axis: int) -> bool:
    if header.kinds[axis] not in _SPATIAL_KINDS:
        return False
    if header.directions is not None:
        vector = header.directions[axis]
        return vector is not None and (len(vector) == 3 or bool(np.any(vector[:3])))
    spacings = header.numbers("spacings")
    unmeasured = len(spacings) > axis and np.isnan(spacings[axis])
    return len(header.sizes) == 3 or not unmeasured


def _frames(header: NrrdHeader, axes: _Axes) -> int:
    return 1 if axes.frames is None else header.sizes[axes.frames]


def _affine(path: Path, header: NrrdHeader, axes: _Axes) -> tuple[NDArray[np.float64], list[str]]:
    notes: list[str] = []
    steps = _steps(path, header, axes, notes)
    lengths = np.linalg.norm(steps, axis=0)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise no_sizes(path, "space directions or spacings")
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = _origin(header, axes, notes)
    affine = _space(header, notes) @ affine
    units = _units(path, header, axes)
    if not units:
        doubt_unnamed_unit(affine, notes)
        return affine, notes
    return in_millimetres(affine, units, notes), notes


def _steps(path: Path, header: NrrdHeader, axes: _Axes, notes: list[str]) -> NDArray[np.float64]:
    """Return the steps (3, 3) along the axes, one a column, in the file's space and units."""
    directions = header.directions
    spacings = header.numbers("spacings")
    sizes = np.array([spacings[a] if a < len(spacings) else np.nan for a in axes.spatial])
    if directions is None:
        if (sizes < 0).any():
            notes.append(TURNED_ROUND)
        if "space" in header.fields or "spacedimension" in header.fields:
            notes.append(
                "The file does not say how its axes run in the patient: along those of its space "
                "is assumed."
            )
        return np.diag(sizes)
    steps = np.zeros((3, 3))
    for column, axis in enumerate(axes.spatial):
        vector = directions[axis]
        if vector is None or len(vector) < 3 or np.any(vector[3:]):
            raise ValueError(f"the space direction of axis {axis + 1} isn't one of space")
        steps[:, column] = vector[:3]
    given = np.linalg.norm(steps, axis=0)
    if np.isfinite(sizes).all() and not np.allclose(np.abs(sizes), given, rtol=_SAME, atol=0):
        raise two_sizes(path, "space directions", given, "spacings", sizes)
    return steps


def _origin(header: NrrdHeader, axes: _Axes, notes: list[str]) -> NDArray[np.float64]:
    told = header.fields.get("spaceorigin", "")
    origin = parse_vector(told, "space origin")[:3] if told else np.full(3, np.nan)
    if len(origin) == 3 and np.isfinite(origin).all():
        return origin
    if header.directions is not None:
        notes.append("The file does not say where its first voxel lies: at 0, 0, 0 is assumed.")
        return np.zeros(3)
    return _axis_minima(header, axes)


def _axis_minima(header: NrrdHeader, axes: _Axes) -> NDArray[np.float64]:
    """Return where the first voxel lies by the older way, as teem does; 0 without."""
    minima = header.numbers("axismins")
    if len(minima) != len(header.sizes) or np.isnan([minima[a] for a in axes.spatial]).any():
        return np.zeros(3)
    centres = header.fields.get("centers", header.fields.get("centerings", "")).split()
    spacings = header.numbers("spacings")
    node = [len(centres) > a and centres[a].lower() == "node" for a in axes.spatial]
    half = [
        0 if at_node else spacings[a] / 2 for a, at_node in zip(axes.spatial, node, strict=True)
    ]
    return np.array([minima[a] for a in axes.spatial]) + half


def _space(header: NrrdHeader, notes: list[str]) -> NDArray[np.float64]:
    """Return the (4, 4) matrix from the file's space to RAS, in the file's units."""
    name = header.fields.get("space", "").lower().strip('"')
    signs = _TO_RAS.get(name.removesuffix("-time").removesuffix("t" if len(name) == 4 else ""))
    if signs is None:
        notes.append(
            "The file does not say in which space it lies: LPS, as in DICOM, is assumed."
            if not name
            else f"The file lies in the space {name}, which says nothing of the patient: LPS, as "
            "in DICOM, is assumed."
        )
    return np.diag([*(signs or (-1, -1, 1)), 1.0])


def _units(path: Path, header: NrrdHeader, axes: _Axes) -> list[str]:
    """Return a unit for each axis of the space; none where none is named."""
    in_space = quoted_words(header.fields.get("spaceunits", ""))[:3]
    of_axes = quoted_words(header.fields.get("units", ""))
    along = [of_axes[a] for a in axes.spatial] if len(of_axes) == len(header.sizes) else []
    told = in_space if any(in_space) else along
    if not any(told):
        return []
    units = [length_unit(unit) for unit in told]
    if len(units) < 3 or None in units:
        raise no_unit(path, ", ".join(told))
    if told is along and header.directions is not None and len(set(units)) > 1:
        raise no_unit(path, ", ".join(told))
    return [unit for unit in units if unit]


def _read_voxels(path: Path, header: NrrdHeader, notes: list[str]) -> NDArray[Any]:
    encoding = _ENCODINGS.get(header.fields["encoding"].lower())
    lines, skip = (int(header.fields.get(key, "0")) for key in ("lineskip", "byteskip"))
    if encoding is None or (encoding != "raw" and skip < 0):
        raise VolumeError(
            f"The encoding of {path.name}, {header.fields['encoding']}, is not read here.",
            "Save it again as raw or gzip.",
        )
    stored = StoredVoxels(tuple(header.sizes), _dtype(path, header, encoding))
    name = header.fields.get("datafile", "")
    files = data_files(path, name, header.listed, header.sizes[-1]) if name else [path]
    share = stored.nbytes // len(files)
    parts = [(file, _begin(file, 0 if name else header.start, lines)) for file in files]
    if encoding == "raw" and skip < 0:
        parts = [(file, max(start, file.stat().st_size - share)) for file, start in parts]
    elif encoding == "raw":
        parts = [(file, start + skip) for file, start in parts]
    notes += stored.surplus(parts, encoding)
    return stored.of_files(parts, encoding, 0 if encoding in ("raw", "text") else skip)


def _begin(file: Path, start: int, lines: int) -> int:
    with file.open("rb") as stream:
        stream.seek(start)
        for _ in range(lines):
            if not stream.readline():
                break
        return stream.tell()


def _dtype(path: Path, header: NrrdHeader, encoding: Encoding) -> np.dtype[Any]:
    code = _DTYPES.get(" ".join(header.fields["type"].lower().split()))
    if code is None:
        raise VolumeError(
            f"{path.name} holds {header.fields['type']} values, which are not intensities.",
            "Choose a volume of one real number a voxel.",
        )
    order = {"little": "<", "big": ">"}.get(header.fields.get("endian", "").lower(), "")
    if not order and encoding != "text" and np.dtype(code).itemsize > 1:
        raise ValueError("it does not say in which order its bytes are (endian)")
    return np.dtype("=" + code if encoding == "text" else order + code)


def _one_volume(voxels: NDArray[Any], header: NrrdHeader, axes: _Axes, frame: int) -> NDArray[Any]:
    """Return one volume, (I, J, K), of an array with the axes of the file."""
    chosen: list[int | slice] = [0] * voxels.ndim
    for axis in axes.spatial:
        chosen[axis] = slice(None)
    if axes.frames is None:
        return voxels[tuple(chosen)]
    chosen[axes.frames] = frame
    part = voxels[tuple(chosen)]
    return part if axes.frames == voxels.ndim - 1 else np.asfortranarray(part)
