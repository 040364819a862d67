"""The intensities of DICOM images."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.frame import DicomFrame
from napari_fastsam3d.geometry.io.dicom.grid import EXPORT, Grid
from napari_fastsam3d.geometry.io.dicom.header import Header

_LARGEST_WHOLE = 1 << 30  # times a stored value, it still fits into 64 bits
_WHOLE = (np.int16, np.uint16, np.int32, np.uint32, np.int64)


def read_voxels(grid: Grid) -> tuple[NDArray[Any], list[str]]:
    """Return the intensities of a stack, missing slices interpolated, and what has to be told.

    Returns
    -------
    voxels : ndarray, shape (columns, rows, slices)
        float32 if a slope or an intercept is no whole number, else an integer type.
    notes : list of str

    Raises
    ------
    VolumeError
        If an image cannot be decoded.
    """
    columns, rows = grid.frames[0].header.size
    shape = (columns, rows, int(grid.places[-1]) + 1)
    voxels = np.zeros(shape, dtype=np.uint8, order="F")
    padding: list[tuple[int, NDArray[np.bool_]]] = []
    known: Any = None
    for at, stored in stored_values(grid.frames):
        frame, k = grid.frames[at], int(grid.places[at])
        plane = _intensities(stored, frame)
        known = plane.dtype if known is None else _wider(known, plane.dtype)
        if known != voxels.dtype:
            voxels = voxels.astype(known)
        voxels[:, :, k] = plane.T
        outside = _outside(stored, frame)
        if outside is not None and outside.any():
            padding.append((k, outside.T))
    notes = _settle_padding(voxels, padding, grid.places)
    return _filled(voxels, grid.places), notes


def same_values(one: DicomFrame, other: DicomFrame) -> bool:
    """Whether two images can be decoded and hold the same intensities."""
    try:
        (_, first), (_, second) = (next(stored_values([each])) for each in (one, other))
    except VolumeError:
        return False
    scale = ((each.slope, each.intercept) for each in (one, other))
    return len(set(scale)) == 1 and np.array_equal(first, second)


def stored_values(frames: Sequence[DicomFrame]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the index and the stored values, (rows, columns), of each image, file by file."""
    order = sorted(range(len(frames)), key=lambda n: (frames[n].path, frames[n].number))
    for path, group in groupby(order, key=lambda n: frames[n].path):
        members = list(group)
        numbers = [frames[n].number for n in members]
        header = frames[members[0]].header
        columns, rows = header.size
        decoded = _decoded(header, numbers)
        for n in members:
            try:
                plane = next(decoded)
                if plane.shape != (rows, columns):
                    raise ValueError(f"an image of shape {plane.shape}")
            except MemoryError:
                raise
            except Exception as error:  # a damaged file can fail anywhere in a decoder
                raise VolumeError(
                    f"The DICOM image {path.name} cannot be decoded.", EXPORT
                ) from error
            yield n, plane


def _decoded(header: Header, numbers: list[int]) -> Iterator[NDArray[Any]]:
    from pydicom import dcmread
    from pydicom.pixels.utils import iter_pixels
    from pydicom.uid import (
        DeflatedExplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    )

    from napari_fastsam3d.geometry.io.dicom.codecs import plugin_for

    if header.syntax not in ("", DeflatedExplicitVRLittleEndian):
        # Without numbers the file is gone through once, not once for each image.
        chosen = None if numbers == list(range(header.frames)) else numbers
        plugin = plugin_for(header.syntax)
        yield from iter_pixels(header.path, indices=chosen, raw=True, decoding_plugin=plugin)
        return
    whole = dcmread(header.path, force=True)
    if not header.syntax:
        implicit, _ = whole.original_encoding
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        whole.file_meta.TransferSyntaxUID = syntax
    yield from iter_pixels(whole, indices=numbers, raw=True)


def _intensities(stored: NDArray[Any], frame: DicomFrame) -> NDArray[Any]:
    """Apply the Modality LUT, or slope and intercept, in the narrowest type that fits."""
    if frame.header.lut is not None:
        return _looked_up(stored, frame)
    if (frame.slope, frame.intercept) == (1, 0):
        return stored.astype(np.float32) if stored.dtype.kind == "f" else stored
    scale = (frame.slope, frame.intercept)
    if stored.dtype.kind == "f" or not all(n % 1 == 0 and abs(n) < _LARGEST_WHOLE for n in scale):
        with np.errstate(over="ignore"):
            return (stored * np.float64(frame.slope) + frame.intercept).astype(np.float32)
    whole = stored.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    low, high = int(whole.min()), int(whole.max())
    fitting = (t for t in _WHOLE if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return whole.astype(next(fitting))


def _looked_up(stored: NDArray[Any], frame: DicomFrame) -> NDArray[Any]:
    from pydicom import Dataset
    from pydicom.pixels.processing import apply_modality_lut

    holder = Dataset()
    holder.ModalityLUTSequence = [frame.header.lut]
    try:
        return np.asarray(apply_modality_lut(stored, holder))
    except Exception as error:  # a damaged table can fail in many ways
        raise VolumeError(
            f"The lookup table of {frame.path.name} cannot be used.", EXPORT
        ) from error


def _wider(one: Any, other: Any) -> Any:
    """Scanners may choose a slope for each slice, and so whole numbers for some only."""
    kinds = {np.dtype(one).kind, np.dtype(other).kind}
    return np.dtype(np.float32) if "f" in kinds else np.result_type(one, other)


def _outside(stored: NDArray[Any], frame: DicomFrame) -> NDArray[np.bool_] | None:
    if frame.header.padding is None:
        return None
    low, high = frame.header.padding
    return (stored >= low) & (stored <= high)


def _settle_padding(
    voxels: NDArray[Any],
    padding: list[tuple[int, NDArray[np.bool_]]],
    places: NDArray[np.intp],
) -> list[str]:
    """Lower, in place, what lies outside the field of view if it is brighter than all within.

    Padding below the scan's own values is left as it is, for it looks like what it is: nothing.
    """
    if not padding:
        return []
    outside = dict(padding)
    low, high, brightest = np.inf, -np.inf, -np.inf
    for k in places.tolist():
        plane, mask = voxels[:, :, k], outside.get(k)
        inside = plane if mask is None else plane[~mask]
        if mask is not None:
            brightest = max(brightest, plane[mask].max())
        if inside.size:
            low, high = min(low, inside.min()), max(high, inside.max())
    if not low <= high < brightest:
        return []
    for k, mask in padding:
        voxels[:, :, k][mask] = low
    count = sum(int(mask.sum()) for _, mask in padding)
    return [f"{count} voxels outside the field of view (Pixel Padding Value) are read as {low:g}."]


def _filled(voxels: NDArray[Any], places: NDArray[np.intp]) -> NDArray[Any]:
    """Interpolate, in place, the slices that are missing."""
    for low, high in pairwise(places.tolist()):
        for k in range(low + 1, high):
            part = (k - low) / (high - low)
            between = voxels[:, :, low] * (1 - part) + voxels[:, :, high] * part
            voxels[:, :, k] = between if voxels.dtype.kind == "f" else np.rint(between)
    return voxels
