"""The table of measures, which follows the masks as long as it is open."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

from napari_fastsam3d._napari.dialogs.mask_saver import suggested_path, unless_kept
from napari_fastsam3d._napari.main_thread import notify, single_shot
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.measures import COLUMNS, Measured, table_of

_WAIT_MS = 300
_ABOUT = (
    "Long and short axis are the RECIST diameters in the scan's axial slices. The centroid is in "
    "RAS mm: towards right, anterior, superior. Mean, SD, Min and Max are of the scan's values."
)
_UNFINISHED = "Measuring..."
_MANY = 1e4


class MeasuresDialog(QDialog):
    """A row for each object; the masks are measured again when they change.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__(work.parent)
        self._work = work
        self.rows: list[Measured] = []
        self._measuring = False
        self.setWindowTitle("Measures")
        self.table = QTableWidget()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().setVisible(False)
        self.table.setToolTip("Double-click a row to turn to its object.")
        self.table.cellDoubleClicked.connect(self._go_to)
        self.state = QLabel(_UNFINISHED)
        about = QLabel(_ABOUT)
        about.setWordWrap(True)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        role = QDialogButtonBox.ButtonRole.ActionRole
        self.copy = self.buttons.addButton("Copy", role)
        self.copy.setToolTip("Copy the table, to be pasted into a spreadsheet.")
        self.copy.setShortcut("Ctrl+C")
        self.copy.clicked.connect(self._copy)
        self.save = self.buttons.addButton("Save CSV...", role)
        self.save.setShortcut("Ctrl+S")
        self.save.clicked.connect(self._save)
        self.buttons.rejected.connect(self.close)
        layout = QVBoxLayout(self)
        for widget in (self.table, self.state, about, self.buttons):
            layout.addWidget(widget)
        self.resize(1260, 360)
        self._soon = single_shot(self, _WAIT_MS, self._measure)
        for signal in (work.state_changed, work.finished, work.switched):
            signal.connect(self._restart)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  (Qt's name)
        """Measure what has changed since the table was closed."""
        super().showEvent(event)
        self._measure()

    def _restart(self, _change: object = None) -> None:
        if self.isVisible():
            self._soon.start()

    def _measure(self) -> None:
        view = self._work.view
        if view is None:
            self._fill([])
        elif self._measuring:
            self._soon.start()
        else:
            self._measuring = True
            self.state.setText(_UNFINISHED)
            future = self._work.tasks.executor.submit(view.session.measures)
            self._work.dispatcher.watch(future, self._fill, self._fail)

    def _fill(self, rows: list[Measured]) -> None:
        self._measuring, self.rows = False, rows
        self.state.setText("" if rows else "There is no object.")
        self.table.setColumnCount(1 + len(COLUMNS))
        self.table.setHorizontalHeaderLabels(["Object", *COLUMNS.values()])
        self.table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            self.table.setItem(number, 0, QTableWidgetItem(row.name))
            for column, value in enumerate(row.measures.values.values(), start=1):
                item = QTableWidgetItem(_shown(value))
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(number, column, item)
        self.table.resizeColumnsToContents()

    def _fail(self, error: BaseException) -> None:
        self._measuring = False
        self.state.setText("The masks could not be measured.")
        notify(error)

    def _go_to(self, row: int, _column: int) -> None:
        view, label = self._work.view, self.rows[row].label
        found = [] if view is None else [o for o in view.session.state.objects if o.value == label]
        if view is not None and found:
            view.run(lambda session: session.select_object(found[0].id))
            view.go_to_object(found[0].id)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(table_of(self.rows, "\t"))
        self.state.setText("Copied.")

    def _save(self) -> None:
        view = self._work.view
        if view is None:
            return
        mask = suggested_path(view.frame.volume)
        offered = mask.with_name(mask.name.removesuffix("_mask.nii.gz") + "_measures.csv")
        chosen, _ = QFileDialog.getSaveFileName(self, "Save measures", str(offered), "CSV (*.csv)")
        if not chosen:
            return
        named = Path(chosen)
        path = named if named.suffix.lower() == ".csv" else named.with_name(named.name + ".csv")
        if unless_kept(self, named, path):
            self._write(path)

    def _write(self, path: Path) -> None:
        try:
            with replacing(path, ".csv") as temporary:
                # With a mark of its encoding, or spreadsheets would misread "é".
                temporary.write_text(table_of(self.rows), encoding="utf-8-sig")
        except FastSAM3DError as error:
            notify(error)
        else:
            self.state.setText(f"Saved {path}.")


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    return f"{value:,.4g}" if abs(value) < _MANY else f"{value:,.0f}"
