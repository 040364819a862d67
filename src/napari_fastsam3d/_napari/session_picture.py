# pyright: basic
"""A small picture of a session, by which it is known again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QBuffer, QByteArray, QIODevice, Qt
from qtpy.QtGui import QImage

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView

SIDE = 96
_MASK = 0.5


def picture_of(view: SessionView) -> bytes:
    """Return the slice in view, or that with most of the current object, with its masks as PNG."""
    region = view.frame.box_to_layer(view.session.region().box)
    plane = view.plane()
    axis = 0 if plane.axis is None else plane.axis
    place = plane.position if plane.axis is not None else region.start[axis]
    if not region.is_empty and not region.start[axis] <= place < region.stop[axis]:
        place = (region.start[axis] + region.stop[axis]) // 2
    place = int(np.clip(place, 0, view.frame.shape[axis] - 1))
    grey = np.take(view.frame.view(view.frame.volume.voxels), place, axis)
    labels = np.take(np.asarray(view.mask.layer.data), place, axis)
    low, high = (float(limit) for limit in view.image.contrast_limits if limit is not None)
    shown = np.clip((np.nan_to_num(grey.astype(float)) - low) / (high - low), 0, 1)
    colours = np.repeat(shown[..., None], 3, axis=2)
    for each in view.session.state.objects:
        own = labels == each.value
        colours[own] = (1 - _MASK) * colours[own] + _MASK * np.asarray(each.colour)
    height, width = (float(n) for n in np.delete(view.frame.spacing, axis) * labels.shape)
    return _png(np.ascontiguousarray(colours * 255, np.uint8), width / height)


def _png(colours: NDArray[np.uint8], aspect: float) -> bytes:
    rows, columns, _ = colours.shape
    image = QImage(colours.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
    width, height = (SIDE, SIDE / aspect) if aspect >= 1 else (SIDE * aspect, SIDE)
    small: Any = image.scaled(
        max(1, round(width)),
        max(1, round(height)),
        Qt.AspectRatioMode.IgnoreAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
    stored: Any = QByteArray()
    buffer = QBuffer(stored)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    small.save(buffer, "PNG")
    buffer.close()
    return bytes(stored.data())
