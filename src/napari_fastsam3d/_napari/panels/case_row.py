"""Which case of the worklist is open, and ways to the next; hidden without a worklist."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_fastsam3d._napari import icons
from napari_fastsam3d._napari.commands.worklist import (
    case_done,
    next_case,
    previous_case,
    worklist,
)
from napari_fastsam3d._napari.panels.controls import Controls
from napari_fastsam3d._napari.workspace import Workspace


class CaseRow(QWidget):
    """Shows the case that is open and how far the list is done.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    """

    def __init__(self, work: Workspace, controls: Controls) -> None:
        super().__init__()
        self._work, self._controls = work, controls
        self.text = QLabel()
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.previous = controls.icon_button(previous_case, icons.skip(back=True))
        self.next = controls.icon_button(next_case, icons.skip())
        self.done = controls.text_button(case_done)
        self.list = controls.text_button(worklist)
        self.list.setText("List")
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(self.previous)
        row.addWidget(self.done, 1)
        row.addWidget(self.next)
        row.addWidget(self.list)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.text)
        layout.addLayout(row)
        work.cases.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        cases, worklist = self._work.cases, self._work.cases.worklist
        self.setVisible(worklist is not None)
        if worklist is None:
            return
        current, known = cases.current, cases.cases
        done = sum(map(worklist.is_done, known))
        more = "+" if cases.looking else ""
        if current is None:
            self.text.setText(f"{len(known)}{more} cases, {done} done")
        else:
            tick = "✓ " if worklist.is_done(current) else ""
            place = f"{known.index(current) + 1} of {len(known)}{more}"
            self.text.setText(f"{tick}Case {place}, {done} done: {current.name}")
        self.text.setToolTip(self.text.text())
        self._controls.refresh()
