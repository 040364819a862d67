# pyright: basic
"""Writes a labels layer as a medical image on the grid of its scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils.notifications import show_info

from napari_fastsam3d._napari.frame import scan_in
from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Volume, save_mask


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write one labels layer.

    A layer of this plugin carries its scan and is written on the scan's own grid, voxel for
    voxel, with its header. For any other the geometry is made of the layer's scale, and the
    user is told.

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
    scan = scan_in(meta.get("metadata") or {})
    if scan is not None and scan[1].target_shape == labels.shape:
        volume, orientation = scan
        names = _names(meta.get("features"))
        source = orientation.source_view(labels)
        return [str(save_mask(path, source, volume, label_names=names))]
    made = Volume.from_array(labels, _affine(meta), name=str(meta.get("name", "labels")))
    show_info("The layer carries no scan: its place was made of the layer's own scale.")
    return [str(save_mask(path, labels, made))]


def _affine(meta: dict[str, Any]) -> np.ndarray:
    """Affine (4, 4) to RAS mm of a layer in I, P, L order with its own scale and translation."""
    scale = np.asarray(meta.get("scale", (1, 1, 1)), float)[-3:]
    translate = np.asarray(meta.get("translate", (0, 0, 0)), float)[-3:]
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = -scale
    affine[:3, 3] = -translate[::-1]
    affine[3, 3] = 1
    return affine


def _names(features: Any) -> dict[int, str] | None:
    """Names of the labels, where our own mask layer has them in its features."""
    try:
        pairs = zip(features["index"], features["object"], strict=True)
        names = {int(value): str(name) for value, name in pairs if int(value)}
    except (KeyError, TypeError, ValueError):
        return None
    return names or None
