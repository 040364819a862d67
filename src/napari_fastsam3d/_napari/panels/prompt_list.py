# pyright: basic
"""The prompts of the current object, one a row, in the order in which the model gets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, QPoint, QSize, Qt
from qtpy.QtGui import QIcon, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari.actions import action
from napari_fastsam3d._napari.descriptions import place_words, prompt_words
from napari_fastsam3d._napari.panels import icons
from napari_fastsam3d._napari.panels.buttons import push_button
from napari_fastsam3d._napari.panels.rows import fit_rows
from napari_fastsam3d.session import BoxPrompt, Edit, Freeze, Point, Prompt

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView

_ID = int(Qt.ItemDataRole.UserRole)
_HEIGHT = 104
_DELETING = (Qt.Key.Key_Delete, Qt.Key.Key_Backspace)
_NO_POINT = "Only points can be flipped: select one."
_NONE = "Select a prompt first."


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
    verbs : mapping of str to callable
        What each action of the table does.
    """

    def __init__(self, verbs: Mapping[str, Callable[[], None]]) -> None:
        super().__init__()
        self._verbs = verbs
        self._view: SessionView | None = None
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
        self.flip = push_button("flip_point", verbs["flip_point"])
        self.delete = push_button("delete_prompt", verbs["delete_prompt"])
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
        self._enable()

    def serve(self, view: SessionView | None) -> None:
        """List the prompts of another session, or none."""
        if self._view is not None:
            self._view.state_changed.disconnect(self._show)
            self._view.selection.changed.disconnect(self._show_selected)
        self._view = view
        if view is not None:
            view.state_changed.connect(self._show)
            view.selection.changed.connect(self._show_selected)
        self._fill(())  # equal prompts lie elsewhere in another scan
        self._show()

    def menu(self) -> QMenu:
        """Return the menu of what can be done to the selected prompts."""
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        for text, button, done in (
            ("Turn to it", None, lambda *_: self._on_activated()),
            (self.flip.text(), self.flip, lambda *_: self._verbs["flip_point"]()),
            (self.delete.text(), self.delete, lambda *_: self._on_delete()),
        ):
            entry = menu.addAction(text)
            entry.triggered.connect(done)
            if button is not None:
                entry.setEnabled(button.isEnabled())
                entry.setToolTip(button.toolTip())
        return menu

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
        item.setText(prompt_words(prompt, volume))
        item.setData(_ID, prompt.id)
        item.setIcon(_icon(prompt))
        item.setToolTip(
            f"Voxel {', '.join(map(str, prompt.index))} of the file, at "
            f"{place_words(prompt.index, volume)}"
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
        self._enable()

    def _enable(self) -> None:
        own = None if self._view is None else self._view.current
        ids = () if self._view is None else self._view.selection.ids
        points = any(isinstance(p, Point) and p.id in ids for p in self._prompts)
        locked = ""
        if own is not None and own.locked is not None:
            key = action("lock_object").shortcuts[0]
            locked = f"{own.name} is locked. Unlock it first ({key})."
        _allow(self.flip, "flip_point", locked or ("" if points else _NO_POINT))
        _allow(self.delete, "delete_prompt", locked or ("" if ids else _NONE))

    def _on_selected(self) -> None:
        if self._view is None:
            return
        ids = [item.data(_ID) for item in self.list.selectedItems()]
        current = self.list.currentItem()
        self._view.selection.choose(ids, None if current is None else current.data(_ID))
        self._enable()

    def _on_activated(self, _item: object = None) -> None:
        current = self.list.currentItem()
        if self._view is not None and current is not None:
            selection = self._view.selection
            selection.choose(selection.ids, fly_to=current.data(_ID))

    def _on_delete(self) -> None:
        if self.delete.isEnabled():
            self._verbs["delete_prompt"]()

    def _on_menu(self, place: QPoint) -> None:
        if self.list.itemAt(place) is not None:
            self.menu().popup(self.list.mapToGlobal(place))


def _allow(button: QPushButton, key: str, why_not: str) -> None:
    button.setEnabled(not why_not)
    button.setToolTip(why_not or action(key).hint)


def _icon(prompt: Prompt) -> QIcon:
    match prompt:
        case Point():
            return icons.include() if prompt.positive else icons.exclude()
        case BoxPrompt():
            return icons.box()
        case Freeze():
            return icons.freeze()
        case Edit():
            return icons.erase() if prompt.added.is_empty else icons.brush()
        case _:
            return icons.mask()
