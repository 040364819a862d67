"""What the commands and the panels of one window work on."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

from napari.layers import Image, Layer
from psygnal import Signal, SignalInstance
from qtpy.QtWidgets import QWidget

from napari_fastsam3d._napari.background import BackgroundTasks
from napari_fastsam3d._napari.cases import Cases
from napari_fastsam3d._napari.compact import CompactLayout
from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.contributions.settings import (
    load_settings,
    save_layout,
    save_model,
    save_show_crop,
)
from napari_fastsam3d._napari.dialogs.earlier_work import EarlierWork
from napari_fastsam3d._napari.dialogs.scan_chooser import ScanChooser
from napari_fastsam3d._napari.host import Host
from napari_fastsam3d._napari.last_click import LastClick
from napari_fastsam3d._napari.layer_geometry import OVERLAY
from napari_fastsam3d._napari.layers.object_display import sorted_objects
from napari_fastsam3d._napari.layers.scan_views import ScanViews
from napari_fastsam3d._napari.layers.toolbox import Toolbox
from napari_fastsam3d._napari.layers.visible_scan import ScanVisibility
from napari_fastsam3d._napari.layers.windowing import Windowing
from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher, single_shot
from napari_fastsam3d._napari.memory_keeper import MemoryKeeper, as_way
from napari_fastsam3d._napari.model_loader import ModelLoader
from napari_fastsam3d._napari.overlay import Overlay
from napari_fastsam3d._napari.planes.four_views import FourViews
from napari_fastsam3d._napari.planes.solid_masks import SolidMasks
from napari_fastsam3d._napari.planes.turning import PlaneTurner
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.teacher import Teacher
from napari_fastsam3d._napari.viewer_events import ViewerEvents
from napari_fastsam3d._napari.volume_steps import VolumeSteps
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.memory.question import Way
from napari_fastsam3d.session import JournalStatus, ObjectState, Result, SavedSession, SessionState
from napari_fastsam3d.session.model_thread import Model

if TYPE_CHECKING:
    from napari.viewer import Viewer

T = TypeVar("T")

_KEEP_VIEW_MS, _CANDIDATES_MS = 1000, 600  # after an answer; the next click may follow at once
_OUTDATED = "The masks are those of the model before. They stay until their prompts change."


class Workspace:
    """The viewer, the model and the sessions of one window, and how its parts hear of each other.

    Signals of the current session are relayed, so that panels need not follow from one session to
    the next.

    Parameters
    ----------
    parent : QWidget
        The dock widget: dialogs appear over it, and with it all ends.
    viewer : napari viewer, possibly behind its public proxy
    model : str, path or Predictor, optional
        The model to begin with; by default the one of the settings.
    """

    switched = Signal(object)
    """Another session is worked on: its `SessionView`, or None."""
    state_changed = Signal(SessionState)
    selection_changed = Signal(tuple)
    finished = Signal(Result)
    failed = Signal(Exception)
    note = Signal(str)
    progress = Signal(str, int, int)
    found = Signal(SavedSession)
    journal_changed = Signal(JournalStatus)
    pointed = Signal(tuple)
    """The pointer is at this place of the world, in a slice of whichever view."""
    message = Signal(str)
    """A sentence for the status line."""
    choice_requested = Signal(Image)
    """A scan should be chosen, as if the user had."""
    crop_shown = Signal(bool)
    accepted = Signal(int)
    """The user has accepted an object: its id."""
    objects_sorted = Signal()
    status_changed = Signal()
    """The status line may have something else to say."""

    def __init__(self, parent: QWidget, viewer: Viewer, model: Model | None) -> None:
        self.parent, self.viewer = parent, viewer
        self.settings = load_settings()
        self.dispatcher = Dispatcher()
        self.cleanup = CleanupStack(parent)
        self.events = ViewerEvents(viewer)
        self.tasks = BackgroundTasks(self.dispatcher, self.cleanup)
        self.loader = ModelLoader(
            model or self.settings.model, self.settings.device, self.dispatcher, self.cleanup
        )
        way, when = as_way(self.settings.recall), self.settings.remember
        self.memory = MemoryKeeper(self.tasks, self.dispatcher, self.cleanup, way, when)
        self.teacher = Teacher(self.loader, self.memory, self.dispatcher)
        self.views = ScanViews(
            viewer,
            self.loader.thread,
            self.tasks.executor,
            self.dispatcher,
            self.cleanup,
            self.settings.opacity,
            self.settings.journal,
            self.memory,
        )
        self.visibility = ScanVisibility(viewer)
        self.windowing = Windowing(viewer)
        self.planes = PlaneTurner(viewer)
        self.toolbox = Toolbox(viewer)
        self.four_views = FourViews(
            viewer, self.planes, self.windowing, self.tasks.executor, lambda: self.toolbox.tool
        )
        self.last_click = LastClick()
        self.chooser = ScanChooser(parent, self._read_scan, self.add_scan)
        self.earlier = EarlierWork(
            parent, self.views, self.tasks, self.add_scan, self.choice_requested.emit
        )
        host = Host(
            *(parent, viewer, self.views, self.tasks, self.dispatcher, self.cleanup, self.events),
            *(self.earlier, self.switched, self.add_scan, self.choice_requested.emit),
            self.message.emit,
        )
        self.cases, self.steps, self.overlay = Cases(host), VolumeSteps(host), Overlay(host)
        self.solid = SolidMasks(viewer, self.tasks.executor, parent)
        self.overlay.changed.connect(self.four_views.rebuild)
        self.overlay.turned.connect(self.windowing.serve)
        self.layout = CompactLayout(parent, self.settings.layout)
        self.show_crop, self.object_order = self.settings.show_crop, "begun"
        self._drawn: set[Hashable] = set()
        self._relayed: list[tuple[SignalInstance, Callable[..., object]]] = []
        self._view_timer = single_shot(parent, _KEEP_VIEW_MS, self._keep_view)
        self._candidates_timer = single_shot(parent, _CANDIDATES_MS, self._find_candidates)
        self._connect()

    @property
    def view(self) -> SessionView | None:
        """The session of the chosen scan, with its layers; None where there is none."""
        return self.views.current

    @property
    def busy(self) -> bool:
        """Whether the model loads, or a click waits for its mask."""
        return self.loader.loading or (self.view is not None and self.view.pending > 0)

    def close(self) -> None:
        """End every session, and listen to the viewer no more."""
        self.events.close()
        self.four_views.close()
        self.cases.close()
        self.solid.close()
        self.views.close()
        self.planes.close()
        self.toolbox.close()

    def images(self) -> list[Image]:
        """Return the image layers of the viewer."""
        images = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        return [layer for layer in images if OVERLAY not in layer.metadata]

    def add_scan(self, volume: Volume) -> None:
        """Add a volume to the viewer."""
        self.viewer.add_layer(Layer.create(*image_layer_data(volume)))

    def set_show_crop(self, shown: bool) -> None:
        """Outline the crop that the model was given, or stop it; the setting is saved."""
        if shown == self.show_crop:
            return
        self.show_crop = shown
        save_show_crop(shown)
        if self.view is not None:
            self.view.show_crop(shown)
        self.crop_shown.emit(shown)

    def set_recall(self, way: Way | None) -> None:
        """Choose how accepted cases are recalled, for the current object too; it is saved."""
        self.memory.set_way(way)
        self.views.recall(way)
        self.memory.changed.emit()

    def set_object_order(self, order: str) -> None:
        """Sort the list of objects in another way: as begun, by name or by size."""
        self.object_order = order
        self.objects_sorted.emit()

    def listed_objects(self) -> list[ObjectState]:
        """Return the objects in the order of the list."""
        view = self.view
        return [] if view is None else sorted_objects(view.session, self.object_order)

    def toggle_layout(self) -> None:
        """Change between the compact and the full layout; the setting is saved."""
        save_layout(self.layout.toggle())

    def change_model(self, model: str, device: str) -> None:
        """Load another model, for all sessions; the setting is saved."""
        save_model(model, device)
        close_old = self.loader.change(model, device)
        self.views.change_model(self.loader.thread)
        close_old()
        self.last_click.forget()
        self.loader.load()
        # A failure to load is notified by the loader.
        loaded = self.loader.thread.load()
        self.dispatcher.watch(loaded, lambda _: self._note_outdated(), lambda _error: None)

    def _connect(self) -> None:
        self.views.switched.connect(self._on_switched)
        self.views.refused.connect(self._on_refused)
        self.events.layer_removed.connect(self.views.forget)
        self.events.layer_removed.connect(self.visibility.forget)
        self.events.dims_changed.connect(self._on_dims)
        self.finished.connect(self._on_finished)
        self.toolbox.changed.connect(self.four_views.follow_tool)
        self.four_views.pointed.connect(self.pointed.emit, check_nargs=False, on_ref_error="ignore")
        self.windowing.message.connect(self.message.emit, check_nargs=False, on_ref_error="ignore")
        self.cleanup.push(self.layout.leave)
        self.cleanup.push(self.dispatcher.close)
        self.parent.destroyed.connect(self.cleanup.slot())

    def _on_switched(self, view: SessionView | None) -> None:
        for signal, relay in self._relayed:
            signal.disconnect(relay)
        self._relayed = [] if view is None else self._relays(view)
        for signal, relay in self._relayed:
            # psygnal would find out how many arguments `emit` takes by calling it.
            signal.connect(relay, check_nargs=False, on_ref_error="ignore")
        self.last_click.serve(view)
        if view is not None:
            self.visibility.bring(view.image)
            view.show_crop(self.show_crop)
            self.windowing.serve(*self.overlay.looked_at(view))
            self._smooth(view.image)
        else:
            self.windowing.serve(None, None)
        self.dispatcher.defer(lambda: self.earlier.settle(self.view))
        for part in (self.planes, self.solid, self.four_views, self.toolbox):
            part.serve(view)
        self.switched.emit(view)

    def _smooth(self, layer: Image) -> None:
        """Draw a scan as the settings say; what the user chose for it afterwards stays."""
        if layer.unique_id not in self._drawn and layer.interpolation2d == "nearest":
            layer.interpolation2d = self.settings.interpolation  # pyright: ignore
        self._drawn.add(layer.unique_id)

    def _relays(self, view: SessionView) -> list[tuple[SignalInstance, Callable[..., object]]]:
        return [
            (view.state_changed, self.state_changed.emit),
            (view.selection.changed, self.selection_changed.emit),
            (view.finished, self.finished.emit),
            (view.failed, self.failed.emit),
            (view.message, self.message.emit),
            (view.note, self.note.emit),
            (view.progress, self.progress.emit),
            (view.journal.found, self.found.emit),
            (view.journal.status_changed, self.journal_changed.emit),
        ]

    def _on_refused(self, error: Exception) -> None:
        self.message.emit(str(error))

    def _on_dims(self) -> None:
        if self.view is not None:
            self.view.follow_plane()
            self.dispatcher.defer(self.planes.follow)
            self._view_timer.start()

    def _on_finished(self, result: Result) -> None:
        self.last_click.update(result)
        if not result.stale and result.quality is not None:
            self.loader.trouble = None
        self._view_timer.start()
        self._candidates_timer.start()

    def _find_candidates(self) -> None:
        if self.view is not None and not self.loader.loading and not self.loader.trouble:
            self.view.find_candidates_ahead()

    def _keep_view(self) -> None:
        if self.view is not None:
            self.view.journal.keep_view()

    def _read_scan(self, task: Callable[[], T], done: Callable[[T], object], /) -> None:
        self.tasks.run("Reading the scan...", task, done, "The scan could not be opened.")

    def _note_outdated(self) -> None:
        if self.view is not None and self.view.session.outdated:
            self.note.emit(_OUTDATED)
