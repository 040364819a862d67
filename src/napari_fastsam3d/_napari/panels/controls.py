"""Buttons and menus made from commands; they are enabled where their command is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QAction, QIcon  # pyright: ignore[reportPrivateImportUsage]
from qtpy.QtWidgets import QAbstractButton, QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

from napari_fastsam3d._napari.commands.command import Command
from napari_fastsam3d._napari.main_thread import single_shot
from napari_fastsam3d._napari.workspace import Workspace

# Half-transparent greys and blues read well on napari's dark and light themes alike.
_TOOL_STYLE = """
QToolButton { border: 1px solid transparent; border-radius: 4px; padding: 4px 0px;
              background: rgba(128, 140, 160, 45); }
QToolButton:hover { background: rgba(128, 140, 160, 85); }
QToolButton:checked { background: rgba(76, 139, 245, 110); border-color: #4c8bf5; }
"""


@dataclass(frozen=True)
class _Control:
    """A button or menu entry, its command, and another reason for it to be disabled."""

    command: Command
    widget: QAbstractButton | QAction
    tooltip: str
    why_not: Callable[[], str | None] | None


class Controls:
    """Makes buttons and menus, and keeps them enabled as their commands are.

    Parameters
    ----------
    work : Workspace
        What the commands work on.
    """

    def __init__(self, work: Workspace) -> None:
        self._work = work
        self._controls: list[_Control] = []
        # A way over many steps of the log has thousands of results: once is enough for them.
        self._soon = single_shot(work.parent, 0, self.refresh)
        work.windowing.changed.connect(self.refresh)
        work.selection_changed.connect(self.refresh)
        work.finished.connect(self._refresh_soon)

    def refresh(self, _change: object = None) -> None:
        """Enable what can be done now; the tooltips of the others say why they can't."""
        for each in self._controls:
            reason = each.command.why_not(self._work)
            if reason is None and each.why_not is not None:
                reason = each.why_not()
            each.widget.setEnabled(reason is None)
            tooltip = reason or each.tooltip
            if each.tooltip and each.widget.toolTip() != tooltip:
                each.widget.setToolTip(tooltip)

    def push_button(
        self,
        command: Command,
        icon: QIcon | None = None,
        why_not: Callable[[], str | None] | None = None,
    ) -> QPushButton:
        """Return a button with the text of a command.

        Parameters
        ----------
        command : Command
        icon : QIcon, optional
        why_not : callable, optional
            Returns another reason for this button to be disabled; None where there is none.
        """
        button = QPushButton(command.text)
        if icon is not None:
            button.setIcon(icon)
        button.setToolTip(command.hint)
        self._bind(button, command, command.hint, why_not)
        return button

    def tool_button(self, command: Command, icon: QIcon) -> QToolButton:
        """Return the button of a tool: icon above text, and the key that activates it."""
        button = QToolButton()
        button.setText(f"{command.text}\n{command.shortcuts[0]}")
        button.setIcon(icon)
        button.setIconSize(QSize(22, 22))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setCheckable(command.checkable)
        button.setToolTip(command.hint)
        button.setStyleSheet(_TOOL_STYLE)
        self._bind(button, command, "")
        return button

    def text_button(self, command: Command) -> QToolButton:
        """Return a small button with the text of a command alone."""
        button = QToolButton()
        button.setText(command.text)
        button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
        button.setCheckable(command.checkable)
        button.setStyleSheet(_TOOL_STYLE)
        button.setToolTip(command.hint)
        self._bind(button, command, command.hint)
        return button

    def icon_button(self, command: Command, icon: QIcon) -> QToolButton:
        """Return a small button: an icon alone, with the words of the command in the tooltip."""
        button = QToolButton()
        button.setIcon(icon)
        button.setIconSize(QSize(18, 18))
        button.setCheckable(command.checkable)
        tooltip = f"{command.text.rstrip('.')}: {command.hint}"
        button.setToolTip(tooltip)
        button.setStyleSheet(_TOOL_STYLE.replace("padding: 4px 0px", "padding: 3px 5px"))
        self._bind(button, command, tooltip)
        return button

    def menu(self, commands: Sequence[Command], parent: QWidget) -> QMenu:
        """Return a menu of commands, with their shortcuts beside."""
        menu = QMenu(parent)
        menu.setToolTipsVisible(True)
        for command in commands:
            # The keys are shown, not bound: they are shortcuts of the window already.
            entry = menu.addAction("\t".join([command.text, *command.shortcuts[:1]]))
            entry.setToolTip(command.tooltip)
            entry.setObjectName(command.key)
            entry.triggered.connect(self._runner(command))
            self._controls.append(_Control(command, entry, command.tooltip, None))
        return menu

    def _refresh_soon(self, _result: object = None) -> None:
        self._soon.start()

    def _bind(
        self,
        button: QAbstractButton,
        command: Command,
        tooltip: str,
        why_not: Callable[[], str | None] | None = None,
    ) -> None:
        button.setObjectName(command.key)
        button.clicked.connect(self._runner(command))
        self._controls.append(_Control(command, button, tooltip, why_not))

    def _runner(self, command: Command) -> Callable[[], None]:
        def run() -> None:
            command.run(self._work)

        return run


def fit_tool(button: QToolButton, command: Command, small: bool) -> None:
    """Show a tool as its icon alone, or with its words and its key."""
    style = Qt.ToolButtonStyle.ToolButtonIconOnly
    button.setToolButtonStyle(style if small else Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
    button.setToolTip(f"{command.text}: {command.hint}" if small else command.hint)


def menu_button(text: str, tooltip: str, menu: QMenu) -> QPushButton:
    """Return a button that opens a menu."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setMenu(menu)
    return button
