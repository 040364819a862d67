"""Commands that activate a tool."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import command
from napari_fastsam3d._napari.layers.toolbox import Tool
from napari_fastsam3d._napari.workspace import Workspace

SLICES_ONLY = "This tool works in a slice: leave the 3D view (Ctrl+Y) to use it."


@command(
    "Include", "Click inside the structure: the mask grows to it at once.", "Q", checkable=True
)
def include(work: Workspace) -> None:
    """Activate the tool whose clicks belong to the object."""
    work.toolbox.use("include")


@command(
    "Exclude", "Click where the mask is wrong: that part leaves the mask.", "W", checkable=True
)
def exclude(work: Workspace) -> None:
    """Activate the tool whose clicks do not belong to the object."""
    work.toolbox.use("exclude")


@command(
    "Box",
    "Drag a rectangle round the structure in a slice; its depth is set below.",
    "G",
    checkable=True,
)
def box(work: Workspace) -> None:
    """Activate the box tool."""
    _use_in_slice(work, "box")


@command(
    "Scribble",
    "Draw a line through the structure in a slice, or with Shift held along what is not of it.",
    "Shift+W",
    checkable=True,
)
def scribble(work: Workspace) -> None:
    """Activate the tool that draws lines."""
    _use_in_slice(work, "scribble")


@command(
    "Lasso",
    "Draw a line round a part of the structure in a slice, or with Shift held round what is not.",
    "Shift+Z",
    checkable=True,
)
def lasso(work: Workspace) -> None:
    """Activate the tool that circles regions."""
    _use_in_slice(work, "lasso")


@command(
    "Freeze",
    "Drag a rectangle round what is right: later clicks change nothing in it, in any slice.",
    "Shift+K",
    checkable=True,
)
def freeze(work: Workspace) -> None:
    """Activate the tool that freezes regions."""
    _use_in_slice(work, "freeze")


@command(
    "Adjust",
    "Drag a point or a box to move it, Delete removes it; the mask is made again.",
    "K",
    checkable=True,
)
def adjust(work: Workspace) -> None:
    """Activate the tool that moves and deletes prompts."""
    work.toolbox.use("adjust")


@command(
    "Brush",
    "Paint what the mask lacks by hand; [ and ] change the size of the brush.",
    "Shift+B",
    checkable=True,
)
def brush(work: Workspace) -> None:
    """Activate the brush that paints the current object."""
    _use_in_slice(work, "brush")


@command("Erase", "Rub out by hand what the mask has too much.", "Shift+E", checkable=True)
def erase(work: Workspace) -> None:
    """Activate the eraser of the current object."""
    _use_in_slice(work, "erase")


@command(
    "Ruler",
    "Drag a line in a slice: its length in mm is written on it and stays.",
    "Alt+R",
    checkable=True,
)
def ruler(work: Workspace) -> None:
    """Activate the tool that draws lines and tells their lengths."""
    _use_in_slice(work, "ruler")


@command(
    "Pan",
    "Put the tool away: dragging moves the picture, and a click changes nothing.",
    "Escape",
    checkable=True,
)
def pan(work: Workspace) -> None:
    """Put the tool away."""
    work.toolbox.put_away()


def _use_in_slice(work: Workspace, tool: Tool) -> None:
    if work.view is not None and work.viewer.dims.ndisplay == 3:
        work.toolbox.refused.emit()
        work.message.emit(SLICES_ONLY)
    else:
        work.toolbox.use(tool)


TOOL_COMMANDS = (
    include,
    exclude,
    box,
    scribble,
    lasso,
    freeze,
    adjust,
    brush,
    erase,
    ruler,
    pan,
)
