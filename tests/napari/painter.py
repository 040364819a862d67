"""A hand that paints: what napari's mouse does to a Labels layer, with or without a window."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)


class Painter:
    """Presses, drags and releases the left button over places of a layer, in layer indices."""

    def __init__(self, viewer: Any, layer: Any) -> None:
        self._viewer, self._layer = viewer, layer

    def press(self, place: Sequence[float], button: int = 1) -> None:
        mouse_press_callbacks(self._layer, self._event("mouse_press", place, button))

    def move(self, place: Sequence[float]) -> None:
        mouse_move_callbacks(self._layer, self._event("mouse_move", place))

    def release(self, place: Sequence[float]) -> None:
        mouse_release_callbacks(self._layer, self._event("mouse_release", place))

    def hover(self, place: Sequence[float]) -> None:
        """Move without a button pressed."""
        mouse_move_callbacks(self._layer, self._event("mouse_hover", place))

    def stroke(self, *places: Sequence[float]) -> np.ndarray:
        """Draw through these places; return the voxels that napari changed, (N, 3)."""
        before = self._layer.data.copy()
        self.press(places[0])
        for place in places[1:]:
            self.move(place)
        changed = np.argwhere(self._layer.data != before)
        self.release(places[-1])
        return changed

    def _event(self, kind: str, place: Sequence[float], button: int = 1) -> Any:
        event = SimpleNamespace(
            type=kind,
            position=tuple(self._layer.data_to_world(place)),
            is_dragging=kind == "mouse_move",
            dims_displayed=list(self._viewer.dims.displayed),
            view_direction=None,
            button=button,
            modifiers=[],
            handled=False,
            pos=(0, 0),
        )
        return ReadOnlyWrapper(event, exceptions=("handled",))
