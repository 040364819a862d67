# pyright: basic
"""The objects of the session: names, colours, visibility, and the file they go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.buttons import push_button
from napari_fastsam3d.session import ObjectState

_ID = int(Qt.ItemDataRole.UserRole)
_HEIGHT = 104
_LOCKED = " (locked)"


class ObjectsPanel(QWidget):
    """List of the objects; the current one is selected, a double click renames.

    Parameters
    ----------
    verbs : mapping of str to callable
        What each action of the table does.
    selected, renamed, shown : callable
        Called with the id of an object, and its new name or whether it is to be visible.
    """

    def __init__(
        self,
        verbs: Mapping[str, Callable[[], None]],
        selected: Callable[[int], None],
        renamed: Callable[[int, str], None],
        shown: Callable[[int, bool], None],
    ) -> None:
        super().__init__()
        self._selected, self._renamed, self._shown = selected, renamed, shown
        self._objects: tuple[ObjectState, ...] = ()
        self.list = QListWidget()
        self.list.setFixedHeight(_HEIGHT)
        self.list.setIconSize(QSize(16, 16))
        self.list.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.list.setToolTip(
            "Select the object that the next click belongs to.\n"
            "Double-click its name to change it; untick it to hide it."
        )
        self.list.currentItemChanged.connect(self._on_current)
        self.list.itemChanged.connect(self._on_item)
        self.next = push_button("next_object", verbs["next_object"])
        self.remove = push_button("remove_object", verbs["remove_object"])
        self.lock = push_button("lock_object", verbs["lock_object"])
        self.save = push_button("save_mask", verbs["save_mask"])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        layout.addLayout(self._buttons())

    def show_objects(
        self, objects: Sequence[ObjectState], current: int | None, hidden: frozenset[int]
    ) -> None:
        """List the objects and select the current one."""
        self._objects = tuple(objects)
        with signals_blocked(self.list):
            while self.list.count() > len(objects):
                self.list.takeItem(self.list.count() - 1)
            while self.list.count() < len(objects):
                self.list.addItem(QListWidgetItem())
            for row, shown in enumerate(objects):
                _fill(self.list.item(row), shown, shown.id not in hidden)
                if shown.id == current:
                    self.list.setCurrentRow(row)
        chosen = [shown for shown in objects if shown.id == current]
        locked = any(shown.locked is not None for shown in chosen)
        self.lock.setText("Unlock" if locked else "Lock")
        self.lock.setEnabled(any(shown.prompts for shown in chosen))
        self.remove.setEnabled(bool(objects) and not locked)
        self.next.setEnabled(any(shown.prompts for shown in objects))
        self.save.setEnabled(any(shown.prompts for shown in objects))

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        grid.addWidget(self.next, 0, 0)
        grid.addWidget(self.remove, 0, 1)
        grid.addWidget(self.lock, 1, 0)
        grid.addWidget(self.save, 1, 1)
        return grid

    def _on_current(self, item: QListWidgetItem | None, _before: object = None) -> None:
        if item is not None:
            self._selected(item.data(_ID))

    def _on_item(self, item: QListWidgetItem) -> None:
        known = {shown.id: shown for shown in self._objects}.get(item.data(_ID))
        if known is None:
            return
        name = item.text().removesuffix(_LOCKED)
        if name != known.name:
            self._renamed(known.id, name)
        self._shown(known.id, item.checkState() == Qt.CheckState.Checked)


def _fill(item: QListWidgetItem, shown: ObjectState, visible: bool) -> None:
    item.setText(shown.name if shown.locked is None else shown.name + _LOCKED)
    item.setData(_ID, shown.id)
    item.setIcon(icons.swatch(QColor.fromRgbF(*shown.colour).name()))
    item.setFlags(
        Qt.ItemFlag.ItemIsEnabled
        | Qt.ItemFlag.ItemIsSelectable
        | Qt.ItemFlag.ItemIsEditable
        | Qt.ItemFlag.ItemIsUserCheckable
    )
    item.setCheckState(Qt.CheckState.Checked if visible else Qt.CheckState.Unchecked)
