"""Commands that write or read files of the session: masks, and prompts that can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QFileDialog

from napari_fastsam3d._napari.commands.command import nothing_begun, session_command
from napari_fastsam3d._napari.dialogs.mask_saver import (
    FILTER,
    ask_path,
    may_replace,
    suggested_path,
    unless_kept,
    with_suffix,
)
from napari_fastsam3d._napari.main_thread import show_message
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.geometry.io.meshes import mesh_paths
from napari_fastsam3d.session.saved_objects import paths_of_each

_PROMPTS = "Prompts (*.json)"
_MASKS = "Masks (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm);;All files (*)"
_MESHES = "One file, all objects (*.obj);;A file for each object (*.stl)"
_TABLES = "ITK-SNAP label descriptions (*.txt)"


@session_command(
    "Save mask...",
    "Write all objects to one file on the grid of the scan.",
    "Shift+S",
    why_not=nothing_begun,
)
def save_mask(work: Workspace, view: SessionView) -> None:
    """Ask for a file and write all objects to it."""
    path = ask_path(work.parent, view.frame.volume)
    if path:
        save_in_background(work, view, path, lambda: [view.session.save(path)])


@session_command(
    "Save a file for each object...",
    "Write every object to a file of its own on the grid of the scan.",
    "Shift+Alt+E",
    why_not=nothing_begun,
)
def save_each(work: Workspace, view: SessionView) -> None:
    """Ask for a file, and write each object to one of its own beside it."""
    _save_apart(work, view, whole=False)


@session_command(
    "Save one file and one for each...",
    "Write all objects to one file, and every object to a file of its own.",
    "Shift+Alt+B",
    why_not=nothing_begun,
)
def save_both(work: Workspace, view: SessionView) -> None:
    """Ask for a file, write all objects to it, and each to one of its own beside it."""
    _save_apart(work, view, whole=True)


@session_command(
    "Save prompts...",
    "Write points, boxes and strokes to a file from which the masks can be made again.",
    "Shift+Alt+P",
    why_not=nothing_begun,
)
def save_prompts(work: Workspace, view: SessionView) -> None:
    """Ask for a file, and write to it all that was done."""
    path = ask_beside(work, view, "Save prompts", "_prompts.json", _PROMPTS)
    if path:
        save_in_background(work, view, path, lambda: [view.session.save_prompts(path)])


@session_command(
    "Save meshes...",
    "Write the surfaces of all objects as OBJ or STL, in LPS millimetres, as 3D Slicer reads them.",
    "Shift+Alt+M",
    why_not=nothing_begun,
)
def save_meshes(work: Workspace, view: SessionView) -> None:
    """Ask for a file, and write the surfaces of all objects to it or to files beside it."""
    path = ask_beside(work, view, "Save meshes", "_mesh.obj", _MESHES)
    if path is None:
        return
    drawn = [each.name for each in view.session.state.objects if each.prompts]
    beside = [each for each in mesh_paths(path, drawn) if each != path]
    if may_replace(work.parent, beside):
        save_in_background(work, view, path, lambda: view.session.save_meshes(path))


@session_command(
    "Save label table...",
    "Write names and colours of the objects for ITK-SNAP, to go with a saved mask.",
    "Alt+Y",
    why_not=nothing_begun,
)
def save_label_table(work: Workspace, view: SessionView) -> None:
    """Ask for a file, and write names and colours to it."""
    path = ask_beside(work, view, "Save label table", "_labels.txt", _TABLES)
    if path:
        save_in_background(work, view, path, lambda: [view.session.save_label_table(path)])


@session_command(
    "Open mask...",
    "Begin an object with each label of a mask on the grid of this scan, to be refined.",
    "Shift+I",
)
def open_mask(work: Workspace, view: SessionView) -> None:
    """Ask for a mask or label map, and begin an object with each of its labels."""
    path = _ask_file(work, view, "Open mask", _MASKS)
    if path is not None:
        work.tasks.run(
            f"Reading {path.name}...",
            lambda: view.session.open_mask(path),
            lambda results: work.message.emit(f"{path.name}: {_counted(len(results))} opened."),
            "No mask was opened.",
        )


@session_command(
    "Open prompts...",
    "Do again what a file of prompts says, before anything else is done to this scan.",
    "Shift+Alt+I",
)
def open_prompts(work: Workspace, view: SessionView) -> None:
    """Ask for a file of prompts, and replay it."""
    path = _ask_file(work, view, "Open prompts", _PROMPTS)
    if path is not None:
        work.tasks.run(
            f"Doing again what {path.name} says...",
            lambda: view.session.load_prompts(path),
            lambda _: work.message.emit(f"Did again what {path.name} says."),
            "No prompts were opened.",
        )


def _save_apart(work: Workspace, view: SessionView, whole: bool) -> None:
    # The name chosen is but the beginning of the files', so those are asked about instead.
    chosen, kind = QFileDialog.getSaveFileName(
        work.parent,
        "Save a file for each object",
        str(suggested_path(view.frame.volume)),
        FILTER,
        options=QFileDialog.Option.DontConfirmOverwrite,
    )
    if not chosen:
        return
    path = with_suffix(Path(chosen), kind)
    drawn = [each for each in view.session.state.objects if each.prompts]
    written = [*paths_of_each(path, drawn), *([path] if whole else [])]
    if not may_replace(work.parent, written):
        return

    def write() -> list[Path]:
        first = [view.session.save(path)] if whole else []
        return first + view.session.save_each(path)

    save_in_background(work, view, path, write)


def save_in_background(
    work: Workspace, view: SessionView, path: Path, write: Callable[[], list[Path]]
) -> None:
    """Write files in the thread for that, and say where they are."""
    source = view.frame.volume.source.path

    def saved(paths: list[Path]) -> None:
        show_message("Saved " + ", ".join(map(str, paths)))
        beside = source is not None and all(source.parent == each.parent for each in paths)
        names = ", ".join(each.name if beside else str(each) for each in paths)
        work.message.emit(f"Saved {names} beside the scan." if beside else f"Saved {names}.")

    work.tasks.run(f"Saving {path.name}...", write, saved, "Nothing was saved.")


def ask_beside(
    work: Workspace, view: SessionView, title: str, ending: str, kinds: str
) -> Path | None:
    """Let the user choose a file to write, offered beside the scan; its kind's suffix is added."""
    beside = suggested_path(view.frame.volume)
    offered = beside.with_name(beside.name.removesuffix("_mask.nii.gz") + ending)
    chosen, kind = QFileDialog.getSaveFileName(work.parent, title, str(offered), kinds)
    if not chosen:
        return None
    return unless_kept(work.parent, Path(chosen), with_suffix(Path(chosen), kind, kinds))


def _ask_file(work: Workspace, view: SessionView, title: str, kinds: str) -> Path | None:
    folder = str(suggested_path(view.frame.volume).parent)
    chosen, _ = QFileDialog.getOpenFileName(work.parent, title, folder, kinds)
    return Path(chosen) if chosen else None


def _counted(number: int) -> str:
    return "1 object" if number == 1 else f"{number} objects"


FILE_COMMANDS = (
    save_mask,
    save_each,
    save_both,
    save_meshes,
    save_label_table,
    save_prompts,
    open_mask,
    open_prompts,
)
