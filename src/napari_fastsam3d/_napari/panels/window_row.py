"""The grey window in a row: a menu of presets, level and width."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QLocale
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from napari_fastsam3d._napari.commands.scans import PRESETS, window_auto
from napari_fastsam3d._napari.layers.contrast import GreyWindow
from napari_fastsam3d._napari.panels.controls import Controls, menu_button
from napari_fastsam3d._napari.workspace import Workspace

_OTHER = "Window"
_ABOUT = (
    "Presets of the grey window.\n"
    "Dragging with the right button on the picture sets it freely: up is brighter, right is softer."
)


class WindowRow(QWidget):
    """Shows the window of the scan, and changes it.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    """

    def __init__(self, work: Workspace, controls: Controls) -> None:
        super().__init__()
        self._windowing = windowing = work.windowing
        self.presets = controls.menu((*PRESETS.values(), window_auto), self)
        self.button = menu_button(_OTHER, _ABOUT, self.presets)
        self.level = _number("Level: the value shown as middle grey.", self._on_typed)
        self.breadth = _number("Width: how many values lie from black to white.", self._on_typed)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button, 8)
        for letter, field in (("L", self.level), ("W", self.breadth)):
            label = QLabel(letter)
            label.setToolTip(field.toolTip())
            row.addWidget(label)
            row.addWidget(field, 3)
        for part in (self.button, self.level, self.breadth):
            # The row must not widen a narrow dock.
            part.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        windowing.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        window = self._windowing.window
        self.setEnabled(window is not None)
        if window is None:
            self.level.clear()
            self.breadth.clear()
            return
        preset = self._windowing.preset if self._windowing.hounsfield else None
        self.button.setText(_OTHER if preset is None else PRESETS[preset].text)
        for field, value in ((self.level, window.level), (self.breadth, window.width)):
            field.setText(f"{value:.{self._windowing.decimals}f}")

    def _on_typed(self) -> None:
        if not (self.level.isModified() or self.breadth.isModified()):
            return
        try:
            typed = GreyWindow(float(self.level.text()), float(self.breadth.text()))
        except ValueError:
            typed = None
        if typed is not None and typed.width > 0:
            self._windowing.set(typed)
        self._show()


def _number(tooltip: str, typed: Callable[[], None]) -> QLineEdit:
    field = QLineEdit()
    validator = QDoubleValidator(field)
    # A decimal point everywhere, as in the facts of the scan.
    validator.setLocale(QLocale.c())
    field.setValidator(validator)
    field.setToolTip(tooltip)
    field.editingFinished.connect(typed)
    return field
