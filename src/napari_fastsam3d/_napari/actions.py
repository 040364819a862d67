"""Every action of the widget, once: buttons, shortcuts, tooltips and docs come from this table."""

from dataclasses import dataclass
from typing import Literal

Group = Literal["scan", "window", "tool", "history", "object", "file", "view"]


@dataclass(frozen=True)
class Action:
    """One thing the user can do.

    Parameters
    ----------
    key : str
        Name of the verb; the widget, `ObjectVerbs`, `ObjectFiles` or `Windowing` has a method of
        that name.
    text : str
        Words on the button.
    tooltip : str
        What it does, one or two sentences.
    shortcuts : tuple of str
        Key sequences in Qt's portable form. None of them is bound by napari itself, except
        ``Ctrl+Z`` and ``Ctrl+Shift+Z``, which napari gives to the painting of Labels layers, and
        ``Escape``, which ends a shape or polygon there: they stay with the layer while it is
        painted or drawn in.
    group : str
        Part of the panel it belongs to.
    checkable : bool
        Whether it stays on until it is pressed again.
    """

    key: str
    text: str
    tooltip: str
    shortcuts: tuple[str, ...]
    group: Group
    checkable: bool = False

    @property
    def hint(self) -> str:
        """Tooltip with the shortcuts added."""
        keys = " or ".join(self.shortcuts)
        return f"{self.tooltip}\nShortcut: {keys}" if keys else self.tooltip


