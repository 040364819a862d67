"""Smooth surfaces in place of the blocks that napari's own 3D view draws of masks."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import TYPE_CHECKING

from napari.utils.events import Event
from qtpy.QtCore import QObject

from napari_fastsam3d._napari.planes.surfaces import Surfaces
from napari_fastsam3d._napari.session_view import SessionView

if TYPE_CHECKING:
    from napari.viewer import Viewer

_FAR = -1e9


class SolidMasks:
    """Shows the masks of the chosen scan as surfaces while the main view is in 3D.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    files : Executor
        Makes the surfaces.
    parent : QObject
    """

    def __init__(self, viewer: Viewer, files: Executor, parent: QObject) -> None:
        self._viewer, self._files, self._parent = viewer, files, parent
        self._view: SessionView | None = None
        self._surfaces: Surfaces | None = None
        viewer.dims.events.ndisplay.connect(self._follow)

    def serve(self, view: SessionView | None) -> None:
        """Work on another scan."""
        if self._view is not None:
            self._view.mask.layer.events.visible.disconnect(self._follow)
        self._end()
        self._view = view
        if view is not None:
            view.mask.layer.events.visible.connect(self._follow)
        self._follow()

    def close(self) -> None:
        """Listen to the viewer no more."""
        self.serve(None)
        self._viewer.dims.events.ndisplay.disconnect(self._follow)

    def _follow(self, _event: Event | None = None) -> None:
        view = self._view
        solid = view is not None and self._viewer.dims.ndisplay == 3
        if view is None or not solid:
            self._end()
            return
        if self._surfaces is None:
            # A plane far away in place of the volume: in slices the layer is as ever.
            view.mask.layer.depiction = "plane"
            view.mask.layer.plane.position = (_FAR, _FAR, _FAR)
            self._surfaces = Surfaces(view, self._viewer, self._files, self._parent)
        self._surfaces.show(view.mask.layer.visible)

    def _end(self) -> None:
        if self._surfaces is None or self._view is None:
            return
        self._surfaces.show(False)
        self._surfaces.close()
        self._surfaces = None
        self._view.mask.layer.depiction = "volume"
