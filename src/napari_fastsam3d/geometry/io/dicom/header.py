"""What a DICOM file says of all its images, read from the elements before the pixels."""

import os
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from napari_fastsam3d.geometry.io.dicom.dimensions import ATTRIBUTES
from napari_fastsam3d.geometry.io.dicom.element import item_of, text_of, values_of, whole_of

if TYPE_CHECKING:
    from pydicom import Dataset

_MAGIC = slice(128, 132)
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")  # of a file that has no preamble
_PIXEL_GROUPS = (b"\xe0\x7f", b"\x7f\xe0")  # 7FE0 in either byte order
_LONG_KINDS = (b"OB", b"OW", b"OF", b"OD", b"OV", b"UN")  # with a length of four bytes

CLASS = "1.2.840.10008.5.1.4.1.1."
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"
SEGMENTATION_CLASSES = (CLASS + "66.4", CLASS + "66.7")
_CONTOURS_CLASS = CLASS + "481.3"

# The modules of these images hold Imager Pixel Spacing, measured at the detector (PS3.3, 10.7).
PROJECTIONS = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA"})

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


@cache
def _quiet_pydicom() -> None:
    """Let pydicom say nothing of values that are not quite to the standard, as many are.

    For good: setting filters aside for a while is not safe where other threads do so too.
    """
    warnings.filterwarnings("ignore", module=r"pydicom\.")


def read_header(path: Path, stream: BinaryIO) -> "tuple[Dataset, Header]":
    """Read what stands before the pixels of a file, and check that they follow.

    Parameters
    ----------
    path : Path
        The file.
    stream : binary file
        The same, open at its start.

    Returns
    -------
    Dataset
        The elements that are used here.
    Header

    Raises
    ------
    LeftOutError
        If it holds no image, or not all that it promises.
    """
    from pydicom import dcmread

    _quiet_pydicom()
    found = dcmread(stream, stop_before_pixels=True, force=True, specific_tags=_TAGS)  # type: ignore[arg-type]
    header = _header_of(path, found)
    _check_length(stream, found, header)
    return found, header


def _header_of(path: Path, found: "Dataset") -> Header:
    kind = text_of(found, "SOPClassUID") or text_of(found.file_meta, "MediaStorageSOPClassUID")
    if kind == _DIRECTORY_CLASS:
        raise LeftOutError("directory")
    if kind in SEGMENTATION_CLASSES:
        raise LeftOutError("segmentation")
    if kind == _CONTOURS_CLASS:
        raise LeftOutError("contours")
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
