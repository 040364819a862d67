"""The sessions of the scans in one viewer: one for each, kept while the user works on another."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image, Layer
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame, frame_of_layer, moved, shows
from napari_fastsam3d._napari.layer_geometry import scan_in
from napari_fastsam3d._napari.layers.image_changes import ImageChanges
from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher, notify, show_message
from napari_fastsam3d._napari.memory_keeper import MemoryKeeper
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.memory.question import Way
from napari_fastsam3d.session import EarlierSession, ModelThread, Session, sessions_folder
from napari_fastsam3d.session.journal.recovery import journal_path

if TYPE_CHECKING:
    from napari.viewer import Viewer

_REPLACED = (
    "The voxels of {name} were replaced, so its segmentation begins anew. "
    "The mask of the old ones is a hidden layer now."
)

_MOVED = (
    "The voxel size or the place of {name} was changed: with the new one its objects are segmented "
    "again."
)
_SHOWN_ELSEWHERE = (
    "{name} is shown with another voxel size or place now. Its masks are made and saved with those "
    "of its file all the same."
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
    dispatcher : Dispatcher
    cleanup : CleanupStack
        Closes the sessions when the widget or the application ends.
    opacity : float
        Of a mask, in [0, 1].
    journals : bool
        Whether every change is kept on disk.
    memory : MemoryKeeper
        What earlier cases are recalled from.
    """

    switched = Signal(object)
    """Another session is shown: its `SessionView`, or None."""
    refused = Signal(Exception)
    """An image can't be segmented: why."""

    def __init__(
        self,
        viewer: Viewer,
        thread: ModelThread,
        files: Executor,
        dispatcher: Dispatcher,
        cleanup: CleanupStack,
        opacity: float,
        journals: bool,
        memory: MemoryKeeper,
    ) -> None:
        self._viewer, self._thread, self._files = viewer, thread, files
        self._journals, self._memory = journals, memory
        self._dispatcher, self._cleanup, self._opacity = dispatcher, cleanup, opacity
        self._views: dict[Key, SessionView] = {}
        self._wanted: Key | None = None
        self._changes = ImageChanges(dispatcher)
        self._changes.replaced.connect(self._begin_anew)
        self._changes.moved.connect(self._follow_place)
        self.current: SessionView | None = None

    @property
    def all(self) -> tuple[SessionView, ...]:
        """The sessions of the scans that were chosen so far."""
        return tuple(self._views.values())

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

    def resume(self, view: SessionView, earlier: EarlierSession) -> None:
        """Resume an earlier session on the scan of a view; what was done since is kept too."""
        key = next((key for key, each in self._views.items() if each is view), None)
        if key is None:
            return
        view.close()
        view.remove_layers(keep_mask=False)
        session = self._session(view.frame)
        again = self._make(key, view.image, view.frame, session, earlier)
        if view is self.current:
            self._switch(again)
        else:
            again.show(False)

    def forget(self, layer: Layer) -> None:
        """React to a layer that left the viewer: an image ends its session, a mask comes back."""
        gone = self._end(layer)
        view = self.current
        if view is not None and not gone and any(layer == own for own in view.layers):
            self._dispatcher.defer(lambda: self._put_back(view))

    def discard(self, view: SessionView) -> None:
        """End a session, and take its scan and its masks out of the viewer."""
        for key in [key for key, each in self._views.items() if each is view]:
            del self._views[key]
        view.close()
        view.remove_layers(keep_mask=False)
        if view is self.current:
            self._switch(None)
        if view.overlay is not None and view.overlay in self._viewer.layers:
            self._viewer.layers.remove(view.overlay)
        if view.image in self._viewer.layers:
            self._viewer.layers.remove(view.image)

    def close(self) -> None:
        """End every session; their images, and masks with objects, stay in the viewer."""
        self.use(None)
        while self._views:
            _, view = self._views.popitem()
            view.close()
            view.remove_layers()

    def recall(self, way: Way | None) -> None:
        """Choose how cases are recalled for the current object, and for all begun from now on."""
        for view in self._views.values():
            view.session.recall = way
        if self.current is not None and self._memory.bank is not None:
            self.current.run(lambda session: session.set_recall(way))

    def _session(self, frame: Frame) -> Session:
        kept, thread = self._memory, self._thread
        return Session(
            frame.volume, thread, memory=kept.bank, recall=kept.way, adapters=kept.adapters
        )

    def change_model(self, thread: ModelThread) -> None:
        """Let another model make the masks of all sessions from now on; their logs stay."""
        self._thread = thread
        for view in self._views.values():
            view.session.change_model(thread)

    def _do_again(self, key: Key, old: SessionView, frame: Frame) -> None:
        """Begin a session in place of another, in a frame, with the log of that."""
        old.close()
        old.remove_layers(keep_mask=False)
        session = self._session(frame)
        view = self._make(key, old.image, frame, session)
        view.expect(session.take_log(old.session.history))
        if old is self.current:
            self._switch(view)
        else:
            view.show(False)

    def _end(self, layer: Layer) -> list[SessionView]:
        """End the sessions of an image."""
        gone = [self._views.pop(key) for key in list(self._views) if key[0] == layer.unique_id]
        for view in gone:
            view.close()
            self._dispatcher.defer(view.remove_layers)
            if view is self.current:
                self._switch(None)
        return gone

    def _begin_anew(self, layer: Image) -> None:
        """Segment what an image shows now, where its array was replaced by another."""
        own = [view for key, view in self._views.items() if key[0] == layer.unique_id]
        if not own or all(shows(layer, view.frame.volume) for view in own):
            return
        used = any(view.session.state.objects for view in own)
        chosen = self._wanted is not None and self._wanted[0] == layer.unique_id
        self._changes.unwatch(layer)
        self._end(layer)
        if used:
            show_message(_REPLACED.format(name=layer.name))
        if chosen:
            self.use(layer)

    def _follow_place(self, layer: Image) -> None:
        """Go along with an image whose voxel size or place was changed."""
        beside = tuple(self._viewer.layers)
        for key, view in [each for each in self._views.items() if each[0][0] == layer.unique_id]:
            try:
                frame = moved(view.frame, layer, key[1], beside)
            except VolumeError as error:
                notify(error)
                continue
            if frame.volume is not view.frame.volume:
                if view.session.state.objects:
                    show_message(_MOVED.format(name=layer.name))
                self._do_again(key, view, frame)
                continue
            view.move(frame)
            if scan_in(layer.metadata) is not None and view is self.current:
                show_message(_SHOWN_ELSEWHERE.format(name=layer.name))

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
        beside = tuple(self._viewer.layers)
        made = self._files.submit(frame_of_layer, layer, key[1], beside)
        self._dispatcher.watch(made, lambda frame: self._begin(key, layer, frame), self._refuse)

    def _begin(self, key: Key, layer: Image, frame: Frame) -> None:
        if key != self._wanted:
            return
        session = self._session(frame)
        self._switch(self._make(key, layer, frame, session))

    def journals(self) -> set[Path]:
        """Return the journals that sessions of this window have open."""
        folder = sessions_folder()
        hashes = (view.frame.volume.content_hash for view in self._views.values() if view.begun)
        return {journal_path(folder, each) for each in hashes}

    def of_scan(self, content_hash: str) -> SessionView | None:
        """Return the session of the scan with these voxels, if it is open; reads them all."""
        views = self._views.values()
        return next((v for v in views if v.frame.volume.content_hash == content_hash), None)

    def _make(
        self,
        key: Key,
        layer: Image,
        frame: Frame,
        session: Session,
        earlier: EarlierSession | None = None,
    ) -> SessionView:
        view = SessionView(self._viewer, layer, frame, session, self._opacity)
        # The closers hold the session and not the view, which would keep the viewer alive.
        view.closers = (
            self._cleanup.push(view.dispatcher.close),
            self._cleanup.push(lambda: session.close(wait=False)),
        )
        self._views[key] = view
        self._changes.watch(layer)
        if self._journals or earlier is not None:
            view.journal.keep(earlier)
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
