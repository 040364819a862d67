"""One process of a server on Ray Serve."""

from collections.abc import Callable
from typing import Any, cast

from ray import serve

from napari_fastsam3d.serving.app import make_app
from napari_fastsam3d.serving.metrics import RayMetrics
from napari_fastsam3d.serving.model_host import ModelHost
from napari_fastsam3d.serving.server import HostOf, Server
from napari_fastsam3d.serving.server_settings import ServerSettings
from napari_fastsam3d.session.model_thread import Model, ModelThread

LoadModel = Callable[[str], Model]


def as_named(name: str) -> Model:
    """Return a model's name or file, which its thread loads."""
    return name


def replica_of(models_kept: int, load: LoadModel = as_named) -> type:
    """Return the class of a replica that keeps so many models loaded.

    Parameters
    ----------
    models_kept : int
    load : callable
        Gives what `ModelThread` takes, of the name of a model.
    """

    class Replica:
        """Answers requests with the models that it keeps.

        Parameters
        ----------
        settings : ServerSettings
        """

        def __init__(self, settings: ServerSettings) -> None:
            self._settings = settings
            self._server = Server(settings, cast(HostOf, self.host_of), RayMetrics())

        def __serve_build_asgi_app__(self) -> Any:
            return make_app(self._server)

        @serve.multiplexed(max_num_models_per_replica=models_kept)
        async def host_of(self, name: str) -> ModelHost:
            """Return the host of a model; Ray Serve lets those go that nobody asked for longest."""
            thread = ModelThread(load(name), self._settings.device)
            return ModelHost(name, self._settings, thread)

        async def check_health(self) -> None:
            """Fail if the default model can't be loaded; Ray Serve then starts another replica."""
            await (await self._server.host("default")).predictor()

    return Replica
