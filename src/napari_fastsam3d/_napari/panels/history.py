"""The history: every step that was taken, and a way to any of them."""

from __future__ import annotations

from qtpy.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtGui import QBrush, QColor, QFont
from qtpy.QtWidgets import QAbstractItemView, QListView, QVBoxLayout, QWidget

from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import History, SessionState

_HEIGHT = 132
_FADED = 170  # of 255
ModelIndex = QModelIndex | QPersistentModelIndex
_START = "The scan as it was opened"


class Steps(QAbstractListModel):
    """The log as rows: first the beginning, then a row for each step, undone ones included.

    The description of a step is made when its row is seen, so that a long log costs nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._history = History()
        self.undone = QColor("grey")
        """Colour of the text of undone steps."""

    @property
    def cursor(self) -> int:
        """Row of the last step that is done; 0 where none is."""
        return self._history.cursor

    def show(self, history: History) -> None:
        """Become the rows of another moment of the log."""
        same, before = _shared(self._history, history), self._history
        if same < len(before.entries):
            self.beginRemoveRows(QModelIndex(), same + 1, len(before.entries))
            self._history = History(before.entries[:same], min(before.cursor, same))
            self.endRemoveRows()
        if same < len(history.entries):
            self.beginInsertRows(QModelIndex(), same + 1, len(history.entries))
            self._history = history
            self.endInsertRows()
        self._history = history
        if before.cursor != history.cursor:
            first, last = sorted((min(before.cursor, same), history.cursor))
            self.dataChanged.emit(self.index(first), self.index(last))

    def rowCount(self, parent: ModelIndex | None = None) -> int:  # noqa: N802  (Qt's name)
        return 0 if parent is not None and parent.isValid() else len(self._history.entries) + 1

    def data(
        self, index: ModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> str | QBrush | QFont | None:
        row = index.row()
        if not 0 <= row <= len(self._history.entries):
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._description(row)
        if role == Qt.ItemDataRole.ForegroundRole and row > self.cursor:
            return QBrush(self.undone)
        if role == Qt.ItemDataRole.FontRole and row > self.cursor:
            font = QFont()
            font.setItalic(True)
            return font
        return None

    def _description(self, row: int) -> str:
        if row == 0:
            return _START
        entries = self._history.entries
        before = entries[row - 2].state if row > 1 else SessionState()
        return entries[row - 1].action.describe(before, entries[row - 1].state)


class HistoryPanel(QWidget):
    """A list of all steps; a click goes to one, by as many steps of undo or redo as it takes.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__()
        self._work = work
        self.steps = Steps()
        self.list = QListView()
        self.list.setModel(self.steps)
        self.list.setUniformItemSizes(True)
        self.list.setFixedHeight(_HEIGHT)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setToolTip("Click a step to go back or forward to it; grey steps are undone.")
        self.list.clicked.connect(self._on_chosen)
        self.list.activated.connect(self._on_chosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.list)
        work.state_changed.connect(self._show)
        work.switched.connect(self._show)
        self._show()

    def _show(self, _state: object = None) -> None:
        # The theme may have changed: faded letters of its own colour read well on its own ground.
        self.steps.undone = self.list.palette().text().color()
        self.steps.undone.setAlpha(_FADED)
        view = self._work.view
        self.steps.show(History() if view is None else view.session.history)
        row = self.steps.index(self.steps.cursor)
        if self.list.currentIndex() != row:
            self.list.setCurrentIndex(row)
        self.list.scrollTo(row)

    def _on_chosen(self, index: QModelIndex) -> None:
        if self._work.view is not None and index.row() != self.steps.cursor:
            self._work.view.go_to_step(index.row())


def _shared(one: History, other: History) -> int:
    """Return how many entries both logs begin with."""
    for place, (a, b) in enumerate(zip(one.entries, other.entries, strict=False)):
        if a is not b:
            return place
    return min(len(one.entries), len(other.entries))
