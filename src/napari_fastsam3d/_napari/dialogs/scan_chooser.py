"""Asking the user which scan to open, and which volume of one that holds several."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from napari.layers import Layer
from napari.utils import progress
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QWidget

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.dialogs.scan_parts import Part, ask_part, parts_of, read_part
from napari_fastsam3d._napari.main_thread import Dispatcher, notify
from napari_fastsam3d.geometry import Volume

if TYPE_CHECKING:
    import napari.viewer

FILTER = "Scans (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm *.ima);;All files (*)"

T = TypeVar("T")


class Run(Protocol):
    """Runs a task in another thread and hands its outcome to a function in the main thread."""

    def __call__(self, task: Callable[[], T], done: Callable[[T], object], /) -> None: ...


class ScanChooser:
    """Lets the user choose a file or a DICOM folder, and one volume of it.

    Parameters
    ----------
    parent : QWidget or None
        Over which the questions appear.
    run : Run
    opened : callable
        Called with the volume.
    """

    def __init__(self, parent: QWidget | None, run: Run, opened: Callable[[Volume], None]) -> None:
        self._parent, self._run, self._opened = parent, run, opened
        self.anchor: QWidget | None = None
        """The button under which the menu appears."""
        self.others: dict[str, Callable[[], object]] = {}
        """Further ways to a scan, by what they are called in the menu."""
        self._menu: QMenu | None = None

    def offer(self) -> None:
        """Show the two ways to a scan beneath a button."""
        if self._menu is None:
            self._menu = QMenu(self._parent)
            self._menu.addAction("File (NIfTI, NRRD, MetaImage)...", self._from_file)
            self._menu.addAction("DICOM folder...", self._from_folder)
            for text, way in self.others.items():
                self._menu.addAction(text, way)
        if self.anchor is not None:
            self._menu.popup(self.anchor.mapToGlobal(self.anchor.rect().bottomLeft()))

    def open(self, path: Path) -> None:
        """Open a file or folder, asking which volume if it holds several."""
        self._run(lambda: parts_of(path), lambda parts: self._read(path, parts))

    def _from_file(self) -> None:
        path = ask_file(self._parent)
        if path is not None:
            self.open(path)

    def _from_folder(self) -> None:
        path = ask_folder(self._parent)
        if path is not None:
            self.open(path)

    def _read(self, path: Path, parts: list[Part]) -> None:
        part = ask_part(self._parent, path, parts)
        if part is not None:
            self._run(lambda: read_part(path, part), self._opened)


def open_scan(viewer: napari.viewer.Viewer) -> None:
    """Ask for a file and add its scan to the viewer, read beside it; the command of the menu."""
    parent = QApplication.activeWindow()
    path = ask_file(parent)
    if path is None:
        return
    dispatcher = Dispatcher()

    def run(task: Callable[[], T], done: Callable[[T], object], /) -> None:
        files = ThreadPoolExecutor(1, thread_name_prefix="fastsam3d-files")
        read = files.submit(task)
        files.shutdown(wait=False)
        bar = progress(total=0, desc=f"Reading {path.name}")

        def finish(outcome: T) -> None:
            bar.close()
            done(outcome)

        def fail(error: BaseException) -> None:
            bar.close()
            notify(error)

        dispatcher.watch(read, finish, fail)

    def add(volume: Volume) -> None:
        viewer.add_layer(Layer.create(*image_layer_data(volume)))

    ScanChooser(parent, run, add).open(path)


def ask_file(parent: QWidget | None) -> Path | None:
    """Let the user choose a file."""
    chosen, _ = QFileDialog.getOpenFileName(parent, "Open scan", "", FILTER)
    return Path(chosen) if chosen else None


def ask_folder(parent: QWidget | None) -> Path | None:
    """Let the user choose a folder."""
    chosen = QFileDialog.getExistingDirectory(parent, "Open DICOM folder")
    return Path(chosen) if chosen else None
