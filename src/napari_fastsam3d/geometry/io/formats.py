"""Reading a volume, whatever its format."""

import os
import zlib
from pathlib import Path

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.header import is_dicom
from napari_fastsam3d.geometry.io.dicom.reader import Series, read_dicom
from napari_fastsam3d.geometry.io.meta_image import count_meta_image_frames, read_meta_image
from napari_fastsam3d.geometry.io.nifti import count_nifti_frames, is_nifti, read_nifti
from napari_fastsam3d.geometry.io.nrrd import count_nrrd_frames, read_nrrd
from napari_fastsam3d.geometry.source import SUFFIXES, Format
from napari_fastsam3d.geometry.volume import Volume

_READING = {"nifti": read_nifti, "nrrd": read_nrrd, "metaimage": read_meta_image}
_COUNTING = {
    "nifti": count_nifti_frames,
    "nrrd": count_nrrd_frames,
    "metaimage": count_meta_image_frames,
}
_LFS_POINTER = b"version https://git-lfs"
_FORMATS = "NIfTI (.nii, .nii.gz), NRRD, MHA or MHD, or a folder of DICOM slices"


def read_volume(
    path: str | os.PathLike[str],
    *,
    frame: int | None = None,
    series: str | Series | None = None,
) -> Volume:
    """Read a scan.

    Parameters
    ----------
    path : path
        A NIfTI-1, NIfTI-2, NRRD, MHA or MHD file, a folder of DICOM slices or its DICOMDIR, one of
        the slices, or a multi-frame DICOM file.
    frame : int, optional
        Which volume of a file that holds several, from 0; see `list_frames`.
    series : str or Series, optional
        Which volume of a DICOM folder or file that holds several: one of `list_series`, its id,
        or its number from 1.

    Returns
    -------
    Volume
        Voxels in source order; its `notes` tell what had to be repaired or assumed.

    Raises
    ------
    VolumeError
        If there is no volume, or it is damaged, not 3D, not of one number a voxel, without usable
        geometry, or if there are several and none was chosen.
    """
    chosen = Path(path).expanduser().absolute()
    try:
        return _read(chosen, frame, series.id if isinstance(series, Series) else series)
    except MemoryError as error:
        raise VolumeError(
            f"{chosen.name} does not fit into memory.", "Close other programs, or crop the scan."
        ) from error
    except OSError as error:
        raise _unreadable(chosen, error) from error


def list_frames(path: str | os.PathLike[str]) -> range:
    """Return the numbers of the volumes in a file: 0 only, unless it is a 4D one.

    Reads the header alone.

    Raises
    ------
    VolumeError
        If it isn't a file of volumes.
    """
    chosen = Path(path).expanduser().absolute()
    try:
        kind = _kind(chosen)
        return range(_COUNTING[kind](chosen) if kind in _COUNTING else 1)
    except OSError as error:
        raise _unreadable(chosen, error) from error


def _read(path: Path, frame: int | None, series: str | None) -> Volume:
    kind = _kind(path)
    if series is not None and kind != "dicom":
        raise VolumeError(f"{path.name} has no DICOM series.", "Leave the series out.")
    if kind in _READING:
        return _READING[kind](path, frame)
    if frame:
        raise VolumeError(f"{path.name} has no frames to choose.", "Leave the frame out.")
    return read_dicom(path, series)


def _kind(path: Path) -> Format:
    if path.is_dir():
        return "dicom"
    with path.open("rb") as stream:
        start = stream.read(1024)
    _refuse_placeholder(path, start)
    name = path.name.lower()
    if name.endswith(SUFFIXES["nifti"]) or is_nifti(_unpacked(start)):
        return "nifti"
    for kind, suffixes in SUFFIXES.items():
        if name.endswith(suffixes):
            return kind
    if is_dicom(start):
        return "dicom"
    raise VolumeError(
        f"{path.name} is of no format that is read here.", f"Convert it to {_FORMATS}."
    )


def _refuse_placeholder(path: Path, start: bytes) -> None:
    if not start:
        raise VolumeError(f"{path.name} is empty.", "Copy or download the file again.")
    if start.startswith(_LFS_POINTER):
        raise VolumeError(
            f"{path.name} is a git-LFS pointer, not the scan itself.",
            "Fetch the scan with `git lfs pull`.",
        )


def _unpacked(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(start, 16)
    except zlib.error:
        return start


def _unreadable(path: Path, error: OSError) -> VolumeError:
    if isinstance(error, FileNotFoundError):
        return VolumeError(f"There is no {path}.", "Check the path.")
    reason = (error.strerror or str(error)).rstrip(".")
    return VolumeError(f"{path} cannot be read: {reason}.", "Check the file and its permissions.")
