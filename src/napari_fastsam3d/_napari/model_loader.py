"""The model of a window: loaded in its thread, and changed for another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import inf
from threading import Event

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_fastsam3d._napari.main_thread import CleanupStack, Dispatcher, notify
from napari_fastsam3d.session import ModelThread
from napari_fastsam3d.session.model_place import model_thread
from napari_fastsam3d.session.model_thread import Model
from napari_fastsam3d.session.remote.servers import known_servers

_HOLD_MS = 50
_LONGEST_HOLD_S = 10


class ModelLoader:
    """Loads a model in a thread of its own, which all sessions of a window share.

    Parameters
    ----------
    model : str, path or Predictor
    device : str
    dispatcher : Dispatcher
    cleanup : CleanupStack
        Ends the thread with the window.
    """

    changed = Signal()
    """Loading began or ended; emitted in the main thread."""

    def __init__(
        self, model: Model, device: str, dispatcher: Dispatcher, cleanup: CleanupStack
    ) -> None:
        self._dispatcher, self._cleanup = dispatcher, cleanup
        self.loading = False
        self.trouble: BaseException | None = None
        self.thread = self._begin(model, device)

    @property
    def facts(self) -> str:
        """Name and device of the model; empty until it is loaded."""
        predictor = self.thread.predictor
        return "" if predictor is None else f"{predictor.name} on {predictor.device}"

    @property
    def network(self) -> float | None:
        """Milliseconds that the network took of the last answer; None of a model that is here."""
        return self.thread.network_milliseconds

    def known_models(self) -> list[str]:
        """Name the models on this machine, once that costs no import of torch in this thread."""
        if "torch" not in sys.modules or self.loading:
            return []
        from napari_fastsam3d.model import available_models

        return [*available_models(), *known_servers()]

    def load(self) -> None:
        """Load the model, signalling when it is done; a failure is notified and kept."""
        self.loading, self.trouble = True, None
        self._hold_back()
        thread = self.thread
        self._dispatcher.watch(
            thread.load(),
            lambda _: self._on_loaded(thread),
            lambda error: self._on_failed(thread, error),
        )
        self.changed.emit()

    def change(self, model: str, device: str) -> Callable[[], None]:
        """Begin a thread with another model; gives what closes the old one, once it is unused."""
        close_old = self._close
        self.thread = self._begin(model, device)
        return close_old

    def _begin(self, model: Model, device: str) -> ModelThread:
        thread = model_thread(model, device, patience=inf)
        self._close = self._cleanup.push(thread.close)
        return thread

    def _hold_back(self) -> None:
        """Let the model wait until the window is built: importing torch beside that slows both."""
        gate = Event()
        self.thread.submit(gate.wait, _LONGEST_HOLD_S)
        QTimer.singleShot(_HOLD_MS, self._cleanup.push(gate.set))

    def _on_loaded(self, thread: ModelThread) -> None:
        if thread is self.thread:
            self.loading = False
            self.changed.emit()

    def _on_failed(self, thread: ModelThread, error: BaseException) -> None:
        if thread is not self.thread:  # another was chosen meanwhile
            return
        self.loading, self.trouble = False, error
        notify(error)
        self.changed.emit()
