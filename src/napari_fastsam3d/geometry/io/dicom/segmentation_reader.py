"""Segments from DICOM Segmentation objects, laid on the scan that they were made on."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.dimensions import FunctionalGroups
from napari_fastsam3d.geometry.io.dicom.element import (
    item_of,
    items_of,
    number_of,
    numbers_of,
    text_of,
    values_of,
    whole_of,
)
from napari_fastsam3d.geometry.io.dicom.header import SEGMENTATION_CLASSES, begins_as_dicom
from napari_fastsam3d.geometry.io.segment import Colour, Placing, Segment
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.orientation import ras_affine
from napari_fastsam3d.geometry.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

_DAMAGED = "Export the segmentation again."
_FRAME = "FrameOfReferenceUID"
_D65 = (95.047, 100.0, 108.883)


def is_dicom_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM Segmentation, by its header alone."""
    if not (path.is_file() and begins_as_dicom(path)):
        return False
    from pydicom import dcmread

    try:
        found = dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"])
    except Exception:  # a damaged file can fail anywhere in the parser
        return False
    return text_of(found, "SOPClassUID") in SEGMENTATION_CLASSES


def foreign_frame(path: Path, volume: Volume) -> str | None:
    """Say that a DICOM Segmentation was made in another frame of reference than its scan's.

    So are those of another examination, or another patient, though their voxels may coincide.
    """
    from pydicom import dcmread

    scan = min(volume.source.files, default=None)
    if scan is None:
        return None
    frames = [
        text_of(dcmread(each, stop_before_pixels=True, force=True, specific_tags=[_FRAME]), _FRAME)
        for each in (path, scan)
        if each.is_file()
    ]
    if not all(frames) or len(set(frames)) < 2:
        return None
    return (
        f"{path.name} was not made on {volume.name}: their frames of reference differ. Look "
        "whether it is of this examination."
    )


def read_dicom_segmentation(path: Path, volume: Volume) -> list[Segment]:
    """Read the segments of a DICOM Segmentation and lay them on a scan.

    Binary, fractional (what is at least half inside counts) and label map ones; each frame lies
    where it says, which must be a slice of the scan.

    Parameters
    ----------
    path : Path
    volume : Volume
        The scan; it need not have come from DICOM.

    Raises
    ------
    VolumeError
        If it is damaged, or a frame has other voxels than the scan.
    """
    from pydicom import dcmread

    try:
        found = dcmread(path)
        frames = _pixels(found)
        masks = _masks(found, frames, volume, path.name)
        described = [_described(item, masks) for item in items_of(found, "SegmentSequence")]
    except VolumeError:
        raise
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise VolumeError(f"{path.name} is a damaged DICOM segmentation.", _DAMAGED) from error
    return [each for each in described if each is not None]


def _pixels(found: "Dataset") -> NDArray[Any]:
    pixels = np.asarray(found.pixel_array)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if text_of(found, "SegmentationType") == "FRACTIONAL":
        highest = number_of(found, "MaximumFractionalValue") or 255
        return 2.0 * pixels >= highest
    return pixels


def _masks(found: "Dataset", frames: NDArray[Any], volume: Volume, name: str) -> dict[int, Mask]:
    """Return the mask of each segment, by its number."""
    shared = item_of(found, "SharedFunctionalGroupsSequence")
    own = items_of(found, "PerFrameFunctionalGroupsSequence")
    if len(own) != len(frames):
        raise VolumeError(f"{name} describes {len(own)} of its {len(frames)} frames.", _DAMAGED)
    parts: dict[int, list[Mask]] = {}
    for item, frame in zip(own, frames, strict=True):
        placing = _placing(FunctionalGroups(item, shared), frame.shape, volume, name)
        for number, inside in _inside(found, FunctionalGroups(item, shared), frame):
            parts.setdefault(number, []).append(placing.mask(inside.T[:, :, None], volume))
    return {number: _joined(each) for number, each in parts.items()}


def _inside(
    found: "Dataset", groups: FunctionalGroups, frame: NDArray[Any]
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the numbers of the segments in a frame, each with its pixels (rows, columns)."""
    if text_of(found, "SegmentationType") == "LABELMAP":
        for number in np.unique(frame[frame > 0]).tolist():
            yield int(number), frame == number
        return
    number = whole_of(groups.find("SegmentIdentificationSequence"), "ReferencedSegmentNumber")
    if number is None:
        raise ValueError("a frame names no segment")
    yield number, frame != 0


def _placing(groups: FunctionalGroups, size: tuple[int, ...], volume: Volume, name: str) -> Placing:
    position = numbers_of(groups.find("PlanePositionSequence"), "ImagePositionPatient", 3)
    turned = numbers_of(groups.find("PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    spacing = numbers_of(groups.find("PixelMeasuresSequence"), "PixelSpacing", 2)
    if position is None or turned is None or spacing is None:
        raise VolumeError(f"{name} does not say where its frames lie.", _DAMAGED)
    steps = np.zeros((3, 3))
    steps[:, :2] = turned.reshape(2, 3).T * spacing[::-1]
    affine = ras_affine(steps, position)
    # A frame has no depth: across it runs whichever axis of the scan is left.
    along = np.abs(np.linalg.solve(volume.affine[:3, :3], affine[:3, :2])).argmax(axis=0)
    left = next(axis for axis in range(3) if axis not in along)
    affine[:3, 2] = volume.affine[:3, left]
    rows, columns = size
    return Placing.of(affine, (columns, rows, 1), volume, name)


def _joined(parts: list[Mask]) -> Mask:
    """Return the union of many masks, without a copy of the whole for each."""
    box = parts[0].box
    for each in parts:
        box = box.union(each.box)
    voxels = np.zeros(box.shape, dtype=np.bool_)
    for each in parts:
        each.write(voxels, box, True)
    return Mask.of(box, voxels)


def _described(item: "Dataset", masks: dict[int, Mask]) -> Segment | None:
    number = whole_of(item, "SegmentNumber")
    if number is None or number < 1:
        return None
    name = text_of(item, "SegmentLabel").strip() or f"label {number}"
    return Segment(name, number, masks.get(number, Mask.empty()), _colour(item))


def _colour(item: "Dataset") -> Colour | None:
    """Return the colour of a segment: DICOM has CIELab, scaled to 16 bits (PS3.3, C.10.7.1.1)."""
    stored = [float(value) for value in values_of(item, "RecommendedDisplayCIELabValue")]
    if len(stored) != 3:
        return None
    lightness = stored[0] / 65535 * 100
    a, b = (value / 65535 * 255 - 128 for value in stored[1:])
    height = (lightness + 16) / 116
    curves = np.array([height + a / 500, height, height - b / 200])
    linear = np.where(curves > 6 / 29, curves**3, 3 * (6 / 29) ** 2 * (curves - 4 / 29))
    matrix = [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    light = np.clip(np.array(matrix) @ (linear * _D65 / 100), 0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    red, green, blue = (float(value) for value in np.clip(shown, 0, 1))
    return (red, green, blue)
