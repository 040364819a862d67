"""Commands that turn to a plane of the patient, or to the 3D view."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import session_command
from napari_fastsam3d._napari.planes.anatomy import PLANES
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace


@session_command(
    "Axial",
    "Show slices from head to feet: front up, the patient's right on the left.",
    "Ctrl+1",
    checkable=True,
)
def axial(work: Workspace, _view: SessionView) -> None:
    """Turn to axial slices."""
    work.planes.turn("axial")


@session_command(
    "Coronal",
    "Show slices from front to back: head up, the patient's right on the left.",
    "Ctrl+2",
    checkable=True,
)
def coronal(work: Workspace, _view: SessionView) -> None:
    """Turn to coronal slices."""
    work.planes.turn("coronal")


@session_command(
    "Sagittal",
    "Show slices from side to side: head up, front on the left.",
    "Ctrl+3",
    checkable=True,
)
def sagittal(work: Workspace, _view: SessionView) -> None:
    """Turn to sagittal slices."""
    work.planes.turn("sagittal")


@session_command("3D", "Show the scan in 3D, as from before the patient.", "Ctrl+4", checkable=True)
def face_patient(work: Workspace, _view: SessionView) -> None:
    """Turn to the 3D view, facing the patient."""
    work.planes.face()


@session_command("Next plane", "Turn the slices: axial, then coronal, then sagittal.", "Shift+G")
def next_plane(work: Workspace, _view: SessionView) -> None:
    """Turn to the slices of the next plane."""
    shown = work.planes.plane
    work.planes.turn(PLANES[0 if shown is None else (PLANES.index(shown) + 1) % len(PLANES)])


@session_command(
    "Four views",
    "Show axial, coronal, sagittal and 3D side by side, linked by a crosshair; or one view again.",
    "Ctrl+5",
    checkable=True,
)
def four_views(work: Workspace, _view: SessionView) -> None:
    """Show three linked planes and the 3D view, or one view."""
    work.four_views.toggle()


PLANE_COMMANDS = (axial, coronal, sagittal, face_patient, next_plane, four_views)
