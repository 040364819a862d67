"""Teaching the model a structure, and segmenting those that were taught without a prompt."""

from __future__ import annotations

import sys
from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_fastsam3d._napari.commands.adapters import segment_automatically, taught_structures
from napari_fastsam3d._napari.panels.controls import Controls
from napari_fastsam3d._napari.panels.layout import fit_rows
from napari_fastsam3d._napari.workspace import Workspace

_FEWEST = 3
_SHOWN = 4
_KEEP = (
    "Keep, with each object that you remember from now on, the part of the scan around it: up to "
    "6 MB of voxels, on this machine only, removed when the case is forgotten. It is needed to "
    "teach the model."
)


class TeachingPanel(QWidget):
    """What can be taught, how far it is, and what was taught.

    Parameters
    ----------
    work : Workspace
    controls : Controls
    chosen : callable
        Gives the remembered structure that is chosen in the list of them, or None.
    """

    def __init__(
        self, work: Workspace, controls: Controls, chosen: Callable[[], str | None]
    ) -> None:
        super().__init__()
        self._work, self._controls, self._chosen = work, controls, chosen
        self.keep = QCheckBox("Keep scans to teach")
        self.keep.setToolTip(_KEEP)
        self.keep.clicked.connect(self._on_keep)
        self.teach = QPushButton("Teach")
        self.teach.clicked.connect(lambda _checked=False: self._on_teach())
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.bar = QProgressBar()
        self.pause = QPushButton("Pause")
        self.pause.setCheckable(True)
        self.pause.setToolTip("Let the model rest; clicks go before teaching anyway.")
        self.pause.clicked.connect(lambda checked: work.teacher.pause(checked))
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop. Teach it again to go on from here.")
        self.cancel.clicked.connect(lambda _checked=False: work.teacher.cancel())
        self.taught = QListWidget()
        self.taught.setToolTip("Structures that were taught; those that are ticked are segmented.")
        self.taught.itemChanged.connect(lambda _item: self._on_ticked())
        self.automatic = controls.push_button(segment_automatically)
        self._lay_out()
        work.teacher.changed.connect(self.refresh)
        work.teacher.told.connect(self._on_told)
        for signal in (work.memory.changed, work.loader.changed, work.switched):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, _change: object = None) -> None:
        """Show how far teaching is, and what was taught."""
        teacher, memory = self._work.teacher, self._work.memory
        running = teacher.structure is not None
        bank = memory.bank
        self.keep.setEnabled(bank is not None)
        self.keep.setChecked(bank is not None and bank.scans.agreed)
        self.refresh_choice()
        what, done, of = teacher.progress
        for part in (self.bar, self.pause, self.cancel):
            part.setVisible(running)
        self.pause.setChecked(teacher.paused)
        self.bar.setMaximum(of)
        self.bar.setValue(done)
        self.bar.setFormat(f"{teacher.structure}: {what}" if running else "")
        self._show_taught()

    def refresh_choice(self) -> None:
        """Say whether the chosen structure can be taught."""
        why = self._why_not()
        self.teach.setEnabled(why is None)
        structure = self._chosen()
        words = f"Fit the model to {structure}, in the background; it is kept only if it helps."
        self.teach.setToolTip(why or words)

    def _why_not(self) -> str | None:
        teacher, bank, structure = self._work.teacher, self._work.memory.bank, self._chosen()
        if teacher.structure is not None:
            return f"{teacher.structure} is being taught."
        if bank is None or structure is None:
            return "Choose a remembered structure above."
        kept = sum(bank.scans.has(entry.id) for entry in bank.list(structure))
        if kept < _FEWEST:
            return (
                f"Scans were kept of {kept} cases of {structure}; {_FEWEST} are needed. Tick "
                f"“{self.keep.text()}” and remember more."
            )
        if self._work.loader.thread.predictor is None:
            return "The model is being loaded."
        return None

    def _show_taught(self) -> None:
        # Adapters are torch's business, which the model's thread imports.
        names = taught_structures(self._work) if "torch" in sys.modules else ()
        before = {
            self.taught.item(row).text(): self.taught.item(row).checkState()
            for row in range(self.taught.count())
        }
        with signals_blocked(self.taught):
            fit_rows(self.taught, len(names))
            for row, name in enumerate(names):
                item = self.taught.item(row)
                item.setText(name)
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                item.setCheckState(before.get(name, Qt.CheckState.Checked))
        self.taught.setVisible(bool(names))
        height = max(self.taught.sizeHintForRow(0), 18) if names else 18
        rows = max(1, min(len(names), _SHOWN))
        self.taught.setFixedHeight(rows * height + 2 * self.taught.frameWidth())
        self._on_ticked()
        self.automatic.setVisible(bool(names))

    def _on_ticked(self) -> None:
        rows: list[QListWidgetItem] = [self.taught.item(n) for n in range(self.taught.count())]
        ticked = [item.text() for item in rows if item.checkState() == Qt.CheckState.Checked]
        if ticked != self._work.teacher.ticked:
            self._work.teacher.ticked = ticked
            self._controls.refresh()

    def _on_keep(self, wanted: bool) -> None:
        bank = self._work.memory.bank
        if bank is not None:
            bank.scans.agree(wanted)
        self.refresh()

    def _on_teach(self) -> None:
        structure = self._chosen()
        if structure is not None:
            self.about.setText("")
            self._work.teacher.start(structure)

    def _on_told(self, words: str) -> None:
        self.about.setText(words)
        self._work.message.emit(words)
        self.refresh()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addWidget(self.keep, 1)
        row.addWidget(self.teach)
        layout.addLayout(row)
        layout.addWidget(self.bar)
        buttons = QHBoxLayout()
        buttons.addWidget(self.pause)
        buttons.addWidget(self.cancel)
        layout.addLayout(buttons)
        layout.addWidget(self.about)
        layout.addWidget(self.taught)
        layout.addWidget(self.automatic)
