"""The pointer over the canvas: its cursor, and the click that it aims at."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QCursor, QPainter
from qtpy.QtWidgets import QMainWindow

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.layers.canvas import Canvas
from napari_fastsam3d._napari.layers.wheel import Wheel
from napari_fastsam3d._napari.main_thread import single_shot
from napari_fastsam3d._napari.workspace import Workspace

_AIMING_MS = 150
_CURSOR = 32
_SHARPNESS = 2


class Pointer:
    """Shows by the cursor what a click does, and has its answer computed while the user aims.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        self._work = work
        self._outside = False
        self._place: tuple[float, ...] = ()
        self._cursors = {
            "include": _cross_with_sign("include"),
            "exclude": _cross_with_sign("exclude"),
            "box": _cross_with_sign("box"),
            "freeze": _cross_with_sign("box"),
            "scribble": _cross_with_sign("include"),
            "lasso": _cross_with_sign("include"),
        }
        self._blocked = QCursor(Qt.CursorShape.ForbiddenCursor)
        windowing = work.windowing
        self._canvas = Canvas(
            work.parent,
            lambda: windowing.free,
            windowing.begin_drag,
            windowing.drag,
            windowing.end_drag,
        )
        self._wheel = Wheel(work.parent, self._scrolls, self._scroll)
        self._timer = single_shot(work.parent, _AIMING_MS, self._predict_ahead)
        work.events.pointer_moved.connect(self._on_move)
        work.pointed.connect(self._aim)
        for signal in (
            work.toolbox.changed,
            work.state_changed,
            work.switched,
            work.status_changed,
        ):
            signal.connect(self._show_cursor)

    def dock(self, window: QMainWindow | None) -> None:
        """Follow the pointer over the canvas of a window, once there is one."""
        before = self._canvas.area
        self._canvas.find(window)
        if self._canvas.area is not None and self._canvas.area is not before:
            self._wheel.watch(self._canvas.area)

    def _on_move(self, place: tuple[float, ...]) -> None:
        view = self._work.view
        if view is None:
            return
        self._work.toolbox.hover(place)
        flat = self._work.viewer.dims.ndisplay == 2
        outside = flat and not view.navigation.contains(place)
        if outside != self._outside:
            self._outside = outside
            self._show_cursor()
        if flat:
            self._work.pointed.emit(place)

    def _aim(self, place: tuple[float, ...]) -> None:
        if self._work.toolbox.tool in ("include", "exclude", "scribble", "lasso"):
            self._place = place
            self._timer.start()

    def _scrolls(self) -> bool:
        """Whether the wheel moves through the slices."""
        wish = self._work.settings.scroll_slices
        flat = self._work.view is not None and self._work.viewer.dims.ndisplay == 2
        return flat and (
            wish == "always" or (wish == "tool" and self._work.toolbox.tool is not None)
        )

    def _scroll(self, by: int) -> None:
        if self._work.view is not None:
            self._work.view.navigation.step(by)

    def _predict_ahead(self) -> None:
        view, loader = self._work.view, self._work.loader
        if view is not None and not loader.loading and not loader.trouble:
            view.predict_ahead(self._place)

    def _show_cursor(self, _change: object = None) -> None:
        cursor = self._cursor()
        self._canvas.set_cursor(cursor)
        self._work.four_views.set_cursor(cursor)

    def _cursor(self) -> QCursor | None:
        """Return the cursor that says what a click does; None leaves it to napari."""
        view, tool = self._work.view, self._work.toolbox.tool
        if view is None or tool is None:
            return None
        locked = view.current is not None and view.current.locked is not None
        if locked or self._outside or self._work.visibility.now.outside:
            return self._blocked
        return self._cursors.get(tool)


def _cross_with_sign(tool: Literal["include", "exclude", "box"]) -> QCursor:
    """Draw a cross with the sign of a tool beside it: what a click there will do."""

    def draw(painter: QPainter) -> None:
        painter.scale(_SHARPNESS, _SHARPNESS)
        _cross(painter)
        painter.translate(_CURSOR * 0.56, _CURSOR * 0.56)
        painter.scale(_CURSOR * 0.44 / icons.SIZE, _CURSOR * 0.44 / icons.SIZE)
        if tool == "box":
            icons.dashed_rectangle(painter)
        else:
            positive = tool == "include"
            icons.signed_disc(painter, icons.INCLUDE if positive else icons.EXCLUDE, positive)

    image = icons.pixmap(_CURSOR * _SHARPNESS, draw)
    image.setDevicePixelRatio(_SHARPNESS)
    return QCursor(image, _CURSOR // 2 - 1, _CURSOR // 2 - 1)


def _cross(painter: QPainter) -> None:
    """Draw four arms that leave the middle free, light on dark so that they show on any grey."""
    middle = _CURSOR / 2 - 1
    for colour, width in (("#10151c", 3.0), ("#ffffff", 1.2)):
        painter.setPen(icons.pen(colour, width))
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            inner = QPointF(middle + 4 * x, middle + 4 * y)
            painter.drawLine(inner, QPointF(middle + 11 * x, middle + 11 * y))
