"""Small drawn icons, sharp at every screen resolution and legible on dark and light themes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import product
from typing import Concatenate, Literal, ParamSpec

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

INCLUDE = "#3ecf6b"
EXCLUDE = "#ff5d5d"
BOX = "#4aa8ff"
FROZEN = "#c9f1ff"
_NEUTRAL = "#9aa4b2"
SIZE = 64

P = ParamSpec("P")


def pixmap(size: int, draw: Callable[[QPainter], None]) -> QPixmap:
    """Return a transparent square of so many pixels, with what is drawn on it."""
    square = QPixmap(size, size)
    square.fill(Qt.GlobalColor.transparent)
    painter = QPainter(square)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw(painter)
    painter.end()
    return square


def _drawn(draw: Callable[[QPainter], None]) -> QIcon:
    return QIcon(pixmap(SIZE, draw))


def _icon(draw: Callable[Concatenate[QPainter, P], None]) -> Callable[P, QIcon]:
    """Make of what paints an icon what gives it."""

    @wraps(draw)
    def icon(*args: P.args, **kwargs: P.kwargs) -> QIcon:
        return _drawn(lambda painter: draw(painter, *args, **kwargs))

    return icon


def include() -> QIcon:
    """Draw a green disc with a plus."""
    return _drawn(lambda painter: signed_disc(painter, INCLUDE, upright=True))


def exclude() -> QIcon:
    """Draw a red disc with a minus."""
    return _drawn(lambda painter: signed_disc(painter, EXCLUDE, upright=False))


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
    return _drawn(dashed_rectangle)


@_icon
def swatch(painter: QPainter, colour: str, mark: Literal["", "lock", "tick"] = "") -> None:
    """Draw a rounded square of one colour, with a padlock or a tick on it."""
    _fill(painter, colour)
    painter.drawRoundedRect(QRectF(8, 8, 48, 48), 12, 12)
    if mark == "lock":
        _padlock(painter)
    elif mark == "tick":
        _tick(painter)


def _nested(painter: QPainter, filled: int) -> None:
    """Draw two circles, one in the other, of which one is filled."""
    for place, radius in ((1, 26), (0, 12)):
        painter.setPen(pen(_NEUTRAL, 4.0))
        painter.setBrush(QColor(_NEUTRAL) if place == filled else Qt.BrushStyle.NoBrush)
        if place < filled:
            painter.setPen(pen("#10151c", 4.0))
        painter.drawEllipse(QPointF(SIZE / 2, SIZE / 2), radius, radius)


def pen(colour: str, width: float) -> QPen:
    """Return a pen with round ends."""
    line = QPen(QColor(colour), width)
    line.setCapStyle(Qt.PenCapStyle.RoundCap)
    line.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return line


def _fill(painter: QPainter, colour: str) -> None:
    """Let what is drawn next be filled with a colour, without a line around it."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))


def _polygon(*corners: tuple[float, float]) -> QPolygonF:
    return QPolygonF([QPointF(x, y) for x, y in corners])


def signed_disc(painter: QPainter, colour: str, upright: bool) -> None:
    """Draw a disc with a plus, or with a minus where it isn't upright."""
    _fill(painter, colour)
    painter.drawEllipse(QRectF(6, 6, 52, 52))
    painter.setPen(pen("#10151c", 7))
    painter.drawLine(QPointF(20, 32), QPointF(44, 32))
    if upright:
        painter.drawLine(QPointF(32, 20), QPointF(32, 44))


@_icon
def scribble(painter: QPainter, positive: bool = True) -> None:
    """Draw a wavy line."""
    path = QPainterPath(QPointF(8, 46))
    path.cubicTo(QPointF(20, -2), QPointF(26, 14), QPointF(30, 34))
    path.cubicTo(QPointF(34, 60), QPointF(42, 58), QPointF(56, 14))
    painter.setPen(pen(INCLUDE if positive else EXCLUDE, 7))
    painter.drawPath(path)


@_icon
def lasso(painter: QPainter, positive: bool = True) -> None:
    """Draw a loop with a loose end."""
    colour = INCLUDE if positive else EXCLUDE
    line = pen(colour, 6)
    line.setStyle(Qt.PenStyle.DotLine)
    painter.setPen(line)
    painter.drawEllipse(QRectF(8, 8, 48, 34))
    painter.setPen(pen(colour, 6))
    painter.drawLine(QPointF(24, 42), QPointF(16, 58))


def dashed_rectangle(painter: QPainter) -> None:
    """Draw the outline of a box."""
    line = pen(BOX, 7)
    line.setDashPattern([2.2, 1.6])
    painter.setPen(line)
    painter.drawRect(QRectF(9, 13, 46, 38))


@_icon
def freeze(painter: QPainter) -> None:
    """Draw a crystal of ice."""
    painter.setPen(pen(FROZEN, 5))
    painter.translate(SIZE / 2, SIZE / 2)
    for _ in range(6):
        painter.drawLine(QPointF(0, 0), QPointF(0, -26))
        painter.drawLine(QPointF(0, -17), QPointF(7, -24))
        painter.drawLine(QPointF(0, -17), QPointF(-7, -24))
        painter.rotate(60)


