"""The planes in a row of buttons; the one that is shown is pressed."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.commands.planes import (
    axial,
    coronal,
    face_patient,
    four_views,
    sagittal,
)
from napari_fastsam3d._napari.panels.controls import Controls
from napari_fastsam3d._napari.workspace import Workspace


class PlaneRow(QWidget):
    """Shows which plane is seen, and turns to another.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    """

    def __init__(self, work: Workspace, controls: Controls) -> None:
        super().__init__()
        self._work = work
        commands = (axial, coronal, sagittal, face_patient)
        self.buttons = {each.key: controls.text_button(each) for each in commands}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        for button in self.buttons.values():
            row.addWidget(button)
        self.four = controls.icon_button(four_views, icons.four_views())
        row.addWidget(self.four)
        for signal in (work.switched, work.events.dims_changed, work.four_views.changed):
            signal.connect(self._show)
        self._show()

    def _show(self, _change: object = None) -> None:
        solid = self._work.view is not None and self._work.viewer.dims.ndisplay == 3
        shown = face_patient.key if solid else self._work.planes.plane
        for key, button in self.buttons.items():
            button.setChecked(key == shown)
        self.four.setChecked(self._work.four_views.shown)
