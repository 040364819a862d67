"""The images of a DICOM file: where each lies, how large it is, and what its values mean."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.io.dicom.dimensions import (
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
)
from napari_fastsam3d.geometry.io.dicom.header import (
    CLASS,
    PROJECTIONS,
    Header,
    LeftOutError,
    read_header,
)

if TYPE_CHECKING:
    from pydicom import Dataset

_DOSE_CLASS = CLASS + "481.2"
_NUCLEAR_CLASS = CLASS + "20"

_LARGEST_SKEW = 1e-2
_SMALLEST, _FARTHEST = 1e-6, 1e6  # mm; what lies beyond is no number that was meant


@dataclass(frozen=True, eq=False)
class DicomFrame:
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


def read_frames(path: Path) -> list[DicomFrame]:
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
            found, header = read_header(path, stream)
            return list(_frames(found, header))
    except (LeftOutError, OSError):
        raise
    except Exception as error:  # a damaged file can fail anywhere in the parser
        raise LeftOutError("damaged") from error


def _frames(found: "Dataset", header: Header) -> Iterator[DicomFrame]:
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
        yield DicomFrame(
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


def _plain_frames(found: "Dataset", header: Header) -> Iterator[DicomFrame]:
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
        yield DicomFrame(header, number, position, directions, *measures, *scale, marks, times)


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
    """Return spacing, whether it is that at the detector, thickness, distance; see `DicomFrame`."""
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
