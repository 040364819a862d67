"""Segments read from and written to files of any format that holds them."""

import os
from collections.abc import Callable, Sequence
from logging import getLogger
from pathlib import Path

import numpy as np

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.dicom.segmentation_reader import (
    foreign_frame,
    is_dicom_segmentation,
    read_dicom_segmentation,
)
from napari_fastsam3d.geometry.io.dicom.segmentation_writer import write_dicom_segmentation
from napari_fastsam3d.geometry.io.mask_reader import read_labels
from napari_fastsam3d.geometry.io.mask_writer import save_mask, spare_scan
from napari_fastsam3d.geometry.io.segment import Segment, named
from napari_fastsam3d.geometry.io.slicer_segmentation import (
    SUFFIX,
    read_slicer_segmentation,
    write_slicer_segmentation,
)
from napari_fastsam3d.geometry.mask import masks_of
from napari_fastsam3d.geometry.source import SUFFIXES
from napari_fastsam3d.geometry.volume import Volume

_log = getLogger(__name__)

SEGMENTATION_SUFFIXES = (SUFFIX, *SUFFIXES["dicom"])
"""How the names of files end whose segments have names and colours and may overlap."""


def read_segments(
    path: str | os.PathLike[str],
    volume: Volume,
    note: Callable[[str], object] | None = None,
) -> list[Segment]:
    """Read the segments of a file and lay them on a scan.

    Parameters
    ----------
    path : path
        A DICOM Segmentation, a .seg.nrrd as 3D Slicer writes it, both of which may cover a part of
        the scan, or a label map as for `read_labels`.
    volume : Volume
        The scan.
    note : callable, optional
        Told what is logged.

    Returns
    -------
    list of Segment
        In the order of the file; those without a voxel are left out. Where DICOM says that it was
        made in another frame of reference than the scan's, that is logged as a warning.

    Raises
    ------
    VolumeError
        If it can't be read, or its voxels aren't those of the scan.
    """
    chosen = Path(path).expanduser().absolute()
    if is_dicom_segmentation(chosen):
        found = read_dicom_segmentation(chosen, volume)
        if (doubt := foreign_frame(chosen, volume)) is not None:
            _log.warning("%s", doubt)
            if note is not None:
                note(doubt)
    elif chosen.name.lower().endswith(SUFFIX):
        if not chosen.is_file():
            raise VolumeError(f"There is no {chosen}.", "Check the path.")
        found = read_slicer_segmentation(chosen, volume)
    else:
        return _labelled(chosen, volume)
    return [each for each in found if not each.mask.is_empty]


def save_segments(
    path: str | os.PathLike[str],
    segments: Sequence[Segment],
    volume: Volume,
    model: str | None = None,
) -> Path:
    """Write segments on the grid of their scan, whole or not at all.

    Parameters
    ----------
    path : path
        Ending in .seg.nrrd (3D Slicer) or .dcm (DICOM Segmentation, of a scan read from DICOM):
        there names and colours are kept, and segments may overlap. Otherwise a label map is
        written, see `save_mask`; the first segment has a voxel that several claim.
    segments : sequence of Segment
    volume : Volume
        The scan.
    model : str, optional
        What the masks were made with; DICOM says so.

    Raises
    ------
    SaveError
        If it can't be written, or DICOM is asked for of a scan that was none.
    """
    target = Path(path).expanduser().absolute()
    name = target.name.lower()
    if name.endswith(SUFFIXES["dicom"]):
        spare_scan(target, volume)
        with replacing(target, ".dcm") as temporary:
            write_dicom_segmentation(temporary, segments, volume, model)
        return target
    if name.endswith(SUFFIX):
        spare_scan(target, volume)
        with replacing(target, SUFFIX) as temporary:
            write_slicer_segmentation(temporary, segments, volume)
        return target
    labels = np.zeros(volume.shape, np.uint16)
    for each in reversed(segments):
        each.mask.write(labels, Box.whole(volume.shape), each.value)
    return save_mask(target, labels, volume, label_names={s.value: s.name for s in segments})


def _labelled(path: Path, volume: Volume) -> list[Segment]:
    found = read_labels(path, volume)
    return [
        Segment(named(found.names, value), value, mask) for value, mask in masks_of(found.labels)
    ]
