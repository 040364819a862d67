"""What happens in a viewer, as signals in a fixed order."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Image, Layer
from napari.utils.events import Event, EventEmitter
from psygnal import Signal

if TYPE_CHECKING:
    from napari.viewer import Viewer


class ViewerEvents:
    """Signals of one viewer; napari calls the listeners of its own events in no fixed order.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    """

    image_added = Signal(Image)
    layers_changed = Signal()
    """A layer was added or the order changed."""
    layer_removed = Signal(Layer)
    appearance_changed = Signal()
    """An image was shown, hidden, or blended in another way."""
    image_renamed = Signal()
    active_changed = Signal()
    dims_changed = Signal()
    """Other slices, another plane, or the 3D view are shown."""
    pointer_moved = Signal(tuple)
    """The pointer is at this place of the world."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        for emitter, slot in self._connections():
            emitter.connect(slot)
        reference = weakref.ref(self)

        def on_move(_viewer: Viewer, event: Event) -> None:
            # The viewer keeps this function, which therefore must not keep the widget.
            alive = reference()
            if alive is not None:
                alive.pointer_moved.emit(tuple(event.position))

        self._on_move = on_move
        viewer.mouse_move_callbacks.append(on_move)

    def close(self) -> None:
        """Listen to the viewer no more."""
        for emitter, slot in self._connections():
            emitter.disconnect(slot)
        self._viewer.mouse_move_callbacks.remove(self._on_move)

    def _connections(self) -> list[tuple[EventEmitter, Callable[..., None]]]:
        """Return what is listened to in the viewer, each with its slot."""
        layers, dims = self._viewer.layers, self._viewer.dims
        images = [layer for layer in layers if isinstance(layer, Image)]
        return [
            (layers.events.inserted, self._on_layers),
            (layers.events.reordered, self._on_layers),
            (layers.events.removed, self._on_removed),
            (layers.selection.events.active, self._on_active),
            *(connection for image in images for connection in self._of_image(image)),
            (dims.events.current_step, self._on_dims),
            (dims.events.order, self._on_dims),
            (dims.events.ndisplay, self._on_dims),
        ]

    def _of_image(self, layer: Image) -> list[tuple[EventEmitter, Callable[..., None]]]:
        events = layer.events
        seen = (events.visible, events.opacity, events.blending)
        return [*((each, self._on_appearance) for each in seen), (events.name, self._on_name)]

    def _on_layers(self, event: Event) -> None:
        layer = getattr(event, "value", None)
        if isinstance(layer, Image):
            for emitter, slot in self._of_image(layer):
                emitter.connect(slot)
            self.image_added.emit(layer)
        self.layers_changed.emit()

    def _on_removed(self, event: Event) -> None:
        self.layer_removed.emit(event.value)

    def _on_appearance(self, _event: Event | None = None) -> None:
        self.appearance_changed.emit()

    def _on_name(self, _event: Event | None = None) -> None:
        self.image_renamed.emit()

    def _on_active(self, _event: Event | None = None) -> None:
        self.active_changed.emit()

    def _on_dims(self, _event: Event | None = None) -> None:
        self.dims_changed.emit()
