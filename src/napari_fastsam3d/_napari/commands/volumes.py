"""Commands about a second volume: the next time point or channel, another modality."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import session_command
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace


def _one_volume(_work: Workspace, view: SessionView) -> str | None:
    if view.image.ndim > 3 or view.frame.volume.source.path is not None:
        return None
    return "This scan has no other time point or channel."


def _nothing_over(_work: Workspace, view: SessionView) -> str | None:
    return "Lay a second scan over this one first." if view.overlay is None else None


@session_command(
    "Next volume",
    "Go to the next time point or channel of this scan: each object begins there with its mask, "
    "which the model fits to what it sees.",
    "Alt+.",
    why_not=_one_volume,
)
def next_volume(work: Workspace, view: SessionView) -> None:
    """Carry the objects on to the next volume of the scan."""
    work.steps.go(view, 1)


@session_command(
    "Volume before",
    "Go to the time point or channel before: each object begins there with its mask, which the "
    "model fits to what it sees.",
    "Alt+,",
    why_not=_one_volume,
)
def volume_before(work: Workspace, view: SessionView) -> None:
    """Carry the objects on to the volume before."""
    work.steps.go(view, -1)


@session_command(
    "Second scan...",
    "Lay another scan over this one, such as a PET or another sequence, where its file says that "
    "it lies.",
    "Alt+A",
)
def second_scan(work: Workspace, view: SessionView) -> None:
    """Ask for a second scan, and lay it over the chosen one."""
    work.overlay.ask(view)


@session_command(
    "Flicker",
    "Show the second scan alone, or the first one again.",
    "/",
    why_not=_nothing_over,
)
def flicker(work: Workspace, view: SessionView) -> None:
    """Change between both scans."""
    work.overlay.flicker(view)


@session_command(
    "Both scans",
    "Show the second scan in colours through the first one, or the first one alone.",
    "Alt+N",
    why_not=_nothing_over,
)
def both_scans(work: Workspace, view: SessionView) -> None:
    """Blend both scans, or show the first one alone."""
    work.overlay.blend(view)


VOLUME_COMMANDS = (next_volume, volume_before, second_scan, flicker, both_scans)
