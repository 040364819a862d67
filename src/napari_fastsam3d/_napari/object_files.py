# pyright: basic
"""The files that objects go to and come from: masks, and prompts that can be replayed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_fastsam3d._napari.dialogs.mask_saver import (
    FILTER,
    ask_path,
    may_replace,
    suggested_path,
    unless_kept,
    with_suffix,
)
from napari_fastsam3d._napari.main_thread import tell
from napari_fastsam3d.session.file_commands import paths_of_each

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView

_PROMPTS = "Prompts (*.json)"
_MASKS = "Masks (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd);;All files (*)"


class Work(Protocol):
    """Runs a job in the thread of files, and tells how it goes."""

    def __call__(
        self, doing: str, job: Callable[[], Any], done: Callable[[Any], None], failed: str
    ) -> None: ...


class ObjectFiles:
    """The actions of the table that write or read files of the session.

    Parameters
    ----------
    parent : QWidget
        Over which questions appear.
    view : callable
        Gives the session of the chosen scan, or None.
    work : Work
        Runs the reading and writing.
    say : callable
        Called with a sentence for the status line.
    """

    def __init__(
        self,
        parent: QWidget,
        view: Callable[[], SessionView | None],
        work: Work,
        say: Callable[[str], None],
    ) -> None:
        self._parent, self._view, self._work, self._say = parent, view, work, say

    def save_mask(self) -> None:
        """Ask for a file and write all objects to it."""
        view = self._view()
        path = view and ask_path(self._parent, view.frame.volume)
        if view is not None and path:
            self._save(path, lambda: [view.session.save(path)])

    def save_each(self) -> None:
        """Ask for a file, and write each object to one of its own beside it."""
        self._save_apart(whole=False)

    def save_both(self) -> None:
        """Ask for a file, write all objects to it, and each to one of its own beside it."""
        self._save_apart(whole=True)

    def save_prompts(self) -> None:
        """Ask for a file, and write to it all that was done."""
        view = self._view()
        if view is None:
            return
        beside = suggested_path(view.frame.volume)
        offered = beside.with_name(beside.name.removesuffix("_mask.nii.gz") + "_prompts.json")
        chosen, _ = QFileDialog.getSaveFileName(
            self._parent, "Save prompts", str(offered), _PROMPTS
        )
        if not chosen:
            return
        named = Path(chosen)
        suffixed = named.suffix.lower() == ".json"
        path = named if suffixed else named.with_name(named.name + ".json")
        if unless_kept(self._parent, named, path):
            self._save(path, lambda: [view.session.save_prompts(path)])

    def open_mask(self) -> None:
        """Ask for a mask or label map, and begin an object with each of its labels."""
        view, path = self._asked("Open mask", _MASKS)
        if view is not None and path is not None:
            self._work(
                f"Reading {path.name}...",
                lambda: view.session.open_mask(path),
                lambda results: self._say(f"{path.name}: {_counted(len(results))} opened."),
                "No mask was opened.",
            )

    def open_prompts(self) -> None:
        """Ask for a file of prompts, and do again what it says."""
        view, path = self._asked("Open prompts", _PROMPTS)
        if view is not None and path is not None:
            self._work(
                f"Doing again what {path.name} says...",
                lambda: view.session.load_prompts(path),
                lambda _: self._say(f"Did again what {path.name} says."),
                "No prompts were opened.",
            )

    def _save_apart(self, whole: bool) -> None:
        view = self._view()
        if view is None:
            return
        # The name chosen is but the beginning of the files', so those are asked about instead.
        chosen, _ = QFileDialog.getSaveFileName(
            self._parent,
            "Save a file for each object",
            str(suggested_path(view.frame.volume)),
            FILTER,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not chosen:
            return
        path = with_suffix(Path(chosen))
        drawn = [each for each in view.session.state.objects if each.prompts]
        written = [*paths_of_each(path, drawn), *([path] if whole else [])]
        if not may_replace(self._parent, written):
            return

        def write() -> list[Path]:
            first = [view.session.save(path)] if whole else []
            return first + view.session.save_each(path)

        self._save(path, write)

    def _save(self, path: Path, write: Callable[[], list[Path]]) -> None:
        self._work(f"Saving {path.name}...", write, self._on_saved, "Nothing was saved.")

    def _on_saved(self, paths: list[Path]) -> None:
        tell("Saved " + ", ".join(map(str, paths)))
        beside = all(self._beside(path) for path in paths)
        names = ", ".join(path.name if beside else str(path) for path in paths)
        self._say(f"Saved {names} beside the scan." if beside else f"Saved {names}.")

    def _beside(self, path: Path) -> bool:
        view = self._view()
        source = view.frame.volume.source.path if view is not None else None
        return source is not None and source.parent == path.parent

    def _asked(self, title: str, kinds: str) -> tuple[SessionView | None, Path | None]:
        view = self._view()
        if view is None:
            return None, None
        folder = str(suggested_path(view.frame.volume).parent)
        chosen, _ = QFileDialog.getOpenFileName(self._parent, title, folder, kinds)
        return view, Path(chosen) if chosen else None


def _counted(number: int) -> str:
    return "1 object" if number == 1 else f"{number} objects"
