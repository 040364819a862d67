# pyright: basic
"""The objects of the session: names, colours, visibility, and the file they go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QGridLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari.actions import action
from napari_fastsam3d._napari.panels import icons
from napari_fastsam3d._napari.panels.buttons import menu_button, menu_of, push_button
from napari_fastsam3d._napari.panels.column import labelled
from napari_fastsam3d._napari.panels.rows import fit_rows
from napari_fastsam3d.session import ObjectState
from napari_fastsam3d.session.actions import OVERLAP_DESCRIPTIONS

_ID = int(Qt.ItemDataRole.UserRole)
_LEAST_ROWS, _MOST_ROWS = 3, 12
_FILTER_FROM = 7
_ABOUT = (
    "name_object",
    "value_object",
    "colour_object",
    "accept_object",
    "lock_object",
    "exclude_neighbours",
    "remove_object",
)
_FILES = ("save_each", "save_both", "save_prompts", "open_mask", "open_prompts")
_OPENING = ("open_mask", "open_prompts")
_STANDING = {"": "", "lock": ", locked", "tick": ", accepted and locked"}


class ObjectsPanel(QWidget):
    """List of the objects; the current one is selected, a double click renames.

    Parameters
    ----------
    verbs : mapping of str to callable
        What each action of the table does.
    selected, renamed, shown : callable
        Called with the id of an object, and its new name or whether it is to be visible.
    ruled : callable
        Called with the rule of overlap.
    """

    def __init__(
        self,
        verbs: Mapping[str, Callable[[], None]],
        selected: Callable[[int], None],
        renamed: Callable[[int, str], None],
        shown: Callable[[int, bool], None],
        ruled: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._selected, self._renamed, self._shown = selected, renamed, shown
        self._objects: tuple[ObjectState, ...] = ()
        self.list = QListWidget()
        self.list.setIconSize(QSize(16, 16))
        self.list.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.list.setToolTip(
            "Select the object that the next click belongs to.\n"
            "Double-click its name to change it; untick it to hide it;\n"
            "the right button offers more."
        )
        self.list.currentItemChanged.connect(self._on_current)
        self.list.itemChanged.connect(self._on_item)
        self.filter = QLineEdit()
        self.filter.setClearButtonEnabled(True)
        self.filter.setToolTip("Show the objects with this in their names, and the current one.")
        self.filter.textChanged.connect(self._sift)
        self.filter.setVisible(False)
        self.next = push_button("next_object", verbs["next_object"])
        self.remove = push_button("remove_object", verbs["remove_object"])
        self.lock = push_button("lock_object", verbs["lock_object"])
        self.accept = push_button("accept_object", verbs["accept_object"])
        self.save = push_button("save_mask", verbs["save_mask"])
        self.about = menu_of(_ABOUT, verbs, self)
        self.files = menu_of(_FILES, verbs, self)
        self.about_button = menu_button("Object", "Name, value and colour.", self.about)
        self.files_button = menu_button("Files", "Other ways to save, and to go on.", self.files)
        self.overlap = _rules_box(ruled)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._offer_more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.filter)
        layout.addWidget(self.list)
        layout.addLayout(self._buttons())
        layout.addLayout(labelled("Overlap", self.overlap))

    def show_objects(
        self, objects: Sequence[ObjectState], current: int | None, hidden: frozenset[int]
    ) -> None:
        """List the objects and select the current one."""
        self._objects = tuple(objects)
        with signals_blocked(self.list):
            fit_rows(self.list, len(objects))
            for row, shown in enumerate(objects):
                _fill(self.list.item(row), shown, shown.id not in hidden)
                if shown.id == current:
                    self.list.setCurrentRow(row)
        self._fit()
        chosen = next((shown for shown in objects if shown.id == current), None)
        neighbours = any(shown.locked is not None and shown is not chosen for shown in objects)
        self._enable(chosen, any(shown.prompts for shown in objects), neighbours)

    def show_rule(self, rule: str | None) -> None:
        """Show whose a voxel is that several objects claim; None where there is no scan."""
        with signals_blocked(self.overlap):
            self.overlap.setEnabled(rule is not None)
            self.overlap.setCurrentIndex(list(OVERLAP_DESCRIPTIONS).index(rule or "keep"))
        for entry in self.files.actions():
            if entry.objectName() in _OPENING:
                entry.setEnabled(rule is not None)

    def _fit(self) -> None:
        """Let the list grow with its rows, and offer to sift them where they are many."""
        count = self.list.count()
        many = count >= _FILTER_FROM
        if not many:
            self.filter.clear()
        self.filter.setVisible(many)
        self.filter.setPlaceholderText(f"Find one of {count} objects")
        self._sift()
        row = self.list.sizeHintForRow(0) if count else self.list.fontMetrics().height() + 4
        rows = min(max(count, _LEAST_ROWS), _MOST_ROWS)
        self.list.setFixedHeight(rows * row + 2 * self.list.frameWidth() + 2)
        item = self.list.currentItem()
        if item is not None:
            self.list.scrollToItem(item)

    def _sift(self, _text: str = "") -> None:
        wanted = self.filter.text().strip().casefold()
        for row in range(self.list.count()):
            item = self.list.item(row)
            fits = wanted in item.text().casefold()
            item.setHidden(not fits and row != self.list.currentRow())

    def _enable(self, chosen: ObjectState | None, begun: bool, neighbours: bool) -> None:
        locked = chosen is not None and chosen.locked is not None
        drawn = chosen is not None and bool(chosen.prompts)
        accepted = chosen is not None and chosen.accepted
        self.lock.setText("Unlock" if locked else "Lock")
        self.accept.setText("Accepted" if accepted else "Accept")
        self.remove.setToolTip(
            "A locked object can't be removed: unlock it first."
            if locked
            else action("remove_object").hint
        )
        self.next.setEnabled(begun)
        self.save.setEnabled(begun)
        self.about_button.setEnabled(chosen is not None)
        allowed = {
            "lock_object": drawn or locked,
            "accept_object": drawn or accepted,
            "remove_object": chosen is not None and not locked,
            "exclude_neighbours": drawn and not locked and neighbours,
        }
        self.lock.setEnabled(allowed["lock_object"])
        self.accept.setEnabled(allowed["accept_object"])
        self.remove.setEnabled(allowed["remove_object"])
        for entry in self.about.actions():
            entry.setEnabled(allowed.get(entry.objectName(), chosen is not None))
        for entry in self.files.actions():
            if entry.objectName() not in _OPENING:
                entry.setEnabled(begun)

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        rows = (
            (self.next, self.remove),
            (self.lock, self.accept),
            (self.about_button, self.files_button),
        )
        for row, (left, right) in enumerate(rows):
            grid.addWidget(left, row, 0)
            grid.addWidget(right, row, 1)
        grid.addWidget(self.save, len(rows), 0, 1, 2)
        return grid

    def _offer_more(self, place: QPoint) -> None:
        if self.list.itemAt(place) is not None:
            self.about.popup(self.list.viewport().mapToGlobal(place))

    def _on_current(self, item: QListWidgetItem | None, _before: object = None) -> None:
        if item is not None:
            self._selected(item.data(_ID))

    def _on_item(self, item: QListWidgetItem) -> None:
        known = {shown.id: shown for shown in self._objects}.get(item.data(_ID))
        if known is None:
            return
        if item.text() != known.name:
            self._renamed(known.id, item.text())
        self._shown(known.id, item.checkState() == Qt.CheckState.Checked)


def _fill(item: QListWidgetItem, shown: ObjectState, visible: bool) -> None:
    mark = "tick" if shown.accepted else "lock" if shown.locked is not None else ""
    item.setText(shown.name)
    item.setData(_ID, shown.id)
    item.setIcon(icons.swatch(QColor.fromRgbF(*shown.colour).name(), mark))
    item.setToolTip(f"Label value {shown.value}" + _STANDING[mark])
    item.setFlags(
        Qt.ItemFlag.ItemIsEnabled
        | Qt.ItemFlag.ItemIsSelectable
        | Qt.ItemFlag.ItemIsEditable
        | Qt.ItemFlag.ItemIsUserCheckable
    )
    item.setCheckState(Qt.CheckState.Checked if visible else Qt.CheckState.Unchecked)


def _rules_box(ruled: Callable[[str], None]) -> QComboBox:
    box = QComboBox()
    for rule, words in OVERLAP_DESCRIPTIONS.items():
        box.addItem(words, rule)
    # The words may be cut off in a narrow dock; the panel must not be wider for them.
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setToolTip(
        "Whose a voxel is that several objects claim. Locked objects keep theirs from others,\n"
        "unless both may hold it. A file of all objects has one label a voxel, and so has what is\n"
        "shown: there a locked object is named first, else the one begun first."
    )
    box.currentIndexChanged.connect(lambda _: ruled(box.currentData()))
    return box
