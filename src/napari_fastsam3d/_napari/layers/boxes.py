"""Boxes as ordinary napari Shapes layers: prompts that can be dragged, and the model's crop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from napari.layers import Shapes
from napari.utils.events import Event
from numpy.typing import NDArray
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.icons import BOX, FROZEN
from napari_fastsam3d._napari.layers.outline import Plane, drawn_box, outline, redrawn_box
from napari_fastsam3d.geometry import Box

NAME = "Boxes"
CROP_NAME = "Where the model looks"
_CROP_COLOUR = "#ffd24a"
_FROST = "#c9f1ff22"
GRIPS = ("select", "direct")
"""Modes of a layer in which its prompts are gripped to be moved."""


@dataclass(frozen=True)
class BoxMark:
    """A box in the viewer: its identity, its half-open box of layer indices, what it is."""

    id: int
    box: Box
    frozen: bool = False


@dataclass
class BoxRule:
    """What a rectangle that is drawn means, in every view of a session.

    Parameters
    ----------
    depth : float or None
        Extent in mm across the slice; None lets it be found.
    freezing : bool
        Whether a region is frozen and no box made.
    """

    depth: float | None = None
    freezing: bool = False


class BoxesLayer:
    """Shows boxes in whatever plane is shown, and signals what the user does to them.

    Each box is one rectangle: the cut of the box by the shown slice. So dragging its sides in
    one plane and then in another sets all six faces.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    rule : BoxRule, optional
        That of another view; one of its own by default.
    """

    added = Signal(Box, object)
    frozen = Signal(Box)
    refused = Signal(str)
    moved = Signal(int, Box)
    deleted = Signal(tuple)
    selected = Signal(tuple)

    def __init__(self, frame: Frame, rule: BoxRule | None = None) -> None:
        self._frame = frame
        self.rule = rule or BoxRule()
        self._boxes: tuple[BoxMark, ...] = ()
        self._frozen: tuple[bool, ...] = ()
        self._plane = Plane()
        self._busy = False
        self._drawing = False
        self.layer = shapes_layer(frame, NAME, BOX)
        self.layer.mouse_drag_callbacks.append(self._hold_still)
        self.layer.events.visible.connect(self._draw)
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selected)

    def show(self, boxes: Sequence[BoxMark]) -> None:
        """Draw exactly these boxes."""
        self._boxes = tuple(boxes)
        self._draw()

    def select(self, ids: Collection[int]) -> None:
        """Select exactly these of the boxes, where slices are shown."""
        rows = {row for row, shown in enumerate(self._boxes) if shown.id in ids}
        shown = self._plane.axis is not None and self.layer.nshapes == len(self._boxes)
        if self._busy or not shown or rows == set(self.layer.selected_data):
            return
        self._drawing = True
        try:
            self.layer.selected_data = rows
        finally:
            self._drawing = False

    def show_plane(self, plane: Plane) -> None:
        """Draw the boxes as cut by another plane."""
        if plane != self._plane:
            self._plane = plane
            self._draw()

    def _draw(self, _event: Event | None = None) -> None:
        # A rectangle that the user holds with the mouse is redrawn when it is let go. A hidden
        # layer doesn't know of a turn to the 3D view, and napari fails at rectangles added then.
        if self._busy or not self.layer.visible:
            return
        chosen = {self._boxes[i].id for i in self.layer.selected_data if i < len(self._boxes)}
        drawn = [
            (f, shown.frozen) for shown in self._boxes for f in outline(shown.box, self._plane)
        ]
        faces, frozen = [face for face, _ in drawn], tuple(cold for _, cold in drawn)
        if _drawn(self.layer, faces) and frozen == self._frozen:
            return
        self._frozen = frozen
        self._drawing = True
        try:
            with self.layer.events.data.blocker():
                _redraw(self.layer, faces, frozen)
            if self._plane.axis is not None and self.layer.mode in GRIPS:
                self.layer.selected_data = {i for i, b in enumerate(self._boxes) if b.id in chosen}
        finally:
            self._drawing = False

    def _on_selected(self, _event: Event | None = None) -> None:
        # In the other modes, and in 3D where a box is six faces, a selection is napari's own.
        if self._drawing or self._plane.axis is None or self.layer.mode not in GRIPS:
            return
        rows = sorted(self.layer.selected_data)
        self.selected.emit(tuple(self._boxes[row].id for row in rows if row < len(self._boxes)))

    def _hold_still(self, layer: Shapes, event: Event) -> Iterator[None]:
        self._busy = True
        yield
        while event.type == "mouse_move":
            yield
        self._busy = False

    def _on_data(self, event: Event) -> None:
        change = str(getattr(event.action, "value", event.action))
        if change == "added":
            self._on_added()
        elif change == "changed":
            self._on_moved(event.data_indices)
        elif change == "removed":
            gone = tuple(self._boxes[i].id for i in event.data_indices if i < len(self._boxes))
            self.deleted.emit(gone)

    def _on_added(self) -> None:
        drawn = self.layer.data[-1]
        # All slices are frozen unless a depth was chosen: "as deep as wide" would be a guess.
        rule = self.rule
        depth = inf if rule.freezing and rule.depth is None else rule.depth
        box = drawn_box(drawn, list(self._frame.spacing), self._frame.shape, depth)
        if box is None or sorted(box.shape)[1] < 2:
            self.refused.emit("Drag a rectangle round the structure: a single click makes no box.")
        elif rule.freezing:
            self.frozen.emit(box)
        else:
            # Where no depth was chosen it is a guess, which the session may better.
            guessed = int(np.argmin(np.ptp(np.asarray(drawn)[:, -3:], axis=0)))
            self.added.emit(box, guessed if rule.depth is None else None)

    def _on_moved(self, indices: Sequence[int]) -> None:
        for index in indices:
            if index >= len(self._boxes):
                continue
            shown = self._boxes[index]
            box = redrawn_box(self.layer.data[index], shown.box, self._frame.shape)
            if box is None:
                self.refused.emit("The box left the scan and was put back.")
            else:
                self.moved.emit(shown.id, box)


class CropLayer:
    """Outlines the crop that the model was given, in whatever plane is shown.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    crop : callable
        Returns the half-open box of layer indices of that crop, or None.
    """

    def __init__(self, frame: Frame, crop: Callable[[], Box | None]) -> None:
        self._crop = crop
        self._plane = Plane()
        self.shown = False
        self.layer = shapes_layer(frame, CROP_NAME, _CROP_COLOUR)
        self.layer.events.visible.connect(self.show)
        self.layer.editable = False

    def show_plane(self, plane: Plane) -> None:
        """Draw the outline as cut by another plane."""
        if plane != self._plane:
            self._plane = plane
            self.show()

    def show(self, _event: Event | None = None) -> None:
        """Draw the outline of the crop as it is now, if it is to be seen."""
        if not (self.shown and self.layer.visible):
            return
        crop = self._crop()
        faces = [] if crop is None or crop.is_empty else outline(crop, self._plane)
        if not _drawn(self.layer, faces):
            _redraw(self.layer, faces)
        self.layer.editable = False


def shapes_layer(frame: Frame, name: str, colour: str, **more: Any) -> Shapes:
    """Return a layer of outlines on the grid of the scan, which the user can't remove."""
    layer = Shapes(
        ndim=3,
        name=name,
        edge_color=colour,
        face_color="transparent",
        edge_width=_edge_width(frame),  # pyright: ignore[reportArgumentType]
        opacity=0.9,
        **frame.placement,
        **more,
    )
    layer.locked = True
    return layer


def _edge_width(frame: Frame) -> float:
    extent = float(np.max(np.multiply(frame.shape, frame.spacing)))
    return max(0.2, 0.003 * extent / float(np.min(frame.spacing)))


def _drawn(layer: Shapes, faces: Sequence[NDArray[np.float64]]) -> bool:
    """Whether just these are shown already; drawing them takes napari a tenth of a second."""
    return layer.nshapes == len(faces) and all(map(np.array_equal, layer.data, faces))


def _redraw(
    layer: Shapes, faces: Sequence[NDArray[np.float64]], frozen: Sequence[bool] = ()
) -> None:
    colour, width = layer.current_edge_color, layer.current_edge_width
    cold = frozen or [False] * len(faces)
    layer.selected_data = set()
    if layer.nshapes:
        layer.remove(list(range(layer.nshapes)))
    if len(faces):
        layer.add(
            list(faces),
            shape_type="rectangle",
            edge_color=[FROZEN if each else colour for each in cold],
            edge_width=width,
            face_color=[_FROST if each else "transparent" for each in cold],
        )
