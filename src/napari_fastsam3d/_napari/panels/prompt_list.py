"""The prompts of the current object, one a row, in the order in which the model gets them."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QItemSelectionModel, QPoint, QSize, Qt
from qtpy.QtGui import QIcon, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.commands.history import delete_prompt, flip_point
from napari_fastsam3d._napari.descriptions import describe_place, describe_prompt
from napari_fastsam3d._napari.panels.controls import Controls
from napari_fastsam3d._napari.panels.layout import fit_rows
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import BoxPrompt, Edit, Freeze, Point, Prompt, Scribble

_ID = int(Qt.ItemDataRole.UserRole)
_HEIGHT = 104
_DELETING = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
_NO_POINT = "Only points, scribbles and lassos can be flipped: select one."


class _Keyed(QListWidget):
    """A list that keeps Delete and Enter to itself.

    What a list leaves of a key goes on to napari, which would delete in the active layer.
    """

    def __init__(self, deleted: Callable[[], None]) -> None:
        super().__init__()
        self._deleted = deleted

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  (Qt's name)
        if event.key() in _DELETING:
            self._deleted()
        else:
            super().keyPressEvent(event)
        if event.key() in (*_DELETING, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.accept()


class PromptList(QWidget):
    """Selects prompts, turns to them, flips and deletes them.

    What is selected here is selected in the layers too, and the other way round.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    """

    def __init__(self, work: Workspace, controls: Controls) -> None:
        super().__init__()
        self._work = work
        self._prompts: tuple[Prompt, ...] = ()
        self.list = _Keyed(self._on_delete)
        self.list.setFixedHeight(_HEIGHT)
        self.list.setIconSize(QSize(16, 16))
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.setToolTip(
            "The prompts of the current object. Select one to see its place; Enter turns to it\n"
            "again, Delete removes what is selected. The mask is then made of what is left."
        )
        self.flip = controls.push_button(flip_point, why_not=self._no_point)
        self.delete = controls.push_button(delete_prompt)
        self.list.itemSelectionChanged.connect(self._on_selected)
        self.list.itemActivated.connect(self._on_activated)
        self.list.customContextMenuRequested.connect(self._on_menu)
        buttons = QHBoxLayout()
        buttons.addWidget(self.flip)
        buttons.addWidget(self.delete)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addLayout(buttons)
        work.state_changed.connect(self._show)
        work.selection_changed.connect(self._show_selected)
        work.switched.connect(self._serve)

    def menu(self) -> QMenu:
        """Return the menu of what can be done to the selected prompts."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for text, button, done in (
            ("Turn to it", None, self._on_activated),
            (self.flip.text(), self.flip, self.flip.click),
            (self.delete.text(), self.delete, self.delete.click),
        ):
            entry = menu.addAction(text)
            entry.triggered.connect(_slot(done))
            if button is not None:
                entry.setEnabled(button.isEnabled())
                entry.setToolTip(button.toolTip())
        return menu

    @property
    def _view(self) -> SessionView | None:
        return self._work.view

    def _serve(self, _view: SessionView | None) -> None:
        self._fill(())  # equal prompts lie elsewhere in another scan
        self._show()

    def _show(self, _state: object = None) -> None:
        prompts = () if self._view is None else self._view.prompts
        if prompts != self._prompts:
            self._fill(prompts)
        self._show_selected()

    def _fill(self, prompts: tuple[Prompt, ...]) -> None:
        assert self._view is not None or not prompts
        grown = len(prompts) > len(self._prompts)
        self._prompts = prompts
        with signals_blocked(self.list):
            fit_rows(self.list, len(prompts))
            for row, prompt in enumerate(prompts):
                self._write(self.list.item(row), prompt)
        if grown:
            self.list.scrollToBottom()

    def _write(self, item: QListWidgetItem, prompt: Prompt) -> None:
        assert self._view is not None
        volume = self._view.frame.volume
        item.setText(describe_prompt(prompt, volume))
        item.setData(_ID, prompt.id)
        item.setIcon(_icon(prompt))
        item.setToolTip(
            f"Voxel {', '.join(map(str, prompt.index))} of the file, at "
            f"{describe_place(prompt.index, volume)}"
            if isinstance(prompt, Point)
            else ""
        )

    def _show_selected(self, _ids: object = None) -> None:
        ids = () if self._view is None else self._view.selection.ids
        items = [self.list.item(row) for row in range(self.list.count())]
        with signals_blocked(self.list):
            for item in items:
                if item.isSelected() != (item.data(_ID) in ids):
                    item.setSelected(item.data(_ID) in ids)
            current = self.list.currentItem()
            if ids and (current is None or current.data(_ID) not in ids):
                row = next(row for row, item in enumerate(items) if item.data(_ID) in ids)
                self.list.setCurrentRow(row, QItemSelectionModel.SelectionFlag.NoUpdate)
        if ids:
            self.list.scrollToItem(self.list.currentItem())

    def _no_point(self) -> str | None:
        ids = () if self._view is None else self._view.selection.ids
        signed = any(isinstance(p, Point | Scribble) and p.id in ids for p in self._prompts)
        return None if signed else _NO_POINT

    def _on_selected(self) -> None:
        if self._view is None:
            return
        ids = [item.data(_ID) for item in self.list.selectedItems()]
        current = self.list.currentItem()
        self._view.selection.select(ids, None if current is None else current.data(_ID))

    def _on_activated(self, _item: object = None) -> None:
        current = self.list.currentItem()
        if self._view is not None and current is not None:
            selection = self._view.selection
            selection.select(selection.ids, show=current.data(_ID))

    def _on_delete(self) -> None:
        self.delete.click()

    def _on_menu(self, place: QPoint) -> None:
        if self.list.itemAt(place) is not None:
            self.menu().popup(self.list.mapToGlobal(place))


def _slot(function: Callable[[], object]) -> Callable[[], None]:
    def call() -> None:
        function()

    return call


def _icon(prompt: Prompt) -> QIcon:
    match prompt:
        case Point():
            return icons.include() if prompt.positive else icons.exclude()
        case BoxPrompt():
            return icons.box()
        case Scribble():
            return (
                icons.lasso(prompt.positive) if prompt.filled else icons.scribble(prompt.positive)
            )
        case Freeze():
            return icons.freeze()
        case Edit():
            return icons.erase() if prompt.added.is_empty else icons.brush()
        case _:
            return icons.mask()
