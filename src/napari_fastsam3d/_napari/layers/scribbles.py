"""Scribbles and lassos as an ordinary napari Points layer: their voxels, and new ones as drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from napari.layers import Points
from napari.utils.colormaps.standardize_color import transform_color
from napari.utils.events import Event
from numpy.typing import NDArray
from psygnal import Signal
from scipy import ndimage

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.icons import EXCLUDE, INCLUDE
from napari_fastsam3d._napari.layers.points import limit_canvas_size
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.drawing import voxels_along
from napari_fastsam3d.session import PackedMask, Scribble

NAME = "Scribbles"
DrawingTool = Literal["scribble", "lasso"]
_SELECTED = "#ffffff"
_OPPOSITE = "Shift"
_LEFT = 1


@dataclass(frozen=True, eq=False)
class Drawing:
    """What the user draws, or has drawn.

    Parameters
    ----------
    tool : {"scribble", "lasso"}
    path : ndarray of float, shape (N, 3)
        Layer coordinates, all in one slice.
    axis : int
        Layer axis that the slice is across.
    positive : bool
    """

    tool: DrawingTool
    path: NDArray[np.float64]
    axis: int
    positive: bool

    @property
    def voxels(self) -> NDArray[np.intp]:
        """What is shown of it: its line, and of a lasso a dotted one that closes it."""
        line = voxels_along(self.path)
        if self.tool == "scribble":
            return line
        return np.concatenate([line, voxels_along(self.path[[-1, 0]])[::2]])


class ScribblesLayer:
    """Shows scribbles and lassos, and signals what the user draws.

    A scribble is drawn by a drag in a slice, with Shift held as one that excludes. Nothing in the
    layer can be edited by napari's own tools.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    """

    drawn = Signal(Drawing)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._tool: DrawingTool | None = None
        self._prompts: tuple[Scribble, ...] = ()
        self._selected: frozenset[int] = frozenset()
        self._drawing: Drawing | None = None
        self._pressed, self._flat = False, True
        self.layer = Points(
            np.empty((0, 3)),
            ndim=3,
            name=NAME,
            size=1.2,  # pyright: ignore[reportArgumentType]
            symbol="square",
            border_width=0,
            opacity=0.7,
            **frame.placement,
        )
        limit_canvas_size(self.layer, 3, 10000)
        # napari's status bar asks for it in a thread of its own, while what is drawn changes.
        self.layer.get_value = _no_value  # pyright: ignore[reportAttributeAccessIssue]
        self.layer.locked = True
        self.layer.editable = False
        self.layer.events.editable.connect(self._keep_uneditable)
        self.layer.events.mode.connect(self._hold_camera)
        self.layer.mouse_drag_callbacks.append(self._drag)

    @property
    def tool(self) -> DrawingTool | None:
        """What a drag draws; None lets it move the picture."""
        return self._tool

    @tool.setter
    def tool(self, tool: DrawingTool | None) -> None:
        self._tool = tool
        self.cancel()
        self._hold_camera()

    def follow_view(self, flat: bool) -> None:
        """Note whether slices are shown: in the 3D view a drag turns the picture."""
        self._flat = flat
        self._hold_camera()

    def show(self, prompts: Sequence[Scribble]) -> None:
        """Draw exactly these, and nothing that was being drawn unless the mouse is still down."""
        prompts = tuple(prompts)
        stale = self._drawing is not None and not self._pressed
        if stale or prompts != self._prompts:
            self._prompts = prompts
            self._drawing = None if stale else self._drawing
            self._draw()

    def select(self, ids: Collection[int]) -> None:
        """Show that exactly these are selected."""
        selected = frozenset(ids) & {prompt.id for prompt in self._prompts}
        if selected != self._selected:
            self._selected = selected
            self._draw()

    def cancel(self) -> bool:
        """Forget what is being drawn; whether anything was."""
        if not self._pressed:
            return False
        self._pressed, self._drawing = False, None
        self._draw()
        return True

    def move(self, frame: Frame) -> None:
        """Draw in another frame of the same volume."""
        self._frame = frame

    def _drag(self, layer: Points, event: Event) -> Iterator[None]:
        if self._tool is None or event.button != _LEFT or len(event.dims_displayed) != 2:
            return
        extra = len(event.position) - 3
        axis = next(d for d in range(3) if d + extra not in event.dims_displayed)
        positive = _OPPOSITE not in event.modifiers
        path = [self._place(event)]
        self._pressed = True
        self._follow(Drawing(self._tool, np.array(path), axis, positive))
        yield
        while event.type == "mouse_move" and self._pressed:
            place = self._place(event)
            place[axis] = path[0][axis]  # slices that are scrolled to meanwhile are not drawn in
            path.append(place)
            self._follow(Drawing(self._tool, np.array(path), axis, positive))
            yield
        while event.type == "mouse_move":
            yield
        if self._pressed and self._drawing is not None:
            self._pressed = False
            self.drawn.emit(self._drawing)

    def _place(self, event: Event) -> NDArray[np.float64]:
        return np.asarray(self.layer.world_to_data(event.position), np.float64)[-3:]

    def _follow(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._draw()

    def _draw(self) -> None:
        shown = [(each.positive, each.id, self._places(each)) for each in self._prompts]
        if (now := self._drawing) is not None:
            inside = Box.whole(self._frame.shape)
            voxels = now.voxels
            kept = ((voxels >= inside.start) & (voxels < inside.stop)).all(axis=1)
            shown.append((now.positive, -1, voxels[kept].astype(float)))
        places = [np.empty((0, 3)), *(found for _, _, found in shown)]
        colours = [np.empty((0, 4)), *(self._colours(*each) for each in shown)]
        self.layer.data = np.concatenate(places)
        if len(self.layer.data):
            self.layer.face_color = np.concatenate(colours)

    def _colours(
        self, positive: bool, number: int, places: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        colour = INCLUDE if positive else EXCLUDE
        chosen = _SELECTED if number in self._selected else colour
        return np.repeat(transform_color(chosen), len(places), axis=0)

    def _places(self, prompt: Scribble) -> NDArray[np.float64]:
        return self._frame.to_layer(_line_of(prompt.voxels, prompt.filled)).reshape(-1, 3)

    def _keep_uneditable(self, _event: Event | None = None) -> None:
        if self.layer.editable:
            self.layer.editable = False

    def _hold_camera(self, _event: Event | None = None) -> None:
        self.layer.mouse_pan = self._tool is None or not self._flat


def _no_value(*_position: object, **_view: object) -> None:
    """Return no value for any position."""


@lru_cache(maxsize=256)
def _line_of(voxels: PackedMask, filled: bool) -> NDArray[np.intp]:
    """Return the voxels of a scribble, or of the rim of a lasso: source indices, (N, 3)."""
    mask = voxels.unpack()
    drawn = mask.voxels
    if filled:
        flat = next((axis for axis, n in enumerate(drawn.shape) if n == 1), 0)
        cross = np.expand_dims(ndimage.generate_binary_structure(2, 1), flat)
        drawn = drawn & ~np.asarray(ndimage.binary_erosion(drawn, cross), np.bool_)
    return np.argwhere(drawn) + mask.box.start
