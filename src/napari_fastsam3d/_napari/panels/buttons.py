# pyright: basic
"""Buttons made from the table of actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

from napari_fastsam3d._napari.actions import action

# Half-transparent greys and blues read well on napari's dark and light themes alike.
_TOOL_STYLE = """
QToolButton { border: 1px solid transparent; border-radius: 4px; padding: 4px 0px;
              background: rgba(128, 140, 160, 45); }
QToolButton:hover { background: rgba(128, 140, 160, 85); }
QToolButton:checked { background: rgba(76, 139, 245, 110); border-color: #4c8bf5; }
"""


def tool_button(key: str, icon: QIcon, pressed: Callable[[], None]) -> QToolButton:
    """Button of a tool: icon above text, and the key that chooses it."""
    entry = action(key)
    button = QToolButton()
    button.setText(f"{entry.text}\n{entry.shortcuts[0]}")
    button.setIcon(icon)
    button.setIconSize(QSize(22, 22))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.setCheckable(entry.checkable)
    button.setToolTip(entry.hint)
    button.setObjectName(key)
    button.setStyleSheet(_TOOL_STYLE)
    button.clicked.connect(lambda *_: pressed())
    return button


def fit_tool(button: QToolButton, key: str, small: bool) -> None:
    """Show a tool as its icon alone, or with its words and its key."""
    words = Qt.ToolButtonStyle.ToolButtonIconOnly
    button.setToolButtonStyle(words if small else Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    entry = action(key)
    button.setToolTip(f"{entry.text}: {entry.hint}" if small else entry.hint)


def push_button(key: str, pressed: Callable[[], None], icon: QIcon | None = None) -> QPushButton:
    """Button of an action: its text, tooltip and shortcut come from the table."""
    entry = action(key)
    button = QPushButton(entry.text)
    if icon is not None:
        button.setIcon(icon)
    button.setToolTip(entry.hint)
    button.setObjectName(key)
    button.clicked.connect(lambda *_: pressed())
    return button


def icon_button(key: str, icon: QIcon, verbs: Mapping[str, Callable[[], None]]) -> QToolButton:
    """Small button of an action: an icon alone, with its words in the tooltip."""
    entry = action(key)
    button = QToolButton()
    button.setIcon(icon)
    button.setIconSize(QSize(18, 18))
    button.setCheckable(entry.checkable)
    button.setToolTip(f"{entry.text.rstrip('.')}: {entry.hint}")
    button.setObjectName(key)
    button.setStyleSheet(_TOOL_STYLE.replace("padding: 4px 0px", "padding: 3px 5px"))
    button.clicked.connect(lambda *_: verbs[key]())
    return button


def menu_of(keys: Sequence[str], verbs: Mapping[str, Callable[[], None]], parent: QWidget) -> QMenu:
    """Menu of actions: texts and tooltips come from the table, with the shortcuts beside."""
    menu = QMenu(parent)
    menu.setToolTipsVisible(True)
    for key in keys:
        entry = action(key)
        # The keys are told, not bound: they are shortcuts of the window already.
        shown = menu.addAction("\t".join([entry.text, *entry.shortcuts[:1]]))
        shown.setToolTip(entry.tooltip)
        shown.setObjectName(key)
        shown.triggered.connect(lambda *_, key=key: verbs[key]())
    return menu


def menu_button(text: str, tooltip: str, menu: QMenu) -> QPushButton:
    """Button that opens a menu."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setMenu(menu)
    return button
