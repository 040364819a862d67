"""Keys that work whichever layer is active.

napari hands a key to the active layer before the viewer, and its manifest can't bind any, so the
keys are Qt shortcuts of the whole window.
"""

from __future__ import annotations

import weakref

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_fastsam3d._napari.commands.command import Command
from napari_fastsam3d._napari.commands.table import COMMANDS
from napari_fastsam3d._napari.workspace import Workspace

PAINTING = ("Ctrl+Z", "Ctrl+Shift+Z")
SHARED = (*PAINTING, "Escape")
"""Keys that napari binds too: where its own is meant, that is done."""


class Shortcuts:
    """The shortcuts of one widget, owned by the window that it is docked in.

    Parameters
    ----------
    widget : QWidget
        The dock widget's content. Once it is docked its window holds the keys, so that they work
        also while it floats or lies behind another tab.
    work : Workspace
        What the commands work on.
    """

    def __init__(self, widget: QWidget, work: Workspace) -> None:
        self._widget, self._work = widget, work
        self._keys = {
            keys: self._bind(keys, command)
            for command in COMMANDS.values()
            for keys in command.shortcuts
        }
        work.events.active_changed.connect(self._leave_painting)

    def dock(self, window: QMainWindow | None) -> None:
        """Hand the keys to the main window, once the widget is in one."""
        for key in self._keys.values():
            if window is not None and key.parent() is not window:
                key.setParent(window)

    def release(self) -> None:
        """Unbind every key."""
        for key in self._keys.values():
            key.setEnabled(False)
            key.deleteLater()
        self._keys = {}

    def _leave_painting(self) -> None:
        """Leave napari's own undo keys to it while the user paints labels by hand."""
        for keys in PAINTING:
            self._keys[keys].setEnabled(not self._work.toolbox.painting)

    def _bind(self, keys: str, command: Command) -> QShortcut:
        shortcut = QShortcut(QKeySequence(keys), self._widget)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        reference = weakref.ref(self)

        def run() -> None:
            # The window keeps the keys, which therefore must not keep the widget.
            alive = reference()
            if alive is not None:
                command.run(alive._work)

        shortcut.activated.connect(run)
        return shortcut
