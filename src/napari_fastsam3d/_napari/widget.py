# pyright: basic
"""The dock widget: it only coordinates panels, the sessions of the scans, and their layers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_fastsam3d._napari.actions import ACTIONS
from napari_fastsam3d._napari.compact import Compact
from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.contributions.settings import (
    keep_engine,
    keep_layout,
    keep_show_crop,
    keep_shown,
    load_settings,
)
from napari_fastsam3d._napari.dialogs.models import ModelsDialog
from napari_fastsam3d._napari.dialogs.scan_chooser import ScanChooser
from napari_fastsam3d._napari.frame import scan_in
from napari_fastsam3d._napari.layers.canvas import DrawingArea
from napari_fastsam3d._napari.layers.scan_views import ScanViews
from napari_fastsam3d._napari.layers.visible_scan import ScanSight, Sight
from napari_fastsam3d._napari.layers.windowing import Windowing
from napari_fastsam3d._napari.main_thread import Bridge, Ending, notify, tell
from napari_fastsam3d._napari.model_jobs import ModelJobs
from napari_fastsam3d._napari.model_loader import ModelLoader
from napari_fastsam3d._napari.object_files import ObjectFiles
from napari_fastsam3d._napari.object_verbs import ObjectVerbs
from napari_fastsam3d._napari.panels import icons
from napari_fastsam3d._napari.panels.banner import Banner, Choice
from napari_fastsam3d._napari.panels.click_feedback import ClickNews
from napari_fastsam3d._napari.panels.column import column
from napari_fastsam3d._napari.panels.earlier_work import EarlierWork
from napari_fastsam3d._napari.panels.fold import Fold
from napari_fastsam3d._napari.panels.model import ModelPanel
from napari_fastsam3d._napari.panels.notice import Notice
from napari_fastsam3d._napari.panels.objects import ObjectsPanel
from napari_fastsam3d._napari.panels.prompts import PromptPanel
from napari_fastsam3d._napari.panels.resume_banner import ResumeBanner
from napari_fastsam3d._napari.panels.scan import ScanPanel
from napari_fastsam3d._napari.panels.scan_facts import scan_facts
from napari_fastsam3d._napari.panels.session_lists import SessionLists
from napari_fastsam3d._napari.panels.status import StatusPanel
from napari_fastsam3d._napari.panels.status_words import (
    COVERED,
    FOLLOWED,
    HIDDEN,
    LOADING,
    NO_SCAN,
    OUTDATED,
    OUTSIDE,
    SLICES_ONLY,
    facts,
    hint,
    locked_hint,
    unsafe,
)
from napari_fastsam3d._napari.panels.toolbox import Toolbox
from napari_fastsam3d._napari.panels.window_row import WindowRow
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.shortcuts import Shortcuts, main_window_of
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import JournalStatus, Point, Result, SavedSession

if TYPE_CHECKING:
    import napari.viewer

_MIN_WIDTH = 300
_NARROW = 250
_AIMING_MS = 150
_FRAME_MS = 300
_VIEW_MS = 1000
_LONGEST = 18


class FastSAM3DWidget(QWidget):
    """Click a structure of the chosen scan and get its mask.

    Taken out of its dock it ends, as napari's "close this panel" wants it: its sessions are kept in
    their journals, masks with objects stay as ordinary layers, and it is deleted. A widget that is
    docked anew in the same turn of the event loop goes on.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer, as napari hands it to a plugin.
    model : str, path or Predictor, optional
        The model to begin with; by default the one of the settings.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, model: Any = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.settings = load_settings()
        self._bridge = Bridge()
        self._files = ThreadPoolExecutor(1, thread_name_prefix="fastsam3d-files")
        self._ending = Ending(self)
        self._progress = ""
        self._last: dict[int, Result] = {}
        self.models_dialog: ModelsDialog | None = None
        self.loader = ModelLoader(
            model or self.settings.model,
            self.settings.device,
            self._bridge,
            self._ending,
            self._show_status,
        )
        self.sight = ScanSight(self.viewer)
        self.views = ScanViews(
            self.viewer,
            self.loader.thread,
            self._files,
            self._bridge,
            self._ending,
            self.settings.opacity,
            self.settings.journal,
        )
        self.object_verbs = ObjectVerbs(self, lambda: self.view, self._work)
        self.object_files = ObjectFiles(self, lambda: self.view, self._work, self._say)
        self.windowing = Windowing(self.viewer, self._say_for_now)
        self.notice = Notice(self)
        self.news = ClickNews(self.notice, lambda: self.view, self.undo)
        self.banner = ResumeBanner()
        self.earlier = EarlierWork(
            self, self.views, self.banner, self._work, self._add_scan, lambda x: self.scan.choose(x)
        )
        parts = (
            self.object_verbs,
            self.object_files,
            self.windowing,
            self.news,
            self.earlier,
            self,
        )
        self.verbs: dict[str, Callable[[], None]] = {
            entry.key: next(getattr(p, entry.key) for p in parts if hasattr(p, entry.key))
            for entry in ACTIONS
        }
        self._build_panels()
        self._chooser = ScanChooser(self, self._run_job, self._add_scan)
        self.toolbox = Toolbox(self.viewer, self._on_tool)
        self._shortcuts = Shortcuts(self, self.verbs)
        self._cursors = {
            "include": icons.cursor("include"),
            "exclude": icons.cursor("exclude"),
            "box": icons.cursor("box"),
            "freeze": icons.cursor("box"),
            "blocked": QCursor(Qt.CursorShape.ForbiddenCursor),
        }
        windowing = self.windowing
        self._area = DrawingArea(
            self,
            lambda: windowing.free,
            windowing.begin_drag,
            windowing.drag,
            windowing.end_drag,
        )
        self._aim = self._timer(_AIMING_MS, self._look_ahead)
        self._frame_timer = self._timer(_FRAME_MS, self._follow_frame)
        self._view_timer = self._timer(_VIEW_MS, self._keep_view)
        # A way over many steps of the log has thousands of answers: they are told together.
        self._status_timer = self._timer(0, self._show_status)
        self._sight_timer = self._timer(0, self._look_round)
        self._removal = self._timer(0, self._end_if_removed)
        self._opened: list[Image] = []
        self._sight = Sight()
        self._astray = False
        self._aimed_at: tuple[float, ...] = ()
        self._connect()
        self.loader.load()
        self.scan.refresh()
        self._show_state()

    @property
    def view(self) -> SessionView | None:
        """The session of the chosen scan, with its layers; None where there is none."""
        return self.views.current

    @property
    def busy(self) -> bool:
        """Whether the model loads, or a click waits for its mask."""
        return self.loader.loading or (self.view is not None and self.view.pending > 0)

    def open_scan(self) -> None:
        """Ask for a file or a DICOM folder and open it."""
        self._chooser.offer(self.scan.open_button)

    def include(self) -> None:
        """Take the tool whose clicks belong to the object."""
        self.toolbox.use("include")

    def exclude(self) -> None:
        """Take the tool whose clicks do not belong to the object."""
        self.toolbox.use("exclude")

    def box(self) -> None:
        """Take the box tool."""
        self._use_flat("box")

    def adjust(self) -> None:
        """Take the tool that moves and deletes prompts."""
        self.toolbox.use("adjust")

    def brush(self) -> None:
        """Take the brush that paints the current object."""
        self._use_flat("brush")

    def erase(self) -> None:
        """Take the eraser of the current object."""
        self._use_flat("erase")

    def pan(self) -> None:
        """Put the tool away."""
        self.toolbox.put_away()

    def freeze(self) -> None:
        """Take the tool that freezes regions."""
        self._use_flat("freeze")

    def undo(self) -> None:
        """Take the last step back."""
        if self.view is not None and self.view.session.can_undo:
            self.view.run("undo")

    def redo(self) -> None:
        """Do again what was taken back."""
        if self.view is not None and self.view.session.can_redo:
            self.view.run("redo")

    def reset_object(self) -> None:
        """Remove every prompt of the current object."""
        if self.view is not None and self.view.current is not None:
            self.view.run("reset_object")

    def flip_point(self) -> None:
        """Flip the selected points, or else the last one."""
        if self.view is not None:
            self.view.selection.flip()

    def delete_prompt(self) -> None:
        """Take the selected prompts away."""
        if self.view is not None:
            self.view.selection.delete()

    def next_prompt(self) -> None:
        """Select the next prompt and turn to it."""
        if self.view is not None:
            self.view.selection.step(1)

    def previous_prompt(self) -> None:
        """Select the prompt before and turn to it."""
        if self.view is not None:
            self.view.selection.step(-1)

    def next_object(self) -> None:
        """Begin another object, unless the current one has no prompt yet."""
        view = self.view
        if view is None:
            return
        if view.current is None or view.prompts:
            view.run("new_object")
        if self.toolbox.tool is None:
            self.toolbox.use("include")

    def compact(self) -> None:
        """Make room for the picture, or bring napari's panels back."""
        keep_layout(self._compact.toggle())

    def next_plane(self) -> None:
        """Turn to the slices along the next axis, and frame the scan."""
        dims, view = self.viewer.dims, self.view
        if view is None:
            return
        first = dims.ndim - 3
        dims.ndisplay = 2
        axis = first + (dims.order[-3] - first + 1) % 3
        others = (each for each in range(first, dims.ndim) if each != axis)
        dims.order = (*range(first), axis, *others)
        self.viewer.fit_to_view(layers=[view.image])

    def toggle_mask(self) -> None:
        """Hide the mask, or show it again."""
        if self.view is not None:
            layer = self.view.mask.layer
            layer.visible = not layer.visible

    def toggle_crop(self) -> None:
        """Outline what the model looks at, or stop it."""
        self.model.crop.value = not self.model.crop.value

    def event(self, event: QEvent) -> bool:
        """Take the main window's keys and drawing area when napari docks the widget."""
        docked = event.type() in (QEvent.Type.Show, QEvent.Type.ParentChange)
        if docked and hasattr(self, "_area"):
            window = main_window_of(self)
            self._shortcuts.dock()
            self._area.find(window)
            self._compact.dock(window)
            self.notice.dock(window)
            if window is None and event.type() == QEvent.Type.ParentChange:
                self._removal.start()
        return super().event(event)

    def _build_panels(self) -> None:
        known = getattr(self.loader.thread.predictor, "name", self.settings.model)
        self.window_row = WindowRow(self.verbs, self.windowing)
        self.scan = ScanPanel(self._images, self._use, self.verbs, self.window_row)
        self.prompts = PromptPanel(self.verbs, self._set_depth)
        self.objects = ObjectsPanel(
            self.verbs,
            self._select,
            self._rename,
            self._set_visible,
            self.object_verbs.set_overlap,
        )
        self.lists = SessionLists(self.verbs, self.settings)
        self.model = ModelPanel(
            ["default"],
            str(known),
            self.settings.device,
            self._change_model,
            self._show_crop,
            self._manage_models,
            self._make_masks_again,
        )
        self.model.crop.value = self.settings.show_crop
        self.status = StatusPanel(self._cancel)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        lists = [("", fold) for fold in self.lists.folds]
        known = self.settings
        shown = (
            ("scan", self.scan, known.show_scan),
            ("tools", self.prompts, known.show_tools),
            ("objects", self.objects, known.show_objects),
        )
        panels = [
            ("", Fold(part.capitalize(), panel, opened, partial(keep_shown, part)))
            for part, panel, opened in shown
        ]
        outer.addWidget(column((*panels, *lists, ("", self.model))), 1)
        self.sight_banner = Banner()
        outer.addWidget(self.sight_banner)
        outer.addWidget(self.banner)
        outer.addWidget(self.status)
        self.setMinimumWidth(_MIN_WIDTH)
        self._compact = Compact(self, known.layout, self._arrange)
        self._ending.add(self._compact.leave)

    def _arrange(self, small: bool) -> None:
        """Make the panel narrow and low, or as it was."""
        self.setMinimumWidth(_NARROW if small else _MIN_WIDTH)
        self.scan.arrange(small)
        self.prompts.arrange(small)
        self.status.arrange(small)

    def _connect(self) -> None:
        for happened, slot in self._heard():
            happened.connect(slot)
        self.views.switched.connect(self._on_switched)
        self.views.refused.connect(self._on_refused)
        self._moved = _weakly(self._on_move)
        self.viewer.mouse_move_callbacks.append(self._moved)
        self._ending.add(self._bridge.close)
        self._ending.add(_closer(self._files))
        self.destroyed.connect(self._ending.slot())

    def _heard(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what is listened to in the viewer, each with its slot."""
        layers, dims = self.viewer.layers, self.viewer.dims
        sights = [each for layer in self._images() for each in _sights(layer)]
        turns = (dims.events.current_step, dims.events.order, dims.events.ndisplay)
        return [
            (layers.events.inserted, self._on_layers),
            (layers.events.reordered, self._on_layers),
            (layers.events.removed, self._on_removed),
            (layers.selection.events.active, self._on_active),
            *((each, self._on_sight) for each in sights),
            *((each, self._on_dims) for each in turns),
        ]

    def _end_if_removed(self) -> None:
        """End where napari has closed the panel; nobody owns the widget then."""
        if self.parentWidget() is not None:
            return
        for happened, slot in self._heard():
            happened.disconnect(slot)
        self.viewer.mouse_move_callbacks.remove(self._moved)
        self.views.close()
        self.toolbox.close()
        self._shortcuts.release()
        self.deleteLater()

    def _timer(self, milliseconds: int, done: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(done)
        return timer

    def _images(self) -> list[Image]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def _use(self, layer: Image | None) -> None:
        self.views.use(layer)

    def _on_layers(self, event: Any = None) -> None:
        layer = getattr(event, "value", None)
        if isinstance(layer, Image):
            for happened in _sights(layer):
                happened.connect(self._on_sight)
            if scan_in(layer.metadata) is not None:
                self._opened.append(layer)
        # The viewer selects a new layer only after it has told of it.
        self._bridge.soon(self._take_layers)

    def _take_layers(self) -> None:
        """Offer the images that there are, and choose a scan that was just opened."""
        opened, self._opened = self._opened, []
        self.scan.refresh()
        there = [layer for layer in opened if layer in self.viewer.layers]
        if there and there[-1] is not self.scan.layer:
            self.scan.choose(there[-1])
        self._on_sight()

    def _on_sight(self, event: Any = None) -> None:
        self._sight_timer.start()

    def _look_round(self) -> None:
        """Follow the user to the scan that is seen, or say that it is not the one segmented."""
        view = self.view
        sight = Sight() if view is None else self.sight.of(view)
        if view is None or sight.clear:
            self.sight_banner.withdraw()
        elif sight.other is not None and not view.session.state.objects:
            self.scan.choose(sight.other)
            tell(FOLLOWED.format(name=sight.other.name))
            return
        else:
            text, choices = self._unseen(view.image, sight)
            self.sight_banner.tell(text, choices)
        if sight != self._sight:
            self._sight = sight
            self._show_status()

    def _unseen(self, image: Image, sight: Sight) -> tuple[str, list[Choice]]:
        def show() -> None:
            self.sight.bring(image, again=True)

        if sight.outside:
            middle = ("Go to it", "Turn to its middle slice.", lambda: self.sight.middle(image))
            return OUTSIDE.format(name=image.name), [middle]
        back: Choice = (f"Show {_short(image.name)}", "Show the scan that is segmented.", show)
        other = sight.other
        if other is None:
            return HIDDEN.format(name=image.name), [back]
        take: Choice = (
            f"Segment {_short(other.name)}",
            "Segment the scan that is seen; what was done here stays with the other.",
            lambda: self.scan.choose(other),
        )
        return COVERED.format(seen=other.name, name=image.name), [take, back]

    def _on_removed(self, event: Any) -> None:
        self.views.forget(event.value)
        self.sight.forget(event.value)
        self.scan.refresh()
        self._on_sight()

    def _on_active(self, event: Any = None) -> None:
        self._shortcuts.leave_painting(self.toolbox.painting)

    def _on_dims(self, event: Any = None) -> None:
        if self.view is not None:
            self.view.look()
            self._view_timer.start()
            self._status_timer.start()
            self._on_sight()
        layer = self.scan.layer
        if layer is not None and layer.ndim > 3:
            self._frame_timer.start()

    def _on_tool(self, tool: str | None) -> None:
        self.prompts.choose(tool)
        self._status_timer.start()

    def _on_move(self, event: Any) -> None:
        if self.view is None:
            return
        self.toolbox.hover(event.position)
        astray = self.viewer.dims.ndisplay == 2 and not self.view.holds(event.position)
        if astray != self._astray:
            self._astray = astray
            self._area.point_with(self._cursor())
        if self.toolbox.tool in ("include", "exclude") and self.viewer.dims.ndisplay == 2:
            self._aimed_at = tuple(event.position)
            self._aim.start()

    def _look_ahead(self) -> None:
        if self.view is not None and not self.loader.loading and not self.loader.trouble:
            self.view.aim(self._aimed_at)

    def _keep_view(self) -> None:
        if self.view is not None:
            self.view.keep_view()

    def _follow_frame(self) -> None:
        self.views.follow(self.scan.layer)

    def _on_switched(self, view: SessionView | None) -> None:
        self._last = {}
        self.news.forget()
        if view is not None:
            self.sight.bring(view.image)
            view.state_changed.connect(self._show_state, unique=True)
            view.finished.connect(self._on_finished, unique=True)
            view.failed.connect(self._on_failed, unique=True)
            view.said.connect(self._say, unique=True)
            view.noted.connect(self.news.note, unique=True)
            view.worked.connect(self._on_worked, unique=True)
            view.found.connect(self._on_found, unique=True)
            view.journalled.connect(self._on_journalled, unique=True)
            view.boxes.depth = self.prompts.box_depth.value() or None
            view.show_crop(bool(self.model.crop.value))
            if self.toolbox.tool is None:
                self.toolbox.tool = "include"
            self.scan.tell(scan_facts(view.frame))
            self.windowing.serve(view.image, view.frame.volume)
        else:
            self.scan.tell("")
            self.windowing.serve(None, None)
        self.earlier.offer(view)
        self._bridge.soon(lambda: self.earlier.settle(self.view))
        self._on_sight()
        self.lists.serve(view)
        self.toolbox.serve(view)
        self._show_state()

    def _on_refused(self, error: BaseException) -> None:
        self._say(str(error))

    def _run_job(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._work("Reading the scan...", job, done, "The scan could not be opened.")

    def _add_scan(self, volume: Volume) -> None:
        self.viewer.add_layer(Layer.create(*image_layer_data(volume)))

    def _use_flat(self, tool: str) -> None:
        if self.view is not None and self.viewer.dims.ndisplay == 3:
            self.prompts.choose(self.toolbox.tool)
            self._say(SLICES_ONLY)
        else:
            self.toolbox.use(tool)

    def _work(
        self, doing: str, job: Callable[[], Any], done: Callable[[Any], None], failed: str
    ) -> None:
        self.status.busy(doing)

        def finish(outcome: Any) -> None:
            self._show_status()
            done(outcome)

        def fail(error: BaseException) -> None:
            notify(error)
            self._say(failed)

        self._bridge.watch(self._files.submit(job), finish, fail)

    def _change_model(self, model: str, device: str) -> None:
        keep_engine(model, device)
        close_old = self.loader.change(model, device)
        self.views.change_model(self.loader.thread)
        close_old()
        self._last = {}
        self.loader.load()
        # What failed to load is told by the loader.
        loaded = self.loader.thread.load()
        self._bridge.watch(loaded, lambda _: self._tell_of_outdated(), lambda _error: None)

    def _tell_of_outdated(self) -> None:
        if self.view is not None and self.view.session.outdated:
            self.news.note(OUTDATED)

    def _make_masks_again(self) -> None:
        if self.view is not None:
            self.view.make_masks_again()

    def _cancel(self) -> None:
        if self.view is not None:
            self.view.session.cancel()

    def _manage_models(self) -> None:
        if self.models_dialog is None:
            jobs = ModelJobs()
            self._ending.add(jobs.close)
            self.models_dialog = ModelsDialog(self, jobs, self._bridge, self._show_status)
        self.models_dialog.show()
        self.models_dialog.raise_()

    def _show_crop(self, shown: bool) -> None:
        keep_show_crop(shown)
        if self.view is not None:
            self.view.show_crop(shown)

    def _set_depth(self, depth: float | None) -> None:
        if self.view is not None:
            self.view.boxes.depth = depth

    def _select(self, number: int) -> None:
        if self.view is not None:
            self.view.run("select_object", number)
            self.view.fly_to(number)

    def _rename(self, number: int, name: str) -> None:
        if self.view is not None:
            self.view.run("rename_object", number, name)
            self._show_state()

    def _set_visible(self, number: int, visible: bool) -> None:
        if self.view is not None:
            self.view.set_visible(number, visible)

    def _on_worked(self, what: str, done: int, of: int) -> None:
        count = f", {done + 1} of {of}" if of > 1 else ""
        self._progress = f"{what}{count}" if done < of else ""
        self._show_status()

    def _on_finished(self, result: Result) -> None:
        if not result.stale and result.quality is not None:
            self._last[result.object] = result
            self.loader.trouble = None
        self.news.about(result)
        self._status_timer.start()
        self._view_timer.start()

    def _on_found(self, kept: SavedSession) -> None:
        self.earlier.offer(self.view)

    def _on_journalled(self, status: JournalStatus) -> None:
        self._status_timer.start()

    def _on_failed(self, error: BaseException) -> None:
        self._show_state()

    def _show_state(self, state: Any = None) -> None:
        view = self.view
        objects = () if view is None else view.session.state.objects
        self.earlier.offer(view)
        current = None if view is None else view.session.state.current
        self.objects.show_objects(objects, current, frozenset() if view is None else view.hidden)
        self.objects.show_rule(None if view is None else view.session.state.overlap)
        self.prompts.setEnabled(view is not None)
        prompts = () if view is None else view.prompts
        self.prompts.enable(
            undo=view is not None and view.session.can_undo,
            redo=view is not None and view.session.can_redo,
            flip=any(isinstance(prompt, Point) for prompt in prompts),
            reset=bool(prompts),
        )
        self._show_status()

    def _say(self, message: str) -> None:
        self.status.rest(message)

    def _say_for_now(self, message: str) -> None:
        """Say something that is over soon, and then again what a click does."""
        if message:
            self._say(message)
        else:
            self._show_status()

    def _show_status(self) -> None:
        last = self._last_of_current()
        journal = None if self.view is None else self.view.session.journal_status
        self.status.tell(facts(self.loader.facts, last, journal, self.news.aside))
        self.status.warn(unsafe(None if self.view is None else self.view.trouble))
        self.model.offer(self.loader.known_models())
        self.model.offer_again(self.view is not None and bool(self.view.session.outdated))
        if self.loader.loading:
            self.status.busy(LOADING)
        elif self.view is not None and self.view.pending:
            self.status.busy(f"{self._progress or 'Working'}...", can_be_cancelled=True)
        elif self.loader.trouble is not None:
            self.status.rest(str(self.loader.trouble))
        elif self.view is None:
            self.status.rest(NO_SCAN)
        else:
            self.status.rest(self._advice(self.view, last))
        self._area.point_with(self._cursor())

    def _advice(self, view: SessionView, last: Result | None) -> str:
        """Say what a click does now."""
        if not self._sight.clear:
            return self._unseen(view.image, self._sight)[0]
        own, tool = view.current, self.toolbox.tool
        if own is not None and own.locked is not None and tool is not None:
            return locked_hint(own.name)
        return hint(last, tool, bool(view.prompts), flat=self.viewer.dims.ndisplay == 2)

    def _cursor(self) -> QCursor | None:
        """Return the pointer that says what a click does; None leaves it to napari."""
        tool = self.toolbox.tool
        if self.view is None or tool is None:
            return None
        own = self.view.current
        if self._astray or self._sight.outside or (own is not None and own.locked is not None):
            return self._cursors["blocked"]
        return self._cursors.get(tool)

    def _last_of_current(self) -> Result | None:
        """Return the last mask of the current object, unless its prompts are gone since."""
        if self.view is None or not self.view.prompts or self.view.current is None:
            return None
        return self._last.get(self.view.current.id)


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Wrap a bound method for a list that the viewer keeps, so that it doesn't keep the widget."""
    reference = weakref.WeakMethod(method)

    def call(_viewer: Any, event: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(event)

    return call


def _sights(layer: Image) -> tuple[Any, ...]:
    """Return the events after which an image may be seen or not."""
    return layer.events.visible, layer.events.opacity, layer.events.blending


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _closer(files: ThreadPoolExecutor) -> Callable[[], None]:
    return lambda: files.shutdown(wait=False)
