"""Painting by hand in the layer of the masks: each stroke becomes one edit of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.events import Event

from napari_fastsam3d._napari.layers.masks import LabelMap, MaskLayer
from napari_fastsam3d._napari.layers.prompt_input import CommandRunner
from napari_fastsam3d._napari.layers.stroke import Stroke, stroke_of
from napari_fastsam3d._napari.main_thread import Dispatcher
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Mask, ObjectState, Result, Session

UNKNOWN_LABEL = "No object has the label {label}: the brush paints the object chosen in the list."
_BRUSHES = ("paint", "fill", "polygon")


@dataclass(frozen=True, eq=False)
class _Waiting:
    """An edit that is in the log but not yet in the masks."""

    answer: Future[Result]
    object: int
    prompt: int
    value: int
    box: Box
    added: Mask
    removed: Mask

    def draw(self, labels: LabelMap, box: Box) -> None:
        self.added.write(labels, box, self.value)
        self.removed.write(labels, box, 0)


class Brush:
    """Lets napari's own brush, eraser, fill bucket and polygon edit the current object.

    The layer shows the state of the session; a stroke is shown as painted until its edit is in the
    masks, and while the user paints nothing is written under the brush.

    Parameters
    ----------
    mask : MaskLayer
    session : Session
    dispatcher : Dispatcher
    run : CommandRunner
    message : callable
        Called with what the user should know.
    """

    def __init__(
        self,
        mask: MaskLayer,
        session: Session,
        dispatcher: Dispatcher,
        run: CommandRunner,
        message: Callable[[str], object],
    ) -> None:
        self._mask, self._session, self._dispatcher = mask, session, dispatcher
        self._run, self._message = run, message
        self._waiting: list[_Waiting] = []
        self._held: list[Box] = []
        self._strokes: dict[Labels, Any] = {}
        self._pressed = False
        self._flat = True
        self._value = 0
        events = mask.layer.events
        events.selected_label.connect(self._on_label)
        events.editable.connect(self._keep_editable)
        self.attach(mask.layer)

    @property
    def drawing(self) -> bool:
        """Whether the user is in the middle of a stroke."""
        return self._pressed or any(each.active for each in self._strokes.values())

    def attach(self, layer: Labels) -> None:
        """Let strokes in a layer of the same array edit too, such as that of another view."""
        layer.events.paint.connect(self._on_paint)
        layer.events.mode.connect(self._on_mode)
        layer.mouse_drag_callbacks.append(self._press)
        # napari's right-button stroke spans several presses; the layer has no event for it.
        overlays: Any = layer._overlays  # pyright: ignore[reportPrivateUsage]
        self._strokes[layer] = overlays["brush_stroke"]
        self._strokes[layer].events.active.connect(self._release)

    def detach(self, layer: Labels) -> None:
        """Leave a layer to napari."""
        if layer not in self._strokes:
            return
        layer.events.paint.disconnect(self._on_paint)
        layer.events.mode.disconnect(self._on_mode)
        layer.mouse_drag_callbacks.remove(self._press)
        self._strokes.pop(layer).events.active.disconnect(self._release)

    def follow_view(self, flat: bool) -> None:
        """Note whether slices are shown: in the 3D view nothing can be painted.

        napari's brush would paint in a plane there that the user does not see.
        """
        self._flat = flat
        self._keep_editable()

    def follow(self) -> None:
        """Paint with the label of the current object, and forget strokes that were undone."""
        own = self._current
        state = self._session.state
        value = state.free_value(state.next_object) if own is None else own.value
        if value != self._value:
            self._value = value
            self._mask.paint_with(value)
        kept = {prompt.id for each in state.objects for prompt in each.prompts}
        self._drop([each for each in self._waiting if each.prompt not in kept])

    def redraw(self, box: Box) -> None:
        """Show the masks in a source box, now or when the stroke under way has ended."""
        if self.drawing:
            self._held.append(box)
        elif not box.is_empty:
            self._mask.write(box, self._labels(box))

    def settle(self) -> None:
        """Show the masks themselves where strokes have come to be part of them."""
        open_ones = {each.object for each in self._waiting if not each.answer.done()}
        self._drop(
            [
                each
                for each in self._waiting
                if each.answer.done() and not (each.object in open_ones and _overtaken(each))
            ]
        )

    def close(self) -> None:
        """Leave the layer to napari."""
        events = self._mask.layer.events
        for layer in list(self._strokes):
            self.detach(layer)
        events.selected_label.disconnect(self._on_label)
        events.editable.disconnect(self._keep_editable)
        self._mask.layer.editable = True

    @property
    def _current(self) -> ObjectState | None:
        state = self._session.state
        return None if state.current is None else state.object(state.current)

    def _labels(self, box: Box) -> LabelMap:
        labels = self._session.label_map(box)
        for each in self._waiting:
            each.draw(labels, box)
        return labels

    def _drop(self, strokes: list[_Waiting]) -> None:
        self._waiting = [each for each in self._waiting if each not in strokes]
        for each in strokes:
            self.redraw(each.box)

    def _press(self, _layer: Labels, event: Event) -> Iterator[None]:
        self._pressed = True
        yield
        while event.type == "mouse_move":
            yield
        self._pressed = False
        self._release()

    def _release(self, _event: Event | None = None) -> None:
        self._dispatcher.defer(self._draw_held)

    def _draw_held(self) -> None:
        if not self.drawing:
            held, self._held = self._held, []
            for box in held:
                self.redraw(box)

    def _on_paint(self, event: Event) -> None:
        item, own, value = event.value, self._current, self._value
        stroke = stroke_of(list(item), value, self._mask.frame)

        def commit() -> None:
            # Undone by napari's own history, the layer would not show the masks any more.
            item.clear()
            if stroke is not None:
                self._commit(stroke, None if own is None else own.id)

        # napari emits the event of a polygon before it has written it.
        self._dispatcher.defer(commit)

    def _commit(self, stroke: Stroke, number: int | None) -> None:
        state = self._session.state
        if number is None or state.has(number):
            own = None if number is None else state.object(number)
            if own is not None and own.locked is not None:
                self._message(f"{own.name} is locked. Unlock it, or paint another object.")
            else:
                self._edit(stroke, own)
        self.redraw(stroke.box)

    def _edit(self, stroke: Stroke, own: ObjectState | None) -> None:
        added, removed = self._shares(stroke, own)
        if added.is_empty and removed.is_empty:
            self._message("That belongs to other objects, which keep it.")
            return
        number = None if own is None else own.id
        answer = self._run(lambda session: session.edit_mask(added, removed, number))
        current = self._current
        if answer is not None and not answer.done() and current is not None:
            edit = current.prompts[-1].id
            self._waiting.append(
                _Waiting(answer, current.id, edit, current.value, stroke.box, added, removed)
            )

    def _shares(self, stroke: Stroke, own: ObjectState | None) -> tuple[Mask, Mask]:
        """Return what a stroke adds to an object and takes from it, leaving others theirs."""
        labels = self._labels(stroke.box)
        added = stroke.painted & ~np.isin(labels, self._protected(own))
        if own is None:
            return Mask.of(stroke.box, added), Mask.empty()
        mine = (labels == own.value) | self._session.region(own.id).within(stroke.box)
        return Mask.of(stroke.box, added), Mask.of(stroke.box, stroke.erased & mine)

    def _protected(self, own: ObjectState | None) -> list[int]:
        """Return the labels that can't be painted over, by the session's rule of overlap."""
        state = self._session.state
        others = [each for each in state.objects if own is None or each.id != own.id]
        if state.overlap == "share":
            return []
        return [each.value for each in others if state.overlap == "keep" or each.locked is not None]

    def _on_mode(self, event: Event) -> None:
        if event.source.mode in _BRUSHES:
            self._mask.paint_with(self._value)

    def _on_label(self, _event: Event | None = None) -> None:
        # The layer is still in the middle of its own change.
        self._dispatcher.defer(self._choose_label)

    def _choose_label(self) -> None:
        """Take a label that the user chose as a choice of its object; background erases."""
        label = self._mask.layer.selected_label
        if label in (0, self._value):
            return
        chosen = [each.id for each in self._session.state.objects if each.value == label]
        if chosen:
            self._run(lambda session: session.select_object(chosen[0]))
        else:
            self._message(UNKNOWN_LABEL.format(label=label))
            self._mask.paint_with(self._value)

    def _keep_editable(self, _event: Event | None = None) -> None:
        if self._mask.layer.editable != self._flat:
            self._mask.layer.editable = self._flat


def _overtaken(each: _Waiting) -> bool:
    answer = each.answer
    return not answer.cancelled() and answer.exception() is None and answer.result().stale
