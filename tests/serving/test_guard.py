"""What a request must pass before it is looked at: a token, its rate, its size, its pace."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.serving import guard as guarding
from napari_fastsam3d.serving.guard import OPEN, USER, Buckets, Gate, Guard
from napari_fastsam3d.serving.responses import refusal_response
from napari_fastsam3d.serving.server_settings import Limits
from napari_fastsam3d.serving.tokens import TokenFile

LIMITS = Limits(body_bytes=100, body_seconds=0.05, requests_per_second=1e6, burst=1e6)


class Door:
    """A guard before a program that tells what reached it."""

    def __init__(self, folder: Path, limits: Limits = LIMITS) -> None:
        self.tokens = TokenFile(folder / "tokens.json")
        self.secret = self.tokens.add("anna")[1]
        self.let_in: list[tuple[str | None, bytes]] = []
        self.guard = Guard(self._app, Gate(self.tokens, limits), limits, refusal_response)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"] if scope["type"] == "http" else b""
        self.let_in.append((scope.get(USER), body))
        if scope["type"] == "http":
            await refusal_response(_ok())(scope, receive, send)

    def ask(self, receive: Any, secret: str | None = None, **scope: Any) -> tuple[int, str]:
        """Send one request; return the status and the kind of the answer, 0 if there is none."""
        headers = [(b"authorization", f"Bearer {secret}".encode())] if secret else []
        asked = {
            "type": "http",
            "method": "PUT",
            "path": "/v1/server",
            "client": ("10.0.0.1", 5),
            **scope,
            "headers": [*headers, *scope.get("headers", [])],
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(asyncio.wait_for(self.guard(asked, receive, send), 10))
        if not sent:
            return 0, ""
        return sent[0]["status"], json.loads(sent[1]["body"])["kind"]


def _ok():
    from napari_fastsam3d.serving.refusal import Refusal

    return Refusal(200, "ok", "Nothing.", "Nothing.")


def parts(*bodies: bytes):
    """Give a body in parts."""
    left = list(bodies)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


async def untouchable() -> dict[str, Any]:
    raise AssertionError("the body was read")


async def silent() -> dict[str, Any]:
    await asyncio.sleep(60)
    return {}


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path)


def test_a_body_comes_whole_with_the_name_of_its_user(door: Door):
    assert door.ask(parts(b"ab", b"", b"cd"), door.secret) == (200, "ok")
    assert door.let_in == [("anna", b"abcd")]


def test_nothing_is_read_of_who_has_no_token(door: Door):
    for secret in (None, "guess", door.secret[:-1], door.secret + "x", ""):
        assert door.ask(untouchable, secret) == (401, "no_token")
    basic = [(b"authorization", f"Basic {door.secret}".encode())]
    assert door.ask(untouchable, headers=basic) == (401, "no_token")
    assert door.ask(untouchable, headers=[(b"authorization", b"\xff\xfe")]) == (401, "no_token")
    assert door.ask(untouchable, path="/no/such/path") == (401, "no_token")
    assert not door.let_in


@pytest.mark.parametrize("path", sorted(OPEN))
def test_what_is_open_needs_no_token(door: Door, path: str):
    assert door.ask(parts(b""), path=path) == (200, "ok")
    assert door.let_in == [(None, b"")]


def test_a_revoked_token_is_refused_at_once_and_others_stay(door: Door):
    other = door.tokens.add("berta")[1]
    door.tokens.revoke("anna")

    assert door.ask(untouchable, door.secret) == (401, "no_token")
    assert door.ask(parts(b""), other) == (200, "ok")


def test_guessing_tokens_is_slowed_down_but_keeps_nobody_out(tmp_path: Path):
    """Behind a proxy all users have one address: who has a token comes in all the same."""
    door = Door(tmp_path, Limits(failed_tokens=3))
    for _ in range(3):
        assert door.ask(untouchable, "guess") == (401, "no_token")

    assert door.ask(untouchable, "guess") == (429, "too_many_failures")
    assert door.ask(untouchable, "guess", client=("10.0.0.2", 5)) == (401, "no_token")
    assert door.ask(parts(b""), door.secret) == (200, "ok")


def test_each_user_has_a_rate(tmp_path: Path):
    door = Door(tmp_path, Limits(requests_per_second=0.001, burst=2))
    other = door.tokens.add("berta")[1]

    found = [door.ask(parts(b""), door.secret)[1] for _ in range(3)]
    assert found == ["ok", "ok", "too_many"]
    assert door.ask(parts(b""), other) == (200, "ok")


@pytest.mark.parametrize("length", [b"101", b"-1", b"1e3", b"", b"99999999999999999999"])
def test_a_length_that_is_too_large_or_none_is_refused_before_reading(door: Door, length: bytes):
    headers = [(b"content-length", length)]
    assert door.ask(untouchable, door.secret, headers=headers) == (413, "too_large")


def test_a_body_that_grows_too_large_is_refused(door: Door):
    """Sent in parts, without saying its length, or more of it than was said."""
    assert door.ask(parts(b"a" * 60, b"b" * 40), door.secret) == (200, "ok")
    said = [(b"content-length", b"5")]
    for headers in ([], said):
        body = parts(b"a" * 60, b"b" * 41, b"")
        assert door.ask(body, door.secret, headers=headers) == (413, "too_large")


def test_a_client_that_sends_nothing_is_sent_away(door: Door):
    assert door.ask(silent, door.secret) == (408, "slow")


def test_a_client_that_trickles_is_sent_away(door: Door):
    """A byte now and then doesn't win it time."""

    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"", "more_body": True}

    assert door.ask(trickle, door.secret) == (408, "slow")
    assert not door.let_in


def test_a_client_that_left_is_not_answered(door: Door):
    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    assert door.ask(gone, door.secret) == (0, "")
    assert not door.let_in


def test_what_is_no_request_passes(door: Door):
    assert door.ask(untouchable, type="lifespan") == (0, "")
    assert door.let_in == [(None, b"")]


def test_tokens_that_cannot_be_read_are_told_to_the_operator_only(
    door: Door, caplog: pytest.LogCaptureFixture
):
    door.tokens.path.write_text("damaged")
    with caplog.at_level(logging.ERROR):
        assert door.ask(untouchable, door.secret) == (503, "no_tokens")

    assert str(door.tokens.path) in caplog.text


@given(st.floats(0.1, 100), st.integers(1, 50), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_a_rate_is_never_exceeded(per_second: float, burst: int, pauses: list[float]):
    """In no stretch of time does one get more than the burst and what the rate adds meanwhile."""
    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarding.time, "monotonic", lambda: clock[0])
        buckets, let_in = Buckets(per_second, burst), []
        for pause in pauses:
            clock[0] += pause
            wait = buckets.wait("a")
            if not wait:
                let_in.append(clock[0])
            else:
                clock[0] += wait + 1e-6
                assert buckets.wait("a") == 0, "the time that was told is enough"
                let_in.append(clock[0])
    for first, begun in enumerate(let_in):
        for last, ended in enumerate(let_in[first:], start=first):
            assert last - first + 1 <= burst + per_second * (ended - begun) + 1e-3


def test_rates_of_those_long_gone_are_forgotten():
    buckets = Buckets(per_second=0.001, burst=1)
    assert buckets.wait("first") == 0
    for n in range(5000):
        buckets.wait(str(n))

    assert buckets.wait("first") == 0
    assert buckets.wait("4999") > 0
