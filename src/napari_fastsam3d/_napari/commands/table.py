"""Every command, from which shortcuts, help and the documentation are made."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.adapters import ADAPTER_COMMANDS
from napari_fastsam3d._napari.commands.candidates import CANDIDATE_COMMANDS
from napari_fastsam3d._napari.commands.clean_up import CLEAN_UP_COMMANDS
from napari_fastsam3d._napari.commands.command import Command
from napari_fastsam3d._napari.commands.files import FILE_COMMANDS
from napari_fastsam3d._napari.commands.history import HISTORY_COMMANDS
from napari_fastsam3d._napari.commands.measures import MEASURE_COMMANDS
from napari_fastsam3d._napari.commands.memory import MEMORY_COMMANDS
from napari_fastsam3d._napari.commands.object_views import OBJECT_VIEW_COMMANDS
from napari_fastsam3d._napari.commands.objects import OBJECT_COMMANDS
from napari_fastsam3d._napari.commands.planes import PLANE_COMMANDS
from napari_fastsam3d._napari.commands.scans import SCAN_COMMANDS, VIEW_COMMANDS
from napari_fastsam3d._napari.commands.tool_selection import TOOL_COMMANDS
from napari_fastsam3d._napari.commands.volumes import VOLUME_COMMANDS
from napari_fastsam3d._napari.commands.worklist import WORKLIST_COMMANDS

COMMANDS: dict[str, Command] = {
    each.key: each
    for each in (
        *SCAN_COMMANDS,
        *WORKLIST_COMMANDS,
        *VOLUME_COMMANDS,
        *TOOL_COMMANDS,
        *CANDIDATE_COMMANDS,
        *HISTORY_COMMANDS,
        *OBJECT_COMMANDS,
        *CLEAN_UP_COMMANDS,
        *OBJECT_VIEW_COMMANDS,
        *FILE_COMMANDS,
        *MEASURE_COMMANDS,
        *MEMORY_COMMANDS,
        *ADAPTER_COMMANDS,
        *VIEW_COMMANDS,
        *PLANE_COMMANDS,
    )
}
KEYS = {key: each.shortcuts[0] for key, each in COMMANDS.items()}
"""The first shortcut of each command."""


def markdown_table() -> str:
    """Return the table of commands as Markdown, for the documentation."""
    rows = ["| Action | Shortcut | What it does |", "|---|---|---|"]
    for each in COMMANDS.values():
        keys = ", ".join(f"`{key}`" for key in each.shortcuts) or "-"
        rows.append(f"| {each.text} | {keys} | {each.tooltip} |")
    return "\n".join(rows) + "\n"
