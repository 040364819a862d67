# pyright: basic
"""A part of the panel that can be folded away under its heading."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

_STYLE = "QToolButton { border: none; background: transparent; text-align: left; }"


class Fold(QWidget):
    """A heading with an arrow, and what it hides.

    It opens and closes at once: an animation would repaint the whole window, which takes the
    processor from the model where there is no graphics card.

    Parameters
    ----------
    title : str
    content : QWidget
    opened : bool
        Whether the content is seen at first.
    toggled : callable
        Called with whether it is open now, when the user changes that.
    """

    def __init__(
        self, title: str, content: QWidget, opened: bool, toggled: Callable[[bool], None]
    ) -> None:
        super().__init__()
        self.content = content
        self._toggled = toggled
        self.heading = QToolButton()
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.heading.setStyleSheet(_STYLE)
        self.heading.setText(title)
        self.heading.setToolTip("Fold this part away, or open it.")
        self.heading.setCheckable(True)
        font = self.heading.font()
        font.setBold(True)
        self.heading.setFont(font)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.heading)
        layout.addWidget(content)
        self._show(opened)
        self.heading.clicked.connect(self._on_clicked)

    @property
    def opened(self) -> bool:
        """Whether the content is seen."""
        return self.heading.isChecked()

    def _on_clicked(self, opened: bool) -> None:
        self._show(opened)
        self._toggled(opened)

    def _show(self, opened: bool) -> None:
        self.heading.setChecked(opened)
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self.heading.setArrowType(arrow)
        self.content.setVisible(opened)
