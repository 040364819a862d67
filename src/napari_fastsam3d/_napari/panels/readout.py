"""What lies under the pointer, in the status bar of the window."""

from __future__ import annotations

import numpy as np
from qtpy.QtWidgets import QLabel, QMainWindow, QStatusBar, QWidget

from napari_fastsam3d._napari.descriptions import describe_place
from napari_fastsam3d._napari.layers.contrast import is_ct
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace

_GAP = "   "
_ABOUT = (
    "Under the pointer: the value of the scan, the place in the patient in mm towards right or\n"
    "left, anterior or posterior, superior or inferior, the voxel as the file counts, the object."
)


class Readout(QLabel):
    """Shows value, place, voxel and object under the pointer.

    Parameters
    ----------
    work : Workspace
    owner : QWidget
        Owns it while it is in no window.
    """

    def __init__(self, work: Workspace, owner: QWidget) -> None:
        super().__init__(owner)
        self._work, self._owner = work, owner
        self._bar: QStatusBar | None = None
        self.setToolTip(_ABOUT)
        self.setContentsMargins(6, 0, 6, 0)
        self.hide()
        work.pointed.connect(self._show)
        work.switched.connect(self._clear)

    def dock(self, window: QMainWindow | None) -> None:
        """Move to the status bar of a window, or back to its owner where there is none."""
        bar = None if window is None else window.statusBar()
        if bar is self._bar:
            return
        if self._bar is not None:
            self._bar.removeWidget(self)
        self._bar = bar
        if bar is None:
            self.setParent(self._owner)
        else:
            bar.addPermanentWidget(self)
        self.setVisible(bar is not None)

    def _clear(self, _view: SessionView | None = None) -> None:
        self.setText("")

    def _show(self, place: tuple[float, ...]) -> None:
        view = self._work.view
        self.setText("" if view is None else describe_under(view, place))


def describe_under(view: SessionView, place: tuple[float, ...]) -> str:
    """Describe what lies at a place of the world (3 floats or more): value, mm, voxel, object."""
    if not view.navigation.contains(place):
        return "outside the scan"
    volume = view.frame.volume
    index = view.navigation.source_index(place)
    value = volume.voxels[index]
    unit = " HU" if is_ct(volume) else ""
    number = f"{value:.4g}" if value.dtype.kind == "f" else f"{value}"
    label = view.mask.value_at(index)
    name = next((each.name for each in view.session.state.objects if each.value == label), "")
    voxel = ", ".join(map(str, index))
    parts = [
        f"{number}{unit}",
        _over(view, index),
        describe_place(index, volume),
        f"voxel {voxel}",
        name,
    ]
    return _GAP.join(part for part in parts if part)


def _over(view: SessionView, index: tuple[int, int, int]) -> str:
    """Describe the value of a second scan that lies over a voxel; empty without one."""
    if view.overlay is None:
        return ""
    return f"second scan {view.frame.source_view(np.asarray(view.overlay.data))[index]:.4g}"
