"""Volumes from NIfTI-1 and NIfTI-2 files."""

import gzip
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.frames import choose_frame
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume, check_affine

_GZIP_MAGIC = b"\x1f\x8b"
_HEADER_SIZES = {348: "Nifti1Header", 540: "Nifti2Header"}
_DATA_OFFSETS = {348: 352, 540: 544}
_SINGLE_FILE_MAGIC = (b"n+1", b"n+2")
_VECTOR_INTENTS = range(1005, 1013)
_MM_PER_UNIT = {1: 1e3, 3: 1e-3}
_UNIT_NAMES = {1: "metres", 3: "micrometres"}
_MOST_DIMENSIONS = 7
_SLAB_BYTES = 1 << 24

_MEND = "Mend the header, or convert the scan from its DICOM files again."
_FETCH = "Copy or download the file again."


@dataclass(frozen=True, eq=False)
class _Layout:
    """How the voxels lie in a file, (i fastest), and how they become intensities."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    offset: int
    frame: int
    slope: float | None
    intercept: float

    @property
    def plane_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def start(self) -> int:
        return self.offset + self.frame * self.shape[2] * self.plane_bytes

    @property
    def stop(self) -> int:
        return self.start + self.shape[2] * self.plane_bytes

    @property
    def as_stored(self) -> bool:
        """Whether voxels are intensities already, but for the order of their bytes."""
        return self.slope is None and (self.dtype.kind in "iu" or self.dtype.itemsize == 4)


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
    with _damage_told(path):
        compressed = _is_compressed(path)
        with _opened(path, compressed) as stream:
            header = _read_header(stream, path)
        layout = _layout(header, path, frame)
        voxels = _read_compressed(path, layout) if compressed else _read_plain(path, layout)
    affine, notes = _settle_geometry(header, path)
    if compressed and path.suffix.lower() != ".gz":
        notes.append("The file is compressed although its name does not end in .gz.")
    source = Source(path, "nifti", header, None if frame is None else layout.frame)
    return Volume.from_array(voxels, affine, name=_stem(path), source=source, notes=notes)


def count_nifti_frames(path: Path) -> int:
    """Return how many volumes a NIfTI file holds."""
    with _damage_told(path), _opened(path, _is_compressed(path)) as stream:
        return _frames(_read_header(stream, path), path)


@contextmanager
def _damage_told(path: Path) -> Generator[None]:
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise VolumeError(f"{path.name} is damaged: {_sentence(error)}", _FETCH) from error
    except (HeaderDataError, KeyError, ValueError) as error:
        raise VolumeError(
            f"The header of {path.name} makes no sense: {_sentence(error)}", _MEND
        ) from error


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".") + "."


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP_MAGIC
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
        raise VolumeError(f"{path.name} is not a NIfTI file, whatever its name says.", _FETCH)
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
    if not 1 <= int(header["dim"][0]) <= _MOST_DIMENSIONS or any(n < 1 for n in shape):
        raise VolumeError(f"{path.name} says that its shape is {tuple(shape)}.", _MEND)
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) < 3:
        raise VolumeError(
            f"{path.name} is a flat image of shape {tuple(shape)}.", "Choose a 3D volume."
        )
    intent = int(header["intent_code"])
    if header.get_data_dtype().fields or len(shape) > 4 or intent in _VECTOR_INTENTS:
        raise VolumeError(
            f"{path.name} holds a colour or a vector in each voxel, not one intensity.",
            "Choose a grey-scale volume, or save one channel as a file of its own.",
        )
    return shape[3] if len(shape) == 4 else 1


def _layout(header: Any, path: Path, frame: int | None) -> _Layout:
    chosen = choose_frame(path.name, _frames(header, path), frame)
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
    smallest = _DATA_OFFSETS[int(header["sizeof_hdr"])]
    offset = float(header["vox_offset"])
    start = max(smallest, int(offset)) if np.isfinite(offset) else smallest
    return _Layout((i, j, k), dtype, start, chosen, slope, float(intercept or 0))


def _read_plain(path: Path, layout: _Layout) -> NDArray[Any]:
    if path.stat().st_size < layout.stop:
        raise EOFError("the file ends before its last voxel")
    stored = np.memmap(path, layout.dtype, "r", offset=layout.start, shape=layout.shape, order="F")
    if layout.as_stored and layout.dtype.isnative:
        return stored
    voxels = np.empty(layout.shape, _intensity_dtype(layout), order="F")
    thickness = _thickness(layout)
    for k in range(0, layout.shape[2], thickness):
        voxels[:, :, k : k + thickness] = _intensities(stored[:, :, k : k + thickness], layout)
    return voxels


def _read_compressed(path: Path, layout: _Layout) -> NDArray[Any]:
    voxels = np.empty(layout.shape, _intensity_dtype(layout), order="F")
    thickness = _thickness(layout)
    with gzip.open(path) as stream:
        _skip(stream, layout.start)
        for k in range(0, layout.shape[2], thickness):
            slab = np.empty(
                (*layout.shape[:2], min(thickness, layout.shape[2] - k)), layout.dtype, order="F"
            )
            _fill(stream, slab)
            voxels[:, :, k : k + thickness] = _intensities(slab, layout)
        while stream.read(_SLAB_BYTES):
            pass  # the checksum is verified when the end is reached
    return voxels


def _thickness(layout: _Layout) -> int:
    return max(1, _SLAB_BYTES // layout.plane_bytes)


def _intensity_dtype(layout: _Layout) -> np.dtype[Any]:
    return layout.dtype.newbyteorder("=") if layout.as_stored else np.dtype(np.float32)


def _intensities(stored: NDArray[Any], layout: _Layout) -> NDArray[Any]:
    if layout.slope is None:
        return stored
    with np.errstate(over="ignore", invalid="ignore"):
        return stored * np.float64(layout.slope) + layout.intercept


def _skip(stream: BufferedIOBase, count: int) -> None:
    while count:
        got = len(stream.read(min(count, _SLAB_BYTES)))
        if not got:
            raise EOFError("the file ends before its last voxel")
        count -= got


def _fill(stream: BufferedIOBase, slab: NDArray[Any]) -> None:
    rest = slab.reshape(-1, order="F").view(np.uint8).data
    while rest:
        got = stream.readinto(rest)
        if not got:
            raise EOFError("the file ends before its last voxel")
        rest = rest[got:]


def _settle_geometry(header: Any, path: Path) -> tuple[NDArray[np.float64], list[str]]:
    """Choose the affine, and make the header agree with the choice.

    As nibabel and most tools do: the sform if there is one, else the qform. What is unusable is
    taken out of the header, so that a mask saved with it lies where the volume was shown.
    """
    notes = _mend_pixdim(header)
    sform, qform = _usable_forms(header, notes)
    if sform is not None and qform is not None:
        notes += _disagreement(sform, qform, header.get_data_shape()[:3])
    affine = sform if sform is not None else qform
    if affine is None:
        affine = _base_affine(header, path)
        notes.append(
            "The file says nothing usable about orientation: the sides of the patient (left and "
            "right, front and back, head and feet) are assumed."
        )
    return _in_mm(affine, int(header["xyzt_units"]) % 8, notes), notes


def _mend_pixdim(header: Any) -> list[str]:
    sizes = header["pixdim"][1:4]
    if not (sizes < 0).any():
        return []
    header["pixdim"][1:4] = np.abs(sizes)
    return ["The file gives negative voxel sizes; their signs are ignored."]


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


def _base_affine(header: Any, path: Path) -> NDArray[np.float64]:
    sizes = header["pixdim"][1:4]
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise VolumeError(
            f"{path.name} does not say how large its voxels are: {sizes.tolist()} mm.",
            "Set the voxel size in the header (pixdim), or convert the scan from DICOM again.",
        )
    return np.asarray(header.get_base_affine(), dtype=np.float64)


def _in_mm(affine: NDArray[np.float64], unit: int, notes: list[str]) -> NDArray[np.float64]:
    """Return an affine in mm, where the header names another unit and that is believable."""
    scale = _MM_PER_UNIT.get(unit)
    if scale is None:
        return affine
    sizes = np.linalg.norm(affine[:3, :3], axis=0) * scale
    if not ((sizes > 1e-3) & (sizes < 100)).all():
        notes.append(f"The file's unit, {_UNIT_NAMES[unit]}, is unbelievable; mm are assumed.")
        return affine
    notes.append(f"The file measures in {_UNIT_NAMES[unit]}.")
    return np.diag([scale, scale, scale, 1.0]) @ affine


def _stem(path: Path) -> str:
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem
