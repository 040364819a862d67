"""Which tool is active: the modes of the prompt layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.events import Event
from psygnal import Signal

from napari_fastsam3d._napari.layers.boxes import GRIPS, BoxesLayer
from napari_fastsam3d._napari.layers.points import PointsLayer
from napari_fastsam3d._napari.session_view import SessionView

if TYPE_CHECKING:
    from napari.viewer import Viewer

Tool = Literal[
    "include", "exclude", "box", "scribble", "lasso", "freeze", "adjust", "brush", "erase", "ruler"
]
AnyLayer = TypeVar("AnyLayer", bound=Layer)

_PAINTING: dict[str, Tool] = {"paint": "brush", "erase": "erase"}
_MODES: dict[Tool | None, tuple[str, str]] = {
    "include": ("add", "pan_zoom"),
    "exclude": ("add", "pan_zoom"),
    "box": ("pan_zoom", "add_rectangle"),
    "freeze": ("pan_zoom", "add_rectangle"),
    "adjust": ("select", "select"),
}
"""Modes of the points and of the boxes for each tool."""


class Toolbox:
    """Activates one tool at a time.

    A tool is a mode of a napari layer, which also napari's own buttons can choose; so the active
    tool is read from the layers, and signalled whenever it may have changed.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    """

    changed = Signal()
    refused = Signal()
    """A tool can't be used now, and the active one stays: buttons show that again."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._view: SessionView | None = None
        self._choosing = False
        self.tool: Tool | None = None
        viewer.layers.selection.events.active.connect(self._read)

    def serve(self, view: SessionView | None) -> None:
        """Work on the layers of another session, with the same tool or else *Include*."""
        if self._view is not None:
            for layer in (*self._view.layers, self._view.rulers.layer):
                layer.events.mode.disconnect(self._read)
        self._view = view
        if view is not None:
            for layer in (*view.layers, view.rulers.layer):
                layer.events.mode.connect(self._read)
        self.use((self.tool or "include") if view is not None else None)

    def close(self) -> None:
        """Listen to the viewer no more."""
        self._viewer.layers.selection.events.active.disconnect(self._read)

    def use(self, tool: Tool | None) -> None:
        """Activate a tool; None only pans and zooms."""
        if self._view is None:
            self._set(None)
            return
        self._choosing = True
        try:
            self._set_modes(self._view, tool)
        finally:
            self._choosing = False
        self._read()

    def put_away(self) -> None:
        """Deactivate the tool; what is being drawn in napari's own way is ended first."""
        if self._view is not None and self._view.scribbles.cancel():
            return
        active = self._viewer.layers.selection.active
        drawing: Any = None if active is None else _unproxied(active)
        if isinstance(active, Labels):
            polygon, stroke = drawing._overlays["polygon"], drawing._overlays["brush_stroke"]
            if stroke.active:
                stroke.abort(active)
                return
            if polygon.points:
                polygon.points = []
                return
        elif isinstance(active, Shapes) and drawing._is_creating:
            drawing._finish_drawing()
            return
        self.use(None)

    def hover(self, position: Sequence[float]) -> None:
        """While adjusting, make the layer active whose prompt is under the pointer (world)."""
        if self._view is None or self.tool != "adjust":
            return
        for layer in (self._view.points.layer, self._view.boxes.layer):
            under = layer.get_value(position, world=True)
            found = under[0] if isinstance(under, tuple) else under
            if found is not None and layer.visible:
                if self._viewer.layers.selection.active != layer:
                    self._viewer.layers.selection.active = layer
                return

    @property
    def painting(self) -> bool:
        """Whether the user paints labels that are not ours by hand."""
        active = self._viewer.layers.selection.active
        ours = self._view is not None and active == self._view.mask.layer
        return isinstance(active, Labels) and not ours

    def _set_modes(self, view: SessionView, tool: Tool | None) -> None:
        view.attach()
        if tool in _PAINTING.values():
            view.mask.layer.visible = True
        if tool == "ruler":
            view.show_rulers()
        view.rulers.layer.mode = "add_line" if tool == "ruler" else "pan_zoom"
        view.scribbles.tool = tool if tool == "scribble" or tool == "lasso" else None
        active = set_modes(tool, view.points, view.boxes, view.mask.layer)
        if tool == "ruler":
            active = view.rulers.layer
        elif tool in ("scribble", "lasso"):
            active = view.scribbles.layer
        elif active is None:
            images = (each for each in self._viewer.layers if isinstance(each, Image))
            active = next(images, view.points.layer)
        self._viewer.layers.selection.active = active

    def _read(self, _event: Event | None = None) -> None:
        if not self._choosing:
            self._set(self._read_tool())

    def _read_tool(self) -> Tool | None:
        if self._view is None:
            return None
        active = self._viewer.layers.selection.active
        points, boxes, mask = self._view.points, self._view.boxes.layer, self._view.mask.layer
        if active == points.layer and points.layer.mode == "add":
            return "include" if points.positive else "exclude"
        if active == boxes and boxes.mode == "add_rectangle":
            return "freeze" if self._view.boxes.rule.freezing else "box"
        if active == self._view.scribbles.layer:
            return self._view.scribbles.tool
        if active == mask and mask.mode in _PAINTING:
            return _PAINTING[mask.mode]
        rulers = self._view.rulers.layer
        if active == rulers and rulers.mode == "add_line":
            return "ruler"
        gripped = (active == points.layer and points.layer.mode in GRIPS) or (
            active == boxes and boxes.mode in GRIPS
        )
        return "adjust" if gripped else None

    def _set(self, tool: Tool | None) -> None:
        self.tool = tool
        self.changed.emit()


def set_modes(
    tool: Tool | None, points: PointsLayer, boxes: BoxesLayer, mask: Labels
) -> Layer | None:
    """Set the modes of layers as a tool needs them.

    Returns
    -------
    Layer or None
        The one of them that has to be active; None where there is no tool.
    """
    if tool in ("include", "exclude"):
        points.positive = tool == "include"
    boxes.rule.freezing = tool == "freeze"
    points.layer.mode, mode = _MODES.get(tool, ("pan_zoom", "pan_zoom"))
    boxes.layer.mode = mode if boxes.layer.editable else "pan_zoom"
    brush = next((mode for mode, painting in _PAINTING.items() if painting == tool), None)
    mask.mode = brush or "pan_zoom"
    if tool in ("include", "exclude"):
        return points.layer
    if tool in ("box", "freeze"):
        return boxes.layer
    if tool == "adjust":
        boxes_first = boxes.layer.editable and not len(points.layer.data)
        return boxes.layer if boxes_first else points.layer
    return None if brush is None else mask


def _unproxied(layer: AnyLayer) -> AnyLayer:
    """Return a layer itself: a viewer that a plugin is given wraps it in a public proxy."""
    return getattr(layer, "__wrapped__", layer)
