"""What a client does of what it hears: asks again, waits, gives up, or says what to do."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from napari_fastsam3d import errors
from napari_fastsam3d.errors import FastSAM3DError, PromptError, ServerError
from napari_fastsam3d.session.remote.connection import Connection, RefusedError
from napari_fastsam3d.session.remote.login import log_in
from napari_fastsam3d.session.remote.servers import (
    TOKEN_VARIABLE,
    ServerAccess,
    known_servers,
)
from napari_fastsam3d.session.remote.wire import TIME_HEADER

PLACE = "http://127.0.0.1:8765"
Answer = Callable[[httpx.Request], httpx.Response] | httpx.Response | Exception


class Line:
    """A connection whose other end says what is written down, one after the other."""

    def __init__(self, *answers: Answer, patience: float = 20.0) -> None:
        self.answers, self.asked = list(answers), 0
        self.lost: list[str] = []
        self.found = 0
        self.connection = Connection(ServerAccess(PLACE), patience, self._client)
        self.connection.on_lost = self.lost.append
        self.connection.on_found = self._count

    def _client(self, access: ServerAccess) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=access.address, transport=httpx.MockTransport(self._answer)
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def _count(self) -> None:
        self.found += 1

    def ask(self, **more: Any) -> Any:
        try:
            return self.connection.json("GET", "/v1/server", **more)
        finally:
            self.connection.close()


def refusal(status: int, kind: str = "why", **headers: str) -> httpx.Response:
    said = {"kind": kind, "problem": "The problem.", "remedy": "The remedy."}
    return httpx.Response(status, json=said, headers=headers)


OK = httpx.Response(200, json={"user": "anna"})


def test_an_answer_is_read():
    assert Line(OK).ask() == {"user": "anna"}
    assert Line(httpx.Response(200)).ask() is None


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (httpx.ConnectError("away"), "does not answer"),
        (httpx.ReadTimeout("slow"), "takes too long"),
        (httpx.ReadError("cable"), "connection broke"),
        (httpx.RemoteProtocolError("cut"), "connection broke"),
        (OSError("cable"), "connection broke"),
        (refusal(429, **{"Retry-After": "0.01"}), "the problem"),
        (refusal(503, **{"Retry-After": "0.01"}), "the problem"),
        (httpx.Response(502, text="<html>Bad gateway"), "status 502"),
        (httpx.Response(500, text="Internal Server Error"), "status 500"),
    ],
)
def test_what_passes_is_waited_for_and_told_once_it_is_over(trouble: Answer, why: str):
    line = Line(trouble, OK)

    assert line.ask() == {"user": "anna"}
    assert line.asked == 2
    assert len(line.lost) == line.found == 1
    assert why in line.lost[0]


def test_a_proxy_whose_program_is_gone_is_waited_for():
    """A server that leaves or starts is behind a proxy, which then knows no such path."""
    ours = httpx.Response(200, json={}, headers={TIME_HEADER: "1"})
    line = Line(ours, httpx.Response(404, text="Path '/v1/server' not found."), OK)
    line.connection.json("GET", "/v1/server")

    assert line.ask() == {"user": "anna"}
    assert len(line.lost) == line.found == 1
    line = Line(ours, refusal(404, "unknown_volume"))
    line.connection.json("GET", "/v1/server")
    with pytest.raises(RefusedError, match="The problem"):
        line.ask()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(401, "no_token"), RefusedError),
        (refusal(409, "unknown_log"), RefusedError),
        (refusal(500, "failed"), RefusedError),
        (refusal(422, "PromptError"), PromptError),
        (refusal(422, "Refusal"), RefusedError),
        (refusal(422, "FastSAM3DError"), FastSAM3DError),
        (refusal(422, "Exception"), RefusedError),
        (httpx.Response(404, text="<html>"), RefusedError),
        (httpx.Response(200, text="<html>Router login"), ServerError),
    ],
)
def test_what_does_not_pass_is_said_at_once(answer: Answer, kind: type[Exception]):
    """A failure there has the class that it would have here, and no other class of Python's."""
    line = Line(answer)
    with pytest.raises(kind) as found:
        line.ask()

    assert type(found.value) is kind
    assert line.asked == 1
    assert not line.lost
    assert isinstance(found.value, FastSAM3DError)
    assert found.value.problem
    assert found.value.remedy


def test_every_error_of_the_family_crosses_the_wire():
    family = [e for e in vars(errors).values() if isinstance(e, type) and e is not FastSAM3DError]
    for kind in (e for e in family if issubclass(e, FastSAM3DError)):
        with pytest.raises(kind, match=r"The problem\. The remedy\."):
            Line(refusal(422, kind.__name__)).ask()


def test_patience_ends_and_says_where():
    line = Line(httpx.ConnectError("away"), patience=0.15)
    begun = time.monotonic()
    with pytest.raises(
        ServerError, match=r"127\.0\.0\.1:8765 can't be reached: it does not answer"
    ):
        line.ask()

    assert line.asked > 1
    assert time.monotonic() - begun < 10
    assert line.found == 0


def test_a_wait_can_be_given_up_in_its_middle():
    """Whether it waits for an answer, or for a server that is away."""

    class GivenUpError(Exception):
        pass

    def given_up() -> None:
        if threads:
            raise GivenUpError

    async def hangs(_request: httpx.Request) -> httpx.Response:
        import asyncio

        await asyncio.sleep(60)
        return OK

    for line in (Line(httpx.ConnectError("away")), Line(OK)):
        threads: list[int] = []
        if line.answers == [OK]:
            line.connection._make_client = lambda access: httpx.AsyncClient(
                base_url=access.address, transport=httpx.MockTransport(hangs)
            )
        timer = threading.Timer(0.05, threads.append, (1,))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(GivenUpError):
            line.ask(go_on=given_up)
        assert time.monotonic() - begun < 10
        timer.join()


def test_the_network_is_told_from_the_server():
    """What the server says that it took is no time of the network."""

    def slowly(_request: httpx.Request) -> httpx.Response:
        time.sleep(0.05)
        return httpx.Response(200, json={}, headers={TIME_HEADER: "40"})

    line = Line(slowly)
    line.ask()
    assert line.connection.network_milliseconds is not None
    assert line.connection.network_milliseconds >= 10
    line = Line(httpx.Response(200, json={}, headers={TIME_HEADER: "1e9"}))
    line.ask()
    assert line.connection.network_milliseconds == 0
    line = Line(OK)
    line.ask()
    assert line.connection.network_milliseconds is None


def test_a_token_that_is_refused_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from served import Department, listening

    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    department = Department(tmp_path)
    with listening(department.app) as (port, _):
        place = f"http://127.0.0.1:{port}"
        with pytest.raises(ServerError, match="no such token"):
            log_in(place, "guess")
        assert known_servers() == []
        found = log_in(f"{place}/#x", f" {department.token()}\n")

        assert (found.address, found.user, found.models) == (place, "anna", ("brightness",))
        assert known_servers() == [place]
    with pytest.raises(ServerError, match="can't be reached"):
        log_in(place, "guess")
