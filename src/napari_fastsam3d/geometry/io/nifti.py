"""Volumes from NIfTI-1 and NIfTI-2 files."""

import gzip
import struct
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.label_names import names_in_texts
from napari_fastsam3d.geometry.io.length_unit import doubt_unnamed_unit, in_millimetres
from napari_fastsam3d.geometry.io.refusals import (
    FIX_HEADER,
    choose_frame,
    colour_refused,
    no_sizes,
    reported_damage,
)
from napari_fastsam3d.geometry.io.stored_voxels import StoredVoxels
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume, check_affine

_HEADER_SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
_DATA_OFFSETS = {348: 352, 540: 544}
_SINGLE_FILE_MAGIC = (b"n+1", b"n+2")
_VECTOR_INTENTS = range(1005, 1013)
_UNITS = {1: "m", 2: "mm", 3: "um"}
# From float32: what nibabel lets pass.
_UNIT_QUATERNION = 1 + 3 * float(np.finfo(np.float32).eps)


def is_nifti(start: bytes) -> bool:
    """Whether these first bytes, uncompressed, are those of a NIfTI file."""
    return len(start) >= 4 and any(
        size in _HEADER_SIZES
        for size in struct.unpack("<i", start[:4]) + struct.unpack(">i", start[:4])
    )


def read_nifti(path: Path, frame: int | None = None) -> Volume:
    """Read a .nii or .nii.gz file; see `read_volume`.

    Uncompressed files whose voxels need no conversion are mapped into memory, not read. Compressed
    ones are read to their end, so that their checksum is verified (NIfTI readers commonly stop
    short of it, and return garbage from a damaged file).
    """
    with _reported_damage(path):
        compressed = _is_compressed(path)
        with _opened(path, compressed) as stream:
            header = _read_header(stream, path)
            names = _label_names(stream, header)
        chosen = choose_frame(path.name, _frames(header, path), frame)
        stored = _stored(header, path)
        start = _data_offset(header) + chosen * stored.nbytes
        if compressed:
            with gzip.open(path) as stream:
                voxels = stored.read(stream, start)
        else:
            voxels = stored.map(path, start)
    affine, notes = _settle_geometry(header, path)
    if compressed and path.suffix.lower() != ".gz":
        notes.append("The file is compressed although its name does not end in .gz.")
    source = Source(path, "nifti", header, None if frame is None else chosen, label_names=names)
    return Volume.from_array(voxels, affine, name=_stem(path), source=source, notes=notes)


def count_nifti_frames(path: Path) -> int:
    """Return how many volumes a NIfTI file holds."""
    with _reported_damage(path), _opened(path, _is_compressed(path)) as stream:
        return _frames(_read_header(stream, path), path)


def _reported_damage(path: Path) -> AbstractContextManager[None]:
    from nibabel.spatialimages import HeaderDataError

    return reported_damage(path, HeaderDataError)


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    if path.suffix.lower() == ".gz" and not compressed:
        raise VolumeError(
            f"{path.name} is named .gz and is not gzip-compressed.",
            "Rename it to .nii if it was unpacked; otherwise copy or download it again.",
        )
    return compressed


@contextmanager
def _opened(path: Path, compressed: bool) -> Generator[BufferedIOBase]:
    with path.open("rb") as raw:
        yield gzip.GzipFile(fileobj=raw) if compressed else raw


def _read_header(stream: BufferedIOBase, path: Path) -> Any:
    """Return a nibabel header, its fields as stored."""
    import nibabel

    start = stream.read(4)
    if len(start) < 4 or not is_nifti(start):
        raise VolumeError(
            f"{path.name} is not a NIfTI file, whatever its name says.",
            "Copy or download the file again.",
        )
    sizes = {order: struct.unpack(f"{order}i", start)[0] for order in "<>"}
    order = "<" if sizes["<"] in _HEADER_SIZES else ">"
    size = sizes[order]
    block = start + stream.read(size - 4)
    if len(block) < size:
        raise EOFError("the file ends within its header")
    header = getattr(nibabel, _HEADER_SIZES[size])(block, endianness=order, check=False)
    if bytes(header["magic"])[:3] not in _SINGLE_FILE_MAGIC:
        raise VolumeError(
            f"{path.name} is the header of a pair of files, .hdr and .img.",
            "Convert it to a single .nii file.",
        )
    return header


def _frames(header: Any, path: Path) -> int:
    """Return how many 3D volumes there are; raise VolumeError unless they are of scalars."""
    shape = [int(n) for n in header.get_data_shape()]
    if not 1 <= int(header["dim"][0]) <= 7 or any(n < 1 for n in shape):
        raise VolumeError(f"{path.name} says that its shape is {tuple(shape)}.", FIX_HEADER)
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) < 3:
        raise VolumeError(
            f"{path.name} is a flat image of shape {tuple(shape)}.", "Choose a 3D volume."
        )
    intent = int(header["intent_code"])
    if header.get_data_dtype().fields or len(shape) > 4 or intent in _VECTOR_INTENTS:
        raise colour_refused(path)
    return shape[3] if len(shape) == 4 else 1


def _stored(header: Any, path: Path) -> StoredVoxels:
    """Return how the voxels of one volume lie in the file."""
    i, j, k = (int(n) for n in header.get_data_shape()[:3])
    slope, intercept = header.get_slope_inter()
    if slope == 1 and intercept == 0:
        slope = None
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise VolumeError(
            f"{path.name} holds {dtype} values, which are not intensities.",
            "Choose a volume of one real number a voxel.",
        )
    return StoredVoxels((i, j, k), dtype, slope, float(intercept or 0))


