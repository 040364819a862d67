# pyright: basic
"""Asking the user what an object is called, its label value and its colour."""

from __future__ import annotations

from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QInputDialog, QWidget

from napari_fastsam3d.session import ObjectState, Organ, organs
from napari_fastsam3d.session.state import HIGHEST_VALUE


def ask_name(parent: QWidget, shown: ObjectState) -> Organ | str | None:
    """Let the user choose an organ of the preset list, or type any other name."""
    preset = organs()
    names = [f"{organ.name} ({organ.value})" for organ in preset]
    known = [organ.name for organ in preset]
    at = known.index(shown.name) if shown.name in known else -1
    text, accepted = QInputDialog.getItem(
        parent,
        "Name of the object",
        "Choose an organ, which sets the label value too, or type a name:",
        [shown.name, *names] if at < 0 else names,
        max(at, 0),
    )
    text = text.strip()
    if not accepted or not text:
        return None
    if text in names:
        return preset[names.index(text)]
    return preset[known.index(text)] if text in known else text


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
