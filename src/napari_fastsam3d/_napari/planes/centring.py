"""How the mouse moves the crosshair: with Shift held, or by a click without a tool."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from napari.components import ViewerModel
from napari.utils.events import Event

_STILL = 3
"""Pixels by which the pointer may move in a click."""

Move = Callable[[ViewerModel, Event], None]
Press = Callable[[ViewerModel, Event], Iterator[None]]


class Centred(Protocol):
    """A view in which the mouse moves the crosshair."""

    @property
    def flat(self) -> bool:
        """Whether it shows slices."""
        ...

    @property
    def panning(self) -> bool:
        """Whether no tool is active."""
        ...

    def point(self, place: tuple[float, ...]) -> object:
        """Take note of the place of the world under the pointer."""

    def centre(self, place: tuple[float, ...]) -> object:
        """Move the crosshair to a place of the world."""


def mouse_callbacks(view: Centred) -> tuple[Move, Press]:
    """Return callbacks for the moves and the drags of a napari viewer, which do not hold `view`."""
    reference = weakref.ref(view)

    def on_move(_viewer: ViewerModel, event: Event) -> None:
        alive = reference()
        if alive is not None and alive.flat:
            place = tuple(event.position)
            alive.point(place)
            if "Shift" in event.modifiers:
                alive.centre(place)

    def on_press(_viewer: ViewerModel, event: Event) -> Iterator[None]:
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        alive = reference()
        still = np.abs(np.array(event.pos) - start).max() < _STILL
        if alive is not None and still and alive.flat and alive.panning:
            alive.centre(tuple(event.position))

    return on_move, on_press
