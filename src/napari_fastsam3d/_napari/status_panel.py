# pyright: basic
"""What is happening, and what the last click cost."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

_LINES = 3


class StatusPanel(QWidget):
    """Two lines and a bar: what happens now, what runs and how the last click went."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.now = _line("What the plugin is doing.")
        # Room for three lines from the start: the panel above must not jump with every message.
        self.now.setMinimumHeight(_LINES * self.now.fontMetrics().lineSpacing())
        self.now.setAlignment(Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft)
        self.facts = _line("Model, device, time of the last click and the model's own judgement.")
        self.facts.setEnabled(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 6)
        layout.setSpacing(3)
        for widget in (self.bar, self.now, self.facts):
            layout.addWidget(widget)
        self.rest("")

    def busy(self, text: str, done: int = 0, total: int = 0) -> None:
        """Say what is being done; without a total the bar only moves."""
        self.now.setText(text)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.bar.setVisible(True)

    def rest(self, text: str) -> None:
        """Say what can be done next; nothing is running."""
        self.now.setText(text)
        self.bar.setVisible(False)

    def tell(self, facts: str) -> None:
        """Show model, device and the last click."""
        self.facts.setText(facts)


def _line(tooltip: str) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setToolTip(tooltip)
    return label
