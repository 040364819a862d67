"""What a DICOM file says of each of its images: place, size, and what its values mean."""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.io.dicom.dimensions import (
    ATTRIBUTES,
    FunctionalGroups,
    Mark,
    declared_dimensions,
    marks_of,
    times_of,
)
from napari_fastsam3d.geometry.io.dicom.element import (
    item_of,
    items_of,
    number_of,
    numbers_of,
    text_of,
    values_of,
    whole_of,
)

if TYPE_CHECKING:
    from pydicom import Dataset

_MAGIC = slice(128, 132)
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of a file that has no preamble
_PIXEL_GROUPS = (b"\xe0\x7f", b"\x7f\xe0")  # 7FE0 in either byte order
_LONG_KINDS = (b"OB", b"OW", b"OF", b"OD", b"OV", b"UN")  # with a length of four bytes

_CLASS = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
_SEGMENTATION_CLASSES = (_CLASS + "66.4", _CLASS + "66.7")
_DOSE_CLASS = _CLASS + "481.2"
_NUCLEAR_CLASS = _CLASS + "20"

# The modules of these images hold Imager Pixel Spacing, measured at the detector (PS3.3, 10.7).
PROJECTIONS = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"})


_LARGEST_SKEW = 1e-2
_SMALLEST, _FARTHEST = 1e-6, 1e6  # mm; what lies beyond is no number that was meant

_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "Modality"),
    *("FrameOfReferenceUID", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel"),
    *("PhotometricInterpretation", "BitsAllocated", "PixelRepresentation"),
    *("PixelSpacing", "ImagerPixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelPaddingValue"),
    *("PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("GridFrameOffsetVector", "DoseGridScaling", "DetectorInformationSequence", "SliceVector"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", *ATTRIBUTES),
]


class LeftOutError(Exception):
    """A file that holds no scan; says in a few words what it holds instead."""


@dataclass(frozen=True, eq=False)
class Header:
    """What all images of one file have in common.

    Parameters
    ----------
    path : Path
        The file.
    series, instance, frame_of_reference : str
        Unique identifiers; may be empty.
    description, modality : str
        As the scanner wrote them; may be empty.
    size : tuple of int
        Columns and rows.
    frames : int
        How many images the file holds.
    syntax : str
        The transfer syntax, by which pixels are compressed; empty where the file says none.
    grey : bool
        Whether a voxel is one intensity.
    inverted : bool
        Whether viewers show high values dark (MONOCHROME1).
    mosaic : bool
        Whether many slices are laid side by side in one image.
    padding : tuple of int or None
        The lowest and the highest stored value that mark "outside the field of view".
    lut : Dataset or None
        The Modality LUT, where there is one instead of slope and intercept.
    """

    path: Path
    series: str
    instance: str
    frame_of_reference: str
    description: str
    modality: str
    size: tuple[int, int]
    frames: int
    syntax: str
    grey: bool
    inverted: bool
    mosaic: bool
    padding: tuple[int, int] | None
    lut: "Dataset | None"


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a file; geometry in LPS mm.

    Parameters
    ----------
    header : Header
        Of its file.
    number : int
        Which image of the file, from 0.
    position : ndarray, shape (3,), or None
        Where its first voxel lies; None where the file doesn't say that, or not how it is turned.
    directions : ndarray, shape (2, 3)
        Unit vectors towards the next column and the next row.
    spacing : ndarray, shape (2,), or None
        mm from column to column and from row to row; None where the file doesn't say.
    at_detector : bool
        Whether the spacing was measured at the detector of a projection, not in the patient.
    thickness, distance : float or None
        Slice Thickness and Spacing Between Slices.
    slope, intercept : float
        From stored values to intensities.
    marks : dict of tuple
        What may tell it from other images at the same place, by the name of the attribute.
    times : dict
        When it was taken, by the name of the attribute, as numbers.
    """

    header: Header
    number: int
    position: NDArray[np.float64] | None
    directions: NDArray[np.float64]
    spacing: NDArray[np.float64] | None
    at_detector: bool
    thickness: float | None
    distance: float | None
    slope: float
    intercept: float
    marks: dict[str, Mark] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Its file."""
        return self.header.path

    @property
    def localizer(self) -> bool:
        """Whether it's a scout, on which scans were planned."""
        kinds = (self.marks.get(name, ((), "")) for name in ("ImageType", "FrameType"))
        return any("LOCALIZER" in value for value, _ in kinds)

    @property
    def steps(self) -> NDArray[np.float64]:
        """(3, 2) mm to the next column and the next row, one a column; for known spacing."""
        assert self.spacing is not None
        return self.directions.T * self.spacing


