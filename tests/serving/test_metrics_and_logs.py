"""What an operator sees of a server: counts, times and lines that name nobody and nothing."""

import asyncio
import logging
import re
from pathlib import Path

import pytest
from ball_and_slab import BALL, SLAB
from prometheus_client.parser import text_string_to_metric_families
from served import Department, question, send

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.serving.server import pseudonym
from napari_fastsam3d.session import Session
from napari_fastsam3d.session.remote.wire import TIME_HEADER


def metrics(department: Department) -> dict[tuple[str, str, str], float]:
    """Return what is counted: value by name, route and status."""
    answer = department.ask("GET", "/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {
        (s.name, s.labels.get("route", ""), s.labels.get("status", "")): s.value
        for family in families
        for s in family.samples
    }


@pytest.fixture
def worked(department: Department, volume: Volume) -> Department:
    """A department in which a scan was sent and two masks made."""
    with department.thread("anna-meier") as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        session.add_point(SLAB)
        assert session.mask().any()
    return department


def test_answers_are_counted_by_route_and_status(worked: Department, volume: Volume):
    worked.ask("GET", f"/v1/volumes/{volume.content_hash}", "wrong")
    worked.ask("GET", "/no/such/place/of/anna-meier", worked.token("berta"))
    found = metrics(worked)

    assert found["fastsam3d_requests_total", "/v1/sessions/steps", "200"] == 2
    assert found["fastsam3d_requests_total", "/v1/volumes/{digest}/chunks/{chunk}", "200"] == 1
    assert found["fastsam3d_requests_total", "unknown", "401"] == 1
    assert found["fastsam3d_requests_total", "unknown", "404"] == 1
    assert found["fastsam3d_request_seconds_count", "/v1/sessions/steps", ""] == 2
    assert 0 < found["fastsam3d_request_seconds_sum", "/v1/sessions/steps", ""] < 60
    sent = sum(len(r.content) for r in worked.requests if "/chunks/" in r.url.path)
    assert found["fastsam3d_received_bytes_total", "", ""] == sent > 1000


def test_metrics_name_no_scan_and_no_user(worked: Department, volume: Volume):
    worked.ask("GET", f"/v1/volumes/{volume.content_hash}", worked.token("anna-meier"))
    worked.ask("GET", "/secret/place")
    text = worked.ask("GET", "/metrics").text

    assert not re.search(rf"{volume.content_hash[:8]}|anna|secret", text)


def test_requests_that_wait_are_counted(department: Department, volume: Volume):
    token = department.token()
    send(department, volume, token)
    department.model.may_go_on.clear()

    async def ask() -> float:
        async with department.client(token) as client:
            asked = asyncio.create_task(client.post("/v1/sessions/steps", json=question(volume)))
            while not department.model.is_waiting.is_set():
                await asyncio.sleep(0.005)
            waiting = department.host.waiting
            department.model.may_go_on.set()
            assert (await asked).status_code == 200
            return waiting

    assert asyncio.run(ask()) == 1
    assert department.host.waiting == 0


def test_an_answer_says_how_long_the_server_took(department: Department):
    for path, token in (("/health", None), ("/v1/server", department.token()), ("/x", None)):
        took = department.ask("GET", path, token).headers[TIME_HEADER]
        assert 0 <= float(took) < 60_000


def test_logs_name_no_scan_and_no_user(
    department: Department, volume: Volume, caplog: pytest.LogCaptureFixture
):
    """A line for each answer, with a pseudonym by which the requests of a user can be followed."""
    caplog.set_level(logging.DEBUG, "napari_fastsam3d")
    with department.thread("anna-meier") as thread, Session(volume, thread) as session:
        session.add_point(SLAB)
    department.ask("GET", f"/v1/volumes/{volume.content_hash}?name=anna", "wrong-token")

    answered = [r.getMessage() for r in caplog.records if " user " in r.getMessage()]
    (step,) = [line for line in answered if "/v1/sessions/steps" in line]
    assert re.fullmatch(r"POST /v1/sessions/steps 200 \d+ ms user [0-9a-f]{8}", step)
    assert step.endswith(pseudonym("anna-meier"))
    assert re.fullmatch(r"GET unknown 401 \d+ ms user -", answered[-1])
    for secret in ("anna", volume.content_hash[:8], volume.name, "wrong-token"):
        assert secret not in caplog.text


def test_a_fault_of_the_server_is_logged_and_not_told(
    department: Department, volume: Volume, caplog: pytest.LogCaptureFixture
):
    """Who asks gets a sentence; what went wrong stands in the operator's log alone."""

    def fail(_user: str) -> None:
        raise RuntimeError("/srv/private/path")

    department.server.store = fail  # type: ignore[method-assign]
    answer = department.ask("GET", "/v1/volumes", department.token())

    assert answer.status_code == 500
    assert set(answer.json()) == {"kind", "problem", "remedy"}
    assert "private" not in answer.text
    assert "/srv/private/path" in caplog.text


def test_a_model_that_cannot_be_loaded_is_told_to_the_operator(
    department: Department, caplog: pytest.LogCaptureFixture
):
    async def damaged(_name: str) -> None:
        raise CheckpointError("The file is damaged.", "Fetch it again.")

    department.server._host_of = damaged  # type: ignore[assignment]
    assert department.ask("GET", "/ready").status_code == 422
    assert "The file is damaged" in caplog.text


def test_what_rays_agents_give_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """On Ray the same is counted under the same names, and there is no `/metrics` of a replica."""
    metrics_of_ray = pytest.importorskip("ray.util.metrics", reason="needs the extra `serve`")
    from napari_fastsam3d.serving.metrics import RayMetrics

    counted: list[tuple[str, float, dict[str, str]]] = []

    class Recorded:
        def __init__(self, name: str, *_about: object, **_options: object) -> None:
            self.name = name

        def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
            if value <= 0:
                raise ValueError(value)  # as Ray does
            counted.append((self.name, value, tags or {}))

        observe = inc

    for name in ("Counter", "Histogram"):
        monkeypatch.setattr(metrics_of_ray, name, Recorded)
    department = Department(tmp_path)
    department.server.metrics = RayMetrics()
    department.ask("GET", "/health")
    department.server.metrics.received(0)
    department.server.metrics.received(5)

    route = {"route": "/health"}
    (one, took, got) = counted
    assert one == ("fastsam3d_requests", 1.0, {**route, "status": "200"})
    assert (took[0], took[2]) == ("fastsam3d_request_seconds", route)
    assert got == ("fastsam3d_received_bytes", 5, {})
    assert department.ask("GET", "/metrics").status_code == 404
