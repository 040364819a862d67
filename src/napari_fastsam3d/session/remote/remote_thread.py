"""The thread of a model that is served elsewhere, in the place of one that computes here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import Answer, Question
from napari_fastsam3d.model.predictor import Progress, silent
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.remote.connection import Connection, MakeClient
from napari_fastsam3d.session.remote.remote_model import RemoteModel
from napari_fastsam3d.session.remote.remote_runner import RemoteRunner
from napari_fastsam3d.session.remote.servers import access_to, server_address
from napari_fastsam3d.session.remote.wire import MODEL_HEADER, PROTOCOL

_CONNECTING = "Connecting to {}"
PATIENCE = 60.0
"""Seconds that a server which can't be reached is waited for, unless one says otherwise."""


class RemoteThread(ModelThread):
    """The thread in which a server is asked for masks.

    Parameters
    ----------
    address : str
        See `server_address`.
    patience : float
        Seconds that a server which can't be reached is waited for before a step is taken back.
    make_client : callable, optional
        Makes the HTTP client; by default one for the address.
    """

    def __init__(
        self, address: str, patience: float = PATIENCE, make_client: MakeClient | None = None
    ) -> None:
        super().__init__(address)
        self._address = address
        self._patience = patience
        self._make_client = make_client
        self._connection: Connection | None = None
        self._known: RemoteModel | None = None

    @property
    def connection(self) -> Connection:
        """The way to the server; ServerError if the address is none."""
        if self._connection is None:
            place, _ = server_address(self._address)
            self._connection = Connection(access_to(place), self._patience, self._make_client)
        return self._connection

    @property
    def model(self) -> str:
        """Name of the model, there."""
        return server_address(self._address)[1]

    @property
    def network_milliseconds(self) -> float | None:
        """What the way there and back took of the last answer; None before the first."""
        return self.connection.network_milliseconds if self._known is not None else None

    @property
    def predictor(self) -> RemoteModel | None:
        """What is known of the model; None until the server has answered."""
        return self._known

    def obtain(self, progress: Progress = silent) -> RemoteModel:
        """Return what is known of the model, asking the server if need be."""
        if self._known is None:
            name = self.connection.access.name
            progress(_CONNECTING.format(name), 0, 1)
            try:
                self._known = self._ask(name)
            finally:
                progress(_CONNECTING.format(name), 1, 1)
        return self._known

    def renew(self, fingerprint: str) -> None:
        """Ask the server anew: it has another version of the model by now.

        Parameters
        ----------
        fingerprint : str
            Of the model that gave the last answer, whichever of several replicas is asked now.
        """
        self._known = replace(self._ask(self.connection.access.name), fingerprint=fingerprint)

    def runner(
        self,
        volume: Volume,
        progress: Progress,
        note: Callable[[str], object],
        memory: MemoryBank | None = None,
        answers: dict[Question, Answer] | None = None,
    ) -> RemoteRunner:
        """See `ModelThread.runner`. What is remembered here stays here, and is not recalled."""
        return RemoteRunner(volume, self, progress, note)

    def fall_back(self) -> bool:
        """Nothing of a server is loaded here."""
        return False

    def _ask(self, name: str) -> RemoteModel:
        server = self.connection.json("GET", "/v1/server")
        try:
            if server["protocol"] != PROTOCOL:
                raise ServerError(
                    f"{name} runs napari-fastsam3d {server['program']}, which speaks another "
                    "version of the protocol.",
                    "Install the same version on both sides.",
                )
            known = self.connection.json(
                "GET", f"/v1/models/{self.model}", headers={MODEL_HEADER: self.model}
            )
            return RemoteModel(
                str(known["name"]), str(known["fingerprint"]), name, tuple(server["roots"])
            )
        except (KeyError, TypeError):
            raise ServerError(
                f"{name} is no napari-fastsam3d server.", "Check the address."
            ) from None

    def _let_go(self) -> None:
        if self._known is not None:
            self.connection.close()
        self._known = None
