"""Commands that open scans and change how they are shown."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import NO_SCAN, Command, command, session_command
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace


@command("Open scan...", "Open a NIfTI, NRRD or MetaImage file, or a DICOM folder.", "Shift+O")
def open_scan(work: Workspace) -> None:
    """Ask for a file or a DICOM folder and open it."""
    work.chooser.offer()


@command(
    "Earlier sessions...",
    "List what was done before, on any scan, and go on with any of it.",
    "Shift+H",
)
def earlier_sessions(work: Workspace) -> None:
    """Show the list of earlier sessions."""
    work.earlier.show_list()


def _preset(name: str, text: str, tooltip: str, shortcut: str) -> Command:
    return Command(
        f"window_{name}",
        text,
        tooltip,
        (shortcut,),
        lambda work: work.windowing.show_preset(name),
        _not_ct,
    )


def _not_ct(work: Workspace) -> str | None:
    if work.view is None:
        return NO_SCAN
    if work.windowing.hounsfield:
        return None
    return (
        f"{work.view.image.name} is no CT: windows in Hounsfield units do not fit it. "
        f"{window_auto.shortcuts[0]} does."
    )


PRESETS = {
    each.key.removeprefix("window_"): each
    for each in (
        _preset("soft_tissue", "Soft tissue", "Soft tissue of CT: level 40, width 400.", "Alt+1"),
        _preset("lung", "Lung", "Lungs and airways on CT: level -600, width 1500.", "Alt+2"),
        _preset("bone", "Bone", "Bone on CT: level 400, width 1800.", "Alt+3"),
        _preset("brain", "Brain", "Brain on CT: level 40, width 80.", "Alt+4"),
        _preset("liver", "Liver", "Lesions in the liver on CT: level 60, width 160.", "Alt+5"),
        _preset("mediastinum", "Mediastinum", "Mediastinum on CT: level 50, width 350.", "Alt+6"),
        _preset(
            "angio", "Angio", "Vessels with contrast medium on CT: level 300, width 600.", "Alt+7"
        ),
    )
}
"""Commands that show a CT in one of the usual windows, by the name of the window."""


@session_command("Auto", "By the values of tissue in the scan, as for MR.", "Alt+8")
def window_auto(work: Workspace, _view: SessionView) -> None:
    """Choose the grey window by the values of tissue."""
    work.windowing.show_auto()


@command(
    "Compact",
    "Make room for the picture: put napari's layer list and controls away, and make this panel "
    "small; or bring them back. Small windows begin so.",
    "Shift+Q",
)
def compact(work: Workspace) -> None:
    """Make room for the picture, or bring napari's panels back."""
    work.toggle_layout()


@session_command(
    "Hide or show the mask",
    "Hide the mask to see the scan beneath it, or show it again.",
    "H",
)
def toggle_mask(_work: Workspace, view: SessionView) -> None:
    """Hide the mask, or show it again."""
    layer = view.mask.layer
    layer.visible = not layer.visible


@command(
    "Show where the model looks",
    "Outline the part of the scan that the model was given for this object.",
    "Shift+M",
    checkable=True,
)
def toggle_crop(work: Workspace) -> None:
    """Outline the crop that the model was given, or stop it."""
    work.set_show_crop(not work.show_crop)


SCAN_COMMANDS = (open_scan, earlier_sessions, *PRESETS.values(), window_auto)
VIEW_COMMANDS = (compact, toggle_mask, toggle_crop)
