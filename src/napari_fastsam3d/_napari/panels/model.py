"""Which model runs, and where."""

from __future__ import annotations

from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QPushButton, QWidget

from napari_fastsam3d._napari.commands.scans import toggle_crop
from napari_fastsam3d._napari.dialogs.model_jobs import ModelJobs
from napari_fastsam3d._napari.dialogs.models import ModelsDialog
from napari_fastsam3d._napari.dialogs.server import ServerDialog
from napari_fastsam3d._napari.workspace import Workspace

DEVICES = ("auto", "cpu", "cuda")


class ModelPanel(QWidget):
    """Model and device, and what of the model's work is shown.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__()
        self._work = work
        self.dialog: ModelsDialog | None = None
        self.server_dialog: ServerDialog | None = None
        known = str(getattr(work.loader.thread.predictor, "name", work.settings.model))
        device = work.settings.device
        self.model = ComboBox(
            choices=list(dict.fromkeys(["default", known])),
            value=known,
            tooltip="The network that makes the masks.",
        )
        self.device = ComboBox(
            choices=list(DEVICES),
            value=device if device in DEVICES else "auto",
            tooltip="Where the network runs; auto takes a GPU where there is one.",
        )
        self.crop = CheckBox(value=work.show_crop, text=toggle_crop.text, tooltip=toggle_crop.hint)
        for chooser in (self.model, self.device):
            chooser.changed.connect(self._change_model)
        self.crop.changed.connect(work.set_show_crop)
        self.manage_button = QPushButton("Models...")
        self.manage_button.setToolTip("Fetch, import or remove models.")
        self.manage_button.clicked.connect(self._manage)
        self.server_button = QPushButton("Server...")
        self.server_button.setToolTip("Let the model of another machine make the masks.")
        self.server_button.clicked.connect(self._choose_server)
        self.again_button = QPushButton("Make masks again")
        self.again_button.setToolTip(
            "The masks were made with another model. Make them of the same prompts with this one; "
            "locked objects stay as they are."
        )
        self.again_button.clicked.connect(self._make_masks_again)
        self.again_button.setVisible(False)
        self._lay_out()
        work.crop_shown.connect(self._show_crop)
        for signal in (work.loader.changed, work.state_changed, work.finished, work.switched):
            signal.connect(self.refresh)

    def refresh(self, _change: object = None) -> None:
        """Offer the models there are, and to make masks of another model again."""
        view, models = self._work.view, self._work.loader.known_models()
        self.again_button.setVisible(view is not None and bool(view.session.outdated))
        # The chosen one stays even if it is not among them.
        offered = tuple(dict.fromkeys([*models, self.model.value]))
        if models and offered != tuple(self.model.choices):
            with self.model.changed.blocked():
                self.model.choices = offered

    def _change_model(self, _choice: object = None) -> None:
        self._work.change_model(str(self.model.value), str(self.device.value))

    def _show_crop(self, shown: bool) -> None:
        self.crop.value = shown

    def _make_masks_again(self) -> None:
        if self._work.view is not None:
            self._work.view.make_masks_again()

    def _manage(self) -> None:
        if self.dialog is None:
            jobs = ModelJobs()
            self._work.cleanup.push(jobs.close)
            self.dialog = ModelsDialog(self, jobs, self._work.dispatcher, self.refresh)
        self.dialog.show()
        self.dialog.raise_()

    def _choose_server(self) -> None:
        if self.server_dialog is None:
            self.server_dialog = ServerDialog(self, self._work.dispatcher, self._use_server)
        self.server_dialog.show()
        self.server_dialog.raise_()

    def _use_server(self, address: str) -> None:
        if address not in self.model.choices:
            with self.model.changed.blocked():
                self.model.choices = [*self.model.choices, address]
        self.model.value = address

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 4, 0, 4)
        line = QHBoxLayout()
        line.addWidget(self.model.native, 1)
        line.addWidget(self.manage_button)
        form.addRow("Model", line)
        place = QHBoxLayout()
        place.addWidget(self.device.native, 1)
        place.addWidget(self.server_button)
        form.addRow("Device", place)
        form.addRow(self.again_button)
        form.addRow(self.crop.native)