ACTIONS = (
    Action(
        "open_scan",
        "Open scan...",
        "Open a NIfTI, NRRD or MetaImage file, or a DICOM folder.",
        ("Shift+O",),
        "scan",
    ),
    Action(
        "earlier_sessions",
        "Earlier sessions...",
        "List what was done before, on any scan, and go on with any of it.",
        ("Shift+H",),
        "scan",
    ),
    Action(
        "window_soft_tissue",
        "Soft tissue",
        "Soft tissue of CT: level 40, width 400.",
        ("Alt+1",),
        "window",
    ),
    Action(
        "window_lung",
        "Lung",
        "Lungs and airways on CT: level -600, width 1500.",
        ("Alt+2",),
        "window",
    ),
    Action(
        "window_bone",
        "Bone",
        "Bone on CT: level 400, width 1800.",
        ("Alt+3",),
        "window",
    ),
    Action(
        "window_brain",
        "Brain",
        "Brain on CT: level 40, width 80.",
        ("Alt+4",),
        "window",
    ),
    Action(
        "window_liver",
        "Liver",
        "Lesions in the liver on CT: level 60, width 160.",
        ("Alt+5",),
        "window",
    ),
    Action(
        "window_mediastinum",
        "Mediastinum",
        "Mediastinum on CT: level 50, width 350.",
        ("Alt+6",),
        "window",
    ),
    Action(
        "window_angio",
        "Angio",
        "Vessels with contrast medium on CT: level 300, width 600.",
        ("Alt+7",),
        "window",
    ),
    Action(
        "window_auto",
        "Auto",
        "By the values of tissue in the scan, as for MR.",
        ("Alt+8",),
        "window",
    ),
    Action(
        "include",
        "Include",
        "Click inside the structure: the mask grows to it at once.",
        ("Q",),
        "tool",
        checkable=True,
    ),
    Action(
        "exclude",
        "Exclude",
        "Click where the mask is wrong: that part leaves the mask.",
        ("W",),
        "tool",
        checkable=True,
    ),
    Action(
        "box",
        "Box",
        "Drag a rectangle round the structure in a slice; its depth is set below.",
        ("G",),
        "tool",
        checkable=True,
    ),
    Action(
        "freeze",
        "Freeze",
        "Drag a rectangle round what is right: later clicks change nothing in it, in any slice.",
        ("Shift+K",),
        "tool",
        checkable=True,
    ),
    Action(
        "adjust",
        "Adjust",
        "Drag a point or a box to move it, Delete removes it; the mask is made again.",
        ("K",),
        "tool",
        checkable=True,
    ),
    Action(
        "brush",
        "Brush",
        "Paint what the mask lacks by hand; [ and ] change the size of the brush.",
        ("Shift+B",),
        "tool",
        checkable=True,
    ),
    Action(
        "erase",
        "Erase",
        "Rub out by hand what the mask has too much.",
        ("Shift+E",),
        "tool",
        checkable=True,
    ),
    Action(
        "pan",
        "Pan",
        "Put the tool away: dragging moves the picture, and a click changes nothing.",
        ("Escape",),
        "tool",
        checkable=True,
    ),
    Action(
        "undo",
        "Undo",
        "Take the last step back, as often as you like.",
        ("Ctrl+Z", "U"),
        "history",
    ),
    Action(
        "redo",
        "Redo",
        "Do the step again that was taken back.",
        ("Ctrl+Shift+Z", "Shift+U"),
        "history",
    ),
    Action(
        "reset_object",
        "Reset",
        "Remove every prompt of this object; Undo brings them back.",
        ("Shift+R",),
        "history",
    ),
    Action(
        "flip_point",
        "Flip",
        "Turn the selected points, or else the last one, from include to exclude or back.",
        ("J",),
        "history",
    ),
    Action(
        "delete_prompt",
        "Delete",
        "Take the selected prompts away; the mask is made again of those that are left.",
        ("Shift+D",),
        "history",
    ),
    Action(
        "show_change",
        "Show it",
        "Turn to where the last click changed the mask out of sight; again for the next place.",
        ("Shift+J",),
        "history",
    ),
    Action(
        "revert_change",
        "Leave it as it was there",
        "Take back what the last click changed out of sight, for good, and keep the rest.",
        ("Shift+Alt+J",),
        "history",
    ),
    Action(
        "next_prompt",
        "Next prompt",
        "Select the next prompt of this object and turn to it.",
        (".",),
        "history",
    ),
    Action(
        "previous_prompt",
        "Previous prompt",
        "Select the prompt before and turn to it.",
        (",",),
        "history",
    ),
    Action(
        "next_object",
        "Next object",
        "Keep this object and begin another one with its own colour.",
        ("N",),
        "object",
    ),
    Action(
        "remove_object",
        "Remove",
        "Remove the selected object with its mask; Undo brings it back.",
        ("Shift+X",),
        "object",
    ),
    Action(
        "lock_object",
        "Lock",
        "Freeze the mask of this object, so that nothing changes or overlaps it; or thaw it.",
        ("Shift+F",),
        "object",
    ),
    Action(
        "accept_object",
        "Accept",
        "Mark this object as finished, and lock it; or take that back.",
        ("Shift+Y",),
        "object",
    ),
    Action(
        "take_over",
        "Let this object win here",
        "Give this object the part around its last click that another object keeps from it.",
        ("Shift+T",),
        "object",
    ),
    Action(
        "unlock_holder",
        "Unlock the other object",
        "Unlock the object that keeps the voxel of the last click.",
        ("Shift+Alt+U",),
        "object",
    ),
    Action(
        "exclude_neighbours",
        "Exclude locked neighbours",
        "Add an excluding point where this object runs into each locked one, for the model to see.",
        ("Shift+Alt+N",),
        "object",
    ),
    Action(
        "name_object",
        "Name...",
        "Name this object, after an organ of the list or as you like.",
        ("Shift+N",),
        "object",
    ),
    Action(
        "value_object",
        "Label value...",
        "Choose the value of this object in the saved mask.",
        ("Shift+Alt+L",),
        "object",
    ),
    Action(
        "colour_object",
        "Colour...",
        "Choose the colour of this object.",
        ("Shift+C",),
        "object",
    ),
    Action(
        "save_mask",
        "Save mask...",
        "Write all objects to one file on the grid of the scan.",
        ("Shift+S",),
        "file",
    ),
    Action(
        "save_each",
        "Save a file for each object...",
        "Write every object to a file of its own on the grid of the scan.",
        ("Shift+Alt+E",),
        "file",
    ),
    Action(
        "save_both",
        "Save one file and one for each...",
        "Write all objects to one file, and every object to a file of its own.",
        ("Shift+Alt+B",),
        "file",
    ),
    Action(
        "save_prompts",
        "Save prompts...",
        "Write points, boxes and strokes to a file from which the masks can be made again.",
        ("Shift+Alt+P",),
        "file",
    ),
    Action(
        "open_mask",
        "Open mask...",
        "Begin an object with each label of a mask on the grid of this scan, to be refined.",
        ("Shift+I",),
        "file",
    ),
    Action(
        "open_prompts",
        "Open prompts...",
        "Do again what a file of prompts says, before anything else is done to this scan.",
        ("Shift+Alt+I",),
        "file",
    ),
    Action(
        "compact",
        "Compact",
        "Make room for the picture: put napari's layer list and controls away, and make this panel "
        "small; or bring them back. Small windows begin so.",
        ("Shift+Q",),
        "view",
    ),
    Action(
        "next_plane",
        "Next plane",
        "Turn the slices: axial, then coronal, then sagittal.",
        ("Shift+G",),
        "view",
    ),
    Action(
        "toggle_mask",
        "Hide or show the mask",
        "Hide the mask to see the scan beneath it, or show it again.",
        ("H",),
        "view",
    ),
    Action(
        "toggle_crop",
        "Show where the model looks",
        "Outline the part of the scan that the model was given for this object.",
        ("Shift+M",),
        "view",
        checkable=True,
    ),
)


def action(key: str) -> Action:
    """Return the action of that name.

    Raises
    ------
    KeyError
        Where no action has that name.
    """
    return {entry.key: entry for entry in ACTIONS}[key]


def markdown_table() -> str:
    """Return the table of actions as Markdown, for the documentation."""
    rows = ["| Action | Shortcut | What it does |", "|---|---|---|"]
    for entry in ACTIONS:
        keys = ", ".join(f"`{key}`" for key in entry.shortcuts) or "-"
        rows.append(f"| {entry.text} | {keys} | {entry.tooltip} |")
    return "\n".join(rows) + "\n"
