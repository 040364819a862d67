"""The point prompts of one object as an ordinary napari Points layer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from napari.layers import Points
from napari.utils.events import Event
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.icons import EXCLUDE, INCLUDE

NAME = "Prompts"
_SHARE_OF_EXTENT = 0.015


@dataclass(frozen=True)
class Mark:
    """A point prompt in the viewer: its identity, layer index (3 ints) and sign."""

    id: int
    place: tuple[float, ...]
    positive: bool


@dataclass(frozen=True)
class Ray:
    """A line of sight of the 3D view, in world coordinates."""

    position: tuple[float, ...]
    direction: tuple[float, ...]
    axes: tuple[int, ...]


def limit_canvas_size(layer: Points, least: float, most: float) -> None:
    """Keep points between so many pixels of the canvas, however far it is zoomed.

    In a slice without points napari draws one at the first voxel, which has no size but for a least
    one: there none is asked for.
    """

    def limit(_event: Event | None = None) -> None:
        seen = len(layer._view_indices)  # pyright: ignore[reportPrivateUsage]
        limits = (float(least if seen else 0), float(most))
        if layer.canvas_size_limits != limits:
            layer.canvas_size_limits = limits

    limit()
    layer.events.set_data.connect(limit)


class PointsLayer:
    """Shows marks, and signals what the user does to them.

    Only `show` writes what is shown; a change made by the user is signalled, and stays if the
    session agrees.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    """

    added = Signal(tuple, bool)
    added_in_3d = Signal(Ray, bool)
    moved = Signal(int, tuple)
    deleted = Signal(tuple)
    selected = Signal(tuple)

    def __init__(self, frame: Frame) -> None:
        extent = float(np.max(np.multiply(frame.shape, frame.spacing)))
        size = max(1.0, _SHARE_OF_EXTENT * extent / float(np.mean(frame.spacing)))
        self.layer = Points(
            np.empty((0, 3)),
            ndim=3,
            name=NAME,
            size=size,  # pyright: ignore[reportArgumentType]
            face_color=INCLUDE,
            border_color="white",
            border_width=0.12,
            **frame.placement,
        )
        limit_canvas_size(self.layer, 9, 18)
        self.layer.locked = True
        self._marks: tuple[Mark, ...] = ()
        self._ray: Ray | None = None
        self._positive = True
        self._busy = False
        self.layer.mouse_drag_callbacks.append(self._remember_ray)
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selected)

    @property
    def positive(self) -> bool:
        """Sign of the next point that is clicked."""
        return self._positive

    @positive.setter
    def positive(self, value: bool) -> None:
        self._positive = value
        if self.layer.selected_data:
            self.layer.selected_data = set()
            if not self._busy:
                self.selected.emit(())
        self.layer.current_face_color = INCLUDE if value else EXCLUDE

    @property
    def selected_ids(self) -> tuple[int, ...]:
        """Ids of the marks that the user selected."""
        rows = sorted(self.layer.selected_data)
        return tuple(self._marks[row].id for row in rows if row < len(self._marks))

    def show(self, marks: Sequence[Mark]) -> None:
        """Draw exactly these marks; what was selected stays so."""
        marks = tuple(marks)
        if marks == self._marks and self._drawn_as(marks):
            return
        chosen = set(self.selected_ids)
        self._marks = marks
        self._busy = True
        try:
            self._draw(marks, chosen)
        finally:
            self._busy = False

    def select(self, ids: Collection[int]) -> None:
        """Select exactly these of the marks."""
        rows = {row for row, mark in enumerate(self._marks) if mark.id in ids}
        if rows == set(self.layer.selected_data) or len(self.layer.data) != len(self._marks):
            return
        self._busy = True
        try:
            self.layer.selected_data = rows
            # napari gives the next point the colour of those selected.
            with self.layer.block_update_properties():
                self.layer.current_face_color = INCLUDE if self._positive else EXCLUDE
        finally:
            self._busy = False

    def _draw(self, marks: tuple[Mark, ...], chosen: set[int]) -> None:
        with self.layer.events.data.blocker():
            self.layer.selected_data = set()
            self.layer.data = np.array([mark.place for mark in marks], float).reshape(-1, 3)
            if marks:
                self.layer.face_color = [INCLUDE if m.positive else EXCLUDE for m in marks]
        self.positive = self._positive
        if self.layer.mode == "select":
            self.layer.selected_data = {i for i, m in enumerate(marks) if m.id in chosen}

    def _drawn_as(self, marks: tuple[Mark, ...]) -> bool:
        places = np.array([mark.place for mark in marks], float).reshape(-1, 3)
        return np.array_equal(self.layer.data, places)

    def _remember_ray(self, layer: Points, event: Event) -> None:
        direction = event.view_direction
        if len(event.dims_displayed) < 3 or direction is None:
            self._ray = None
        else:
            self._ray = Ray(tuple(event.position), tuple(direction), tuple(event.dims_displayed))

    def _on_selected(self, _event: Event | None = None) -> None:
        # In the other modes napari selects a point by itself as it is added.
        if not self._busy and self.layer.mode == "select":
            self.selected.emit(self.selected_ids)

    def _on_data(self, event: Event) -> None:
        change = str(getattr(event.action, "value", event.action))
        if change == "added":
            self._on_added(event.data_indices)
        elif change == "changed":
            self._on_moved(event.data_indices)
        elif change == "removed":
            gone = tuple(self._marks[i].id for i in event.data_indices if i < len(self._marks))
            self.deleted.emit(gone)

    def _on_added(self, indices: Sequence[int]) -> None:
        if self._ray is not None:
            self.added_in_3d.emit(self._ray, self._positive)
            return
        for place in np.asarray(self.layer.data)[list(indices)]:
            self.added.emit(tuple(float(value) for value in place), self._positive)

    def _on_moved(self, indices: Sequence[int]) -> None:
        for index in indices:
            if index < len(self._marks):
                place = tuple(float(value) for value in self.layer.data[index])
                self.moved.emit(self._marks[index].id, place)