@_icon
def ruler(painter: QPainter) -> None:
    """Draw a ruler with its marks."""
    painter.translate(SIZE / 2, SIZE / 2)
    painter.rotate(-45)
    painter.setPen(pen("#ffd24a", 5))
    painter.drawRect(QRectF(-29, -9, 58, 18))
    for place in (-15, 0, 15):
        painter.drawLine(QPointF(place, -9), QPointF(place, 0))


@_icon
def adjust(painter: QPainter) -> None:
    """Draw the arrow of a pointer."""
    painter.setPen(pen("#10151c", 2))
    painter.setBrush(QColor(_NEUTRAL))
    outline = [(14, 6), (14, 52), (26, 41), (34, 58), (43, 54), (35, 37), (51, 36)]
    painter.drawPolygon(_polygon(*outline))


@_icon
def brush(painter: QPainter) -> None:
    """Draw a brush with paint on it."""
    painter.setPen(pen(_NEUTRAL, 9))
    painter.drawLine(QPointF(54, 9), QPointF(31, 34))
    _fill(painter, INCLUDE)
    tip = [(22, 32), (33, 43), (26, 55), (6, 58), (10, 50), (11, 40)]
    painter.drawPolygon(_polygon(*tip))


@_icon
def erase(painter: QPainter) -> None:
    """Draw a slanted rubber."""
    painter.setPen(pen(_NEUTRAL, 5))
    painter.drawLine(QPointF(22, 57), QPointF(58, 57))
    for colour, outline in (
        (_NEUTRAL, [(24, 28), (44, 8), (60, 24), (40, 44)]),
        (EXCLUDE, [(22, 30), (38, 46), (28, 56), (20, 56), (6, 43)]),
    ):
        _fill(painter, colour)
        painter.drawPolygon(_polygon(*outline))


@_icon
def clock(painter: QPainter) -> None:
    """Draw a clock with an arrow that turns back."""
    painter.setPen(pen(_NEUTRAL, 6))
    painter.drawArc(QRectF(10, 10, 46, 46), -150 * 16, 300 * 16)
    painter.drawPolyline(_polygon((33, 20), (33, 34), (43, 40)))
    _fill(painter, _NEUTRAL)
    painter.drawPolygon(_polygon((2, 34), (24, 36), (9, 52)))


@_icon
def compact(painter: QPainter) -> None:
    """Draw a window with a narrow panel at its side."""
    painter.setPen(pen(_NEUTRAL, 5))
    painter.drawRect(QRectF(7, 12, 50, 40))
    _fill(painter, _NEUTRAL)
    painter.drawRect(QRectF(44, 14, 12, 36))


@_icon
def four_views(painter: QPainter) -> None:
    """Draw four panes, one of them cut by lines."""
    painter.setPen(pen(_NEUTRAL, 4))
    for left, top in product((8, 35), repeat=2):
        painter.drawRect(QRectF(left, top, 21, 21))
    painter.setPen(pen(BOX, 3))
    painter.drawLine(QPointF(18.5, 10), QPointF(18.5, 27))
    painter.drawLine(QPointF(10, 18.5), QPointF(27, 18.5))


@_icon
def skip(painter: QPainter, back: bool = False) -> None:
    """Draw a triangle before a bar, towards the right or back towards the left."""
    if back:
        painter.translate(SIZE, 0)
        painter.scale(-1, 1)
    _fill(painter, _NEUTRAL)
    painter.drawPolygon(_polygon((12, 12), (12, 52), (44, 32)))
    painter.drawRect(QRectF(44, 12, 8, 40))


@_icon
def pan(painter: QPainter) -> None:
    """Draw four arrows away from a middle."""
    painter.translate(SIZE / 2, SIZE / 2)
    for _ in range(4):
        painter.setPen(pen(_NEUTRAL, 5))
        painter.drawLine(QPointF(0, 0), QPointF(0, -18))
        _fill(painter, _NEUTRAL)
        painter.drawPolygon(_polygon((-9, -17), (9, -17), (0, -29)))
        painter.rotate(90)


@_icon
def mask(painter: QPainter) -> None:
    """Draw the shape of an organ."""
    _fill(painter, INCLUDE)
    painter.drawEllipse(QRectF(6, 16, 44, 36))
    painter.drawEllipse(QRectF(28, 8, 30, 30))


def _turn(painter: QPainter, back: bool) -> None:
    if not back:
        painter.translate(SIZE, 0)
        painter.scale(-1, 1)
    painter.setPen(pen(_NEUTRAL, 7))
    painter.drawArc(QRectF(12, 18, 42, 34), -80 * 16, 230 * 16)
    _fill(painter, _NEUTRAL)
    painter.drawPolygon(_polygon((4, 26), (28, 18), (20, 42)))


def _padlock(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(pen("#10151c", 6))
    painter.drawArc(QRectF(22, 12, 20, 28), 0, 180 * 16)
    _fill(painter, "#10151c")
    painter.drawRoundedRect(QRectF(16, 28, 32, 24), 4, 4)


def _tick(painter: QPainter) -> None:
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(pen("#10151c", 9))
    painter.drawPolyline(_polygon((17, 33), (28, 45), (48, 19)))
