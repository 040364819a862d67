"""What is counted of a server, for Prometheus: by Ray where that runs it, else by its client."""

from collections.abc import Callable
from typing import Any, Protocol

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics(Protocol):
    """Where a server counts."""

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer to a request; `route` names no volume."""
        ...

    def received(self, nbytes: int) -> None:
        """Count bytes of volumes."""
        ...

    def text(self) -> bytes | None:
        """Return all in Prometheus' format; None where something else gives it out."""
        ...


class PrometheusMetrics:
    """Counts for one process, given out by its `/metrics`.

    Parameters
    ----------
    waiting : callable
        Gives how many requests wait for the model.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fastsam3d_requests", "Answers", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "fastsam3d_request_seconds",
            "Seconds of an answer",
            ["route"],
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._bytes = Counter(
            "fastsam3d_received_bytes", "Bytes of volumes", registry=self._registry
        )
        Gauge("fastsam3d_waiting", "Requests that wait", registry=self._registry).set_function(
            waiting
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """See `Metrics`."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def received(self, nbytes: int) -> None:
        """See `Metrics`."""
        self._bytes.inc(nbytes)

    def text(self) -> bytes:
        """See `Metrics`."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


class RayMetrics:
    """Counts of all replicas, given out by Ray's own agents under `ray_fastsam3d_...`."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Histogram

        self._requests: Any = Counter("fastsam3d_requests", "Answers", tag_keys=("route", "status"))
        self._seconds: Any = Histogram(
            "fastsam3d_request_seconds",
            "Seconds of an answer",
            boundaries=list(_SECONDS),
            tag_keys=("route",),
        )
        self._bytes: Any = Counter("fastsam3d_received_bytes", "Bytes of volumes")

    def answered(self, route: str, status: int, seconds: float) -> None:
        """See `Metrics`."""
        self._requests.inc(tags={"route": route, "status": str(status)})
        self._seconds.observe(seconds, tags={"route": route})

    def received(self, nbytes: int) -> None:
        """See `Metrics`."""
        if nbytes:
            self._bytes.inc(nbytes)

    def text(self) -> None:
        """See `Metrics`."""
