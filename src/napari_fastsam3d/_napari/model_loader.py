# pyright: basic
"""The model of a window: loaded in its thread, changed for another, and its troubles told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event
from typing import Any

from qtpy.QtCore import QTimer

from napari_fastsam3d._napari.main_thread import Bridge, Ending, notify
from napari_fastsam3d.session import ModelThread

_HOLD_MS = 50
_LONGEST_HOLD_S = 10


class ModelLoader:
    """Loads a model in a thread of its own, which all sessions of a window share.

    Parameters
    ----------
    model : str, path or Predictor
    device : str
    bridge : Bridge
    ending : Ending
        Ends the thread with the window.
    told : callable
        Called in the main thread when loading begins and ends.
    """

    def __init__(
        self, model: Any, device: str, bridge: Bridge, ending: Ending, told: Callable[[], None]
    ) -> None:
        self._bridge, self._ending, self._told = bridge, ending, told
        self.loading = False
        self.trouble: BaseException | None = None
        self.thread = self._begin(model, device)

    @property
    def facts(self) -> str:
        """Name and device of the model; empty until it is loaded."""
        predictor = self.thread.predictor
        return "" if predictor is None else f"{predictor.name} on {predictor.device}"

    def known_models(self) -> list[str]:
        """Name the models on this machine, once that costs no import of torch in this thread."""
        if "torch" not in sys.modules or self.loading:
            return []
        from napari_fastsam3d.model import available_models

        return list(available_models())

    def load(self) -> None:
        """Load the model, telling when it is done; a failure is notified and kept."""
        self.loading, self.trouble = True, None
        self._hold_back()
        thread = self.thread
        self._bridge.watch(
            thread.load(),
            lambda _: self._on_loaded(thread),
            lambda error: self._on_failed(thread, error),
        )
        self._told()

    def change(self, model: str, device: str) -> Callable[[], None]:
        """Begin a thread with another model; gives what closes the old one, once it is unused."""
        close_old = self._close
        self.thread = self._begin(model, device)
        return close_old

    def _begin(self, model: Any, device: str) -> ModelThread:
        thread = ModelThread(model, device)
        self._close = self._ending.add(thread.close)
        return thread

    def _hold_back(self) -> None:
        """Let the model wait until the window is built: importing torch beside that slows both."""
        gate = Event()
        self.thread.submit(gate.wait, _LONGEST_HOLD_S)
        QTimer.singleShot(_HOLD_MS, self._ending.add(gate.set))

    def _on_loaded(self, thread: ModelThread) -> None:
        if thread is self.thread:
            self.loading = False
            self._told()

    def _on_failed(self, thread: ModelThread, error: BaseException) -> None:
        if thread is not self.thread:  # another was chosen meanwhile
            return
        self.loading, self.trouble = False, error
        notify(error)
        self._told()
