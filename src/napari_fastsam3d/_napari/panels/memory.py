"""What is remembered of accepted cases, and which of them help with the present object."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QLabel,
    QListWidget,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari.commands.memory import (
    export_memory,
    find,
    import_memory,
    is_recalling,
    remember_object,
    toggle_memory,
)
from napari_fastsam3d._napari.panels.controls import Controls, menu_button
from napari_fastsam3d._napari.panels.layout import fit_rows, labelled
from napari_fastsam3d._napari.panels.teaching import TeachingPanel
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.memory.case import Case
from napari_fastsam3d.memory.question import RecalledCase, Way

_ID = int(Qt.ItemDataRole.UserRole)
_ICON = 26
_CASES_SHOWN, _STRUCTURES_SHOWN = 3, 4
_TINT = (255, 210, 74)
_WAYS: dict[Way, str] = {
    "reader": "Trained reader",
    "prior": "As a prior",
    "published": "Memory attention",
}
_WHEN = {"always": "Always", "ask": "Ask me", "never": "Never"}


class MemoryPanel(QWidget):
    """The cases that were recalled, the structures that are remembered, and what to do with them.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    summary : callable
        Given in a few words what was recalled, for the heading of the panel.
    forgotten : callable
        Given a case that was just forgotten.
    """

    def __init__(
        self,
        work: Workspace,
        controls: Controls,
        summary: Callable[[str], object],
        forgotten: Callable[[Case | None], object],
    ) -> None:
        super().__init__()
        self._work, self._summary, self._forgotten = work, summary, forgotten
        self.switch = QCheckBox(toggle_memory.text)
        self.switch.setToolTip(toggle_memory.hint)
        self.switch.clicked.connect(lambda _on: toggle_memory.run(work))
        self.way = _choices(_WAYS, "How they help. For what each does see the documentation.")
        self.way.currentIndexChanged.connect(self._on_way)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.cases = _rows("Cases that help with this object, the likest first.", _ICON)
        self.leave_out = _button(
            "Not for this", "Make this mask again without the case.", self._on_leave_out
        )
        self.forget = _button("Forget", "Remove the case from this machine.", self._on_forget)
        self.structures = _rows("What is remembered; a double click finds it in this scan.", 0)
        self.find_button = _button(
            "Find", "Look for it in the whole scan, without a click.", self._on_find
        )
        self.remember = controls.push_button(remember_object)
        self.more = controls.menu((export_memory, import_memory), self)
        self.forget_all = self.more.addAction("Forget this structure...")
        self.forget_all.triggered.connect(lambda _checked=False: self._on_forget_structure())
        self.when = _choices(_WHEN, "Whether an object that you accept is remembered.")
        self.when.currentIndexChanged.connect(self._on_when)
        self.teaching = TeachingPanel(work, controls, lambda: self._chosen(self.structures))
        self._lay_out()
        for chosen in (self.cases, self.structures):
            chosen.itemSelectionChanged.connect(self._enable)
        self.structures.itemDoubleClicked.connect(lambda _item: self._on_find())
        for signal in (work.state_changed, work.finished, work.failed, work.switched):
            signal.connect(self.refresh)
        work.memory.changed.connect(self.refresh)
        self.refresh()

    def refresh(self, _change: object = None) -> None:
        """Show what is recalled for the current object, and what is remembered."""
        view, way = self._work.view, self._work.memory.way
        cases = () if view is None else view.session.recalled()
        refuted = view is not None and view.session.is_recall_refuted()
        self.switch.setChecked(is_recalling(self._work))
        self.switch.setEnabled(self._work.memory.bank is not None)
        with signals_blocked(self.way), signals_blocked(self.when):
            self.way.setCurrentIndex([*_WAYS].index(way or self._work.memory.preferred))
            self.when.setCurrentIndex([*_WHEN].index(self._work.memory.when))
        self._show_cases(cases)
        self._show_structures()
        self.about.setText(self._advice(cases, refuted))
        told = f"{len(cases)} recalled" if cases and not refuted else ""
        self._summary(told)
        self._enable()

    def _advice(self, cases: tuple[RecalledCase, ...], refuted: bool) -> str:
        view, memory = self._work.view, self._work.memory
        own = None if view is None else view.current
        if memory.bank is None:
            return memory.trouble
        if refuted:
            return "Your clicks contradict what was recalled, so it no longer counts."
        if cases:
            return f"Recalled: {cases[0].name}, of {len(cases)} accepted cases."
        if not memory.entries():
            return "Nothing is remembered yet. Name an object and accept it."
        if own is None or not own.prompts:
            return "Click a structure, or find a remembered one."
        if own.recall is None:
            return "Nothing is recalled for this object."
        return "No remembered case is like this object."

    def _show_cases(self, cases: tuple[RecalledCase, ...]) -> None:
        chosen = self._chosen(self.cases)
        with signals_blocked(self.cases):
            fit_rows(self.cases, len(cases))
            for row, case in enumerate(cases):
                item = self.cases.item(row)
                item.setData(_ID, case.id)
                item.setText(
                    f"{case.name}: {100 * case.similarity:.0f} % alike, "
                    f"weight {100 * case.weight:.0f} %"
                )
                item.setToolTip(self._origin(case.id))
                picture = self._work.memory.picture(case.id, self.refresh)
                item.setIcon(QIcon() if picture is None else _icon(picture))
            _choose(self.cases, chosen)
        for part in (self.cases, self.leave_out, self.forget):
            part.setVisible(bool(cases))
        _fit(self.cases, _CASES_SHOWN)

    def _show_structures(self) -> None:
        found, chosen = self._work.memory.structures(), self._chosen(self.structures)
        with signals_blocked(self.structures):
            fit_rows(self.structures, len(found))
            for row, (name, count) in enumerate(found.items()):
                item = self.structures.item(row)
                item.setText(f"{name} ({count})")
                item.setData(_ID, name)
            _choose(self.structures, chosen if chosen in found else next(iter(found), None))
        self.structures.setVisible(bool(found))
        _fit(self.structures, _STRUCTURES_SHOWN)

    def _origin(self, identity: str) -> str:
        entry = next((e for e in self._work.memory.entries() if e.id == identity), None)
        if entry is None:
            return "It was forgotten since."
        return f"Accepted on {entry.date} after {entry.clicks} prompts."

    def _enable(self) -> None:
        view = self._work.view
        chosen = self._chosen(self.cases)
        own = None if view is None else view.current
        free = own is not None and own.locked is None and own.recall is not None
        self.leave_out.setEnabled(chosen is not None and free)
        known = {entry.id for entry in self._work.memory.entries()}
        self.forget.setEnabled(chosen in known)
        structure = self._chosen(self.structures)
        self.find_button.setEnabled(structure is not None and view is not None)
        self.forget_all.setEnabled(structure is not None)
        self.teaching.refresh_choice()

    @staticmethod
    def _chosen(rows: QListWidget) -> str | None:
        item = rows.currentItem()
        return None if item is None or item.isHidden() else str(item.data(_ID))

    def _on_way(self, _index: int) -> None:
        self._work.set_recall(cast(Way, self.way.currentData()))

    def _on_when(self, _index: int) -> None:
        self._work.memory.set_when(str(self.when.currentData()))

    def _on_leave_out(self) -> None:
        view, case = self._work.view, self._chosen(self.cases)
        if view is not None and case is not None:
            view.run(lambda session: session.leave_out(case))

    def _on_forget(self) -> None:
        case = self._chosen(self.cases)
        if case is None:
            return
        if self.leave_out.isEnabled():
            self._on_leave_out()
        self._work.memory.forget(case, self._forgotten)

    def _on_find(self) -> None:
        view, structure = self._work.view, self._chosen(self.structures)
        if view is not None and structure is not None:
            find(view, structure)

    def _on_forget_structure(self) -> None:
        structure = self._chosen(self.structures)
        if structure is None:
            return
        count = self._work.memory.structures().get(structure, 0)
        answer = QMessageBox.question(
            self,
            "Forget a structure",
            f"Remove all {count} cases of {structure} from this machine? This can't be undone.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._work.memory.forget_structure(structure)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.switch)
        layout.addWidget(self.about)
        layout.addWidget(self.cases)
        grid = QGridLayout()
        more = menu_button("More", "Forget a structure, export and import.", self.more)
        places = ((self.leave_out, self.forget), (self.find_button, self.remember))
        grid.addWidget(places[0][0], 0, 0)
        grid.addWidget(places[0][1], 0, 1)
        grid.addWidget(self.structures, 1, 0, 1, 2)
        grid.addWidget(places[1][0], 2, 0)
        grid.addWidget(places[1][1], 2, 1)
        grid.addWidget(more, 3, 0, 1, 2)
        layout.addLayout(grid)
        layout.addLayout(labelled("Way", self.way))
        layout.addLayout(labelled("Remember accepted", self.when))
        layout.addWidget(self.teaching)


def _icon(picture: NDArray[np.float32]) -> QIcon:
    """Return a mask as an icon: its part of each cell as opacity."""
    rgba = np.empty((*picture.shape, 4), np.uint8)
    rgba[..., :3] = _TINT
    rgba[..., 3] = (255 * picture.clip(0, 1)).astype(np.uint8)
    rows, columns = picture.shape
    image = QImage(rgba.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888)
    size = QSize(2 * _ICON, 2 * _ICON)
    kept, smooth = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    return QIcon(QPixmap.fromImage(image.copy()).scaled(size, kept, smooth))


def _rows(tooltip: str, icon: int) -> QListWidget:
    rows = QListWidget()
    rows.setToolTip(tooltip)
    if icon:
        rows.setIconSize(QSize(icon, icon))
    return rows


def _choose(rows: QListWidget, identity: str | None) -> None:
    """Select what was selected, in whichever row it is by now; nothing where it is gone."""
    known = [rows.item(row).data(_ID) for row in range(rows.count())]
    rows.setCurrentRow(known.index(identity) if identity in known else -1)


def _fit(rows: QListWidget, most: int) -> None:
    height = rows.sizeHintForRow(0) if rows.count() else 0
    rows.setFixedHeight(max(1, min(rows.count(), most)) * max(height, 18) + 2 * rows.frameWidth())


def _button(text: str, tooltip: str, pressed: Callable[[], object]) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.clicked.connect(lambda _checked=False: pressed())
    return button


def _choices(words: dict[Way, str] | dict[str, str], tooltip: str) -> QComboBox:
    box = QComboBox()
    for value, text in words.items():
        box.addItem(text, value)
    box.setToolTip(tooltip)
    return box
