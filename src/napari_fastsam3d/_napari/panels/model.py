# pyright: basic
"""Which model runs, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_fastsam3d._napari.actions import action

DEVICES = ("auto", "cpu", "cuda")


class ModelPanel(QWidget):
    """Model and device, behind a fold.

    Parameters
    ----------
    models : sequence of str
        Names of the models.
    model, device : str
        What is chosen at first.
    changed : callable
        Called with the names of model and device when the user changes either.
    show_crop : callable
        Called with whether the model's view is to be outlined.
    manage : callable
        Called when the user wants to fetch, import or remove models.
    again : callable
        Called when masks of another model are to be made again with this one.
    """

    def __init__(
        self,
        models: Sequence[str],
        model: str,
        device: str,
        changed: Callable[[str, str], None],
        show_crop: Callable[[bool], None],
        manage: Callable[[], None],
        again: Callable[[], None],
    ) -> None:
        super().__init__()
        names = list(dict.fromkeys([*models, model]))
        self.model = ComboBox(
            choices=names, value=model, tooltip="The network that makes the masks."
        )
        self.device = ComboBox(
            choices=list(DEVICES),
            value=device if device in DEVICES else "auto",
            tooltip="Where the network runs; auto takes a GPU where there is one.",
        )
        entry = action("toggle_crop")
        self.crop = CheckBox(text=entry.text, tooltip=entry.hint)
        for chooser in (self.model, self.device):
            chooser.changed.connect(lambda *_: changed(self.model.value, self.device.value))
        self.crop.changed.connect(show_crop)
        self.manage_button = QPushButton("Models...")
        self.manage_button.setToolTip("Fetch, import or remove models.")
        self.manage_button.clicked.connect(lambda *_: manage())
        self.again_button = QPushButton("Make masks again")
        self.again_button.setToolTip(
            "The masks were made with another model. Make them of the same prompts with this one; "
            "locked objects stay as they are."
        )
        self.again_button.clicked.connect(lambda *_: again())
        self.again_button.setVisible(False)
        self._lay_out()

    def offer_again(self, offered: bool) -> None:
        """Offer to make masks of another model again, or not."""
        self.again_button.setVisible(offered)

    def offer(self, models: Sequence[str]) -> None:
        """Offer these models beside the chosen one, which stays even if it is not among them."""
        offered = tuple(dict.fromkeys([*models, self.model.value]))
        if not models or offered == tuple(self.model.choices):
            return
        with self.model.changed.blocked():
            self.model.choices = offered

    def _lay_out(self) -> None:
        inner = QWidget()
        form = QFormLayout(inner)
        form.setContentsMargins(0, 4, 0, 4)
        line = QHBoxLayout()
        line.addWidget(self.model.native, 1)
        line.addWidget(self.manage_button)
        form.addRow("Model", line)
        form.addRow("Device", self.device.native)
        form.addRow(self.again_button)
        form.addRow(self.crop.native)
        self.fold = QCollapsible("Model and device")
        self.fold.setContent(inner)
        self.fold.collapse(animate=False)
        folded = self.fold.layout()
        assert folded is not None
        folded.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
