"""Commands about what is remembered of accepted objects."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_fastsam3d._napari.commands.command import (
    NO_OBJECT,
    NO_PROMPT,
    command,
    session_command,
)
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import Result

_FILES = "Remembered cases (*.zip)"
_NOTHING = "Nothing is remembered yet: name an object and accept it first."


def _no_bank(work: Workspace) -> str | None:
    return None if work.memory.bank is not None else work.memory.trouble


def _nothing_remembered(work: Workspace) -> str | None:
    return _no_bank(work) or (None if work.memory.entries() else _NOTHING)


def _nothing_to_find(work: Workspace, _view: SessionView) -> str | None:
    return _nothing_remembered(work)


def _nothing_to_remember(work: Workspace, view: SessionView) -> str | None:
    own = view.current
    if own is None or not own.prompts:
        return NO_OBJECT if own is None else NO_PROMPT
    if not own.is_named:
        return f"{own.name} has no name yet, by which it could be recalled: give it one first."
    return _no_bank(work)


@command(
    "Recall accepted cases",
    "Let what you accepted on other scans help, or not; the mask of this object changes at once.",
    "Shift+Alt+A",
    why_not=_no_bank,
    checkable=True,
)
def toggle_memory(work: Workspace) -> None:
    """Turn recall on or off, for this object and those to come."""
    work.set_recall(None if is_recalling(work) else work.memory.preferred)


@session_command(
    "Find...",
    "Look for a remembered structure in the whole scan, without a click.",
    "Shift+Alt+F",
    why_not=_nothing_to_find,
)
def find_structure(work: Workspace, view: SessionView) -> None:
    """Ask which remembered structure to find, and begin an object with it."""
    names = [*work.memory.structures()]
    name, chosen = QInputDialog.getItem(
        work.parent, "Find a remembered structure", "Structure", names, 0, False
    )
    if chosen:
        find(view, name)


@session_command(
    "Remember",
    "Keep this object in your memory of cases, for other scans; nothing leaves this machine.",
    "Shift+Alt+K",
    why_not=_nothing_to_remember,
)
def remember_object(work: Workspace, view: SessionView) -> None:
    """Remember the current object."""
    own = view.current
    if own is not None:
        work.memory.remember(
            view.session,
            own.id,
            lambda entry: work.message.emit(f"Remembered {entry.name} for other scans."),
        )


@command(
    "Export remembered cases...",
    "Write all that is remembered to a file, for a colleague or another machine.",
    "Shift+Alt+W",
    why_not=_nothing_remembered,
)
def export_memory(work: Workspace) -> None:
    """Ask for a file, and write all cases to it."""
    chosen, _ = QFileDialog.getSaveFileName(
        work.parent, "Export remembered cases", "remembered.zip", _FILES
    )
    if chosen:
        path = Path(chosen).with_suffix(".zip")
        work.memory.export(
            path, None, lambda count: work.message.emit(f"{path.name}: {count} cases written.")
        )


@command(
    "Import cases...",
    "Add the cases of a file that was exported; those that are there already stay as they are.",
    "Shift+Alt+O",
    why_not=_no_bank,
)
def import_memory(work: Workspace) -> None:
    """Ask for a file, and add its cases."""
    chosen, _ = QFileDialog.getOpenFileName(work.parent, "Import cases", "", _FILES)
    if chosen:
        name = Path(chosen).name
        work.memory.import_(
            Path(chosen), lambda new: work.message.emit(f"{name}: {len(new)} cases added.")
        )


def find(view: SessionView, structure: str) -> None:
    """Begin an object with a remembered structure, and turn to it once it is found."""
    future = view.run(lambda session: session.find(structure))
    if future is None:
        return

    def turn(result: Result) -> None:
        if not result.stale and view.session.state.has(result.object):
            view.go_to_object(result.object)

    view.dispatcher.watch(future, turn, lambda _error: None)


def is_recalling(work: Workspace) -> bool:
    """Whether cases are recalled for the current object, or else for the next one."""
    view = work.view
    own = None if view is None else view.current
    if own is not None and own.prompts and own.locked is None:
        return own.recall is not None
    return work.memory.way is not None


MEMORY_COMMANDS = (toggle_memory, find_structure, remember_object, export_memory, import_memory)
