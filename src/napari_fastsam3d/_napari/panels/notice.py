"""A message on the canvas, where the user looks, with buttons for what can be done about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QToolButton,
    QWidget,
)

_MARGIN = 10
_WIDEST = 640
# Dark and nearly opaque, so that it reads well over any scan, in either theme.
_STYLE = """
QFrame#notice { background: rgba(24, 28, 36, 235); border: 1px solid #ffd24a; border-radius: 6px; }
QFrame#notice QLabel { color: #f2f4f8; background: transparent; }
QFrame#notice QPushButton { color: #f2f4f8; background: #3b4456; border-radius: 4px;
                            padding: 4px 10px; }
QFrame#notice QPushButton:hover { background: #4d5a73; }
QFrame#notice QToolButton { color: #f2f4f8; background: transparent; border: none; }
"""


class NoticeChoice(NamedTuple):
    """Words on a button, its tooltip, and what it does."""

    text: str
    tooltip: str
    chosen: Callable[[], object]


def choice_button(choice: NoticeChoice) -> QPushButton:
    """Return a button for a choice."""
    button = QPushButton(choice.text)
    button.setToolTip(choice.tooltip)

    def pressed() -> None:
        choice.chosen()

    button.clicked.connect(pressed)
    return button


class Notice(QFrame):
    """A sentence at the top of the canvas; it takes no room there while there is none.

    Parameters
    ----------
    parent : QWidget
        Owns it while it is not docked.
    """

    closed = Signal()
    """The user has put it away."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._owner = parent
        self.setObjectName("notice")
        self.setStyleSheet(_STYLE)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.buttons: list[QPushButton] = []
        self._row = QHBoxLayout(self)
        self._row.addWidget(self.text, 1)
        self.close_button = QToolButton()
        self.close_button.setText("×")
        self.close_button.setToolTip("Put this away.")
        self.close_button.clicked.connect(self._close)
        self._row.addWidget(self.close_button)
        self.hide()

    def dock(self, window: QMainWindow | None) -> None:
        """Move over the canvas of a window, or back to its owner where there is none."""
        picture = None if window is None else window.centralWidget()
        before, after = self.parentWidget(), self._owner if picture is None else picture
        if before is after:
            return
        if before is not None:
            before.removeEventFilter(self)
        self.setParent(after)
        after.installEventFilter(self)
        self.hide()

    def show_message(self, text: str, choices: Sequence[NoticeChoice] = ()) -> None:
        """Show a sentence and its buttons in place of those before."""
        self._clear()
        self.text.setText(text)
        for choice in choices:
            button = choice_button(choice)
            self._row.insertWidget(self._row.count() - 1, button)
            button.show()
            self.buttons.append(button)
        # What isn't shown yet counts for no room, so the sentence would be cut off.
        self.show()
        self._place()
        self.raise_()

    def withdraw(self) -> None:
        """Hide."""
        self._clear()
        self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        """Stay at the top of the canvas when that changes its size."""
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        picture = self.parentWidget()
        if picture is None:
            return
        width = min(_WIDEST, picture.width() - 2 * _MARGIN)
        self._row.activate()
        self.setGeometry((picture.width() - width) // 2, _MARGIN, width, self.height())
        self._row.activate()
        # The row underestimates how many lines the sentence takes beside the buttons.
        self.text.setMinimumHeight(self.text.heightForWidth(self.text.width()))
        self._row.activate()
        self.resize(width, self.sizeHint().height())

    def _close(self) -> None:
        self.withdraw()
        self.closed.emit()

    def _clear(self) -> None:
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
