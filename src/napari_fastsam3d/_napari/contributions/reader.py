"""Reads scans for napari: NIfTI, NRRD, MetaImage and DICOM folders."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error, show_warning
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari import current_viewer
from napari_fastsam3d._napari.contributions.reader_preference import (
    folders_come_to_us,
    napari_reads,
)
from napari_fastsam3d._napari.dialogs.scan_parts import Part, ask_part, parts_of, read_part
from napari_fastsam3d._napari.frame import frame_of_volume
from napari_fastsam3d._napari.layer_geometry import Placement, scan_in
from napari_fastsam3d._napari.layers.contrast import opening_window
from napari_fastsam3d._napari.layers.windowing import open_window
from napari_fastsam3d.errors import FastSAM3DError, VolumeError
from napari_fastsam3d.geometry import Volume, begins_as_dicom
from napari_fastsam3d.geometry.source import SCAN_SUFFIXES


class ImageArguments(Placement, total=False):
    """Keyword arguments of an image layer, beside its voxels."""

    name: str
    metadata: dict[str, object]
    contrast_limits: tuple[float, float]
    colormap: str


LayerData = tuple[NDArray[np.generic], ImageArguments, str]
Reader = Callable[[str | list[str]], "list[LayerData] | list[tuple[None]]"]

_FILES_LOOKED_AT = 200
_NOTHING: list[tuple[None]] = [(None,)]  # napari's sign for: read, and no layer came of it


def get_reader(path: str | list[str]) -> Reader | None:
    """Return the function that reads a path, or None where another plugin should try.

    A folder is ours if it holds a DICOM series; others are handed on to napari's own reader where
    napari is set to bring every folder here.
    """
    first = Path(path[0] if isinstance(path, list) else path)
    if first.is_dir():
        if _holds_dicom(first):
            return read_layers
        return napari_reads if folders_come_to_us() else None
    ours = first.name.lower().endswith(SCAN_SUFFIXES) or begins_as_dicom(first)
    return read_layers if ours else None


def read_layers(path: str | list[str]) -> list[LayerData] | list[tuple[None]]:
    """Read one file or folder, or several, each as an image layer; the slices of a scan as one.

    Raises
    ------
    VolumeError
        If one can't be read; the message says why and what to do. In a window it is shown
        there instead, and nothing is opened.
    """
    paths = path if isinstance(path, list) else [path]
    read: list[Volume] = []
    try:
        for each in map(Path, paths):
            if not _is_read(each, read) and not _is_open(each):
                read.append(_read_one(each))
    except FastSAM3DError as error:
        if not _has_window():
            raise
        # napari would only report that the reader failed, and not why.
        show_error(str(error))
    # A reader can't set how far the contrast slider goes, so it is set once the layers are there.
    if read and QApplication.instance() is not None:
        QTimer.singleShot(0, _widen_sliders)
    return [image_layer_data(each) for each in read] or _NOTHING


def _is_read(path: Path, volumes: list[Volume]) -> bool:
    """Whether a file is a slice of one of these volumes, made of several files."""
    files = (volume.source.files for volume in volumes)
    return any(len(each) > 1 and path.absolute() in each for each in files)


def _is_open(path: Path) -> bool:
    """Whether a file is a slice of a scan in the viewer, which then is selected.

    napari hands over the files of a drop one by one, and each stands for its whole series.
    """
    viewer = current_viewer()
    if viewer is None:
        return False
    for layer in viewer.layers:
        scan = scan_in(layer.metadata)
        if scan is not None and _is_read(path, [scan[0]]):
            layer.visible = True
            viewer.layers.selection.active = layer
            return True
    return False


def image_layer_data(volume: Volume) -> LayerData:
    """Return a volume as an image layer: a view of its voxels in display order, and its place.

    Returns
    -------
    tuple
        Voxels in I, P, L order, keyword arguments, and ``"image"``. The volume itself lies in
        the layer's metadata; masks are saved on its grid.
    """
    frame = frame_of_volume(volume)
    arguments: ImageArguments = {
        "name": volume.name,
        "metadata": frame.metadata,
        "contrast_limits": opening_window(volume).limits,
        "colormap": "gray",
        **frame.placement,
    }
    return frame.view(volume.voxels), arguments, "image"


def _widen_sliders() -> None:
    viewer = current_viewer()
    for layer in () if viewer is None else viewer.layers:
        kept = scan_in(layer.metadata)
        if isinstance(layer, Image) and kept is not None:
            open_window(layer, kept[0])


def _read_one(path: Path) -> Volume:
    parts = parts_of(path)
    volume = read_part(path, _chosen(path, parts))
    for note in volume.notes:
        show_warning(f"{volume.name}: {note}")
    return volume


def _chosen(path: Path, parts: list[Part]) -> Part:
    """Ask which volume is meant where there is a window to ask in; else take the first."""
    if len(parts) == 1:
        return parts[0]
    if _has_window():
        part = ask_part(QApplication.activeWindow(), path, parts)
        if part is None:
            raise VolumeError(f"No volume of {path.name} was chosen.", "Open it again to choose.")
        return part
    show_warning(
        f"{path.name} holds {len(parts)} volumes; the first is shown. "
        "'Open scan...' in the FastSAM3D widget lets you choose another."
    )
    return parts[0]


def _has_window() -> bool:
    application = QApplication.instance()
    return application is not None and any(
        window.isVisible() for window in QApplication.topLevelWidgets()
    )


def _holds_dicom(folder: Path) -> bool:
    """Look at the first files only: a folder may be a store of millions."""
    files = islice((each for each in folder.rglob("*") if each.is_file()), _FILES_LOOKED_AT)
    return any(map(begins_as_dicom, files))
