# pyright: basic
"""The model of a window: loaded in its thread, changed for another, and its troubles told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor
from threading import Event
from typing import Any

from qtpy.QtCore import QTimer

from napari_fastsam3d._napari.bridge import Bridge, Ending, notify
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
        self._bridge.watch(self.thread.load(), self._on_loaded, self._on_failed)
        self._told()

    def change(self, model: str, device: str, files: Executor) -> None:
        """Begin a thread with another model; the old one ends among the jobs of `files`."""
        old, self.thread = self.thread, self._begin(model, device)
        files.submit(old.close)

    def _begin(self, model: Any, device: str) -> ModelThread:
        thread = ModelThread(model, device)
        self._ending.add(thread.close)
        return thread

    def _hold_back(self) -> None:
        """Let the model wait until the window is built: importing torch beside that slows both."""
        gate = Event()
        self.thread.submit(gate.wait, _LONGEST_HOLD_S)
        self._ending.add(gate.set)
        QTimer.singleShot(_HOLD_MS, gate.set)

    def _on_loaded(self, _predictor: Any) -> None:
        self.loading = False
        self._told()

    def _on_failed(self, error: BaseException) -> None:
        self.loading, self.trouble = False, error
        notify(error)
        self._told()
