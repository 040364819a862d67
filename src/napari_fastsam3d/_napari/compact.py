"""A layout for small windows: napari's own panels put away, and ours narrow and low."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

Layout = Literal["auto", "compact", "full"]

_NAPARIS = ("layer list", "layer controls")
# Two limits, so that a window of a size between them does not flicker.
_SMALL = (1180, 690)
_LARGE = (1260, 750)
_SETTLED_MS = 50


class CompactLayout(QObject):
    """Chooses the layout by the size of the window, until the user does.

    Parameters
    ----------
    widget : QWidget
        The dock widget's content.
    layout : {"auto", "compact", "full"}
        What the user chose the last time.
    """

    arranged = Signal(bool)
    """The panels are to be small, or as they were."""

    def __init__(self, widget: QWidget, layout: str) -> None:
        super().__init__(widget)
        self._widget = widget
        self.layout = layout
        self.on = False
        self._hidden: list[weakref.ref[QDockWidget]] = []
        self.leave: Callable[[], None] = partial(_show, self._hidden)
        """Give napari its panels back; holds neither this object nor the widget."""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._adapt)
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED_MS)
        self._settled.timeout.connect(self._keep_on_screen)

    def dock(self, window: QMainWindow | None) -> None:
        """Follow the size of a window, once the widget is in one."""
        if window is not None:
            window.installEventFilter(self)
        self._timer.start()

    def toggle(self) -> Layout:
        """Change to the other layout and stay with it; returns which."""
        self.layout = "full" if self.on else "compact"
        self._turn(not self.on)
        return self.layout

    def eventFilter(self, window: QObject, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        if event.type() in (QEvent.Type.Resize, QEvent.Type.Show):
            self._timer.start()
        return False

    def _adapt(self) -> None:
        window = main_window_of(self._widget)
        if window is None or not window.isVisible():
            return
        limits = _LARGE if self.on else _SMALL
        small = window.width() < limits[0] or window.height() < limits[1]
        wanted = small if self.layout == "auto" else self.layout == "compact"
        if wanted != self.on:
            self._turn(wanted)

    def _turn(self, on: bool) -> None:
        self.on = on
        self.arranged.emit(on)
        window = main_window_of(self._widget)
        if window is None:
            return
        if on:
            docks = window.findChildren(QDockWidget)
            shown = [each for each in docks if each.windowTitle() in _NAPARIS and each.isVisible()]
            for dock in shown:
                dock.hide()
            self._hidden.extend(map(weakref.ref, shown))
            self._narrow(window)
            # Qt let the window grow beyond a small screen for what has just been put away.
            self._settled.start()
        else:
            self.leave()

    def _narrow(self, window: QMainWindow) -> None:
        own = [d for d in window.findChildren(QDockWidget) if d.isAncestorOf(self._widget)]
        if own and not own[0].isFloating():
            width = self._widget.minimumWidth()
            window.resizeDocks(own, [width], Qt.Orientation.Horizontal)

    def _keep_on_screen(self) -> None:
        window = main_window_of(self._widget)
        if window is None or window.isMaximized() or window.isFullScreen():
            return
        screen = window.screen().availableGeometry()
        if not screen.contains(window.frameGeometry()):
            frame = window.frameGeometry().size() - window.size()
            window.resize(window.size().boundedTo(screen.size() - frame))
            place = window.frameGeometry()
            place.moveRight(min(place.right(), screen.right()))
            place.moveBottom(min(place.bottom(), screen.bottom()))
            place.moveLeft(max(place.left(), screen.left()))
            place.moveTop(max(place.top(), screen.top()))
            window.move(place.topLeft())


def _show(docks: list[weakref.ref[QDockWidget]]) -> None:
    while docks:
        dock = docks.pop()()
        if dock is not None:
            with suppress(RuntimeError):  # it went with its window
                dock.show()


def main_window_of(widget: QWidget) -> QMainWindow | None:
    """Return the main window that a widget is docked in, floating or not."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parentWidget()
    return parent