def is_dicom(start: bytes) -> bool:
    """Whether these first 132 bytes are those of a DICOM file, with or without a preamble."""
    if start[_MAGIC] == b"DICM":
        return True
    length_or_kind = start[6:8] == b"\x00\x00" or start[4:6].isalpha()
    return start[:2] in _FIRST_GROUPS and start[3:4] == b"\x00" and length_or_kind


def begins_as_dicom(path: Path) -> bool:
    """Whether a file can be read and begins as a DICOM file does."""
    try:
        with path.open("rb") as stream:
            return is_dicom(stream.read(_MAGIC.stop))
    except OSError:
        return False


def read_frames(path: Path) -> list[Frame]:
    """Return the images of a file, at least one, by its header alone.

    Raises
    ------
    LeftOutError
        If it holds none, or not all that it promises.
    OSError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            found = _dataset(stream)
            header = _header(path, found)
            _check_length(stream, found, header)
            return list(_frames(found, header))
    except (LeftOutError, OSError):
        raise
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise LeftOutError("damaged") from error


@cache
def _quiet_pydicom() -> None:
    """Let pydicom say nothing of values that are not quite to the standard, as many are.

    For good: setting filters aside for a while is not safe where other threads do so too.
    """
    warnings.filterwarnings("ignore", module=r"pydicom\.")


def _dataset(stream: BinaryIO) -> "Dataset":
    from pydicom import dcmread

    _quiet_pydicom()
    return dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_TAGS)  # type: ignore[arg-type]


def _header(path: Path, found: "Dataset") -> Header:
    kind = text_of(found, "SOPClassUID") or text_of(found.file_meta, "MediaStorageSOPClassUID")
    if kind == _DIRECTORY_CLASS:
        raise LeftOutError("directory")
    if kind in _SEGMENTATION_CLASSES:
        raise LeftOutError("segmentation")
    columns, rows = whole_of(found, "Columns"), whole_of(found, "Rows")
    if not columns or not rows:
        raise LeftOutError("no image")
    photometric = text_of(found, "PhotometricInterpretation")
    return Header(
        path=path,
        series=text_of(found, "SeriesInstanceUID"),
        instance=text_of(found, "SOPInstanceUID"),
        frame_of_reference=text_of(found, "FrameOfReferenceUID"),
        description=text_of(found, "SeriesDescription"),
        modality=text_of(found, "Modality"),
        size=(columns, rows),
        frames=max(1, whole_of(found, "NumberOfFrames") or 1),
        syntax=text_of(found.file_meta, "TransferSyntaxUID"),
        grey=(whole_of(found, "SamplesPerPixel") or 1) == 1 and photometric != "PALETTE COLOR",
        inverted=photometric == "MONOCHROME1",
        mosaic="MOSAIC" in values_of(found, "ImageType"),
        padding=_padding(found),
        lut=item_of(found, "ModalityLUTSequence"),
    )


def _padding(found: "Dataset") -> tuple[int, int] | None:
    first = whole_of(found, "PixelPaddingValue")
    if first is None:
        return None
    last = whole_of(found, "PixelPaddingRangeLimit")
    ends = [_stored(end, found) for end in (first, first if last is None else last)]
    return min(ends), max(ends)


def _stored(value: int, found: "Dataset") -> int:
    """Return a stored value by the sign of the pixels, whatever sign it was written with."""
    bits = whole_of(found, "BitsAllocated") or 16
    value %= 1 << bits
    signed = whole_of(found, "PixelRepresentation") == 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _check_length(stream: BinaryIO, found: "Dataset", header: Header) -> None:
    """Refuse a file that ends before its pixels do, where that can be told without decoding."""
    syntax = found.file_meta.get("TransferSyntaxUID")
    if syntax is not None and syntax.is_deflated:
        return
    at = stream.tell()
    start = stream.read(12)
    if start[:2] not in _PIXEL_GROUPS:
        raise LeftOutError("damaged")
    at += 12 if start[4:6] in _LONG_KINDS else 8
    left = os.fstat(stream.fileno()).st_size - at
    bits = whole_of(found, "BitsAllocated") or 16
    needed = header.size[0] * header.size[1] * header.frames * bits // 8
    if syntax is not None and syntax.is_compressed:
        needed = header.frames
    if left < needed:
        raise LeftOutError("damaged")


def _frames(found: "Dataset", header: Header) -> Iterator[Frame]:
    own = items_of(found, "PerFrameFunctionalGroupsSequence")
    shared = item_of(found, "SharedFunctionalGroupsSequence")
    if not own and (shared is None or header.frames > 1):
        yield from _plain_frames(found, header)
        return
    if own and len(own) != header.frames:
        raise LeftOutError("damaged")
    dimensions = declared_dimensions(found)
    for number, item in enumerate(own or [None]):
        groups = FunctionalGroups(item, shared)
        yield Frame(
            header,
            number,
            *_place(
                numbers_of(groups.find("PlanePositionSequence"), "ImagePositionPatient", 3),
                numbers_of(groups.find("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
            ),
            *_measures(groups.find("PixelMeasuresSequence"), header),
            *_scale(groups.find("PixelValueTransformationSequence") or found),
            marks_of(found, groups, dimensions),
            times_of(found, groups),
        )


def _plain_frames(found: "Dataset", header: Header) -> Iterator[Frame]:
    """Return the images of a file that has no functional groups."""
    kind = text_of(found, "SOPClassUID")
    holder = found
    offsets = np.zeros(1) if header.frames == 1 else None  # mm along the normal, frame by frame
    if kind == _DOSE_CLASS:
        said = numbers_of(found, "GridFrameOffsetVector", header.frames)
        offsets = offsets if said is None else said
    elif kind == _NUCLEAR_CLASS:
        holder = item_of(found, "DetectorInformationSequence") or found
        slices = numbers_of(found, "SliceVector", header.frames)
        distance = number_of(found, "SpacingBetweenSlices")
        if slices is not None and distance is not None:
            # Its sign tells on which side of the first slice the others lie (PS3.3, C.8.4.15).
            offsets = (slices - 1) * distance
    first, directions = _place(
        numbers_of(holder, "ImagePositionPatient", 3),
        numbers_of(holder, "ImageOrientationPatient", 6),
    )
    measures, scale = _measures(found, header), _scale(found)
    marks, times = marks_of(found), times_of(found)
    for number in range(header.frames):
        position = None
        if first is not None and offsets is not None:
            position = first + np.cross(*directions) * (offsets[number] - offsets[0])
        yield Frame(header, number, position, directions, *measures, *scale, marks, times)


def _place(
    position: NDArray[np.float64] | None, orientation: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return a position, or None if not all is said that makes it a place, and unit directions."""
    unknown = (None, np.eye(3)[:2])
    if orientation is None or position is None or np.abs(position).max() > _FARTHEST:
        return unknown
    directions = orientation.reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    cosine = float(directions[0] @ directions[1])
    if (np.abs(lengths - 1) > _LARGEST_SKEW).any() or abs(cosine) > _LARGEST_SKEW:
        return unknown
    return position, directions / lengths[:, None]


def _measures(
    holder: "Dataset | None", header: Header
) -> tuple[NDArray[np.float64] | None, bool, float | None, float | None]:
    """Return spacing, whether it is that at the detector, thickness, distance; see `Frame`."""
    stated = text_of(holder, "PixelSpacing") != ""
    at_detector = not stated and header.modality in PROJECTIONS
    spacing = numbers_of(holder, "ImagerPixelSpacing" if at_detector else "PixelSpacing", 2)
    if spacing is not None:
        usable = (spacing > _SMALLEST) & (spacing < _FARTHEST)
        spacing = spacing[::-1] if usable.all() else None
    thickness = number_of(holder, "SliceThickness")
    distance = number_of(holder, "SpacingBetweenSlices")
    return (
        spacing,
        at_detector,
        thickness if thickness and thickness > 0 else None,
        abs(distance) if distance else None,
    )


def _scale(holder: "Dataset") -> tuple[float, float]:
    """Return slope and intercept: one and zero where the file says none."""
    scale = {"DoseGridScaling": 1.0, "RescaleSlope": 1.0, "RescaleIntercept": 0.0}
    for name in scale:
        if text_of(holder, name):
            said = number_of(holder, name)
            if said is None or (said == 0 and name != "RescaleIntercept"):
                raise LeftOutError("damaged")
            scale[name] = said
    return scale["DoseGridScaling"] * scale["RescaleSlope"], scale["RescaleIntercept"]
