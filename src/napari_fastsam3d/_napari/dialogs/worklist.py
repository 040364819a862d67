"""The list of the cases of a folder, and the choice of that folder."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QAbstractListModel, QModelIndex, QPersistentModelIndex, Qt
from qtpy.QtGui import QBrush, QColor, QFont
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_fastsam3d._napari.cases import Cases
from napari_fastsam3d._napari.contributions.settings import save_worklist
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session.worklist import Case

ModelIndex = QModelIndex | QPersistentModelIndex
_TROUBLE = "#e0574f"
_ABOUT = (
    "Every scan in the folder and its subfolders is a case, and so is a folder of DICOM slices. "
    "The masks of a case are saved when you go on to another."
)


class CaseRows(QAbstractListModel):
    """The cases as rows; a tick says that one is done.

    Parameters
    ----------
    cases : Cases
    """

    def __init__(self, cases: Cases) -> None:
        super().__init__()
        self._cases = cases
        self._shown: list[Case] = []
        self._part = ""

    def case(self, row: int) -> Case:
        """Return the case of a row."""
        return self._shown[row]

    def row_of(self, case: Case | None) -> int:
        """Return the row of a case; -1 where it has none."""
        return self._shown.index(case) if case in self._shown else -1

    def sift(self, part: str) -> None:
        """Show the cases with this in their names."""
        self._part = part.casefold()
        self.show()

    def show(self) -> None:
        """Show what is known of the cases now."""
        found = [each for each in self._cases.cases if self._part in each.name.casefold()]
        if found == self._shown:
            self.dataChanged.emit(self.index(0), self.index(max(0, len(found) - 1)))
            return
        self.beginResetModel()
        self._shown = found
        self.endResetModel()

    def rowCount(self, parent: ModelIndex | None = None) -> int:  # noqa: N802  (Qt's name)
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def flags(self, index: ModelIndex) -> Qt.ItemFlag:
        return super().flags(index) | Qt.ItemFlag.ItemIsUserCheckable

    def data(
        self, index: ModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)
    ) -> str | QBrush | QFont | Qt.CheckState | None:
        worklist = self._cases.worklist
        if worklist is None or not 0 <= index.row() < len(self._shown):
            return None
        case = self._shown[index.row()]
        problem = self._cases.problems.get(case.name)
        if role == Qt.ItemDataRole.DisplayRole:
            return case.name
        if role == Qt.ItemDataRole.ToolTipRole:
            return problem or str(case.path)
        if role == Qt.ItemDataRole.CheckStateRole:
            done = worklist.is_done(case)
            return Qt.CheckState.Checked if done else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.ForegroundRole and problem:
            return QBrush(QColor(_TROUBLE))
        if role == Qt.ItemDataRole.FontRole and case == self._cases.current:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def setData(  # noqa: N802  (Qt's name)
        self, index: ModelIndex, value: object, role: int = int(Qt.ItemDataRole.EditRole)
    ) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole:
            return False
        self._cases.mark(self._shown[index.row()], Qt.CheckState(value) == Qt.CheckState.Checked)
        return True


class WorklistDialog(QDialog):
    """Asks for a folder of scans, and lists its cases.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__(work.parent)
        self._work, self._cases = work, work.cases
        kept = work.settings.worklist
        self.setWindowTitle("Worklist")
        self.resize(560, 560)
        self.folder, self.output = QLineEdit(kept.folder), QLineEdit(kept.output)
        self.output.setPlaceholderText("beside the scans")
        self.scans, self.pattern = QLineEdit(kept.scans), QLineEdit(kept.pattern)
        self.scans.setToolTip("Which files are scans: * for all, or for example *_img.nii.gz.")
        self.pattern.setToolTip(
            "How the file of a mask is called: {case} stands for the name of the scan.\n"
            "It may end in .nii.gz, .nii, .nrrd, .mha, .seg.nrrd or .dcm."
        )
        self.begin = QPushButton("Open the worklist")
        self.begin.setToolTip("Look for the scans, and open the case to go on with.")
        self.begin.clicked.connect(self._begin)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Find a case")
        self.filter.setClearButtonEnabled(True)
        self.rows = CaseRows(work.cases)
        self.list = QListView()
        self.list.setModel(self.rows)
        self.list.setUniformItemSizes(True)
        self.list.setToolTip("Double-click a case to open it; the tick says that it is done.")
        self.list.activated.connect(self._go)
        self.filter.textChanged.connect(self.rows.sift)
        self.state = QLabel()
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self._lay_out()
        work.cases.changed.connect(self._show)
        self._show()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Folder of scans", self._with_button(self.folder, "Folder of scans"))
        form.addRow("Scans", self.scans)
        form.addRow("Masks go to", self._with_button(self.output, "Folder of masks"))
        form.addRow("Named", self.pattern)
        about = QLabel(_ABOUT)
        about.setWordWrap(True)
        go, close = QPushButton("Go to it"), QPushButton("Close")
        go.setToolTip("Save the masks of the case that is open, and open the selected one.")
        go.clicked.connect(lambda: self._go(self.list.currentIndex()))
        close.clicked.connect(self.close)
        below = QHBoxLayout()
        below.addWidget(self.state, 1)
        for button in (go, close):
            button.setAutoDefault(False)
            below.addWidget(button)
        self.go = go
        layout = QVBoxLayout(self)
        layout.addWidget(about)
        layout.addLayout(form)
        layout.addWidget(self.begin)
        layout.addWidget(self.filter)
        layout.addWidget(self.list, 1)
        layout.addLayout(below)

    def _with_button(self, field: QLineEdit, title: str) -> QWidget:
        button = QPushButton("Choose...")
        button.setAutoDefault(False)

        def choose() -> None:
            chosen = QFileDialog.getExistingDirectory(self, title, field.text())
            if chosen:
                field.setText(chosen)

        button.clicked.connect(choose)
        both = QWidget()
        row = QHBoxLayout(both)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(field, 1)
        row.addWidget(button)
        return both

    def _begin(self) -> None:
        folder, output = self.folder.text().strip(), self.output.text().strip()
        if not folder:
            self.state.setText("Choose a folder of scans first.")
            return
        pattern, scans = self.pattern.text().strip(), self.scans.text().strip()
        save_worklist(folder, output, pattern, scans)
        self._cases.open(Path(folder), Path(output) if output else None, pattern, scans)

    def _go(self, row: QModelIndex) -> None:
        if row.isValid():
            self._cases.go(self.rows.case(row.row()))

    def _show(self) -> None:
        worklist, cases = self._cases.worklist, self._cases
        for widget in (self.filter, self.list, self.go):
            widget.setVisible(worklist is not None)
        if worklist is None:
            self.state.setText("")
            return
        self.rows.show()
        row = self.rows.index(self.rows.row_of(cases.current))
        if row.isValid():
            self.list.setCurrentIndex(row)
        done = sum(map(worklist.is_done, cases.cases))
        left_out = f", {len(cases.problems)} with trouble" if cases.problems else ""
        looking = ", looking for more..." if cases.looking else ""
        self.state.setText(f"{len(cases.cases)} cases, {done} done{left_out}{looking}")
