"""Which models there are: fetch one, import one from a file, remove one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_fastsam3d._napari.dialogs.model_jobs import ModelJobs
from napari_fastsam3d._napari.main_thread import Dispatcher
from napari_fastsam3d.errors import FastSAM3DError

if TYPE_CHECKING:
    from napari_fastsam3d.model.registry import ModelEntry
    from napari_fastsam3d.model.store import Record

T = TypeVar("T")

FILTER = "Checkpoints (*.pth *.pt *.safetensors);;All files (*)"
_COLUMNS = ("Model", "State", "Size", "Licence", "Origin")
_SIZE = (820, 360)
_OFFLINE = (
    "\nWithout a network: bring the file to this machine by other means and choose 'Import file...'"
    ", or run: napari-fastsam3d models import FILE"
)


class ModelsDialog(QDialog):
    """A list of the models, and what can be done with the chosen one.

    Nothing is downloaded before the user has seen size, licence and origin, and agreed.

    Parameters
    ----------
    parent : QWidget
    jobs : ModelJobs
    dispatcher : Dispatcher
    changed : callable
        Called when a model has come or gone.
    """

    def __init__(
        self, parent: QWidget, jobs: ModelJobs, dispatcher: Dispatcher, changed: Callable[[], None]
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("FastSAM3D models")
        self.resize(*_SIZE)
        self._jobs, self._dispatcher, self._changed = jobs, dispatcher, changed
        self._entries: dict[str, ModelEntry] = {}
        self.fetching = self.busy = False
        self.list = _list()
        self.summary, self.message = _label(), _label()
        self.bar = QProgressBar()
        self.fetch_button = _button("Fetch...", self.fetch)
        self.stop_button = _button("Stop", self.stop)
        self.import_button = _button("Import file...", self.import_file)
        self.remove_button = _button("Remove...", self.remove)
        self.list.currentItemChanged.connect(self._show_chosen)
        self._lay_out()
        self.refresh()

    @property
    def chosen(self) -> ModelEntry | None:
        """The entry of the catalogue that is selected, or None."""
        item = self.list.currentItem()
        return None if item is None else self._entries.get(item.text(0))

    def refresh(self) -> None:
        """List the models anew."""
        self._do(self._jobs.catalogue(), self._show_entries, "")

    def fetch(self) -> None:
        """Ask for the size of the chosen model, then the user, then download it."""
        entry = self.chosen
        if entry is not None and entry.can_be_fetched:
            asked = self._jobs.look(entry.name)
            self._do(asked, lambda size: self._offer(entry, size), "Asking the server...", _OFFLINE)

    def stop(self) -> None:
        """Stop the download; what has arrived is kept, and Fetch goes on with it."""
        self._jobs.stop()

    def import_file(self) -> None:
        """Ask for a checkpoint and keep it under the name of its file."""
        path = ask_checkpoint(self)
        if path is not None:
            self._do(self._jobs.bring_in(path), self._on_come, f"Importing {path.name}...")

    def remove(self) -> None:
        """Ask, and delete the chosen model."""
        entry = self.chosen
        if entry is None or entry.record is None:
            return
        if agreed(self, f"Delete {entry.name} ({_size(entry.size)}) from this machine?"):
            removed = self._jobs.remove(entry.name)
            self._do(removed, lambda freed: self._on_gone(entry.name, freed), "Removing...")

    def _offer(self, entry: ModelEntry, size: int | None) -> None:
        url = "" if entry.card is None else entry.card.url
        question = (
            f"{entry.name}: {entry.summary}\n\nSize: {_size(size)}\nLicence: {entry.licence}\n"
            f"From: {url}\n\nDownload it?"
        )
        if not agreed(self, question):
            self.message.setText("Nothing was downloaded.")
            return
        self.fetching = True
        progress = self._dispatcher.to_main(self._show_progress)
        fetched = self._jobs.fetch(entry.name, progress)
        self._do(fetched, self._on_come, f"Fetching {entry.name}...", _OFFLINE)

    def _do(
        self, job: Future[T], done: Callable[[T], None], message: str, remedy: str = ""
    ) -> None:
        """Show a job at work, and hand its outcome to `done` or show its error."""
        self.busy = True
        if message:
            self.message.setText(message)
        self.bar.setRange(0, 100)
        self.bar.setValue(0)
        self._show_chosen()

        def finish(outcome: T) -> None:
            self._show_idle()
            done(outcome)

        def fail(error: BaseException) -> None:
            self._show_idle()
            self._show_error(error, remedy)

        self._dispatcher.watch(job, finish, fail)

    def _show_idle(self) -> None:
        self.busy = self.fetching = False
        self._show_chosen()

    def _show_entries(self, entries: list[ModelEntry]) -> None:
        before = self.list.currentItem()
        name = before.text(0) if before is not None else None
        self._entries = {entry.name: entry for entry in entries}
        self.list.clear()
        for entry in entries:
            row = (entry.name, entry.state, _size(entry.size, ""), entry.licence, entry.origin)
            item = QTreeWidgetItem(list(row))
            self.list.addTopLevelItem(item)
            if entry.name == name or self.list.currentItem() is None:
                self.list.setCurrentItem(item)
        for column in range(len(_COLUMNS)):
            self.list.resizeColumnToContents(column)
        self._show_chosen()

    def _show_chosen(self, _item: object = None, _before: object = None) -> None:
        entry = self.chosen
        idle = not self.busy
        self.summary.setText("" if entry is None else entry.summary)
        self.fetch_button.setEnabled(idle and entry is not None and entry.can_be_fetched)
        self.remove_button.setEnabled(idle and entry is not None and entry.record is not None)
        self.import_button.setEnabled(idle)
        self.stop_button.setEnabled(self.fetching)
        self.bar.setVisible(self.fetching)

    def _show_progress(self, done: int, total: int | None) -> None:
        self.bar.setRange(0, 100 if total else 0)
        if total:
            self.bar.setValue(100 * done // total)
        there = f"{done / 1e6:.0f}" + (f" of {total / 1e6:.0f}" if total else "")
        self.message.setText(f"{there} MB are here.")

    def _show_error(self, error: BaseException, remedy: str) -> None:
        text = str(error) if isinstance(error, FastSAM3DError) else f"It failed: {error!r}."
        offline = isinstance(error, FastSAM3DError) and "network" in error.remedy
        self.message.setText(text + (remedy if offline else ""))

    def _on_come(self, record: Record) -> None:
        self.message.setText(f"{record.name} is ready: choose it under 'Model'. ({record.trust}.)")
        self._after_change()

    def _on_gone(self, name: str, freed: int) -> None:
        self.message.setText(f"{name} is gone, {_size(freed)} are free.")
        self._after_change()

    def _after_change(self) -> None:
        self._changed()
        self.refresh()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        for button in (
            self.fetch_button,
            self.stop_button,
            self.import_button,
            self.remove_button,
        ):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(_button("Close", self.close))
        layout = QVBoxLayout(self)
        layout.addWidget(self.list, 1)
        for widget in (self.summary, self.bar, self.message):
            layout.addWidget(widget)
        layout.addLayout(buttons)


def agreed(parent: QWidget, question: str) -> bool:
    """Ask the user a question of yes or no; no is the answer to a window that is closed."""
    yes = QMessageBox.StandardButton.Yes
    return QMessageBox.question(parent, "FastSAM3D models", question) == yes


def ask_checkpoint(parent: QWidget) -> Path | None:
    """Let the user choose a file of weights."""
    chosen, _ = QFileDialog.getOpenFileName(parent, "Import a model", "", FILTER)
    return Path(chosen) if chosen else None


def _size(size: int | None, unknown: str = "unknown") -> str:
    return unknown if size is None else f"{size / 1e6:.0f} MB"


def _list() -> QTreeWidget:
    table = QTreeWidget()
    table.setHeaderLabels(list(_COLUMNS))
    table.setRootIsDecorated(False)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    return table


def _label() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _button(text: str, pressed: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setAutoDefault(False)

    def run() -> None:
        pressed()

    button.clicked.connect(run)
    return button
