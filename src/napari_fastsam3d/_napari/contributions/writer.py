"""Writes a labels layer as a medical image on the grid of its scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_info
from napari.viewer import current_viewer

from napari_fastsam3d._napari.layer_geometry import place_of_layer, scan_in, scan_under
from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Volume, save_mask

_PLACE = (
    "name",
    "metadata",
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
)


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer.

    A layer of this plugin carries its scan and is written on the scan's own grid, voxel for
    voxel, with its header, and so is any that lies on a scan of this plugin to the voxel. Any other
    is written where *Save mask* would put the mask of an image in its place, and what had to be
    assumed is shown in a message.

    Parameters
    ----------
    path : str
        Ending in .nii.gz, .nii, .nrrd or .mha.
    data : array, 3D, integer
        In layer order.
    meta : dict
        napari's attributes of the layer.

    Returns
    -------
    list of str
        The file written.

    Raises
    ------
    SaveError
        If the labels are no volume, or the file can't be written.
    """
    labels = np.asarray(data)
    if labels.ndim != 3:
        raise SaveError(
            f"The layer has {labels.ndim} axes.", "Save a labels layer with three axes."
        )
    viewer = current_viewer()
    beside = [] if viewer is None else list(viewer.layers)
    placed = _placed(labels.shape, meta)
    scan = scan_in(meta.get("metadata") or {}) or scan_under(placed, beside)
    if scan is not None and scan[1].target_shape == labels.shape:
        volume, orientation = scan
        names = _names(meta.get("features"))
        source = orientation.source_view(labels)
        return [str(save_mask(path, source, volume, label_names=names))]
    affine, notes = place_of_layer(placed, beside)
    made = Volume.from_array(labels, affine, name=str(meta.get("name", "labels")))
    for note in notes:
        show_info(note)
    return [str(save_mask(path, labels, made))]


def _placed(shape: tuple[int, ...], meta: dict[str, Any]) -> Layer:
    """Return a layer without content in the place of one that is written."""
    place = {name: meta[name] for name in _PLACE if meta.get(name) is not None}
    return Image(np.broadcast_to(np.uint8(0), shape), contrast_limits=(0, 1), **place)


def _names(features: Any) -> dict[int, str] | None:
    """Names of the labels, where our own mask layer has them in its features."""
    try:
        pairs = zip(features["index"], features["object"], strict=True)
        names = {int(value): str(name) for value, name in pairs if int(value)}
    except (KeyError, TypeError, ValueError):
        return None
    return names or None