def _data_offset(header: Any) -> int:
    smallest = _DATA_OFFSETS[int(header["sizeof_hdr"])]
    offset = float(header["vox_offset"])
    return max(smallest, int(offset)) if np.isfinite(offset) else smallest


def _label_names(stream: BufferedIOBase, header: Any) -> dict[int, str]:
    """Return what the extensions after a header say of its values."""
    room = min(_data_offset(header) - int(header["sizeof_hdr"]), 1 << 24)
    block = stream.read(room)
    if not block[:1].strip(b"\0"):
        return {}
    contents = _extensions(block[4:], str(header.endianness))
    return names_in_texts(content.decode(errors="replace") for content in contents)


def _extensions(block: bytes, order: str) -> Iterator[bytes]:
    while len(block) >= 8:
        size, _ = struct.unpack(f"{order}ii", block[:8])
        if not 8 < size <= len(block):
            return
        yield block[8:size]
        block = block[size:]


def _settle_geometry(header: Any, path: Path) -> tuple[NDArray[np.float64], list[str]]:
    """Choose the affine, and make the header agree with the choice.

    As nibabel and most tools do: the sform if there is one, else the qform. What is unusable is
    taken out of the header, so that a mask saved with it lies where the volume was shown.
    """
    notes = _fix_pixdim(header) + _fix_quaternion(header)
    sform, qform = _usable_forms(header, notes)
    if sform is not None:
        notes += _other_sizes(header, sform, qform)
    if sform is not None and qform is not None:
        notes += _disagreement(sform, qform, header.get_data_shape()[:3])
    affine = sform if sform is not None else qform
    if affine is None:
        affine = _base_affine(header, path)
        notes.append(
            "The file says nothing usable about orientation: the sides of the patient (left and "
            "right, front and back, head and feet) are assumed."
        )
    unit = _UNITS.get(int(header["xyzt_units"]) % 8)
    if unit is None:
        doubt_unnamed_unit(affine, notes)
        return affine, notes
    return in_millimetres(affine, [unit] * 3, notes), notes


def _fix_pixdim(header: Any) -> list[str]:
    sizes = header["pixdim"][1:4]
    if not (sizes < 0).any():
        return []
    header["pixdim"][1:4] = np.abs(sizes)
    return ["The file gives negative voxel sizes; their signs are ignored."]


def _fix_quaternion(header: Any) -> list[str]:
    """Make a qform readable as the standard says, where nibabel would refuse it.

    By nifti1.h a qfac of 0 counts as 1, and b, c and d that are longer than 1 by rounding are
    made a unit quaternion.
    """
    if header["qform_code"] <= 0:
        return []
    notes: list[str] = []
    qfac = float(header["pixdim"][0])
    if abs(qfac) != 1:
        header["pixdim"][0] = -1 if qfac < 0 else 1
        if qfac != 0:
            notes.append(f"The qfac of the file is {qfac:g}; it counts by its sign.")
    names = ("quatern_b", "quatern_c", "quatern_d")
    parts = np.array([float(header[name]) for name in names])
    length = float(np.linalg.norm(parts))
    if _UNIT_QUATERNION < length**2 <= 1.02**2:  # more is no rounding
        for name, part in zip(names, parts / length, strict=True):
            header[name] = part
    return notes


def _usable_forms(
    header: Any, notes: list[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return sform and qform, or None for those that are absent or make no sense."""
    from nibabel.spatialimages import HeaderDataError

    found: list[NDArray[np.float64] | None] = []
    for name, read in (("sform", header.get_sform), ("qform", header.get_qform)):
        form = None
        if header[f"{name}_code"] > 0:
            try:
                form = np.asarray(read(), dtype=np.float64)
                check_affine(form)
            except (HeaderDataError, ValueError, VolumeError):
                form = None
                header[f"{name}_code"] = 0
                notes.append(f"The {name} of the file is unusable and is ignored.")
        else:
            header[f"{name}_code"] = 0
        found.append(form)
    return found[0], found[1]


def _disagreement(
    sform: NDArray[np.float64], qform: NDArray[np.float64], shape: tuple[int, int, int]
) -> list[str]:
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    corners = corners * [*(n - 1 for n in shape), 1]
    apart = np.linalg.norm(corners @ (sform - qform).T, axis=1).max()
    if apart < 0.5 * np.linalg.norm(sform[:3, :3], axis=0).min():
        return []
    return [f"The file's sform and qform disagree by up to {apart:.1f} mm; the sform is used."]


def _other_sizes(
    header: Any, sform: NDArray[np.float64], qform: NDArray[np.float64] | None
) -> list[str]:
    """Tell where pixdim says other sizes than the sform; make it say the same where it says none.

    A qform takes its sizes from pixdim, so that it is compared itself.
    """
    sizes, lengths = header["pixdim"][1:4], np.linalg.norm(sform[:3, :3], axis=0)
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        header["pixdim"][1:4] = lengths
        return []
    if qform is not None or np.allclose(sizes, lengths, rtol=0.01, atol=0):
        return []
    stated, used = (" x ".join(f"{size:.4g}" for size in each) for each in (sizes, lengths))
    return [f"The file's pixdim says voxels of {stated} and its sform {used}; the sform is used."]


def _base_affine(header: Any, path: Path) -> NDArray[np.float64]:
    sizes = header["pixdim"][1:4]
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise no_sizes(path, "pixdim")
    return np.asarray(header.get_base_affine(), dtype=np.float64)


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem
