"""What stands behind the routes: tokens, volumes on disk, and resident models."""

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path

from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.serving.guard import Gate
from napari_fastsam3d.serving.metrics import Metrics, PrometheusMetrics
from napari_fastsam3d.serving.model_host import HostedVolume, ModelHost
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.server_settings import ServerSettings
from napari_fastsam3d.serving.tokens import TokenFile
from napari_fastsam3d.serving.volume_store import VolumeStore, sweep

HostOf = Callable[[str], Awaitable[ModelHost]]

_log = logging.getLogger(__name__)
_SWEEP_SECONDS = 60.0


class ResidentModels:
    """The models of one process: so many stay loaded, those asked for last.

    Parameters
    ----------
    settings : ServerSettings
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._hosts: OrderedDict[str, ModelHost] = OrderedDict()

    async def __call__(self, name: str) -> ModelHost:
        """Return the host of a model."""
        if name not in self._hosts:
            self._hosts[name] = ModelHost(name, self._settings)
            while len(self._hosts) > self._settings.models_kept:
                self._hosts.popitem(last=False)[1].close()
        self._hosts.move_to_end(name)
        return self._hosts[name]

    @property
    def waiting(self) -> int:
        """Requests that wait or are being answered."""
        return sum(host.waiting for host in self._hosts.values())

    def close(self) -> None:
        """Let all models go."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()


class Server:
    """One process of a server; others may share its folder.

    Parameters
    ----------
    settings : ServerSettings
    host_of : callable, optional
        Gives the host of a model; by default this process keeps `models_kept` loaded.
    metrics : Metrics, optional
    """

    def __init__(
        self,
        settings: ServerSettings,
        host_of: HostOf | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.settings = settings
        self.tokens = TokenFile(settings.folder / "tokens.json")
        self.gate = Gate(self.tokens, settings.limits)
        self._resident = ResidentModels(settings)
        self._host_of = host_of or self._resident
        self.metrics = metrics or PrometheusMetrics(lambda: self._resident.waiting)
        self._sweeper: asyncio.Task[None] | None = None

    async def host(self, model: str) -> ModelHost:
        """Return the host of a model that is offered; `default` is the first of them."""
        offered = self.settings.models
        if model == "default" and model not in offered:
            model = offered[0]
        if model not in offered:
            raise Refusal(
                404,
                "unknown_model",
                "The server does not offer this model.",
                f"Choose one of: {', '.join(offered)}.",
            )
        return await self._host_of(model)

    def store(self, user: str) -> VolumeStore:
        """Return the volumes of a user."""
        return VolumeStore(self._volumes / user, self.settings.limits)

    async def hosted(self, user: str, model: str, digest: str) -> tuple[ModelHost, HostedVolume]:
        """Return what the model remembers of a volume of a user."""
        host, store, key = await self.host(model), self.store(user), (user, digest)
        try:
            store.touch(digest)
        except Refusal:
            host.forget(key)
            raise
        found = host.find(key)
        if found is None:
            found = host.begin(key, await asyncio.to_thread(store.open, digest))
        return host, found

    def read(self, path: str, digest: str) -> Volume:
        """Return a scan that a client named, if it may, and if it is the one it means."""
        from napari_fastsam3d.geometry import read_volume

        refused = Refusal(
            403,
            "path",
            "The server does not read this path, or finds another scan there.",
            "Send the volume.",
        )
        try:
            real = Path(path).resolve(strict=True)
            roots = [root.resolve() for root in self.settings.roots]
            if "\0" in path or not any(real.is_relative_to(root) for root in roots):
                raise refused
            volume = read_volume(real)
        except (OSError, ValueError, RuntimeError, FastSAM3DError):
            raise refused from None
        if volume.content_hash != digest:
            raise refused
        return volume

    @contextlib.asynccontextmanager
    async def running(self):
        """Delete what is no longer used as long as the server runs, and let models go after."""
        self._sweeper = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            self._sweeper.cancel()
            self._resident.close()

    async def _sweep(self) -> None:
        while True:
            gone = await asyncio.to_thread(sweep, self._volumes, self.settings.keep_seconds)
            if gone:
                _log.info("%d volumes went that nobody had used", gone)
            await asyncio.sleep(min(_SWEEP_SECONDS, self.settings.keep_seconds))

    @property
    def _volumes(self) -> Path:
        return self.settings.folder / "volumes"


def pseudonym(user: str) -> str:
    """Return what a user is called in the log."""
    return hashlib.sha256(user.encode()).hexdigest()[:8]
