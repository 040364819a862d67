"""The dock widget: it only puts the panels together."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_fastsam3d._napari.commands.table import COMMANDS
from napari_fastsam3d._napari.compact import main_window_of
from napari_fastsam3d._napari.contributions.settings import save_shown
from napari_fastsam3d._napari.main_thread import single_shot
from napari_fastsam3d._napari.model_loader import ModelLoader
from napari_fastsam3d._napari.panels.banners import ResumeBanner, VisibilityBanner
from napari_fastsam3d._napari.panels.case_row import CaseRow
from napari_fastsam3d._napari.panels.click_feedback import ClickFeedback
from napari_fastsam3d._napari.panels.controls import Controls
from napari_fastsam3d._napari.panels.history import HistoryPanel
from napari_fastsam3d._napari.panels.layout import CollapsibleSection, column
from napari_fastsam3d._napari.panels.memory import MemoryPanel
from napari_fastsam3d._napari.panels.memory_banner import MemoryBanner
from napari_fastsam3d._napari.panels.model import ModelPanel
from napari_fastsam3d._napari.panels.notice import Notice
from napari_fastsam3d._napari.panels.objects import ObjectsPanel
from napari_fastsam3d._napari.panels.plane_row import PlaneRow
from napari_fastsam3d._napari.panels.prompt_list import PromptList
from napari_fastsam3d._napari.panels.prompts import PromptPanel
from napari_fastsam3d._napari.panels.readout import Readout
from napari_fastsam3d._napari.panels.scan import ScanPanel
from napari_fastsam3d._napari.panels.status import StatusPanel
from napari_fastsam3d._napari.panels.status_presenter import StatusPresenter
from napari_fastsam3d._napari.panels.window_row import WindowRow
from napari_fastsam3d._napari.pointer import Pointer
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.shortcuts import Shortcuts
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session.model_thread import Model

if TYPE_CHECKING:
    import napari.viewer

_MIN_WIDTH = 300
_NARROW = 250


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

    def __init__(self, napari_viewer: napari.viewer.Viewer, model: Model | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.workspace = work = Workspace(self, napari_viewer, model)
        self.controls = controls = Controls(work)
        self.window_row = WindowRow(work, controls)
        self.plane_row = PlaneRow(work, controls)
        self.case_row = CaseRow(work, controls)
        rows = (self.case_row, self.window_row, self.plane_row)
        self.scan = ScanPanel(work, controls, *rows)
        self.prompts = PromptPanel(work, controls)
        self.objects = ObjectsPanel(work, controls)
        self.prompt_list = PromptList(work, controls)
        self.history = HistoryPanel(work)
        self.memory_banner = MemoryBanner(work)
        self.memory = MemoryPanel(work, controls, self._note_recall, self.memory_banner.offer_back)
        self.model = ModelPanel(work)
        self.visibility_banner = VisibilityBanner(work)
        self.banner = ResumeBanner(work)
        self.status = StatusPanel()
        self.notice = Notice(self)
        self._feedback = ClickFeedback(work, self.notice)
        self._pointer = Pointer(work)
        self.readout = Readout(work, self)
        self._shortcuts = Shortcuts(self, work)
        self._removal = single_shot(self, 0, self._end_if_removed)
        self.sections = self._sections()
        self.memory.refresh()
        self._lay_out()
        self._connect()
        work.loader.load()
        self.scan.refresh()

    @property
    def view(self) -> SessionView | None:
        """The session of the chosen scan, with its layers; None where there is none."""
        return self.workspace.view

    @property
    def loader(self) -> ModelLoader:
        """What loads the model, for all sessions."""
        return self.workspace.loader

    @property
    def busy(self) -> bool:
        """Whether the model loads, or a click waits for its mask."""
        return self.workspace.busy

    def run(self, command: str) -> None:
        """Run a command of the user by its key, such as ``"undo"``.

        Raises
        ------
        KeyError
            Where there is no such command.
        """
        COMMANDS[command].run(self.workspace)

    def event(self, event: QEvent) -> bool:
        """Take the main window's keys and canvas when napari docks the widget."""
        docked = event.type() in (QEvent.Type.Show, QEvent.Type.ParentChange)
        if docked and hasattr(self, "sections"):
            window = main_window_of(self)
            self._shortcuts.dock(window)
            self._pointer.dock(window)
            self.workspace.layout.dock(window)
            self.notice.dock(window)
            self.readout.dock(window)
            self.workspace.four_views.dock(window)
            if window is None and event.type() == QEvent.Type.ParentChange:
                self._removal.start()
        return super().event(event)

    def _sections(self) -> dict[str, CollapsibleSection]:
        settings = self.workspace.settings
        parts = (
            ("scan", self.scan, settings.show_scan),
            ("tools", self.prompts, settings.show_tools),
            ("objects", self.objects, settings.show_objects),
            ("prompts", self.prompt_list, settings.show_prompts),
            ("history", self.history, settings.show_history),
            ("memory", self.memory, settings.show_memory),
        )
        sections = {
            name: CollapsibleSection(name.capitalize(), panel, opened, partial(save_shown, name))
            for name, panel, opened in parts
        }
        sections["model"] = CollapsibleSection("Model and device", self.model, opened=False)
        return sections

    def _lay_out(self) -> None:
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(column(list(self.sections.values())), 1)
        for panel in (self.visibility_banner, self.banner, self.memory_banner, self.status):
            outer.addWidget(panel)
        self.setMinimumWidth(_MIN_WIDTH)

    def _connect(self) -> None:
        work = self.workspace
        self._presenter = StatusPresenter(work, self.status, self.visibility_banner)
        for signal in (work.state_changed, work.failed, work.switched):
            signal.connect(self.controls.refresh)
        self.status.cancel.clicked.connect(self._cancel)
        for panel in (self, self.scan, self.prompts, self.status):
            work.layout.arranged.connect(panel.arrange)
        self.controls.refresh()

    def arrange(self, small: bool) -> None:
        """Let the dock be narrow, or not."""
        self.setMinimumWidth(_NARROW if small else _MIN_WIDTH)

    def _note_recall(self, words: str) -> None:
        if hasattr(self, "sections"):
            self.sections["memory"].note(words)

    def _end_if_removed(self) -> None:
        """End where napari has closed the panel; nobody owns the widget then."""
        if self.parentWidget() is None:
            self.workspace.close()
            self._shortcuts.release()
            self.deleteLater()

    def _cancel(self) -> None:
        if self.view is not None:
            self.view.session.cancel()
