"""Window and level of the scan in view: presets, dragging with the right button, typed values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from napari.utils.events import Event, EventEmitter
from psygnal import Signal

from napari_fastsam3d._napari.layers.contrast import (
    PRESETS,
    GreyWindow,
    Limits,
    auto_window,
    is_ct,
    opening_window,
    value_range,
)
from napari_fastsam3d.geometry import Volume

if TYPE_CHECKING:
    from napari.viewer import Viewer

_PIXELS = 256.0
"""A drag this far to the right doubles the width, and up lowers the level by a width."""
_LEAST_SHARE = 0.02
_WHOLE = 0.8
_TAKING = ("paint", "polygon")
"""Modes of a Labels layer in which napari gives the right button something of its own to do."""


class Windowing:
    """Sets the contrast limits of the chosen scan.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    """

    changed = Signal()
    message = Signal(str)
    """What the user should know; empty when that is over."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._volume: Volume | None = None
        self._held: GreyWindow | None = None

    def show_preset(self, name: str) -> None:
        """Show a CT in a window of `PRESETS`."""
        self.set(PRESETS[name])

    def show_auto(self) -> None:
        """Choose the window by the values of tissue."""
        if self._volume is not None:
            self.set(auto_window(self._volume))

    @property
    def window(self) -> GreyWindow | None:
        """The window that the scan is shown with; None where there is no scan."""
        if self._layer is None:
            return None
        return GreyWindow.between(_limits_of(self._layer))

    @property
    def preset(self) -> str | None:
        """The name of the preset that is shown, if it is one."""
        window = self.window
        return next((name for name, each in PRESETS.items() if each == window), None)

    @property
    def hounsfield(self) -> bool:
        """Whether the presets of CT may fit: it is one, or nobody knows what it is."""
        return self._volume is not None and is_ct(self._volume) is not False

    def serve(self, layer: Image | None, volume: Volume | None) -> None:
        """Work on the layer of another scan; one that nobody has windowed yet is windowed."""
        if layer is self._layer and volume is self._volume:
            return
        for emitter, slot in self._listened():
            emitter.disconnect(slot)
        self._layer, self._volume, self._held = layer, volume, None
        for emitter, slot in self._listened():
            emitter.connect(slot)
        if layer is not None and volume is not None:
            open_window(layer, volume)
        self.changed.emit()

    def set(self, window: GreyWindow) -> None:
        """Show the scan with a window."""
        if self._layer is not None and window.width > 0:
            _show(self._layer, window)

    @property
    def decimals(self) -> int:
        """How many decimals tell two greys of the scan apart."""
        return 0 if self._layer is None else decimals_of(self._layer)

    @property
    def free(self) -> bool:
        """Whether the right button is not needed by the layer that is painted in."""
        active = self._viewer.layers.selection.active
        taken = isinstance(active, Labels) and active.mode in _TAKING
        return self._layer is not None and not taken

    def begin_drag(self) -> None:
        """Remember the window from which a drag starts."""
        self._held = self.window

    def drag(self, right: float, up: float) -> None:
        """Widen the window by a drag to the right, and brighten the scan by one up (pixels)."""
        held, layer = self._held, self._layer
        if held is None or layer is None:
            return
        span = float(np.ptp(_range_of(layer)))
        unit = max(held.width, _LEAST_SHARE * span) / _PIXELS
        width = max(held.width + right * unit, unit)
        window = GreyWindow(held.level - up * unit, width)
        self.set(_rounded(window, layer))
        self.message.emit(window_text(self.window, layer))

    def end_drag(self) -> None:
        """Let go."""
        self._held = None
        self.message.emit("")

    def _listened(self) -> list[tuple[EventEmitter, Callable[..., None]]]:
        if self._layer is None:
            return []
        events = self._layer.events
        return [
            (events.contrast_limits, self._on_limits),
            (events.contrast_limits_range, self._on_range),
        ]

    def _on_limits(self, _event: Event | None = None) -> None:
        self.changed.emit()

    def _on_range(self, _event: Event | None = None) -> None:
        # napari's "full range" is that of the type, which no one can drag in: +-32 768 for CT.
        layer, volume = self._layer, self._volume
        if layer is None or volume is None or np.dtype(layer.dtype).kind not in "iu":
            return
        limits = np.iinfo(np.dtype(layer.dtype))
        if _range_of(layer) == (limits.min, limits.max):
            layer.contrast_limits_range = _wide_enough(value_range(volume), layer)


def open_window(layer: Image, volume: Volume) -> None:
    """Give the slider of a scan the range of its values, and a scan shown in all of it a window.

    Limits that fill their range are those that a reader left; limits that someone chose stay.
    """
    if _limits_of(layer) != _range_of(layer):
        return
    values = value_range(volume)
    if np.ptp(_limits_of(layer)) > _WHOLE * np.ptp(values):
        _show(layer, opening_window(volume))
    layer.contrast_limits_range = _wide_enough(values, layer)


def window_text(window: GreyWindow | None, layer: Image) -> str:
    """Return level and width as text."""
    if window is None:
        return ""
    places = decimals_of(layer)
    return f"Level {window.level:.{places}f}, width {window.width:.{places}f}"


def decimals_of(layer: Image) -> int:
    """Return how many decimals tell two greys of a scan apart."""
    span = float(np.ptp(_range_of(layer)))
    return int(np.clip(3 - np.floor(np.log10(span)), 0, 6)) if span > 0 else 0


def _rounded(window: GreyWindow, layer: Image) -> GreyWindow:
    places = decimals_of(layer)
    width = max(round(window.width, places), 10.0**-places)
    return GreyWindow(round(window.level, places), width)


def _wide_enough(limits: Limits, layer: Image) -> Limits:
    low, high = _limits_of(layer)
    return min(limits[0], low), max(limits[1], high)


def _show(layer: Image, window: GreyWindow) -> None:
    layer.contrast_limits = list(window.limits)  # pyright: ignore[reportAttributeAccessIssue]


def _limits_of(layer: Image) -> Limits:
    low, high = np.asarray(layer.contrast_limits, np.float64)
    return float(low), float(high)


def _range_of(layer: Image) -> Limits:
    low, high = np.asarray(layer.contrast_limits_range, np.float64)
    return float(low), float(high)
