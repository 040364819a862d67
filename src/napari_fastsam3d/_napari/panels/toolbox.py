# pyright: basic
"""Which tool is in hand: the modes of the prompt layers, and the buttons that show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Shapes

from napari_fastsam3d._napari.layers.boxes import GRIPS

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView

_PAINTING = {"paint": "brush", "erase": "erase"}


class Toolbox:
    """Puts one tool in the user's hand.

    A tool is a mode of a napari layer, which also napari's own buttons can choose; so what is in
    hand is read from the layers, and told whenever it changes.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    told : callable
        Called with the name of the tool, or None.
    """

    def __init__(self, viewer: Any, told: Callable[[str | None], None]) -> None:
        self._viewer = viewer
        self._told = told
        self._view: SessionView | None = None
        self._choosing = False
        self.tool: str | None = None
        viewer.layers.selection.events.active.connect(self._read)

    def serve(self, view: SessionView | None) -> None:
        """Work on the layers of another session, with the same tool."""
        if self._view is not None:
            for layer in self._view.layers:
                layer.events.mode.disconnect(self._read)
        self._view = view
        if view is not None:
            for layer in view.layers:
                layer.events.mode.connect(self._read)
        self.use(self.tool if view is not None else None)

    def close(self) -> None:
        """Listen to the viewer no more."""
        self._viewer.layers.selection.events.active.disconnect(self._read)

    def use(self, tool: str | None) -> None:
        """Take a tool in hand; None only looks and pans."""
        if self._view is None:
            self._tell(None)
            return
        self._choosing = True
        try:
            self._set_modes(self._view, tool)
        finally:
            self._choosing = False
        self._read()

    def put_away(self) -> None:
        """Take no tool; what is being drawn in napari's own way is ended first, as napari does."""
        active: Any = self._viewer.layers.selection.active
        if isinstance(active, Labels):
            overlays: Any = _unproxied(active)._overlays
            polygon, stroke = overlays["polygon"], overlays["brush_stroke"]
            if stroke.active:
                stroke.abort(active)
                return
            if polygon.points:
                polygon.points = []
                return
        elif isinstance(active, Shapes) and _unproxied(active)._is_creating:
            active._finish_drawing()
            return
        self.use(None)

    def hover(self, position: Any) -> None:
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

    def _set_modes(self, view: SessionView, tool: str | None) -> None:
        view.attach()
        points, boxes = view.points.layer, view.boxes.layer
        if tool in ("include", "exclude"):
            view.points.positive = tool == "include"
        view.boxes.freezing = tool == "freeze"
        modes = {
            "include": ("add", "pan_zoom"),
            "exclude": ("add", "pan_zoom"),
            "box": ("pan_zoom", "add_rectangle"),
            "freeze": ("pan_zoom", "add_rectangle"),
            "adjust": ("select", "select"),
        }
        points.mode, mode = modes.get(tool or "", ("pan_zoom", "pan_zoom"))
        boxes.mode = mode if boxes.editable else "pan_zoom"
        brushes = {tool: mode for mode, tool in _PAINTING.items()}
        if tool in brushes:
            view.mask.layer.visible = True
        view.mask.layer.mode = brushes.get(tool or "", "pan_zoom")
        self._viewer.layers.selection.active = self._active(view, tool)

    def _active(self, view: SessionView, tool: str | None) -> Any:
        if tool in ("include", "exclude"):
            return view.points.layer
        if tool in ("box", "freeze"):
            return view.boxes.layer
        if tool in _PAINTING.values():
            return view.mask.layer
        if tool == "adjust":
            return view.points.layer if len(view.points.layer.data) else view.boxes.layer
        return next(
            (each for each in self._viewer.layers if isinstance(each, Image)), view.points.layer
        )

    def _read(self, event: Any = None) -> None:
        if not self._choosing:
            self._tell(self._in_hand())

    def _in_hand(self) -> str | None:
        if self._view is None:
            return None
        active = self._viewer.layers.selection.active
        points, boxes = self._view.points, self._view.boxes.layer
        if active == points.layer and points.layer.mode == "add":
            return "include" if points.positive else "exclude"
        if active == boxes and boxes.mode == "add_rectangle":
            return "freeze" if self._view.boxes.freezing else "box"
        if active == self._view.mask.layer and active.mode in _PAINTING:
            return _PAINTING[active.mode]
        gripped = (active == points.layer and points.layer.mode in GRIPS) or (
            active == boxes and boxes.mode in GRIPS
        )
        return "adjust" if gripped else None

    def _tell(self, tool: str | None) -> None:
        self.tool = tool
        self._told(tool)


def _unproxied(layer: Any) -> Any:
    """Give a layer as it is: a viewer handed to a plugin shows its public side only."""
    return getattr(layer, "__wrapped__", layer)
