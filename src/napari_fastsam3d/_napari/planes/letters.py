"""The letters R, L, A, P, S and I at the edges of a canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.components.overlays import TextOverlay
from napari.utils.color import ColorValue
from napari.utils.events import Event, EventEmitter
from numpy.typing import NDArray

from napari_fastsam3d._napari.planes.anatomy import Anatomy

if TYPE_CHECKING:
    from napari.components import ViewerModel

_EDGES = {
    "left": "middle_left",
    "right": "middle_right",
    "top": "top_center",
    "bottom": "bottom_center",
}
_COLOUR = "#ffd24a"


class EdgeLetters:
    """Names where the edges of a canvas lie in the patient, in slices and in 3D.

    Parameters
    ----------
    viewer : napari viewer or ViewerModel, possibly behind its public proxy
    size : float
        Of the letters, in points.
    """

    def __init__(self, viewer: ViewerModel, size: float = 13) -> None:
        self._viewer = viewer
        self._anatomy: Anatomy | None = None
        self._overlays = {
            edge: TextOverlay(
                position=position,
                color=ColorValue(_COLOUR),
                font_size=size,
                visible=False,
                box=False,
            )
            for edge, position in _EDGES.items()
        }
        for edge, overlay in self._overlays.items():
            viewer.canvas.overlays[_name(edge)] = overlay
        for emitter in self._emitters():
            emitter.connect(self._draw)

    @property
    def shown(self) -> dict[str, str]:
        """The letters at the left, right, top and bottom; empty where there are none."""
        return {edge: each.text for edge, each in self._overlays.items() if each.visible}

    def serve(self, anatomy: Anatomy | None) -> None:
        """Name the directions of another scan, or none."""
        self._anatomy = anatomy
        self._draw()

    def close(self) -> None:
        """Take the letters away."""
        for emitter in self._emitters():
            emitter.disconnect(self._draw)
        for edge in self._overlays:
            self._viewer.canvas.overlays.pop(_name(edge), None)

    def _emitters(self) -> tuple[EventEmitter, ...]:
        dims, camera = self._viewer.dims.events, self._viewer.scene.camera.events
        return dims.order, dims.ndisplay, camera.orientation, camera.angles

    def _draw(self, _event: Event | None = None) -> None:
        towards = None if self._anatomy is None else self._edges()
        for edge, overlay in self._overlays.items():
            if towards is not None and self._anatomy is not None:
                overlay.text = self._anatomy.letters(towards[edge])
            overlay.visible = towards is not None

    def _edges(self) -> dict[str, NDArray[np.float64]] | None:
        """Return the direction of the world, (3,), in which each edge of the canvas lies."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        axes = [axis - (dims.ndim - 3) for axis in dims.displayed]
        if min(axes) < 0 or len(axes) != dims.ndisplay:
            return None
        right, up = np.zeros(3), np.zeros(3)
        if dims.ndisplay == 2:
            right[axes[1]] = 1 if camera.orientation2d[1] == "right" else -1
            up[axes[0]] = 1 if camera.orientation2d[0] == "up" else -1
        else:
            side = np.cross(camera.view_direction, camera.up_direction)
            right[axes] = side if camera.handedness == "right" else -side
            up[axes] = camera.up_direction
        return {"left": -right, "right": right, "top": up, "bottom": -up}


def _name(edge: str) -> str:
    return f"fastsam3d_{edge}"
