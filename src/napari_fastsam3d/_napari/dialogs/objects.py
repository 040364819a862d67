"""Asking the user what an object is called, its label value and its colour."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import (
    QColorDialog,
    QDialog,
    QDialogButtonBox,
    QInputDialog,
    QLabel,
    QLineEdit,
    QListWidget,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d.session import ObjectState, Organ, SessionState, organs
from napari_fastsam3d.session.state import HIGHEST_VALUE


class NameDialog(QDialog):
    """A line for the name, and the organs that it may be the beginning of.

    What stands in the line is what the object will be called: the list only suggests, and an organ
    chosen there is written into the line.

    Parameters
    ----------
    parent : QWidget
    shown : ObjectState
        The object to be named.
    state : SessionState
        The others, whose names and values are taken.
    """

    def __init__(self, parent: QWidget, shown: ObjectState, state: SessionState) -> None:
        super().__init__(parent)
        self._shown, self._state = shown, state
        self.setWindowTitle("Name of the object")
        self.line = QLineEdit(shown.name)
        self.line.selectAll()
        self.line.textChanged.connect(self._show_hint)
        self.line.textEdited.connect(self._suggest)
        self.list = QListWidget()
        self.list.setToolTip("Organs whose usual label value comes with their name.")
        self.list.currentTextChanged.connect(self._write)
        self.list.itemActivated.connect(self._on_activated)
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel("Type a name, or choose an organ:"))
        for widget in (self.line, self.list, self.hint, self.buttons):
            layout.addWidget(widget)
        self._suggest("")
        self._show_hint()

    @property
    def name(self) -> str:
        """The name as it was typed or chosen."""
        return self.line.text().strip()

    @property
    def value(self) -> int | None:
        """The label value that comes with the name; None where the object keeps its own."""
        organ = _organ(self.name)
        if organ is None or organ.value == self._shown.value:
            return None
        return organ.value if self._state.free_value(organ.value) == organ.value else None

    def accept(self) -> None:
        """Take the name, unless another object has it or there is none."""
        if not self._why_not():
            super().accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  (Qt's name)
        """Go from the line to the list by an arrow key."""
        if event.key() == Qt.Key.Key_Down and self.line.hasFocus():
            self.list.setFocus()
            self.list.setCurrentRow(0)
        else:
            super().keyPressEvent(event)

    def _on_activated(self, _item: object) -> None:
        self.accept()

    def _suggest(self, typed: str) -> None:
        with signals_blocked(self.list):
            self.list.clear()
            begun = typed.strip().casefold()
            names = (organ.name for organ in organs())
            self.list.addItems([name for name in names if begun in name.casefold()])

    def _write(self, organ: str) -> None:
        if organ:
            self.line.setText(organ)

    def _show_hint(self, _text: str = "") -> None:
        why_not = self._why_not()
        self.hint.setText(why_not or self._about_value())
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(not why_not)

    def _why_not(self) -> str:
        other = self._state.named(self.name)
        if other is not None and other.id != self._shown.id:
            return f"Another object is called {other.name}. Choose another name."
        return "" if self.name else "An object needs a name."

    def _about_value(self) -> str:
        organ = _organ(self.name)
        if organ is None or organ.value == self._shown.value or self.value is not None:
            value = self.value or self._shown.value
            return f"Its label value will be {value}."
        other = next(each for each in self._state.objects if each.value == organ.value)
        return (
            f"Its label value stays {self._shown.value}: that of {organ.name}, {organ.value}, is "
            f"taken by {other.name}."
        )


def ask_name(
    parent: QWidget, shown: ObjectState, state: SessionState
) -> tuple[str, int | None] | None:
    """Let the user type a name or choose an organ.

    Returns
    -------
    tuple of str and int, or None
        The name, and the label value that comes with it, None where the object keeps its own;
        None where the user thought better of it.
    """
    dialog = NameDialog(parent, shown, state)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    answer = (dialog.name, dialog.value)
    dialog.deleteLater()
    return answer if accepted else None


def ask_value(parent: QWidget, shown: ObjectState) -> int | None:
    """Let the user choose the label value of an object."""
    value, accepted = QInputDialog.getInt(
        parent,
        "Label value",
        f"Value of {shown.name} in the saved mask:",
        shown.value,
        1,
        HIGHEST_VALUE,
    )
    return value if accepted else None


def ask_colour(parent: QWidget, shown: ObjectState) -> tuple[float, float, float] | None:
    """Let the user choose the colour of an object; red, green and blue in [0, 1]."""
    chosen = QColorDialog.getColor(
        QColor.fromRgbF(*shown.colour), parent, f"Colour of {shown.name}"
    )
    return (chosen.redF(), chosen.greenF(), chosen.blueF()) if chosen.isValid() else None


def _organ(name: str) -> Organ | None:
    return next((organ for organ in organs() if organ.name.casefold() == name.casefold()), None)
