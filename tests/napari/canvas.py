"""A hand on the mouse: real Qt events on the canvas of a real viewer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

_STEPS = 6


def choose(button: Any, name: str) -> None:
    """Open the menu of a button and click one of its entries."""
    menu = button.menu()
    menu.popup(button.mapToGlobal(QPoint(0, 0)))
    QTest.qWait(50)
    entry = next(each for each in menu.actions() if each.objectName() == name)
    QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(entry).center())


class Hand:
    """Points, clicks and drags at places of the world on a viewer's canvas.

    Parameters
    ----------
    viewer : napari.Viewer
        Shown.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas

    @classmethod
    def over(cls, viewer: Any, canvas: Any) -> "Hand":
        """Return a hand over another canvas than that of a window."""
        hand = cls.__new__(cls)
        hand._viewer, hand._canvas = viewer, canvas
        return hand

    def place(self, world: Sequence[float]) -> QPoint:
        """Where on the canvas a world point is drawn."""
        shown = [world[axis] for axis in self._viewer.dims.displayed][::-1]
        transform = self._canvas.view.transform * self._canvas.view.scene.transform
        mapped = transform.map([*shown, 0, 1][:4] if len(shown) == 2 else [*shown, 1])
        x, y = (mapped[:2] / mapped[3])[:2]
        return QPoint(round(float(x)), round(float(y)))

    def rest(self, world: Sequence[float]) -> None:
        """Move to a world point and stay there."""
        self._move(self.place(world), Qt.MouseButton.NoButton)

    def rest_at(self, where: QPoint) -> None:
        """Move to a place of the canvas and stay there."""
        self._move(where, Qt.MouseButton.NoButton)

    def wheel(
        self, notches: int, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
    ) -> None:
        """Turn the wheel over the middle of the canvas, away from oneself where positive."""
        native = self._canvas.native
        where = native.rect().center()
        for _ in range(abs(notches)):
            event = QWheelEvent(
                QPointF(where),
                QPointF(native.mapToGlobal(where)),
                QPoint(),
                QPoint(0, 120 if notches > 0 else -120),
                Qt.MouseButton.NoButton,
                modifiers,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            )
            QApplication.sendEvent(native, event)
            QTest.qWait(20)

    def click(self, world: Sequence[float]) -> None:
        """Move to a world point and click the left button there."""
        self._step(QTest.mouseMove, self.place(world))
        self._press(self.place(world))
        self._release(self.place(world))

    def drag(self, start: Sequence[float], end: Sequence[float]) -> None:
        """Drag with the left button from one world point to another."""
        first, last = self.place(start), self.place(end)
        self._step(QTest.mouseMove, first)
        self._press(first)
        for share in np.linspace(0, 1, _STEPS)[1:]:
            where = first + (last - first) * float(share)
            self._move(where, Qt.MouseButton.LeftButton)
        self._release(last)

    @contextmanager
    def drawing(
        self, *path: Sequence[float], held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
    ) -> Iterator[None]:
        """Drag with the left button along a path of world points, and let go only afterwards."""
        places = [self.place(each) for each in path]
        self._step(QTest.mouseMove, places[0])
        self._press(places[0], held=held)
        for first, last in pairwise(places):
            for share in np.linspace(0, 1, _STEPS)[1:]:
                self._move(first + (last - first) * float(share), Qt.MouseButton.LeftButton, held)
        yield
        self._release(places[-1], held=held)

    def drag_right(self, start: QPoint, end: QPoint) -> None:
        """Drag with the right button from one place of the canvas to another."""
        with self.dragging_right(start, end):
            pass

    def click_right(self, where: QPoint) -> None:
        """Click the right button at a place of the canvas."""
        self._press(where, Qt.MouseButton.RightButton)
        self._release(where, Qt.MouseButton.RightButton)

    @contextmanager
    def dragging_right(self, start: QPoint, end: QPoint) -> Iterator[None]:
        """Drag with the right button, and let go of it only afterwards."""
        button = Qt.MouseButton.RightButton
        self._step(QTest.mouseMove, start)
        self._press(start, button)
        for share in np.linspace(0, 1, _STEPS)[1:]:
            self._move(start + (end - start) * float(share), button)
        yield
        self._release(end, button)

    def key(self, keys: str) -> None:
        """Press keys over the canvas, written as Qt writes them."""
        from qtpy.QtGui import QKeySequence

        QTest.keySequence(self._canvas.native, QKeySequence(keys))
        QApplication.processEvents()

    def _step(self, act: Any, where: QPoint) -> None:
        act(self._canvas.native, where)
        QTest.qWait(20)

    def _press(
        self,
        where: QPoint,
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        QTest.mousePress(self._canvas.native, button, held, where)
        QTest.qWait(20)

    def _move(
        self,
        where: QPoint,
        pressed: Qt.MouseButton,
        held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        native = self._canvas.native
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(where),
            QPointF(native.mapToGlobal(where)),
            Qt.MouseButton.NoButton,
            pressed,
            held,
        )
        QApplication.sendEvent(native, event)
        QTest.qWait(20)

    def _release(
        self,
        where: QPoint,
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        QTest.mouseRelease(self._canvas.native, button, held, where)
        QTest.qWait(20)
