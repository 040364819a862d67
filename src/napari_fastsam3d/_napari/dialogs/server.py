"""A server whose model makes the masks: its address and a token, tried before they are kept."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_fastsam3d._napari.main_thread import Dispatcher
from napari_fastsam3d.session.remote.login import LoggedIn, log_in
from napari_fastsam3d.session.remote.servers import known_servers
from napari_fastsam3d.session.worker import Worker

_WHAT = (
    "The scan is sent to the server, which makes the masks. Prompts, masks and remembered cases "
    "stay on this machine. Whoever runs the server gives you its address and a token."
)
_WIDTH = 460


class ServerDialog(QDialog):
    """Asks for a server and tries it.

    Parameters
    ----------
    parent : QWidget
    dispatcher : Dispatcher
    chosen : callable
        Given the address of a server that let the user in.
    """

    def __init__(
        self, parent: QWidget, dispatcher: Dispatcher, chosen: Callable[[str], None]
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("FastSAM3D server")
        self.setMinimumWidth(_WIDTH)
        self._dispatcher, self._chosen = dispatcher, chosen
        self._worker: Worker | None = None
        self.address = QLineEdit(next(iter(known_servers()), ""))
        self.address.setPlaceholderText("https://gpu.example.org:8765")
        self.token = QLineEdit()
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.certificate = QLineEdit()
        self.certificate.setPlaceholderText("only if this machine does not trust it")
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        self.use_button = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.use_button.setText("Use")
        self.buttons.accepted.connect(self.use)
        self.buttons.rejected.connect(self.reject)
        self._lay_out()

    def use(self) -> None:
        """Try the server; it is kept and used if it lets the user in."""
        self.use_button.setEnabled(False)
        self.message.setText("Asking the server...")
        self._worker = Worker("login", patience=0.0)
        future = self._worker.submit(
            log_in, self.address.text(), self.token.text(), self.certificate.text().strip()
        )
        self._worker.close(wait=False)
        self._dispatcher.watch(future, self._on_let_in, self._on_refused)

    def _on_let_in(self, found: LoggedIn) -> None:
        self.use_button.setEnabled(True)
        self.message.clear()
        self.token.clear()
        self.accept()
        self._chosen(found.address)

    def _on_refused(self, error: BaseException) -> None:
        self.use_button.setEnabled(True)
        self.message.setText(str(error))

    def _choose_certificate(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Certificate", "", "Certificates (*.pem *.crt)")
        if path:
            self.certificate.setText(path)

    def _lay_out(self) -> None:
        what = QLabel(_WHAT)
        what.setWordWrap(True)
        browse = QPushButton("Browse...")
        browse.clicked.connect(self._choose_certificate)
        line = QHBoxLayout()
        line.addWidget(self.certificate, 1)
        line.addWidget(browse)
        form = QFormLayout()
        form.addRow("Address", self.address)
        form.addRow("Token", self.token)
        form.addRow("Certificate", line)
        column = QVBoxLayout(self)
        column.addWidget(what)
        column.addLayout(form)
        column.addWidget(self.message)
        column.addWidget(self.buttons)
