"""Tells that an image in the viewer got other voxels, or another voxel size or place."""

from __future__ import annotations

from collections.abc import Hashable

from napari.layers import Image
from napari.utils.events import Event
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_fastsam3d._napari.main_thread import Dispatcher

_PLACES = ("scale", "translate", "rotate", "shear", "affine", "units")
_SETTLING_MS = 300


class ImageChanges:
    """Watches images; a row of changes of place, as while one is dragged, is told of once.

    Parameters
    ----------
    dispatcher : Dispatcher
    """

    replaced = Signal(object)
    """The array of an image was replaced by another: the layer."""
    moved = Signal(object)
    """The voxel size or the place of an image was changed: the layer."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._moves: dict[Hashable, int] = {}

    def watch(self, layer: Image) -> None:
        """Tell of the changes of an image from now on."""
        layer.events.data.connect(self._on_data)
        for name in _PLACES:
            getattr(layer.events, name).connect(self._on_place)

    def unwatch(self, layer: Image) -> None:
        """Tell no more that the voxels of an image were replaced."""
        layer.events.data.disconnect(self._on_data)

    def _on_data(self, event: Event) -> None:
        # The layer is still in the middle of its own change.
        layer = event.source
        self._dispatcher.defer(lambda: self.replaced.emit(layer))

    def _on_place(self, event: Event) -> None:
        # Several of these come with one change, and many while a layer is dragged.
        layer = event.source
        move = self._moves[layer.unique_id] = self._moves.get(layer.unique_id, 0) + 1

        def settle() -> None:
            if self._moves.get(layer.unique_id) == move:
                del self._moves[layer.unique_id]
                self.moved.emit(layer)

        QTimer.singleShot(_SETTLING_MS, lambda: self._dispatcher.defer(settle))
