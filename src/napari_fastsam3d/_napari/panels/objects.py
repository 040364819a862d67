"""The objects of the session: names, colours, visibility, and the file they go to."""

from __future__ import annotations

from typing import cast

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

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.commands.clean_up import CLEAN_UP_COMMANDS
from napari_fastsam3d._napari.commands.files import (
    open_mask,
    open_prompts,
    save_both,
    save_each,
    save_label_table,
    save_mask,
    save_meshes,
    save_prompts,
)
from napari_fastsam3d._napari.commands.measures import (
    draw_diameters,
    measures,
    save_patient_report,
    save_report,
)
from napari_fastsam3d._napari.commands.object_views import OBJECT_VIEW_COMMANDS
from napari_fastsam3d._napari.commands.objects import (
    accept_object,
    colour_object,
    exclude_neighbours,
    lock_object,
    name_object,
    next_object,
    remove_object,
    value_object,
)
from napari_fastsam3d._napari.commands.scans import toggle_mask
from napari_fastsam3d._napari.panels.controls import Controls, menu_button
from napari_fastsam3d._napari.panels.layout import fit_rows, labelled
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import ObjectState, OverlapRule
from napari_fastsam3d.session.object_actions import OVERLAP_DESCRIPTIONS

_ID = int(Qt.ItemDataRole.UserRole)
_LEAST_ROWS, _MOST_ROWS = 3, 12
_FILTER_FROM = 7
_ABOUT = (
    name_object,
    value_object,
    colour_object,
    accept_object,
    lock_object,
    draw_diameters,
    exclude_neighbours,
    remove_object,
)
_FILES = (
    save_each,
    save_both,
    save_meshes,
    save_label_table,
    save_report,
    save_patient_report,
    save_prompts,
    open_mask,
    open_prompts,
)
_STANDING = {"": "", "lock": ", locked", "tick": ", accepted and locked"}


class ObjectsPanel(QWidget):
    """List of the objects; the current one is selected, a double click renames.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    """

    def __init__(self, work: Workspace, controls: Controls) -> None:
        super().__init__()
        self._work = work
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
        self.next = controls.push_button(next_object)
        self.remove = controls.push_button(remove_object)
        self.lock = controls.push_button(lock_object)
        self.accept = controls.push_button(accept_object)
        self.save = controls.push_button(save_mask)
        self.measures = controls.push_button(measures)
        self.about = controls.menu(_ABOUT, self)
        self.clean_up = controls.menu(CLEAN_UP_COMMANDS, self)
        self.clean_up_button = menu_button("Clean up", "Islands, holes, margins.", self.clean_up)
        self.files = controls.menu(_FILES, self)
        self.views = controls.menu((*OBJECT_VIEW_COMMANDS, toggle_mask), self)
        self.views_button = menu_button("View", "How objects are shown and listed.", self.views)
        self.about_button = menu_button("Object", "Name, value and colour.", self.about)
        self.files_button = menu_button("Files", "Other ways to save, and to go on.", self.files)
        self.overlap = _rules_box()
        self.overlap.currentIndexChanged.connect(self._on_rule)
        self.list.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.list.customContextMenuRequested.connect(self._offer_more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.filter)
        layout.addWidget(self.list)
        layout.addLayout(self._buttons())
        layout.addLayout(labelled("Overlap", self.overlap))
        work.state_changed.connect(self._show)
        work.failed.connect(self._show)
        work.objects_sorted.connect(self._show)
        work.switched.connect(self._show)
        self._show()

    @property
    def _view(self) -> SessionView | None:
        return self._work.view

    @property
    def _objects(self) -> tuple[ObjectState, ...]:
        return () if self._view is None else self._view.session.state.objects

    def _show(self, _change: object = None) -> None:
        """List the objects, select the current one and show the rule of overlap."""
        view, objects = self._view, self._work.listed_objects()
        current = None if view is None else view.current
        with signals_blocked(self.list):
            fit_rows(self.list, len(objects))
            for row, each in enumerate(objects):
                _fill(
                    self.list.item(row), each, view is None or each.id not in view.display.unticked
                )
                if current is not None and each.id == current.id:
                    self.list.setCurrentRow(row)
        self._fit()
        locked = current is not None and current.locked is not None
        self.lock.setText("Unlock" if locked else lock_object.text)
        accepted = current is not None and current.accepted
        self.accept.setText("Accepted" if accepted else accept_object.text)
        self.about_button.setEnabled(current is not None)
        rule = "keep" if view is None else view.session.state.overlap
        with signals_blocked(self.overlap):
            self.overlap.setEnabled(view is not None)
            self.overlap.setCurrentIndex(list(OVERLAP_DESCRIPTIONS).index(rule))

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

    def _buttons(self) -> QGridLayout:
        grid = QGridLayout()
        rows = (
            (self.next, self.remove),
            (self.lock, self.accept),
            (self.about_button, self.files_button),
            (self.clean_up_button, self.measures),
        )
        for row, (left, right) in enumerate(rows):
            grid.addWidget(left, row, 0)
            grid.addWidget(right, row, 1)
        grid.addWidget(self.views_button, len(rows), 0)
        grid.addWidget(self.save, len(rows), 1)
        return grid

    def _offer_more(self, place: QPoint) -> None:
        if self.list.itemAt(place) is not None:
            self.about.popup(self.list.viewport().mapToGlobal(place))

    def _on_current(self, item: QListWidgetItem | None, _before: object = None) -> None:
        if item is not None and self._view is not None:
            number = int(item.data(_ID))
            self._view.run(lambda session: session.select_object(number))
            self._view.go_to_object(number)

    def _on_item(self, item: QListWidgetItem) -> None:
        view, number = self._view, int(item.data(_ID))
        known = next((each for each in self._objects if each.id == number), None)
        if view is None or known is None:
            return
        name, visible = item.text(), item.checkState() == Qt.CheckState.Checked
        if name != known.name:
            view.run(lambda session: session.rename_object(number, name))
        view.display.set_visible(number, visible)

    def _on_rule(self, _index: int) -> None:
        view = self._view
        rule = cast(OverlapRule, self.overlap.currentData())
        if view is not None and rule != view.session.state.overlap:
            view.run(lambda session: session.set_overlap(rule))


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


def _rules_box() -> QComboBox:
    box = QComboBox()
    for rule, text in OVERLAP_DESCRIPTIONS.items():
        box.addItem(text, rule)
    # The words may be cut off in a narrow dock; the panel must not be wider for them.
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setToolTip(
        "Whose a voxel is that several objects claim. Locked objects keep theirs from others,\n"
        "unless both may hold it. A file of all objects has one label a voxel, and so has what is\n"
        "shown: there a locked object is named first, else the one begun first."
    )
    return box
