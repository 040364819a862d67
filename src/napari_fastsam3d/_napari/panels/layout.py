"""How panels are laid out: one below the other, in sections that fold away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

_STYLE = "QToolButton { border: none; background: transparent; text-align: left; }"


class CollapsibleSection(QWidget):
    """A heading with an arrow, and what it hides.

    superqt's QCollapsible does not fit: it limits the content to its size hint, which cuts off
    wrapped text in a narrow dock, and it animates, which repaints the whole window and so takes the
    processor from the model where there is no graphics card.

    Parameters
    ----------
    title : str
    content : QWidget
    opened : bool
        Whether the content is seen at first.
    toggled : callable, optional
        Called with whether it is open now, when the user changes that.
    """

    def __init__(
        self,
        title: str,
        content: QWidget,
        opened: bool,
        toggled: Callable[[bool], object] | None = None,
    ) -> None:
        super().__init__()
        self.content = content
        self._toggled = toggled
        self._title = title
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

    def note(self, text: str) -> None:
        """Add a few words to the heading, which are seen while the content is folded away."""
        self.heading.setText(f"{self._title}: {text}" if text else self._title)

    @property
    def opened(self) -> bool:
        """Whether the content is seen."""
        return self.heading.isChecked()

    def _on_clicked(self, opened: bool) -> None:
        self._show(opened)
        if self._toggled is not None:
            self._toggled(opened)

    def _show(self, opened: bool) -> None:
        self.heading.setChecked(opened)
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self.heading.setArrowType(arrow)
        self.content.setVisible(opened)


def column(panels: Sequence[QWidget]) -> QScrollArea:
    """Stack panels, and let them scroll."""
    content = QWidget()
    layout = QVBoxLayout(content)
    layout.setContentsMargins(8, 4, 8, 4)
    for panel in panels:
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


def fit_rows(rows: QListWidget, count: int) -> None:
    """Give a list exactly so many rows; new ones are empty."""
    while rows.count() > count:
        rows.takeItem(rows.count() - 1)
    while rows.count() < count:
        rows.addItem(QListWidgetItem())


def _scrolling(content: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(content)
    return area
