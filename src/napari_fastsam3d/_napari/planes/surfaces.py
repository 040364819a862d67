"""The objects as smooth surfaces in a 3D view."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Surface
from napari.utils.events import Event
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.adding import add_unselected
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.geometry.io.meshes import surface_of
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.session.colour import Colour

_SETTLED_MS = 400
_LPS_TO_RAS = (-1.0, -1.0, 1.0)


@dataclass(frozen=True, eq=False)
class _Part:
    """The mask of an object and its colour."""

    mask: Mask
    colour: Colour


@dataclass(frozen=True, eq=False)
class Mesh:
    """Surfaces of several objects in one.

    Parameters
    ----------
    points : ndarray, shape (N, 3)
        Layer index.
    triangles : ndarray of int, shape (M, 3)
    colours : ndarray, shape (N, 3)
    """

    points: NDArray[np.float64]
    triangles: NDArray[np.int64]
    colours: NDArray[np.float64]


class Surfaces:
    """Shows the visible objects of a session as surfaces, made in another thread.

    Parameters
    ----------
    view : SessionView
    viewer : ViewerModel
        Where they are shown.
    files : Executor
        Makes the meshes.
    parent : QObject
    """

    def __init__(
        self, view: SessionView, viewer: ViewerModel, files: Executor, parent: QObject
    ) -> None:
        self._view, self._viewer, self._files = view, viewer, files
        self._layer: Surface | None = None
        self._asked = 0
        self._shown = False
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLED_MS)
        self._timer.timeout.connect(self._ask)
        view.mask.written.connect(self._change)
        view.mask.layer.events.colormap.connect(self._change)

    def show(self, shown: bool) -> None:
        """Show the surfaces, or none."""
        self._shown = shown
        self._ask()

    def close(self) -> None:
        """Leave the session alone."""
        self._shown = False
        self._timer.stop()
        self._timer.setParent(None)
        self._view.mask.written.disconnect(self._change)
        self._view.mask.layer.events.colormap.disconnect(self._change)

    def _change(self, _event: Event | None = None) -> None:
        if self._shown:
            self._timer.start()

    def _ask(self) -> None:
        view = self._view
        self._asked += 1
        number = self._asked
        session, hidden = view.session, view.display.hidden
        objects = [each for each in session.state.objects if each.id not in hidden]
        parts = [_Part(session.region(each.id), each.colour) for each in objects]
        parts = [each for each in parts if self._shown and not each.mask.is_empty]
        if not parts:
            self._draw(None)
            return
        made = self._files.submit(_mesh, parts, view.frame)

        def draw(mesh: Mesh) -> None:
            if number == self._asked and self._shown:
                self._draw(mesh)

        view.dispatcher.watch(made, draw)

    def _draw(self, mesh: Mesh | None) -> None:
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None
        if mesh is not None:
            self._layer = Surface(
                (mesh.points, mesh.triangles),
                name="Surfaces",
                vertex_colors=mesh.colours,
                shading="smooth",
                **self._view.frame.placement,
            )
            add_unselected(self._viewer, self._layer)


def _mesh(parts: Sequence[_Part], frame: Frame) -> Mesh:
    """Return the surfaces of some masks (source index) in the layer index of a frame."""
    points, triangles, colours, count = [], [], [], 0
    for each in parts:
        lps, faces = surface_of(each.mask, frame.volume)
        index = frame.volume.to_index(lps * _LPS_TO_RAS)
        points.append(frame.to_layer(index))
        triangles.append(faces + count)
        colours.append(np.tile(each.colour, (len(lps), 1)))
        count += len(lps)
    return Mesh(np.concatenate(points), np.concatenate(triangles), np.concatenate(colours))
