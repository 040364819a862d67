"""Segments written as a DICOM Segmentation that refers to the images of the scan."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d import __version__
from napari_fastsam3d.errors import SaveError, VolumeError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.io.dicom.element import whole_of
from napari_fastsam3d.geometry.io.dicom.grid import Grid
from napari_fastsam3d.geometry.io.dicom.reader import grid_of
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

_OTHERS = "Save it as .seg.nrrd or NIfTI."
_MAKER = "napari-fastsam3d"
_HIGHEST = 2**31 - 1  # of an integer string
# Type 2 attributes of patient and study: they must be there, and may be empty.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"),
    *("StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
_NO_HIGHDICOM = (
    "DICOM segmentations are written with highdicom, which is not installed.",
    'Install it with pip install "napari-fastsam3d[dicom-seg]", or save as .seg.nrrd.',
)
_MUST_BE_TOLD = (
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
    "FrameOfReferenceUID",
)
# SNOMED CT codes of structures, by the names of the preset list without their side.
_STRUCTURES = {
    "liver": "10200004",
    "spleen": "78961009",
    "kidney": "64033007",
    "stomach": "69695003",
    "pancreas": "15776009",
    "gallbladder": "28231008",
    "esophagus": "32849002",
    "trachea": "44567001",
    "duodenum": "38848004",
    "colon": "71854001",
    "urinary bladder": "89837001",
    "prostate": "41216001",
    "heart": "80891009",
    "aorta": "15825003",
    "brain": "12738006",
    "lung": "39607008",
}


def write_dicom_segmentation(
    path: Path, segments: Sequence[Segment], volume: Volume, model: str | None
) -> None:
    """Write segments in the frame of reference of a DICOM series, referring to its images.

    Segments are numbered from 1 in their order, as the standard wants it; names and colours are
    kept. Patient and study are those of the series. Slices that the series lacks have no image to
    refer to.

    Parameters
    ----------
    path : Path
        A file that isn't there yet.
    segments : sequence of Segment
        They may overlap.
    volume : Volume
        Read from that series, which is still where it was.
    model : str or None
        What the masks were made with.

    Raises
    ------
    SaveError
        If the scan is no DICOM or can't be found any more, its images can't be referred to, or
        highdicom is not installed.
    """
    try:
        from highdicom.seg import Segmentation
        from pydicom.uid import ExplicitVRLittleEndian, generate_uid
    except ImportError as error:
        raise SaveError(*_NO_HIGHDICOM) from error
    grid = _grid(volume)
    _check_places(segments, grid)
    images, frames = _images(grid)
    told = _set_aside(images)
    try:
        segmentation = Segmentation(
            source_images=images,
            pixel_array=_pixels(segments, frames, volume),
            segmentation_type="BINARY",
            segment_descriptions=[_description(n, s, model) for n, s in enumerate(segments, 1)],
            series_instance_uid=generate_uid(),
            series_number=_series_number(images[0]),
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer=_MAKER,
            manufacturer_model_name=_MAKER,
            software_versions=__version__,
            device_serial_number="0",
            content_description="Segmentation",
            series_description="Segmentation",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set="ISO_IR 192",  # UTF-8, since names may be in any script
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SaveError(
            f"A DICOM segmentation can't refer to the images of {volume.name}: {error}", _OTHERS
        ) from error
    segmentation.update(told)
    segmentation.save_as(path, enforce_file_format=True)


def _grid(volume: Volume) -> Grid:
    source = volume.source
    if source.format != "dicom" or source.path is None:
        raise SaveError(
            f"{volume.name} was not read from DICOM, so there are no images to refer to.",
            f"{_OTHERS} Or open the DICOM series itself.",
        )
    try:
        return grid_of(source)
    except (VolumeError, OSError) as error:
        raise SaveError(
            f"The DICOM series of {volume.name} can't be read any more: {error}",
            f"Put it back where it was. {_OTHERS}",
        ) from error


def _check_places(segments: Sequence[Segment], grid: Grid) -> None:
    missing = sorted(set(range(int(grid.places[-1]) + 1)) - set(grid.places.tolist()))
    for each in segments:
        start = each.mask.box.start[2]
        filled = np.flatnonzero(each.mask.voxels.any(axis=(0, 1))) + start
        lost = sorted(set(filled.tolist()) & set(missing))
        if lost:
            raise SaveError(
                f"{each.name} reaches into slices that the series lacks (slice index "
                f"{', '.join(map(str, lost))}), so there is no image to refer to.",
                _OTHERS,
            )


def _images(grid: Grid) -> tuple[list["Dataset"], list[int | None]]:
    """Return the images, and the slice index of each of their frames; None of frames of others."""
    from pydicom import dcmread

    paths = list(dict.fromkeys(frame.path for frame in grid.frames))
    images: list[Dataset] = [dcmread(path, stop_before_pixels=True, force=True) for path in paths]
    place_of = {
        (frame.path, frame.number): int(place)
        for frame, place in zip(grid.frames, grid.places, strict=True)
    }
    for each in images:
        lacking = [name for name in _MUST_BE_TOLD if not each.get(name)]
        if lacking:
            raise SaveError(
                f"The DICOM images do not say their {lacking[0]}, so nothing can refer to them.",
                _OTHERS,
            )
    many = [int(each.get("NumberOfFrames") or 1) for each in images]
    if len(images) > 1 and max(many) > 1:
        raise SaveError("The scan is made of several multi-frame files.", _OTHERS)
    frames = [
        place_of.get((path, n))
        for path, count in zip(paths, many, strict=True)
        for n in range(count)
    ]
    return images, frames


def _set_aside(images: Sequence["Dataset"]) -> "Dataset":
    """Empty what images say of patient and study, and return that of the first as it stood there.

    highdicom refuses, or warns of, what is not quite to the standard ("Male", a birth date of
    "1950"), as many archives and programs for anonymisation write it; it is theirs, not ours.
    """
    from pydicom import Dataset

    first = images[0]
    told = deepcopy(Dataset({first[n].tag: first[n] for n in _MAY_BE_EMPTY if n in first}))
    for each in images:
        for name in _MAY_BE_EMPTY:
            setattr(each, name, "")
    return told


def _pixels(
    segments: Sequence[Segment], frames: Sequence[int | None], volume: Volume
) -> NDArray[Any]:
    """Return the frames: numbers of segments, or where they overlap a layer for each segment."""
    columns, rows, _ = volume.shape
    layered = _overlapping(segments, volume)
    shape = (len(frames), rows, columns, *([len(segments)] if layered else []))
    pixels = np.zeros(shape, np.uint8 if layered or len(segments) < 256 else np.uint16)
    for number, each in enumerate(segments, 1):
        for frame, place in enumerate(frames):
            box = each.mask.box
            if place is None or not box.start[2] <= place < box.stop[2]:
                continue
            inside = each.mask.voxels[:, :, place - box.start[2]].T
            here = pixels[frame, box.start[1] : box.stop[1], box.start[0] : box.stop[0]]
            if layered:
                here[..., number - 1][inside] = 1
            else:
                here[inside] = number
    return pixels


def _overlapping(segments: Sequence[Segment], volume: Volume) -> bool:
    counts = sum(int(np.count_nonzero(each.mask.voxels)) for each in segments)
    union = np.zeros(volume.shape, dtype=np.bool_)
    for each in segments:
        each.mask.write(union, Box.whole(volume.shape), True)
    return counts > int(np.count_nonzero(union))


def _description(number: int, each: Segment, model: str | None) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    category, kind = _codes(each.name)
    colour = None
    if each.colour is not None:
        red, green, blue = (round(255 * part) for part in each.colour)
        colour = CIELabColor.from_rgb(red, green, blue)
    return SegmentDescription(
        segment_number=number,
        # A label is of one line and one value, which a backslash would part in two.
        segment_label=" ".join(each.name.replace("\\", "/").split())[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=(model or _MAKER)[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
        ),
        tracking_id=None,
        display_color=colour,
    )


def _codes(name: str) -> tuple[Any, Any]:
    """Return the codes of a structure: those of a known organ, or of tissue, which any is."""
    from pydicom.sr.coding import Code

    plain = name.casefold().removeprefix("left ").removeprefix("right ").strip()
    known = _STRUCTURES.get(plain)
    if known is None:
        tissue = Code("85756007", "SCT", "Tissue")
        return tissue, tissue
    return Code("123037004", "SCT", "Anatomical Structure"), Code(known, "SCT", plain.capitalize())


def _series_number(image: "Dataset") -> int:
    number = whole_of(image, "SeriesNumber") or 0
    return 1000 + number if 0 < number < _HIGHEST - 1000 else 1000
