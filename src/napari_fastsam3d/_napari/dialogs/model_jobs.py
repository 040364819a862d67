"""Looking for, fetching, importing and removing models, in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_fastsam3d.model.registry import ModelEntry
    from napari_fastsam3d.model.store import Record


class ModelJobs:
    """One job after the other, away from the window; importing torch is left to that thread too."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fastsam3d-models")
        self._stopped = Event()

    def catalogue(self) -> Future[list[ModelEntry]]:
        """List the models as entries of the catalogue."""
        return self._pool.submit(_catalogue)

    def look(self, name: str) -> Future[int | None]:
        """Ask the server of a model how many bytes it offers."""
        return self._pool.submit(_look, name)

    def fetch(self, name: str, progress: Callable[[int, int | None], None]) -> Future[Record]:
        """Download a model, going on where an earlier download stopped; gives its record."""
        self._stopped.clear()
        return self._pool.submit(_fetch, name, progress, self._stopped.is_set)

    def bring_in(self, path: Path) -> Future[Record]:
        """Import a checkpoint from a file; gives its record."""
        return self._pool.submit(_import, path)

    def remove(self, name: str) -> Future[int]:
        """Delete a model; gives the bytes freed."""
        return self._pool.submit(_remove, name)

    def stop(self) -> None:
        """Stop the download that runs; what has arrived is kept."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and take no more jobs."""
        self.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _catalogue() -> list[ModelEntry]:
    from napari_fastsam3d.model.registry import catalogue

    return catalogue()


def _look(name: str) -> int | None:
    from napari_fastsam3d.model import MODELS
    from napari_fastsam3d.model.download import look

    return look(str(MODELS[name].url)).size


def _fetch(
    name: str, progress: Callable[[int, int | None], None], cancelled: Callable[[], bool]
) -> Record:
    from napari_fastsam3d.model import fetch_model

    return fetch_model(name, progress=Sparse(progress), cancelled=cancelled)


def _import(path: Path) -> Record:
    from napari_fastsam3d.model import import_model

    return import_model(path)


def _remove(name: str) -> int:
    from napari_fastsam3d.model.store import ModelStore

    return ModelStore().remove(name)


class Sparse:
    """Passes progress on when another hundredth of it is there: the window must not drown in it."""

    def __init__(self, progress: Callable[[int, int | None], None]) -> None:
        self._progress, self._last = progress, -1

    def __call__(self, done: int, total: int | None) -> None:
        """Take the bytes that are here, and those there will be if that is known."""
        hundredth = 100 * done // total if total else done // 5_000_000
        if hundredth != self._last:
            self._last = hundredth
            self._progress(done, total)
