"""DICOM files of every kind, written by pydicom."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
    "US": "1.2.840.10008.5.1.4.1.1.3.1",
    "SC": "1.2.840.10008.5.1.4.1.1.7",
    "RTDOSE": "1.2.840.10008.5.1.4.1.1.481.2",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "SR": "1.2.840.10008.5.1.4.1.1.88.11",
    "PR": "1.2.840.10008.5.1.4.1.1.11.1",
    "enhanced CT": "1.2.840.10008.5.1.4.1.1.2.1",
    "enhanced MR": "1.2.840.10008.5.1.4.1.1.4.1",
    "enhanced PT": "1.2.840.10008.5.1.4.1.1.130",
}
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
SPACING = (0.8, 0.7)  # from row to row, from column to column
SHAPE = (9, 7)  # rows, columns
CORNER = np.array([-10.0, -20.0, 100.0])


def planes(count: int, dtype: Any = np.int16, seed: int = 0) -> np.ndarray:
    """Slices of random values, (count, rows, columns)."""
    low = 0 if np.dtype(dtype).kind == "u" else -900
    return np.random.default_rng(seed).integers(low, 1000, (count, *SHAPE)).astype(dtype)


def positions(heights: Iterable[float], directions: Sequence[float] = AXIAL) -> list[np.ndarray]:
    """Places so many mm from the corner along the normal."""
    normal = np.cross(directions[:3], directions[3:])
    return [CORNER + height * normal for height in heights]


def new_file(kind: str = "CT", series: str = "1.2.3.4", modality: str | None = None) -> FileDataset:
    """A file without an image."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CLASSES[kind]
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID = CLASSES[kind]
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3", series
    made.FrameOfReferenceUID = "1.2.3.9"
    made.Modality = modality or kind.split()[-1]
    made.SeriesDescription = "made for a test"
    return made


def set_pixels(made: Dataset, pixels: np.ndarray) -> None:
    """Put an image (rows, columns), one of colours (…, 3), or frames of images into a file."""
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    elif pixels.ndim == 3:
        made.NumberOfFrames = len(pixels)
    made.Rows, made.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"


def slice_file(
    pixels: np.ndarray,
    position: Sequence[float] | None,
    directions: Sequence[float] = AXIAL,
    spacing: Sequence[float] | None = SPACING,
    kind: str = "CT",
    series: str = "1.2.3.4",
    **tags: Any,
) -> FileDataset:
    """One slice as a file of its own; a tag of None is removed."""
    made = new_file(kind, series)
    made.SliceThickness = 2.5
    if position is not None:
        made.ImagePositionPatient = [f"{x:.10g}"[:16] for x in position]
        made.ImageOrientationPatient = [f"{x:.10f}"[:16] for x in directions]
    if spacing is not None:
        made.PixelSpacing = list(spacing)
    set_pixels(made, pixels)
    change(made, tags)
    return made


def slices(
    pixels: np.ndarray, heights: Iterable[float], directions: Sequence[float] = AXIAL, **more: Any
) -> list[FileDataset]:
    """A series of slices at so many mm along the normal."""
    places = positions(heights, directions)
    return [slice_file(p, at, directions, **more) for p, at in zip(pixels, places, strict=True)]


def save(folder: Path, files: Iterable[FileDataset], prefix: str = "s", suffix: str = "") -> Path:
    """Save files under names in the order given."""
    folder.mkdir(exist_ok=True, parents=True)
    for number, each in enumerate(files):
        each.save_as(folder / f"{prefix}{number:03d}{suffix}", enforce_file_format=True)
    return folder


def frame(
    position: Sequence[float] | None,
    directions: Sequence[float] | None = None,
    **content: Any,
) -> Dataset:
    """The functional groups of one frame: its place, and what its content is marked with."""
    group = Dataset()
    if position is not None:
        group.PlanePositionSequence = [item(ImagePositionPatient=[f"{x:.10g}" for x in position])]
    if directions is not None:
        orientation = [f"{x:.10f}"[:16] for x in directions]
        group.PlaneOrientationSequence = [item(ImageOrientationPatient=orientation)]
    if content:
        group.FrameContentSequence = [item(**content)]
    return group


def enhanced(
    pixels: np.ndarray,
    frames: Sequence[Dataset],
    kind: str = "enhanced CT",
    series: str = "1.2.3.4",
    directions: Sequence[float] | None = AXIAL,
    spacing: Sequence[float] | None = SPACING,
    **tags: Any,
) -> FileDataset:
    """Frames (frames, rows, columns) and their functional groups as one file."""
    made = new_file(kind, series)
    shared = Dataset()
    if directions is not None:
        shared.PlaneOrientationSequence = [item(ImageOrientationPatient=list(directions))]
    if spacing is not None:
        measures = item(PixelSpacing=list(spacing), SliceThickness=2.5)
        shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = list(frames)
    set_pixels(made, pixels)
    change(made, tags)
    return made


def item(**tags: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    change(made, tags)
    return made


def change(made: Dataset, tags: dict[str, Any]) -> None:
    """Set tags by keyword; None removes one."""
    for keyword, value in tags.items():
        if value is not None:
            setattr(made, keyword, value)
        elif keyword in made:
            delattr(made, keyword)


def volume_of(pixels: np.ndarray) -> np.ndarray:
    """Slices (slices, rows, columns) as a volume (column, row, slice)."""
    return pixels.transpose(2, 1, 0)


def affine_of(
    first: Sequence[float],
    step: Sequence[float],
    directions: Sequence[float] = AXIAL,
    spacing: Sequence[float] = SPACING,
) -> np.ndarray:
    """Index (column, row, slice) to RAS mm, by the formula of the standard (C.7.6.2.1-1)."""
    lps = np.eye(4)
    lps[:3, 0] = np.array(directions[:3]) * spacing[1]
    lps[:3, 1] = np.array(directions[3:]) * spacing[0]
    lps[:3, 2], lps[:3, 3] = step, first
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
