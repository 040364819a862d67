"""The command on Ray leaves in order; what the program decides of Ray, without starting it."""

import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.serving import cluster
from napari_fastsam3d.serving.cluster import Replicas, serve_on_ray, start_ray
from napari_fastsam3d.serving.one_process import Listening
from napari_fastsam3d.serving.server_settings import ServerSettings

_WAIT = "RAY_raylet_start_wait_time_s"
HERE = Listening("127.0.0.1", 8765)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Bring the handlers of signals back."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_it_leave_in_order(
    told: signal.Signals, handlers: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Though Ray takes SIGTERM for itself when it starts."""
    done: list[str] = []

    def begin(*_arguments: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: done.append("Ray ended at once"))
        threading.Timer(0.05, os.kill, (os.getpid(), told)).start()

    monkeypatch.setattr(cluster, "begin", begin)
    monkeypatch.setattr(cluster, "end", lambda: done.append("ended in order"))
    serve_on_ray(ServerSettings(tmp_path), HERE, Replicas(), None)

    assert done == ["ended in order"]


class FakeRay(types.ModuleType):
    """What `start_ray` needs of Ray; fails as it is told to."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None

    def is_initialized(self) -> bool:
        return bool(self.told)

    def init(self, address: str, **options: Any) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((address, options))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    for name in (_WAIT, "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "1")  # so that it is as it was in the end
        monkeypatch.delenv(name)
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


def test_ray_is_started_here_for_this_machine_alone(ray: FakeRay):
    """Without the dashboard, which would open a port, and once."""
    assert start_ray(None, {"num_cpus": 2})
    ((address, options),) = ray.told
    assert address == "local"
    assert options["include_dashboard"] is False
    assert options["num_cpus"] == 2
    assert not start_ray(None, {})
    assert len(ray.told) == 1
    assert int(os.environ[_WAIT]) > 60


def test_a_cluster_is_joined_as_it_is(ray: FakeRay):
    assert start_ray("10.0.0.1:6379", {"num_cpus": 2})
    ((address, options),) = ray.told
    assert address == "10.0.0.1:6379"
    assert not {"num_cpus", "include_dashboard", "object_store_memory"} & set(options)


@pytest.mark.parametrize("address", [None, "10.0.0.1:6379"])
def test_what_ray_says_is_one_line(ray: FakeRay, address: str | None):
    ray.error = ConnectionError("no\n  such\n\nhost " + "x" * 1000)
    with pytest.raises(ServerError) as found:
        start_ray(address, {})

    assert "no such host" in str(found.value)
    assert "--one-process" in str(found.value)
    assert (address or "does not start") in str(found.value)
    assert len(str(found.value)) < 400


def test_without_ray_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ServerError, match=r"pip install 'napari-fastsam3d\[serve\]'"):
        start_ray(None, {})


def test_tls_files_that_are_missing_are_told_before_anything_starts(tmp_path: Path):
    key = tmp_path / "server.key"
    key.touch()
    with pytest.raises(ServerError, match=r"no file .*absent\.pem"):
        _ = Listening("0.0.0.0", 8765, tmp_path / "absent.pem", key).tls
    assert HERE.tls == {}
    assert Listening("0.0.0.0", 8765, key, key).tls == {
        "ssl_certfile": str(key),
        "ssl_keyfile": str(key),
    }
