"""A server on Ray Serve: replicas over one machine or many, each with a resident model."""

import logging
import os
import re
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.serving.one_process import DRAIN_SECONDS, INSTALL, Listening
from napari_fastsam3d.serving.server_settings import ServerSettings

if TYPE_CHECKING:
    from napari_fastsam3d.serving.replica import LoadModel

APPLICATION = "napari-fastsam3d"
_ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
_HEALTH_SECONDS = 5.0
_OBJECT_STORE = 200 << 20
# Requests that a replica takes at once; most wait for its model, those for volumes do not.
_AT_ONCE = 64
_BUSY = 2.0
_REPLICAS = re.compile(r"([0-9]+)(?:-([0-9]+))?")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replicas:
    """How many processes serve, and what each is given.

    Parameters
    ----------
    least, most : int
        Between these their number follows the load.
    cpus, gpus : float
        Of each; a GPU may be shared by fractions.
    """

    least: int = 1
    most: int = 1
    cpus: float = 1.0
    gpus: float = 0.0

    @classmethod
    def parse(cls, text: str, cpus: float = 1.0, gpus: float = 0.0) -> "Replicas":
        """Read "3" or "1-4"; ServerError if it is neither."""
        numbers = _REPLICAS.fullmatch(text)
        least, most = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (0, 0)
        if not 1 <= least <= most:
            raise ServerError(f"{text!r} is no number of replicas.", "Give one such as 2, or 1-4.")
        return cls(least, most, cpus, gpus)

    @property
    def scaling(self) -> dict[str, Any]:
        """What Ray Serve is told of their number."""
        if self.least == self.most:
            return {"num_replicas": self.least}
        return {
            "autoscaling_config": {
                "min_replicas": self.least,
                "max_replicas": self.most,
                "target_ongoing_requests": _BUSY,
            }
        }


def application(
    settings: ServerSettings, replicas: Replicas, load: "LoadModel | None" = None
) -> Any:
    """Return the application for `serve.run`; for `load` see `replica_of`."""
    from ray import serve

    from napari_fastsam3d.serving.replica import as_named, replica_of

    deployment = serve.deployment(
        name="model",
        max_ongoing_requests=_AT_ONCE,
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options={"num_cpus": replicas.cpus, "num_gpus": replicas.gpus},
        # A session comes back to the replica that remembers it. Another would make the same masks.
        request_router_config={"request_router_class": _ROUTER},
        **replicas.scaling,
    )(serve.ingress()(replica_of(settings.models_kept, load or as_named)))
    return deployment.bind(settings)


def begin(
    settings: ServerSettings,
    listening: Listening,
    replicas: Replicas,
    address: str | None = None,
    load: "LoadModel | None" = None,
    **ray_options: Any,
) -> None:
    """Start Ray here, or join a cluster, and serve; returns when requests are taken.

    Parameters
    ----------
    settings : ServerSettings
    listening : Listening
    replicas : Replicas
    address : str, optional
        Of a cluster that runs; "auto" for the one of this machine.
    load : callable, optional
        See `replica_of`.
    ray_options
        For `ray.init` where Ray is started here.
    """
    start_ray(address, ray_options)
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(
        proxy_location="EveryNode",
        http_options={
            "host": listening.host,
            "port": listening.port,
            "request_timeout_s": 600.0,
            **listening.tls,
        },
        logging_config={"enable_access_log": False},
    )
    serve.run(application(settings, replicas, load), name=APPLICATION, route_prefix="/")


def start_ray(address: str | None, options: dict[str, Any]) -> bool:
    """Join a cluster, or start one of this machine alone; return whether that was to be done."""
    # Ray's own times for its processes to start are too short on a machine that is busy. It reads
    # the first when it is imported.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")
    try:
        import ray
    except ImportError as error:
        raise ServerError("Several processes need Ray.", INSTALL) from error
    if ray.is_initialized():
        return False
    here = {"include_dashboard": False, "object_store_memory": _OBJECT_STORE, **options}
    told: dict[str, Any] = {} if address else here
    try:
        ray.init(address or "local", log_to_driver=False, configure_logging=False, **told)
    except Exception as error:
        # Ray raises plain Exceptions, too, as when its processes take too long to start.
        what = f"The Ray cluster {address} can't be joined" if address else "Ray does not start"
        why = " ".join(str(error).split())[:200]
        raise ServerError(
            f"{what} ({why}).", "Start one: ray start --head; or do it with --one-process."
        ) from error
    return True


def end() -> None:
    """Answer what was asked, and stop Ray Serve, and Ray if it was started here."""
    import ray
    from ray import serve

    serve.delete(APPLICATION)
    serve.shutdown()
    ray.shutdown()


def serve_on_ray(
    settings: ServerSettings, listening: Listening, replicas: Replicas, address: str | None
) -> None:
    """Serve on Ray until SIGINT or SIGTERM; see `begin`."""
    leave = threading.Event()

    def leave_now(_signal: int, _frame: object) -> None:
        leave.set()

    begun = time.monotonic()
    _log.info("starting Ray Serve, which takes from ten seconds to a minute")
    begin(settings, listening, replicas, address)
    # Not before: Ray has a way of its own to end at SIGTERM, which waits for no answer.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, leave_now)
    scheme = "https" if listening.certificate else "http"
    _log.info(
        "serving at %s://%s:%d after %.0f s",
        scheme,
        listening.host,
        listening.port,
        time.monotonic() - begun,
    )
    leave.wait()
    _log.info("answering what was asked, then leaving")
    end()


def from_config(args: dict[str, Any]) -> Any:
    """Return the application for a config file of Ray Serve, such as KubeRay's.

    Parameters
    ----------
    args : dict
        Fields of `ServerSettings` but the limits; `replicas`, `cpus` and `gpus` as for the command.
    """
    chosen = dict(args)
    replicas = Replicas.parse(
        str(chosen.pop("replicas", "1")),
        float(chosen.pop("cpus", 1.0)),
        float(chosen.pop("gpus", 0.0)),
    )
    chosen["folder"] = Path(chosen["folder"])
    chosen["models"] = tuple(chosen.get("models", ("default",)))
    chosen["roots"] = tuple(map(Path, chosen.get("roots", ())))
    return application(ServerSettings(**chosen), replicas)
