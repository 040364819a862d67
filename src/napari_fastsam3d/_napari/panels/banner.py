# pyright: basic
"""A sentence above the status line that stays until it is settled, with buttons that settle it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

Choice = tuple[str, str, Callable[[], object]]
"""Words on a button, its tooltip, and what it does."""


class Banner(QFrame):
    """What the user has to know, and what can be done about it; hidden while there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.buttons: list[QPushButton] = []
        self._row = QHBoxLayout()
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addLayout(self._row)
        self.setVisible(False)

    def tell(self, text: str, choices: Sequence[Choice] = ()) -> None:
        """Show a sentence and its buttons in place of those before."""
        if not self.isHidden() and text == self.text.text():
            return
        self._clear()
        self.text.setText(text)
        for words, tooltip, chosen in choices:
            button = QPushButton(words)
            button.setToolTip(tooltip)
            button.clicked.connect(lambda *_, chosen=chosen: chosen())
            self._row.addWidget(button)
            self.buttons.append(button)
        self.setVisible(True)

    def withdraw(self) -> None:
        """Say nothing any more."""
        self._clear()
        self.setVisible(False)

    def _clear(self) -> None:
        for button in self.buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
