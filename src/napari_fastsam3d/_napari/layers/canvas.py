"""napari's canvas: the cursor it shows, and the right button dragged across it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QCursor, QMouseEvent
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QMainWindow, QWidget

RightDrag = Callable[[float, float], None]


class Canvas(QObject):
    """Filters the Qt events of the canvas before napari gets them.

    napari gives both buttons of the mouse to the tool in hand, so that a right click would make a
    prompt; and it has no cursor that tells one tool from another.

    Parameters
    ----------
    parent : QObject
    free : callable
        Returns whether the right button is not needed by the layer that is active.
    began, ended : callable
        Called when the right button goes down and up.
    dragged : callable
        Called with how far it was dragged since it went down: pixels to the right, and up.
    """

    def __init__(
        self,
        parent: QObject,
        free: Callable[[], bool],
        began: Callable[[], None],
        dragged: RightDrag,
        ended: Callable[[], None],
    ) -> None:
        super().__init__(parent)
        self._free, self._began, self._dragged, self._ended = free, began, dragged, ended
        self.area: QWidget | None = None
        """The canvas of the window, once it is found."""
        self._start: tuple[float, float] | None = None
        self._own: QCursor | None = None
        self._naparis = QCursor()
        self._answering = False

    def find(self, window: QMainWindow | None) -> None:
        """Watch the canvas of a window, once there is one."""
        centre = None if window is None else window.centralWidget()
        found = None if centre is None else centre.findChild(QOpenGLWidget)
        if found is not None and found is not self.area:
            self.watch(found)

    def watch(self, area: QWidget) -> None:
        """Watch a canvas."""
        self.area = area
        self._naparis = QCursor(area.cursor())
        area.installEventFilter(self)
        self.set_cursor(self._own)

    def set_cursor(self, cursor: QCursor | None) -> None:
        """Show a cursor in place of napari's; None shows napari's."""
        self._own = cursor
        if self.area is not None:
            self.area.setCursor(self._naparis if cursor is None else cursor)

    def eventFilter(self, area: QObject, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        kind = event.type()
        if kind == QEvent.Type.CursorChange:
            self._keep_cursor()
        elif not isinstance(event, QMouseEvent):
            return False
        elif kind in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick):
            return self._press(event)
        elif self._start is not None and kind == QEvent.Type.MouseMove:
            return self._move(event)
        elif self._start is not None and kind == QEvent.Type.MouseButtonRelease:
            return self._release(event)
        return False

    def _keep_cursor(self) -> None:
        """Remember the cursor that napari chose, and show our own if there is one."""
        # Two panels in one window would answer each other without end.
        if self.area is None or self._answering:
            return
        shown = self.area.cursor()
        if self._own is None or not _same(shown, self._own):
            self._naparis = QCursor(shown)
            if self._own is not None:
                self._answering = True
                self.area.setCursor(self._own)
                self._answering = False

    def _press(self, event: QMouseEvent) -> bool:
        if event.button() != Qt.MouseButton.RightButton or not self._free():
            return self._start is not None
        self._start = _place(event)
        self._began()
        return True

    def _move(self, event: QMouseEvent) -> bool:
        if not event.buttons() & Qt.MouseButton.RightButton:
            return self._end()
        assert self._start is not None
        x, y = _place(event)
        self._dragged(x - self._start[0], self._start[1] - y)
        return True

    def _release(self, event: QMouseEvent) -> bool:
        if event.button() == Qt.MouseButton.RightButton:
            self._end()
        return True

    def _end(self) -> bool:
        self._start = None
        self._ended()
        return True


def _place(event: QMouseEvent) -> tuple[float, float]:
    place = event.position()
    return place.x(), place.y()


def _same(one: QCursor, other: QCursor) -> bool:
    if one.shape() != other.shape():
        return False
    return one.shape() != Qt.CursorShape.BitmapCursor or (
        one.pixmap().cacheKey() == other.pixmap().cacheKey()
    )
