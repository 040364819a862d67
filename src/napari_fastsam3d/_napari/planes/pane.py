"""One of the views beside the main one: a plane, or the surfaces of the objects in 3D."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Literal, TypeAlias

from napari.components import ViewerModel
from napari.qt import QtViewer
from numpy.typing import ArrayLike
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_fastsam3d._napari.layers.canvas import Canvas
from napari_fastsam3d._napari.layers.toolbox import Tool, set_modes
from napari_fastsam3d._napari.layers.wheel import Wheel
from napari_fastsam3d._napari.layers.windowing import Windowing
from napari_fastsam3d._napari.planes.anatomy import PlaneName
from napari_fastsam3d._napari.planes.centring import mouse_callbacks
from napari_fastsam3d._napari.planes.crosshair import Crosshair
from napari_fastsam3d._napari.planes.letters import EdgeLetters
from napari_fastsam3d._napari.planes.pane_layers import PaneLayers
from napari_fastsam3d._napari.planes.surfaces import Surfaces
from napari_fastsam3d._napari.planes.turning import anatomy_of
from napari_fastsam3d._napari.session_view import SessionView

Kind: TypeAlias = PlaneName | Literal["3d"]
Place: TypeAlias = tuple[float, ...]
_LETTERS = 10
_STYLE = "background: transparent; color: #ffd24a; padding: 2px 6px;"


class Pane(QWidget):
    """A view of its own of the chosen scan, which follows the crosshair.

    Parameters
    ----------
    tool : callable
        Returns the active tool.
    windowing : Windowing
        What the right button drags.
    files : Executor
        Makes the surfaces of the 3D view.
    """

    stepped = Signal(int, int)
    """The wheel asks for another slice: across which axis of the world, how many further."""
    pointed = Signal(tuple)
    """The pointer is at this place of the world (3 floats), in a slice."""
    centred = Signal(tuple)
    """The crosshair is wanted at this place of the world (3 floats)."""

    def __init__(
        self, tool: Callable[[], Tool | None], windowing: Windowing, files: Executor
    ) -> None:
        super().__init__()
        self.viewer = ViewerModel()
        self._tool, self._files = tool, files
        self._kind: Kind = "axial"
        self._view: SessionView | None = None
        self._layers: PaneLayers | None = None
        self._crosshair: Crosshair | None = None
        self._surfaces: Surfaces | None = None
        self._qt = QtViewer(self.viewer)
        # What is dropped belongs to the main viewer.
        self._qt.setAcceptDrops(False)
        self._qt.dims.hide()
        self.canvas = self._qt.canvas
        drawn = self.canvas.events.draw  # pyright: ignore[reportAttributeAccessIssue]
        drawn.connect(self._draw_later_layers_above, position="first")
        self._letters = EdgeLetters(self.viewer, _LETTERS)
        self.area: QWidget = self.canvas.native
        self._mouse = Canvas(
            self,
            lambda: windowing.free,
            windowing.begin_drag,
            windowing.drag,
            windowing.end_drag,
        )
        self._mouse.watch(self.area)
        self._wheel = Wheel(self, lambda: self._kind != "3d", self._step)
        self._wheel.watch(self.area)
        self.title = QLabel("", self.area)
        self.title.setStyleSheet(_STYLE)
        self.title.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._qt)
        self.setMinimumSize(120, 120)
        moved, pressed = mouse_callbacks(self)
        self.viewer.mouse_move_callbacks.append(moved)
        self.viewer.mouse_drag_callbacks.append(pressed)

    @property
    def kind(self) -> Kind:
        """The plane that is shown, or "3d"."""
        return self._kind

    @property
    def axis(self) -> int | None:
        """Axis of the world (0 to 2) that the slices are across; None in 3D."""
        return None if self._kind == "3d" else int(self.viewer.dims.order[0])

    @property
    def flat(self) -> bool:
        """Whether slices are shown."""
        return self._kind != "3d"

    @property
    def panning(self) -> bool:
        """Whether no tool is active."""
        return self._tool() is None

    def point(self, place: Place) -> None:
        """Tell where the pointer is."""
        self.pointed.emit(place)

    def centre(self, place: Place) -> None:
        """Ask for the crosshair at a place of the world."""
        self.centred.emit(place)

    def serve(self, view: SessionView | None) -> None:
        """Show another scan, or none."""
        self._clear()
        self._view = view
        if view is None:
            self._letters.serve(None)
            return
        self._layers = PaneLayers(view)
        self._layers.points.added.connect(self._on_point)
        self._crosshair = Crosshair(view.frame)
        for layer in (*self._layers.all, self._crosshair.layer):
            self.viewer.add_layer(layer)
        self._surfaces = Surfaces(view, self.viewer, self._files, self)
        self._letters.serve(anatomy_of(view))
        self.show_kind(self._kind)
        self.use(self._tool())

    def show_kind(self, kind: Kind) -> None:
        """Show a plane, or the 3D view."""
        self._kind = kind
        self.title.setText("3D" if kind == "3d" else kind.capitalize())
        self.title.adjustSize()
        if self._view is None or self._layers is None:
            return
        anatomy = anatomy_of(self._view)
        camera, dims = self.viewer.scene.camera, self.viewer.dims
        self._layers.show_slices(kind != "3d")
        if self._surfaces is not None:
            self._surfaces.show(kind == "3d")
        if kind == "3d":
            dims.order = (0, 1, 2)
            dims.ndisplay = 3
            camera.set_view_direction(*anatomy.facing((0, 1, 2)))
        else:
            upright = anatomy.upright(kind)
            dims.ndisplay = 2
            dims.order = upright.order
            camera.orientation2d = (upright.vertical, upright.horizontal)
        self.frame()

    def frame(self) -> None:
        """Fit the whole scan into the pane."""
        if self._layers is not None:
            self.viewer.fit_to_view(layers=[self._layers.image])

    def go(self, place: ArrayLike) -> None:
        """Show the slice through a place of the world, (3,), and the crosshair there."""
        if self._layers is None or self._crosshair is None or self._view is None:
            return
        point = [float(value) for value in place]  # pyright: ignore[reportGeneralTypeIssues]
        axis = self.axis
        if axis is not None:
            self.viewer.dims.set_point(axis, point[axis])
        self._layers.show_plane(self._view.navigation.plane_through(point, axis))
        self._crosshair.show(point, self.viewer.dims.displayed)

    def use(self, tool: Tool | None) -> None:
        """Let the mouse do here what a tool does."""
        if self._layers is None:
            return
        flat = None if self._kind == "3d" else tool
        own = self._layers
        active = set_modes(flat, own.points, own.boxes, own.mask)
        own.rulers.layer.mode = "add_line" if flat == "ruler" else "pan_zoom"
        own.scribbles.tool = flat if flat == "scribble" or flat == "lasso" else None
        if flat == "ruler":
            active = own.rulers.layer
        elif own.scribbles.tool is not None:
            active = own.scribbles.layer
        self.viewer.layers.selection.active = active or own.image

    def set_cursor(self, cursor: QCursor | None) -> None:
        """Show a cursor over the pane; None shows napari's."""
        self._mouse.set_cursor(cursor)

    def end(self) -> None:
        """Let go of everything, and of the window."""
        self.serve(None)
        self._letters.close()
        self._qt.close()
        # What Qt owns isn't collected, nor what that refers to.
        self._wheel.setParent(None)
        self._mouse.setParent(None)
        self.setParent(None)
        self.deleteLater()

    def _on_point(self, at: Place, _positive: bool) -> None:
        if self._view is not None and self._layers is not None:
            place = tuple(self._layers.points.layer.data_to_world(at))
            # The layer is still in the middle of its own change.
            self._view.dispatcher.defer(lambda: self.centre(place))

    def _draw_later_layers_above(self, _event: object = None) -> None:
        # napari tells OpenGL so when a canvas is made, which is lost where others are made then.
        scene = self.canvas.view.canvas  # pyright: ignore[reportAttributeAccessIssue]
        scene.context.set_depth_func("lequal")

    def _clear(self) -> None:
        if self._layers is not None:
            self._layers.close()
        if self._surfaces is not None:
            self._surfaces.close()
        self._layers = self._crosshair = self._surfaces = None
        self.viewer.layers.clear()

    def _step(self, by: int) -> None:
        if self.axis is not None:
            self.stepped.emit(self.axis, by)
