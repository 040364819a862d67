"""Asking how much is cleaned up, and of which objects."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from napari_fastsam3d.geometry.clean_up import OPERATIONS, Kind
from napari_fastsam3d.session import Edit, SessionState

_FINEST, _MOST = 0.01, 1000.0


class CleanUpDialog(QDialog):
    """An amount, if the kind has one, and whether all objects are meant; Enter does it.

    Parameters
    ----------
    parent : QWidget
    title, tooltip : str
        What will be done.
    kind : str
        See `CleanUp`.
    state : SessionState
        The amount used last is read off its prompts.
    """

    def __init__(
        self, parent: QWidget, title: str, tooltip: str, kind: Kind, state: SessionState
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        about = QLabel(tooltip)
        about.setWordWrap(True)
        unit = OPERATIONS[kind].unit
        self.amount = QDoubleSpinBox()
        self.amount.setRange(_FINEST, _MOST)
        self.amount.setSuffix(f" {unit}")
        self.amount.setSingleStep(0.5)
        self.amount.setValue(_last_amount(kind, state))
        self.amount.setVisible(unit is not None)
        self.amount.selectAll()
        open_ones = [each for each in state.objects if each.locked is None and each.prompts]
        self.everything = QCheckBox(f"All {len(open_ones)} objects that are not locked")
        self.everything.setVisible(len(open_ones) > 1)
        buttons = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(buttons.Ok | buttons.Cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.asks = unit is not None or len(open_ones) > 1
        layout = QVBoxLayout(self)
        for widget in (about, self.amount, self.everything, self.buttons):
            layout.addWidget(widget)


def ask_clean_up(
    parent: QWidget, title: str, tooltip: str, kind: Kind, state: SessionState
) -> tuple[float | None, bool] | None:
    """Let the user say how much is cleaned up, and whether of all objects.

    Nothing is asked where there is nothing to choose.

    Returns
    -------
    tuple of float and bool, or None
        The amount, None where the kind has none, and whether all objects are meant; None where the
        user thought better of it.
    """
    dialog = CleanUpDialog(parent, title, tooltip, kind, state)
    accepted = not dialog.asks or dialog.exec() == QDialog.DialogCode.Accepted
    amount = dialog.amount.value() if OPERATIONS[kind].unit is not None else None
    everything = dialog.everything.isChecked()
    dialog.deleteLater()
    return (amount, everything) if accepted else None


def _last_amount(kind: Kind, state: SessionState) -> float:
    """Return the amount that was used last, or else the usual one."""
    edits = [p for each in state.objects for p in each.prompts if isinstance(p, Edit)]
    used = [(edit.id, edit.by.amount) for edit in edits if edit.by and edit.by.kind == kind]
    return max(used)[1] or OPERATIONS[kind].usual if used else OPERATIONS[kind].usual
