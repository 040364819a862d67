# pyright: basic
"""Panels one below the other under their headings, in a dock of any height."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget


def column(panels: Sequence[tuple[str, QWidget]]) -> QScrollArea:
    """Stack panels, each under its heading if it has one, and let them scroll."""
    content = QWidget()
    layout = QVBoxLayout(content)
    layout.setContentsMargins(8, 4, 8, 4)
    for title, panel in panels:
        if title:
            layout.addWidget(_heading(title))
        layout.addWidget(panel)
    layout.addStretch(1)
    return _scrolling(content)


def labelled(text: str, widget: QWidget) -> QHBoxLayout:
    """Put a widget after a label that has its tooltip too."""
    label = QLabel(text)
    label.setToolTip(widget.toolTip())
    row = QHBoxLayout()
    row.addWidget(label)
    row.addWidget(widget, 1)
    return row


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def _scrolling(content: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area
