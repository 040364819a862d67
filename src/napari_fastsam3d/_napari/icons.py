"""Small drawn icons, sharp at every screen resolution and legible on dark and light themes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import product
from typing import Literal

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QCursor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

INCLUDE = "#3ecf6b"
EXCLUDE = "#ff5d5d"
BOX = "#4aa8ff"
FROZEN = "#c9f1ff"
_NEUTRAL = "#9aa4b2"
_SIZE = 64
_CURSOR = 32
_SHARPNESS = 2


def _drawn(draw: Callable[[QPainter], None]) -> QIcon:
    pixmap = QPixmap(_SIZE, _SIZE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw(painter)
    painter.end()
    return QIcon(pixmap)


def _icon(draw: Callable[[QPainter], None]) -> Callable[[], QIcon]:
    """Make of what paints an icon what gives it."""
    return wraps(draw)(lambda: _drawn(draw))


def include() -> QIcon:
    """Draw a green disc with a plus."""
    return _drawn(lambda painter: _signed_disc(painter, INCLUDE, upright=True))


def exclude() -> QIcon:
    """Draw a red disc with a minus."""
    return _drawn(lambda painter: _signed_disc(painter, EXCLUDE, upright=False))


def undo() -> QIcon:
    """Draw an arrow that turns back."""
    return _drawn(lambda painter: _turn(painter, back=True))


def redo() -> QIcon:
    """Draw an arrow that turns forward."""
    return _drawn(lambda painter: _turn(painter, back=False))


def smaller() -> QIcon:
    """Draw a small disc filled in a larger ring."""
    return _drawn(lambda painter: _nested(painter, filled=0))


def larger() -> QIcon:
    """Draw a small ring in a larger disc that is filled."""
    return _drawn(lambda painter: _nested(painter, filled=1))


def box() -> QIcon:
    """Draw a blue dashed rectangle."""
    return _drawn(_dashed_rectangle)


def scribble(positive: bool = True) -> QIcon:
    """Draw a wavy line."""
    return _drawn(lambda painter: _wave(painter, INCLUDE if positive else EXCLUDE))


def lasso(positive: bool = True) -> QIcon:
    """Draw a loop with a loose end."""
    return _drawn(lambda painter: _loop(painter, INCLUDE if positive else EXCLUDE))


def cursor(tool: Literal["include", "exclude", "box"]) -> QCursor:
    """Draw a cross with the sign of a tool beside it: what a click there will do."""
    pixmap = QPixmap(_CURSOR * _SHARPNESS, _CURSOR * _SHARPNESS)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_SHARPNESS, _SHARPNESS)
    _cross(painter)
    painter.translate(_CURSOR * 0.56, _CURSOR * 0.56)
    painter.scale(_CURSOR * 0.44 / _SIZE, _CURSOR * 0.44 / _SIZE)
    if tool == "box":
        _dashed_rectangle(painter)
    else:
        _signed_disc(painter, INCLUDE if tool == "include" else EXCLUDE, tool == "include")
    painter.end()
    pixmap.setDevicePixelRatio(_SHARPNESS)
    return QCursor(pixmap, _CURSOR // 2 - 1, _CURSOR // 2 - 1)


def swatch(colour: str, mark: Literal["", "lock", "tick"] = "") -> QIcon:
    """Draw a rounded square of one colour, with a padlock or a tick on it."""

    def draw(painter: QPainter) -> None:
        _rounded(painter, colour)
        if mark == "lock":
            _padlock(painter)
        elif mark == "tick":
            _tick(painter)

    return _drawn(draw)


def _nested(painter: QPainter, filled: int) -> None:
    """Draw two circles, one in the other, of which one is filled."""
    for place, radius in ((1, 26), (0, 12)):
        painter.setPen(_pen(_NEUTRAL, 4.0))
        painter.setBrush(QColor(_NEUTRAL) if place == filled else Qt.BrushStyle.NoBrush)
        if place < filled:
            painter.setPen(_pen("#10151c", 4.0))
        painter.drawEllipse(QPointF(_SIZE / 2, _SIZE / 2), radius, radius)


def _cross(painter: QPainter) -> None:
    """Draw four arms that leave the middle free, light on dark so that they show on any grey."""
    middle = _CURSOR / 2 - 1
    for colour, width in (("#10151c", 3.0), ("#ffffff", 1.2)):
        painter.setPen(_pen(colour, width))
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            inner = QPointF(middle + 4 * x, middle + 4 * y)
            painter.drawLine(inner, QPointF(middle + 11 * x, middle + 11 * y))


def _pen(colour: str, width: float) -> QPen:
    pen = QPen(QColor(colour), width)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen


def _signed_disc(painter: QPainter, colour: str, upright: bool) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(QRectF(6, 6, 52, 52))
    painter.setPen(_pen("#10151c", 7))
    painter.drawLine(QPointF(20, 32), QPointF(44, 32))
    if upright:
        painter.drawLine(QPointF(32, 20), QPointF(32, 44))


def _wave(painter: QPainter, colour: str) -> None:
    path = QPainterPath(QPointF(8, 46))
    path.cubicTo(QPointF(20, -2), QPointF(26, 14), QPointF(30, 34))
    path.cubicTo(QPointF(34, 60), QPointF(42, 58), QPointF(56, 14))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(_pen(colour, 7))
    painter.drawPath(path)


def _loop(painter: QPainter, colour: str) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    pen = _pen(colour, 6)
    pen.setStyle(Qt.PenStyle.DotLine)
    painter.setPen(pen)
    painter.drawEllipse(QRectF(8, 8, 48, 34))
    painter.setPen(_pen(colour, 6))
    painter.drawLine(QPointF(24, 42), QPointF(16, 58))


def _dashed_rectangle(painter: QPainter) -> None:
    pen = _pen(BOX, 7)
    pen.setDashPattern([2.2, 1.6])
    painter.setPen(pen)
    painter.drawRect(QRectF(9, 13, 46, 38))


@_icon
def freeze(painter: QPainter) -> None:
    """Draw a crystal of ice."""
    painter.setPen(_pen(FROZEN, 5))
    painter.translate(_SIZE / 2, _SIZE / 2)
    for _ in range(6):
        painter.drawLine(QPointF(0, 0), QPointF(0, -26))
        painter.drawLine(QPointF(0, -17), QPointF(7, -24))
        painter.drawLine(QPointF(0, -17), QPointF(-7, -24))
        painter.rotate(60)


@_icon
def ruler(painter: QPainter) -> None:
    """Draw a ruler with its marks."""
    painter.translate(_SIZE / 2, _SIZE / 2)
    painter.rotate(-45)
    painter.setPen(_pen("#ffd24a", 5))
    painter.drawRect(QRectF(-29, -9, 58, 18))
    for place in (-15, 0, 15):
        painter.drawLine(QPointF(place, -9), QPointF(place, 0))


@_icon
def adjust(painter: QPainter) -> None:
    """Draw the arrow of a pointer."""
    painter.setPen(_pen("#10151c", 2))
    painter.setBrush(QColor(_NEUTRAL))
    outline = [(14, 6), (14, 52), (26, 41), (34, 58), (43, 54), (35, 37), (51, 36)]
    painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in outline]))


@_icon
def brush(painter: QPainter) -> None:
    """Draw a brush with paint on it."""
    painter.setPen(_pen(_NEUTRAL, 9))
    painter.drawLine(QPointF(54, 9), QPointF(31, 34))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(INCLUDE))
    tip = [(22, 32), (33, 43), (26, 55), (6, 58), (10, 50), (11, 40)]
    painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in tip]))


@_icon
def erase(painter: QPainter) -> None:
    """Draw a slanted rubber."""
    painter.setPen(_pen(_NEUTRAL, 5))
    painter.drawLine(QPointF(22, 57), QPointF(58, 57))
    painter.setPen(Qt.PenStyle.NoPen)
    for colour, outline in (
        (_NEUTRAL, [(24, 28), (44, 8), (60, 24), (40, 44)]),
        (EXCLUDE, [(22, 30), (38, 46), (28, 56), (20, 56), (6, 43)]),
    ):
        painter.setBrush(QColor(colour))
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in outline]))


@_icon
def clock(painter: QPainter) -> None:
    """Draw a clock with an arrow that turns back."""
    painter.setPen(_pen(_NEUTRAL, 6))
    painter.drawArc(QRectF(10, 10, 46, 46), -150 * 16, 300 * 16)
    painter.drawPolyline(QPolygonF([QPointF(33, 20), QPointF(33, 34), QPointF(43, 40)]))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(_NEUTRAL))
    painter.drawPolygon(QPolygonF([QPointF(2, 34), QPointF(24, 36), QPointF(9, 52)]))


@_icon
def compact(painter: QPainter) -> None:
    """Draw a window with a narrow panel at its side."""
    painter.setPen(_pen(_NEUTRAL, 5))
    painter.drawRect(QRectF(7, 12, 50, 40))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(_NEUTRAL))
    painter.drawRect(QRectF(44, 14, 12, 36))


@_icon
def four_views(painter: QPainter) -> None:
    """Draw four panes, one of them cut by lines."""
    painter.setPen(_pen(_NEUTRAL, 4))
    for left, top in product((8, 35), repeat=2):
        painter.drawRect(QRectF(left, top, 21, 21))
    painter.setPen(_pen(BOX, 3))
    painter.drawLine(QPointF(18.5, 10), QPointF(18.5, 27))
    painter.drawLine(QPointF(10, 18.5), QPointF(27, 18.5))


@_icon
def pan(painter: QPainter) -> None:
    """Draw four arrows away from a middle."""
    painter.translate(_SIZE / 2, _SIZE / 2)
    for _ in range(4):
        painter.setPen(_pen(_NEUTRAL, 5))
        painter.drawLine(QPointF(0, 0), QPointF(0, -18))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(_NEUTRAL))
        painter.drawPolygon(QPolygonF([QPointF(-9, -17), QPointF(9, -17), QPointF(0, -29)]))
        painter.rotate(90)


@_icon
def mask(painter: QPainter) -> None:
    """Draw the shape of an organ."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(INCLUDE))
    painter.drawEllipse(QRectF(6, 16, 44, 36))
    painter.drawEllipse(QRectF(28, 8, 30, 30))


def _turn(painter: QPainter, back: bool) -> None:
    if not back:
        painter.translate(_SIZE, 0)
        painter.scale(-1, 1)
    painter.setPen(_pen(_NEUTRAL, 7))
    painter.drawArc(QRectF(12, 18, 42, 34), -80 * 16, 230 * 16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(_NEUTRAL))
    painter.drawPolygon(QPolygonF([QPointF(4, 26), QPointF(28, 18), QPointF(20, 42)]))


def _rounded(painter: QPainter, colour: str) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawRoundedRect(QRectF(8, 8, 48, 48), 12, 12)


def _padlock(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(_pen("#10151c", 6))
    painter.drawArc(QRectF(22, 12, 20, 28), 0, 180 * 16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor("#10151c"))
    painter.drawRoundedRect(QRectF(16, 28, 32, 24), 4, 4)


def _tick(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(_pen("#10151c", 9))
    painter.drawPolyline(QPolygonF([QPointF(17, 33), QPointF(28, 45), QPointF(48, 19)]))
