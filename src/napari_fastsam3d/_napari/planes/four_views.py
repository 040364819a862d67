"""Three linked planes and the 3D view, in the place of the one view of napari."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np
from napari.utils.events import Event
from psygnal import Signal
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QHBoxLayout, QMainWindow, QSplitter

from napari_fastsam3d._napari.layers.adding import add_unselected
from napari_fastsam3d._napari.layers.toolbox import Tool
from napari_fastsam3d._napari.layers.windowing import Windowing
from napari_fastsam3d._napari.planes.anatomy import PLANES
from napari_fastsam3d._napari.planes.centring import mouse_callbacks
from napari_fastsam3d._napari.planes.crosshair import Crosshair
from napari_fastsam3d._napari.planes.pane import Kind, Pane, Place
from napari_fastsam3d._napari.planes.turning import PlaneTurner
from napari_fastsam3d._napari.session_view import SessionView

if TYPE_CHECKING:
    from napari.viewer import Viewer

KINDS: tuple[Kind, ...] = (*PLANES, "3d")


class FourViews(QObject):
    """Puts three panes beside napari's canvas and keeps all four at one point of the world.

    That point is the one of napari's own sliders, so that these and whatever moves them move the
    panes too. The panes show what the main view doesn't: of axial, coronal, sagittal and 3D.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    planes : PlaneTurner
    windowing : Windowing
    files : Executor
        Makes the surfaces of the 3D view.
    tool : callable
        Returns the active tool.
    """

    changed = Signal(bool)
    """The panes came or went."""
    pointed = Signal(tuple)
    """The pointer is at this place of the world (3 floats), in a slice of a pane."""

    def __init__(
        self,
        viewer: Viewer,
        planes: PlaneTurner,
        windowing: Windowing,
        files: Executor,
        tool: Callable[[], Tool | None],
    ) -> None:
        super().__init__()
        self._viewer, self._planes, self._windowing = viewer, planes, windowing
        self._files, self._tool = files, tool
        self._held: weakref.ref[QMainWindow] | None = None
        self._view: SessionView | None = None
        self._right: QSplitter | None = None
        self._crosshair: Crosshair | None = None
        self._cursor: QCursor | None = None
        self.panes: list[Pane] = []
        self._on_move, self._on_press = mouse_callbacks(self)

    @property
    def _window(self) -> QMainWindow | None:
        return None if self._held is None else self._held()

    @property
    def shown(self) -> bool:
        """Whether the panes are there."""
        return bool(self.panes)

    def dock(self, window: QMainWindow | None) -> None:
        """Note the window that the panes are for."""
        before = self._window
        if window is before:
            return
        self.close()
        if before is not None:
            before.removeEventFilter(self)
        # The window mustn't be kept by what is in it.
        self._held = None if window is None else weakref.ref(window)
        if window is not None:
            window.installEventFilter(self)

    def serve(self, view: SessionView | None) -> None:
        """Show another scan, or none."""
        if self._view is not None:
            self._view.moved.disconnect(self.rebuild)
            self._view.points.added.disconnect(self._on_point)
        self._view = view
        if view is not None:
            view.moved.connect(self.rebuild)
            view.points.added.connect(self._on_point)
        self.rebuild()

    def toggle(self) -> None:
        """Show the panes, or put them away."""
        if self.shown:
            self.close()
            QTimer.singleShot(0, self._frame)
        else:
            self._open()

    def close(self) -> None:
        """Put the panes away, and the crosshair with them."""
        if not self.shown:
            return
        self._link(False)
        for pane in self.panes:
            pane.end()
        self.panes = []
        self._drop_crosshair()
        if self._right is not None:
            self._right.setParent(None)
            self._right.deleteLater()
            self._right = None
        self.changed.emit(False)

    def follow_tool(self) -> None:
        """Activate the tool in every pane."""
        for pane in self.panes:
            pane.use(self._tool())

    def set_cursor(self, cursor: QCursor | None) -> None:
        """Show a cursor over every pane in which the tools work."""
        self._cursor = cursor
        for pane in self.panes:
            pane.set_cursor(None if pane.kind == "3d" else cursor)

    def centre(self, place: Place) -> None:
        """Move every view to a place of the world (3 floats or more)."""
        dims = self._viewer.dims
        dims.set_point(tuple(range(dims.ndim - 3, dims.ndim)), tuple(place[-3:]))

    def eventFilter(self, window: QObject, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        if event.type() == QEvent.Type.Close:
            self.close()
        return False

    def _open(self) -> None:
        window = self._window
        centre = None if window is None else window.centralWidget()
        row = None if centre is None else centre.layout()
        main = None if centre is None else centre.findChild(QSplitter)
        if not isinstance(row, QHBoxLayout) or main is None:
            return
        self.panes = [Pane(self._tool, self._windowing, self._files) for _ in range(3)]
        below, *beside = self.panes
        main.addWidget(below)
        self._right = QSplitter(Qt.Orientation.Vertical)
        row.addWidget(self._right)
        for pane in beside:
            self._right.addWidget(pane)
        row.setStretch(0, 1)
        row.setStretch(1, 1)
        for splitter in (main, self._right):
            splitter.setSizes([1000, 1000])
        for pane in self.panes:
            pane.stepped.connect(self._step)
            pane.centred.connect(self.centre)
            pane.pointed.connect(self._on_pointed)
        self._link(True)
        self.rebuild()
        self.changed.emit(True)
        # The panes have their size only once they are laid out.
        QTimer.singleShot(0, self._frame)

    def rebuild(self) -> None:
        """Make the layers of every pane anew."""
        if not self.shown:
            return
        self._drop_crosshair()
        self._arrange()
        for pane in self.panes:
            pane.serve(self._view)
        if self._view is not None:
            self._crosshair = Crosshair(self._view.frame)
            add_unselected(self._viewer, self._crosshair.layer)
        self.set_cursor(self._cursor)
        self._follow()

    def _arrange(self) -> None:
        """Let the panes show what the main view doesn't, each what it showed where it can."""
        own: Kind = "3d" if self._viewer.dims.ndisplay == 3 else (self._planes.plane or "axial")
        free: list[Kind] = [each for each in KINDS if each != own]
        lost = []
        for pane in self.panes:
            if pane.kind in free:
                free.remove(pane.kind)
            else:
                lost.append(pane)
        for pane, kind in zip(lost, free, strict=True):
            pane.show_kind(kind)

    def _link(self, on: bool) -> None:
        callbacks = self._viewer.mouse_move_callbacks, self._viewer.mouse_drag_callbacks
        for own, all_of_them in zip((self._on_move, self._on_press), callbacks, strict=True):
            (all_of_them.append if on else all_of_them.remove)(own)
        dims = self._viewer.dims.events
        for emitter, slot in (
            (dims.point, self._follow),
            (dims.order, self._turn),
            (dims.ndisplay, self._turn),
        ):
            (emitter.connect if on else emitter.disconnect)(slot)

    def _turn(self, _event: Event | None = None) -> None:
        if self._view is not None:
            self._arrange()
            self.follow_tool()
            self.set_cursor(self._cursor)
        self._follow()

    def _follow(self, _event: Event | None = None) -> None:
        dims = self._viewer.dims
        if self._view is None or self._crosshair is None or dims.ndim < 3:
            return
        place = np.asarray(dims.point[-3:], np.float64)
        for pane in self.panes:
            pane.go(place)
        axes = [axis - (dims.ndim - 3) for axis in dims.displayed]
        if min(axes) >= 0:
            self._crosshair.show(place, axes)

    def _on_pointed(self, place: Place) -> None:
        self.pointed.emit(place)

    def point(self, place: Place) -> None:
        """Leave the pointer over the main view to those who listen there."""

    @property
    def panning(self) -> bool:
        """Whether a click in the main view sets the crosshair."""
        return self._viewer.dims.ndisplay == 2 and self._tool() is None

    @property
    def flat(self) -> bool:
        """Whether the main view shows slices."""
        return self._viewer.dims.ndisplay == 2

    def _on_point(self, at: Place, _positive: bool) -> None:
        view = self._view
        if view is not None and self.shown:
            place = tuple(view.points.layer.data_to_world(at))
            # The layer is still in the middle of its own change.
            view.dispatcher.defer(lambda: self.centre(place))

    def _step(self, axis: int, by: int) -> None:
        if self._view is not None:
            self._view.navigation.step(by, axis)

    def _frame(self) -> None:
        for pane in self.panes:
            pane.frame()
        if self._view is not None and self._view.image in self._viewer.layers:
            self._viewer.fit_to_view(layers=[self._view.image])

    def _drop_crosshair(self) -> None:
        if self._crosshair is not None and self._crosshair.layer in self._viewer.layers:
            self._viewer.layers.remove(self._crosshair.layer)
        self._crosshair = None
