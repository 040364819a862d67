# pyright: basic
"""Keys that work whichever layer is active.

napari hands a key to the active layer before the viewer, and its manifest can't bind any, so the
keys are Qt shortcuts of the whole window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_fastsam3d._napari.actions import ACTIONS

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
    verbs : mapping of str to callable
        What each action of the table does.
    """

    def __init__(self, widget: QWidget, verbs: Mapping[str, Callable[[], None]]) -> None:
        self._widget = widget
        self._keys: dict[str, QShortcut] = {}
        for entry in ACTIONS:
            for keys in entry.shortcuts:
                self._keys[keys] = self._bind(keys, verbs[entry.key])

    def dock(self) -> None:
        """Hand the keys to the main window, once the widget is in one."""
        window = main_window_of(self._widget)
        for key in self._keys.values():
            if window is not None and key.parent() is not window:
                key.setParent(window)

    def leave_painting(self, painting: bool) -> None:
        """Leave napari's own undo keys to it while the user paints labels by hand."""
        for keys in PAINTING:
            self._keys[keys].setEnabled(not painting)

    def release(self) -> None:
        """Unbind every key."""
        for key in self._keys.values():
            key.setEnabled(False)
            key.deleteLater()
        self._keys = {}

    def _bind(self, keys: str, pressed: Callable[[], None]) -> QShortcut:
        shortcut = QShortcut(QKeySequence(keys), self._widget)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(pressed)
        return shortcut


def main_window_of(widget: QWidget) -> QMainWindow | None:
    """Return the main window that a widget is docked in, floating or not."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent
