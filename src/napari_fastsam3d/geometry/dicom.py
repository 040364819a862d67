"""Volumes from DICOM slices."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.itk import affine_of, array_of, ras_affine, silent_itk
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.geometry.volume import Volume

if TYPE_CHECKING:
    from SimpleITK import Image, ImageFileReader

_MAGIC = slice(128, 132)
_IMAGE_IO = "GDCMImageIO"
_DIRECTORY = "DICOMDIR"
_FILES_LOOKED_AT = 20_000
_SERIES_UID = "0020|000e"
_DESCRIPTION = "0008|103e"
_MODALITY = "0008|0060"
_POSITION = "0020|0032"
_THICKNESS = "0018|0050"
_FILMS = ("US", "XA", "RF", "ES", "XC", "IVUS")
_SAME_PLACE_MM = 1e-3
_SILENT_UNEVENNESS = 0.02
_LARGEST_UNEVENNESS = 0.1
_MISSING_SHARE = 0.1

_EXPORT = "Export the whole series again."


@dataclass(frozen=True, eq=False)
class _Slice:
    """One file of a series; geometry in LPS mm, index order (column, row)."""

    path: Path
    uid: str
    description: str
    modality: str
    size: tuple[int, ...]
    components: int
    steps: NDArray[np.float64]  # (3, 3): to the next column, row and slice, one a column
    position: NDArray[np.float64]  # (3,): of the first voxel
    placed: bool
    thickness: float | None

    @property
    def frames(self) -> int:
        return self.size[2] if len(self.size) > 2 else 1

    @property
    def stack(self) -> tuple[Any, ...]:
        """What slices of one volume have in common."""
        return (self.uid, self.size, *np.round(self.steps[:, :2], 3).ravel().tolist())


@dataclass(frozen=True)
class Series:
    """One stack of DICOM slices in a folder.

    Parameters
    ----------
    id : str
        What to give `read_volume` as `series`: its series instance UID if it has one of its own,
        else its number from 1.
    description, modality : str
        As the scanner wrote them; may be empty.
    shape : tuple of int
        Columns, rows and slices.
    files : tuple of Path
        Its files, in no order.
    """

    id: str
    description: str
    modality: str
    shape: tuple[int, int, int]
    files: tuple[Path, ...]

    def __str__(self) -> str:
        i, j, k = self.shape
        words = " ".join(w for w in (self.modality, self.description) if w) or "unnamed"
        return f"{words}, {i} x {j} x {k}"


def is_dicom(start: bytes) -> bool:
    """Whether these first bytes are those of a DICOM file."""
    return start[_MAGIC] == b"DICM"


def list_series(folder: str | os.PathLike[str]) -> tuple[Series, ...]:
    """Return the stacks of DICOM slices in a folder, the largest first.

    Parameters
    ----------
    folder : path
        Looked through for files of any name; its subfolders only if it holds no images itself.

    Raises
    ------
    VolumeError
        If there are no DICOM images, or the folder cannot be read.
    """
    try:
        return tuple(_listed(_stacks(Path(folder), [])))
    except OSError as error:
        raise VolumeError(f"{folder} cannot be read.", "Check the path.") from error


def read_dicom(path: Path, series: str | None = None) -> Volume:
    """Read a folder of DICOM slices, or the series of one slice; see `read_volume`.

    Slices are ordered by where they lie, not by name or number. Tilted gantries give a sheared
    affine. Single missing slices are interpolated, and a note says so; slices at no regular
    distance are refused.
    """
    only = None if path.is_dir() else _slice(path)
    if only is None and not path.is_dir():
        raise VolumeError(
            f"{path.name} is not a readable DICOM image.", "Choose the folder of slices."
        )
    notes: list[str] = []
    stacks = _stacks(path if path.is_dir() else path.parent, notes)
    stack = _chosen(stacks, series, path, notes) if only is None else _stack_of(only, stacks)
    name = path.name if path.is_dir() else path.parent.name
    modality = stack[0].modality or None
    source = Source(path, "dicom", series=stack[0].uid, modality=modality)
    voxels, affine = _volume_of(stack, name, notes)
    return Volume.from_array(voxels, affine, name=name, source=source, notes=notes)


def _stacks(folder: Path, notes: list[str]) -> list[list[_Slice]]:
    slices = _slices_in(folder, notes)
    if not slices:
        raise VolumeError(
            f"{folder} holds no DICOM images.", "Choose the folder that holds the slices."
        )
    stacks: defaultdict[Any, list[_Slice]] = defaultdict(list)
    for each in slices:
        stacks[each.stack].append(each)
    return sorted(stacks.values(), key=_depth, reverse=True)


def _slices_in(folder: Path, notes: list[str]) -> list[_Slice]:
    files = [p for p in sorted(folder.iterdir()) if p.is_file()]
    # Files without the usual mark are tried only where no other is there, for each try is slow.
    slices = _slices(filter(_is_marked, files), notes) or _slices(files, [])
    if slices:
        return slices
    below = (p for p in folder.rglob("*") if p.is_file())
    return _slices(filter(_is_marked, islice(below, _FILES_LOOKED_AT)), notes)


def _is_marked(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return is_dicom(stream.read(_MAGIC.stop))
    except OSError:
        return False


def _depth(stack: list[_Slice]) -> int:
    return sum(each.frames for each in stack)


def _slices(paths: Iterable[Path], notes: list[str]) -> list[_Slice]:
    """Return the slices among some files; note how many hold no image."""
    found = {path: _slice(path) for path in paths if path.name.upper() != _DIRECTORY}
    left_out = [path.name for path, each in found.items() if each is None]
    slices = [each for each in found.values() if each is not None]
    if slices and left_out:
        notes.append(
            f"{len(left_out)} DICOM files hold no readable image and are left out "
            f"({', '.join(left_out[:3])}{', ...' if left_out[3:] else ''})."
        )
    return slices


def _slice(path: Path) -> _Slice | None:
    """Return what the header of a file says, or None if it is no DICOM image."""
    reader = silent_itk().ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(_IMAGE_IO)
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        return None
    affine = affine_of(reader)
    affine[:2] *= -1  # back to LPS
    return _Slice(
        path,
        _text(reader, _SERIES_UID),
        _text(reader, _DESCRIPTION),
        _text(reader, _MODALITY),
        tuple(reader.GetSize()) if reader.GetSize()[2:] != (1,) else tuple(reader.GetSize()[:2]),
        reader.GetNumberOfComponents(),
        affine[:3, :3],
        affine[:3, 3],
        bool(_text(reader, _POSITION)),
        _number(_text(reader, _THICKNESS)),
    )


def _text(reader: "ImageFileReader", key: str) -> str:
    if not reader.HasMetaDataKey(key):
        return ""
    text = reader.GetMetaData(key).encode("utf-8", "replace").decode("utf-8")
    return text.strip(" \x00")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) and number > 0 else None


def _listed(stacks: list[list[_Slice]]) -> list[Series]:
    uids = [stack[0].uid for stack in stacks]
    return [
        _series(stack, stack[0].uid if stack[0].uid and uids.count(stack[0].uid) == 1 else str(n))
        for n, stack in enumerate(stacks, 1)
    ]


def _series(stack: list[_Slice], identity: str) -> Series:
    first = stack[0]
    return Series(
        identity,
        first.description,
        first.modality,
        (first.size[0], first.size[1], _depth(stack)),
        tuple(each.path for each in stack),
    )


def _chosen(
    stacks: list[list[_Slice]], wanted: str | None, folder: Path, notes: list[str]
) -> list[_Slice]:
    listed = _listed(stacks)
    if wanted is not None:
        fitting = [s for s, one in zip(stacks, listed, strict=True) if one.id == wanted]
        if not fitting and wanted.isdecimal() and 0 < int(wanted) <= len(stacks):
            fitting = [stacks[int(wanted) - 1]]
        if len(fitting) == 1:
            return fitting[0]
    elif len(stacks) == 1:
        return stacks[0]
    elif _depth(stacks[1]) == 1 < _depth(stacks[0]):
        notes.append(f"{len(stacks) - 1} single images beside the series are left out.")
        return stacks[0]
    choices = "; ".join(f"{n}: {one}" for n, one in enumerate(listed, 1))
    missing = "" if wanted is None else f" and none that is {wanted!r}"
    raise VolumeError(
        f"{folder.name} holds {len(stacks)} DICOM series{missing} ({choices}).",
        f"Choose one: series='1' to series='{len(stacks)}' (--series on the command line).",
    )


def _stack_of(only: _Slice, stacks: list[list[_Slice]]) -> list[_Slice]:
    return next((s for s in stacks if any(each.path == only.path for each in s)), [only])


def _volume_of(
    stack: list[_Slice], name: str, notes: list[str]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    first = stack[0]
    if any(each.components > 1 for each in stack):
        raise VolumeError(f"{name} holds colour images.", "Choose a grey-scale series.")
    if first.frames > 1:
        return _multi_frame(stack, name)
    if len(stack) == 1:
        return _single(first, notes)
    if not all(each.placed for each in stack):
        raise VolumeError(
            f"The slices of {name} do not say where they lie in the patient.", _EXPORT
        )
    ordered, places, steps = _arranged(stack, name, notes)
    voxels = _filled(_read_slices(ordered, places, name), places)
    return voxels, ras_affine(steps, ordered[0].position)


def _multi_frame(stack: list[_Slice], name: str) -> tuple[NDArray[Any], NDArray[np.float64]]:
    first = stack[0]
    if len(stack) > 1 or first.modality in _FILMS:
        raise VolumeError(
            f"{name} holds {len(stack)} files of several images each, which may be a film.",
            "Convert the volume that is wanted to NIfTI.",
        )
    image = _image(first.path)
    return array_of(image), affine_of(image)


def _single(only: _Slice, notes: list[str]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    steps = only.steps.copy()
    normal = np.cross(steps[:, 0], steps[:, 1])
    steps[:, 2] = normal / np.linalg.norm(normal) * (only.thickness or 1.0)
    if only.thickness is None:
        notes.append("The slice does not say how thick it is: 1 mm is assumed.")
    return _plane(only.path)[:, :, None], ras_affine(steps, only.position)


def _arranged(
    stack: list[_Slice], name: str, notes: list[str]
) -> tuple[list[_Slice], NDArray[np.intp], NDArray[np.float64]]:
    """Order slices by where they lie.

    Returns
    -------
    slices : list of _Slice
        Along the normal of the image plane.
    places : ndarray of int, shape (N,)
        The slice index of each, from 0; leaves out those that are missing.
    steps : ndarray, shape (3, 3)
        To the next column, row and slice in LPS mm, one a column.
    """
    steps = stack[0].steps.copy()
    normal = np.cross(steps[:, 0], steps[:, 1])
    normal /= np.linalg.norm(normal)
    ordered = sorted(stack, key=lambda each: float(each.position @ normal))
    positions = np.array([each.position for each in ordered])
    heights = (positions - positions[0]) @ normal
    gaps = np.diff(heights)
    if gaps.min() < _SAME_PLACE_MM:
        raise VolumeError(
            f"{name} holds several slices at the same place, such as time points or echoes.",
            "Put the files of one of them into a folder of their own.",
        )
    places = np.rint(heights / np.median(gaps)).astype(np.intp)
    steps[:, 2] = (positions[-1] - positions[0]) / max(1, places[-1])
    _check_places(positions - places[:, None] * steps[:, 2], places, gaps, name, notes)
    return ordered, places, steps


def _check_places(
    bases: NDArray[np.float64],
    places: NDArray[np.intp],
    gaps: NDArray[np.float64],
    name: str,
    notes: list[str],
) -> None:
    """Refuse slices that lie at no regular distance; note what is uneven or missing.

    `bases` are the positions less the steps that led there: all equal in a regular stack.
    """
    off = float(np.linalg.norm(bases - bases[0], axis=1).max())
    uneven = off / float(np.median(gaps))
    missing = int(places[-1]) + 1 - len(places)
    too_many = missing > max(1.0, _MISSING_SHARE * len(places))
    if uneven > _LARGEST_UNEVENNESS or (np.diff(places) < 1).any() or too_many:
        raise VolumeError(
            f"The slices of {name} are not evenly spaced ({gaps.min():.2f} to {gaps.max():.2f} mm "
            "apart): some are missing, or the series is made of parts.",
            _EXPORT,
        )
    if uneven > _SILENT_UNEVENNESS:
        notes.append(f"Slices lie up to {off:.2f} mm from the even spacing that is assumed.")
    if missing:
        gone = sorted(set(range(int(places[-1]) + 1)) - set(places.tolist()))
        notes.append(
            f"{missing} of {places[-1] + 1} slices missing in the series (slice index "
            f"{', '.join(map(str, gone))}): interpolated between their neighbours."
        )


def _read_slices(ordered: Sequence[_Slice], places: NDArray[np.intp], name: str) -> NDArray[Any]:
    """Return the voxels, (I, J, K), with room for the slices that are missing."""
    first = _plane(ordered[0].path)
    voxels = np.zeros((*first.shape, int(places[-1]) + 1), dtype=first.dtype, order="F")
    for each, k in zip(ordered, places, strict=True):
        plane = _plane(each.path)
        if plane.shape != first.shape:
            raise VolumeError(f"The slices of {name} differ in size.", _EXPORT)
        # Scanners may choose a slope for each slice, and so whole numbers for some only.
        wider = np.result_type(voxels.dtype, plane.dtype)
        if wider != voxels.dtype:
            voxels = voxels.astype(wider)
        voxels[:, :, k] = plane
    return voxels


def _filled(voxels: NDArray[Any], places: NDArray[np.intp]) -> NDArray[Any]:
    """Interpolate, in place, the slices that are missing."""
    for low, high in pairwise(places.tolist()):
        for k in range(low + 1, high):
            part = (k - low) / (high - low)
            between = voxels[:, :, low] * (1 - part) + voxels[:, :, high] * part
            voxels[:, :, k] = between if voxels.dtype.kind == "f" else np.rint(between)
    return voxels


def _plane(path: Path) -> NDArray[Any]:
    """Return the intensities of one slice, (columns, rows)."""
    array = array_of(_image(path))
    plane = array[:, :, 0] if array.ndim == 3 else array
    return plane.astype(np.float32) if plane.dtype.kind == "f" else plane


def _image(path: Path) -> "Image":
    try:
        return silent_itk().ReadImage(str(path), imageIO=_IMAGE_IO)
    except RuntimeError as error:
        raise VolumeError(f"The DICOM image {path.name} cannot be decoded.", _EXPORT) from error
