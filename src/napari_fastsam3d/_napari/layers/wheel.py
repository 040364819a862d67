"""The wheel over a canvas: through the slices, or to zoom."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QWidget

_NOTCH = 120
"""What Qt calls one notch of a wheel, in eighths of a degree; trackpads send less."""


class Wheel(QObject):
    """Lets the wheel move through the slices, and zoom with Ctrl: napari has it the other way.

    Parameters
    ----------
    parent : QObject
    wanted : callable
        Returns whether the wheel moves slices now; otherwise it is napari's.
    step : callable
        Moves so many slices on.
    """

    def __init__(
        self, parent: QObject, wanted: Callable[[], bool], step: Callable[[int], None]
    ) -> None:
        super().__init__(parent)
        self._wanted, self._step = wanted, step
        self._turned = 0
        self._own = False

    def watch(self, area: QWidget) -> None:
        """Take the wheel over a canvas."""
        area.installEventFilter(self)

    def eventFilter(self, area: QObject, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        if self._own or not isinstance(event, QWheelEvent) or not self._wanted():
            return False
        if event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self._zoom(area, event)
        elif event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self._turn(event)
        else:
            return False
        return True

    def _turn(self, event: QWheelEvent) -> None:
        turned = event.angleDelta().y()
        if turned * self._turned < 0:
            self._turned = 0
        self._turned += turned
        notches = int(self._turned / _NOTCH)
        self._turned -= notches * _NOTCH
        if notches:
            self._step(notches if event.inverted() else -notches)

    def _zoom(self, area: QObject, event: QWheelEvent) -> None:
        plain = QWheelEvent(
            event.position(),
            event.globalPosition(),
            event.pixelDelta(),
            event.angleDelta(),
            event.buttons(),
            Qt.KeyboardModifier.NoModifier,
            event.phase(),
            event.inverted(),
        )
        self._own = True
        try:
            QApplication.sendEvent(area, plain)
        finally:
            self._own = False
