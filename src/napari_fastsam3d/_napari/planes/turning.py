"""Turning the viewer to a plane of the patient, or to face the patient in 3D."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fastsam3d._napari.planes.anatomy import Anatomy, PlaneName
from napari_fastsam3d._napari.planes.letters import EdgeLetters
from napari_fastsam3d._napari.session_view import SessionView

if TYPE_CHECKING:
    from napari.viewer import Viewer


class PlaneTurner:
    """Shows the chosen scan in a plane, upright, with letters at the edges of the canvas.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._view: SessionView | None = None
        self._letters = EdgeLetters(viewer)
        self._faced = False
        self._place: tuple[float, ...] | None = None  # of the slices, while 3D is shown

    @property
    def letters(self) -> dict[str, str]:
        """The letters at the left, right, top and bottom of the canvas."""
        return self._letters.shown

    @property
    def plane(self) -> PlaneName | None:
        """The plane that the viewer shows; None in 3D and where there is no scan."""
        view, dims = self._view, self._viewer.dims
        if view is None or dims.ndim < 3 or dims.ndisplay != 2:
            return None
        across = dims.order[-3] - (dims.ndim - 3)
        return anatomy_of(view).plane_across(across) if across >= 0 else None

    def serve(self, view: SessionView | None) -> None:
        """Work on another scan."""
        self._view = view
        self._faced, self._place = False, None
        self._letters.serve(None if view is None else anatomy_of(view))

    def follow(self) -> None:
        """Face the patient the first time that a scan is shown in 3D, and keep the slice for later.

        napari leaves 3D at the slice in which the camera's middle lies, which is the scan's here.
        """
        dims, place = self._viewer.dims, self._place
        if self._view is None:
            return
        if dims.ndisplay == 3:
            if not self._faced:
                self.face()
            self._place = tuple(dims.point)
        elif place is not None:
            self._place = None
            if len(place) == dims.ndim:
                dims.set_point(tuple(range(dims.ndim)), place)

    def turn(self, plane: PlaneName) -> None:
        """Show slices of a plane, upright and framed."""
        if self._view is None:
            return
        dims = self._viewer.dims
        first = dims.ndim - 3
        upright = anatomy_of(self._view).upright(plane)
        dims.ndisplay = 2
        dims.order = (*range(first), *(first + axis for axis in upright.order))
        self._viewer.scene.camera.orientation2d = (upright.vertical, upright.horizontal)
        self._viewer.fit_to_view(layers=[self._view.image])

    def face(self) -> None:
        """Show the scan in 3D as from before the patient, head up."""
        if self._view is None:
            return
        self._faced = True
        dims = self._viewer.dims
        # In another order of axes napari shows the mirror image, as from behind.
        dims.order = tuple(range(dims.ndim))
        dims.ndisplay = 3
        axes = [axis - (dims.ndim - 3) for axis in dims.displayed]
        if min(axes) < 0:
            return
        self._viewer.scene.camera.set_view_direction(*anatomy_of(self._view).facing(axes))
        self._viewer.fit_to_view(layers=[self._view.image])

    def close(self) -> None:
        """Take the letters away."""
        self._letters.close()


def anatomy_of(view: SessionView) -> Anatomy:
    """Return how the world in which a scan is shown lies in the patient."""
    return Anatomy.of(view.frame, view.mask.layer)
