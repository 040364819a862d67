# pyright: basic
"""The sessions of the scans in one viewer: one for each, kept while the user works on another."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Executor
from typing import Any

from napari.layers import Image
from psygnal import Signal

from napari_fastsam3d._napari.bridge import Bridge, Ending, notify, tell
from napari_fastsam3d._napari.frame import Frame, frame_of_layer, scan_in, shows
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.session import (
    BoxPrompt,
    Edit,
    Freeze,
    MaskPrompt,
    ModelThread,
    ObjectState,
    Point,
    Prompt,
    Session,
    SessionState,
)

_REPLACED = (
    "The voxels of {name} were replaced, so its segmentation begins anew. "
    "The mask of the old ones is a hidden layer now."
)

Key = tuple[Hashable, tuple[int, ...]]


class ScanViews:
    """Begins a session for a scan when it is first chosen, and finds it again later.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    thread : ModelThread
        Shared by all sessions, so that the model is loaded once.
    files : Executor
        Where arrays of other readers are made ready.
    bridge : Bridge
    ending : Ending
        Closes the sessions when the widget or the application ends.
    opacity : float
        Of a mask, in [0, 1].
    journals : bool
        Whether every change is kept on disk.
    """

    switched = Signal(object)
    refused = Signal(object)

    def __init__(
        self,
        viewer: Any,
        thread: ModelThread,
        files: Executor,
        bridge: Bridge,
        ending: Ending,
        opacity: float,
        journals: bool = True,
    ) -> None:
        self._viewer, self._thread, self._files = viewer, thread, files
        self._journals = journals
        self._bridge, self._ending, self._opacity = bridge, ending, opacity
        self._views: dict[Key, SessionView] = {}
        self._wanted: Key | None = None
        self.current: SessionView | None = None

    def use(self, layer: Image | None) -> None:
        """Work on an image layer, or on none."""
        self._wanted = None if layer is None else self._key(layer)
        if layer is None or self._wanted is None:
            self._switch(None)
        elif self._wanted in self._views:
            self._switch(self._views[self._wanted])
        elif scan_in(layer.metadata) is not None:
            self._begin_at_once(self._wanted, layer)
        else:
            self._begin_later(self._wanted, layer)

    def follow(self, layer: Image | None) -> None:
        """Go to the session of the frame that is shown now, where the image has several."""
        if layer is not None and layer.ndim > 3 and self._key(layer) != self._wanted:
            self.use(layer)

    def forget(self, layer: Any) -> None:
        """React to a layer that left the viewer: an image ends its session, a mask comes back."""
        gone = self._end(layer)
        view = self.current
        if view is not None and not gone and any(layer == own for own in view.layers):
            self._bridge.soon(lambda: self._put_back(view))

    def change_model(self, thread: ModelThread) -> None:
        """Do all sessions again with another model: same objects, same prompts."""
        self._thread = thread
        for key, old in list(self._views.items()):
            old.close()
            old.remove_layers(keep_mask=False)
            session = Session(old.frame.volume, model=thread)
            view = self._make(key, old.image, old.frame, session)
            repeat(old.session.state, view)
            if old is self.current:
                self._switch(view)
            else:
                view.show(False)

    def _end(self, layer: Any) -> list[SessionView]:
        """End the sessions of an image."""
        gone = [self._views.pop(key) for key in list(self._views) if key[0] == layer.unique_id]
        for view in gone:
            view.close()
            self._bridge.soon(view.remove_layers)
            if view is self.current:
                self._switch(None)
        return gone

    def _on_data(self, event: Any) -> None:
        # The layer is still in the middle of its own change.
        layer = event.source
        self._bridge.soon(lambda: self._begin_anew(layer))

    def _begin_anew(self, layer: Image) -> None:
        """Segment what an image shows now, where its array was replaced by another."""
        own = [view for key, view in self._views.items() if key[0] == layer.unique_id]
        if not own or all(shows(layer, view.frame.volume) for view in own):
            return
        used = any(view.session.state.objects for view in own)
        chosen = self._wanted is not None and self._wanted[0] == layer.unique_id
        layer.events.data.disconnect(self._on_data)
        self._end(layer)
        if used:
            tell(_REPLACED.format(name=layer.name))
        if chosen:
            self.use(layer)

    def _key(self, layer: Image) -> Key:
        leading = tuple(self._viewer.dims.current_step)[: max(0, layer.ndim - 3)]
        return (layer.unique_id, tuple(int(step) for step in leading))

    def _begin_at_once(self, key: Key, layer: Image) -> None:
        try:
            frame = frame_of_layer(layer)
        except Exception as error:  # whatever a foreign layer holds, the widget goes on
            self._refuse(error)
        else:
            self._begin(key, layer, frame)

    def _begin_later(self, key: Key, layer: Image) -> None:
        self._switch(None)
        made = self._files.submit(frame_of_layer, layer, key[1])
        self._bridge.watch(made, lambda frame: self._begin(key, layer, frame), self._refuse)

    def _begin(self, key: Key, layer: Image, frame: Frame) -> None:
        if key != self._wanted:
            return
        session = Session(frame.volume, model=self._thread)
        self._switch(self._make(key, layer, frame, session))

    def _make(self, key: Key, layer: Image, frame: Frame, session: Session) -> SessionView:
        view = SessionView(self._viewer, layer, frame, session, self._opacity)
        # The closers hold the session and not the view, which would keep the viewer alive.
        self._ending.add(view.bridge.close)
        self._ending.add(session.close)
        self._views[key] = view
        layer.events.data.connect(self._on_data)
        if self._journals:
            view.keep_journal()
        return view

    def _switch(self, view: SessionView | None) -> None:
        if self.current is not None and self.current is not view:
            self.current.show(False)
        self.current = view
        if view is not None:
            view.show(True)
            view.attach()
        self.switched.emit(view)

    def _refuse(self, error: BaseException) -> None:
        self._switch(None)
        notify(error)
        self.refused.emit(error)

    def _put_back(self, view: SessionView) -> None:
        if view is self.current and any(view.image == layer for layer in self._viewer.layers):
            view.attach()


def repeat(state: SessionState, view: SessionView) -> None:
    """Make the objects and prompts of another session again in this one, without waiting.

    A locked object comes with its mask in place of its prompts: another model must not change it.
    """
    ids: dict[int, int | None] = {}
    if state.overlap != view.session.state.overlap:
        view.run("set_overlap", state.overlap)
    for each in state.objects:
        ids[each.id] = _repeat_object(each, view)
    if state.current is not None:
        view.run("select_object", ids[state.current])


def _repeat_object(each: ObjectState, view: SessionView) -> int | None:
    first = each.prompts[0] if each.prompts else None
    if each.locked is not None and not each.locked.is_empty:
        view.run("add_mask", each.locked.unpack(), each.name, each.value)
    elif isinstance(first, MaskPrompt):
        view.run("add_mask", first.mask.unpack(), each.name, each.value)
    else:
        view.run("new_object", each.name, each.value)
    number = view.session.state.current
    if number is not None and each.colour != view.session.state.object(number).colour:
        view.run("recolour_object", number, each.colour)
    if each.locked is None:
        for prompt in each.prompts:
            _repeat_prompt(prompt, view)
    else:
        view.run("accept_object" if each.accepted else "lock_object")
    return number


def _repeat_prompt(prompt: Prompt, view: SessionView) -> None:
    match prompt:
        case Point():
            view.run("add_point", prompt.index, prompt.positive)
        case BoxPrompt():
            view.run("add_box", prompt.box.start, prompt.box.stop)
        case Freeze():
            view.run("freeze_region", prompt.box.start, prompt.box.stop)
        case Edit():
            view.run("edit_mask", prompt.added.unpack(), prompt.removed.unpack())
        case MaskPrompt():
            # It began the object.
            pass
