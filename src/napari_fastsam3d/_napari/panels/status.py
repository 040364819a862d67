"""What is happening, and what the last click cost."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

_LINES = 3
# Qt's own moving bar repaints the whole window sixty times a second. Where the processor draws,
# without a graphics card, that takes it from the model: a click took twice as long and more.
_PATIENCE_MS = 400
_STEPS = 8
# What ends within a second or two needs no button, which would only jump about.
_TICKS_BEFORE_CANCEL = 4
# Red behind the theme's own letters reads well on dark and light alike.
_WARNING = "QLabel { background: rgba(226, 66, 66, 110); border-radius: 3px; padding: 3px; }"


class StatusPanel(QWidget):
    """Lines and a bar: what happens now, any lasting trouble, what runs, how the last click went.

    What is done within a moment, as most clicks are, is not shown: it would only flicker.

    """

    def __init__(self) -> None:
        super().__init__()
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop what is being computed, and take the step back that asked it.")
        self.cancel.setVisible(False)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setRange(0, _STEPS)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.now = _line("What the plugin is doing.")
        # Room for three lines from the start: the panel above must not jump with every message.
        self.now.setMinimumHeight(_LINES * self.now.fontMetrics().lineSpacing())
        self.now.setAlignment(Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft)
        self.warning = _line("It stays here until the trouble is over.")
        self.warning.setStyleSheet(_WARNING)
        self.warning.setVisible(False)
        self.facts = _line("Model, device, time of the last click and what it changed.")
        self.facts.setEnabled(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 6)
        layout.setSpacing(3)
        layout.addWidget(self.bar)
        line = QHBoxLayout()
        line.addWidget(self.now, 1)
        line.addWidget(self.cancel, 0, Qt.AlignmentFlag.AlignBottom)
        layout.addLayout(line)
        for widget in (self.warning, self.facts):
            layout.addWidget(widget)
        self._doing = ""
        self._ticks = 0
        self._can_be_cancelled = False
        self._timer = QTimer(self)
        self._timer.setInterval(_PATIENCE_MS)
        self._timer.timeout.connect(self._move_on)
        self.show_idle("")

    def arrange(self, small: bool) -> None:
        """Keep room for two lines, or for three."""
        lines = _LINES - 1 if small else _LINES
        self.now.setMinimumHeight(lines * self.now.fontMetrics().lineSpacing())

    def show_busy(self, text: str, can_be_cancelled: bool = False) -> None:
        """Show what is being done, unless it ends within a moment; what lasts may be cancelled."""
        self._doing, self._can_be_cancelled = text, can_be_cancelled
        if not self._timer.isActive():
            self._ticks = 0
            self._timer.start()
        elif self.bar.isVisible():
            self.now.setText(text)

    def show_idle(self, text: str) -> None:
        """Show what can be done next; nothing is running."""
        self._timer.stop()
        self.bar.setValue(0)
        self.bar.setVisible(False)
        self.cancel.setVisible(False)
        self.now.setText(text)

    def show_facts(self, facts: str) -> None:
        """Show model, device and the last click."""
        self.facts.setText(facts)

    def show_warning(self, trouble: str) -> None:
        """Show what the user must not miss, for as long as it lasts; nothing for no trouble."""
        self.warning.setText(trouble)
        self.warning.setVisible(bool(trouble))

    def _move_on(self) -> None:
        self.now.setText(self._doing)
        self.bar.setValue(self.bar.value() % _STEPS + 1)
        self.bar.setVisible(True)
        self._ticks += 1
        self.cancel.setVisible(self._can_be_cancelled and self._ticks >= _TICKS_BEFORE_CANCEL)


def _line(tooltip: str) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setToolTip(tooltip)
    return label
