"""What every request must pass before it is looked at: its token, its rate, its size, its pace."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.server_settings import Limits
from napari_fastsam3d.serving.tokens import TokenFile

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[_Message, _Receive, _Send], Awaitable[None]]

OPEN = frozenset({"/health", "/ready", "/metrics", "/v1/openapi.json"})
"""Paths that need no token."""

USER = "fastsam3d_user"

_KNOWN = 4096
_LONGEST_NUMBER = 20

_log = logging.getLogger(__name__)


class Buckets:
    """How often each of many may ask: a token bucket each, of those that asked last.

    Parameters
    ----------
    per_second, burst : float
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second, self._burst = per_second, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str) -> float:
        """Count a request; return 0, or the seconds after which another may come."""
        left = self._now(who)
        if left < 1:
            return (1 - left) / self._per_second
        self._left[who] = (left - 1, time.monotonic())
        return 0.0

    def _now(self, who: str) -> float:
        left, then = self._left.pop(who, (self._burst, time.monotonic()))
        now = time.monotonic()
        left = min(self._burst, left + (now - then) * self._per_second)
        self._left[who] = (left, now)
        if len(self._left) > _KNOWN:
            self._left.popitem(last=False)
        return left


class Gate:
    """Who comes in: tokens, and the rate of each user.

    Parameters
    ----------
    tokens : TokenFile
    limits : Limits
    """

    def __init__(self, tokens: TokenFile, limits: Limits) -> None:
        self._tokens = tokens
        self._rate = Buckets(limits.requests_per_second, limits.burst)
        self._failures = Buckets(limits.failed_tokens / 60, float(limits.failed_tokens))

    def user(self, authorization: str | None, address: str) -> str:
        """Return whose request it is; Refusal if nobody's, or too many."""
        kind, _, secret = (authorization or "").partition(" ")
        user = self._tokens.user_of(secret.strip()) if kind.lower() == "bearer" else None
        if user is None:
            # Who has a token comes in all the same: many may share the address of a proxy.
            if self._failures.wait(address):
                raise Refusal(
                    429, "too_many_failures", "Too many wrong tokens.", "Wait a minute.", 60.0
                )
            raise Refusal(
                401,
                "no_token",
                "The server knows no such token.",
                "Ask whoever runs it for one, and give it to: napari-fastsam3d login",
            )
        wait = self._rate.wait(user)
        if wait:
            raise Refusal(429, "too_many", "Too many requests.", "Ask less often.", wait)
        return user


class Guard:
    """Lets in who has a token, and reads each body whole: not too much, and not too slowly.

    No byte of a body is read of who has no token. The user's name stands in the scope, as
    `USER`, for the program behind it.

    Parameters
    ----------
    app : ASGI application
    gate : Gate
    limits : Limits
    refuse : callable
        Makes the answer to a request that is refused.
    """

    def __init__(
        self, app: _App, gate: Gate, limits: Limits, refuse: Callable[[Refusal], _App]
    ) -> None:
        self._app, self._gate, self._limits, self._refuse = app, gate, limits, refuse

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if scope["path"] not in OPEN:
                scope[USER] = self._user(scope)
            async with asyncio.timeout(self._limits.body_seconds):
                body = await self._body(scope, receive)
        except TimeoutError:
            slow = Refusal(408, "slow", "The request came too slowly.", "Send it again.")
            await self._refuse(slow)(scope, receive, send)
        except Refusal as refusal:
            await self._refuse(refusal)(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    def _user(self, scope: _Message) -> str:
        told = dict(scope["headers"]).get(b"authorization")
        address = scope["client"][0] if scope.get("client") else ""
        try:
            return self._gate.user(told and told.decode("latin-1"), address)
        except ServerError as error:
            _log.error("%s", error)
            raise Refusal(
                503, "no_tokens", "The server can't read its tokens.", "Tell whoever runs it."
            ) from error

    async def _body(self, scope: _Message, receive: _Receive) -> bytes | None:
        """Return the body; None if the client went away."""
        most = self._limits.body_bytes
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or len(told) > _LONGEST_NUMBER or int(told) > most:
            raise _too_large(most)
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > most:
                raise _too_large(most)
            if not message.get("more_body", False):
                return bytes(body)


def _too_large(most: int) -> Refusal:
    return Refusal(
        413, "too_large", f"A request has at most {most >> 20} MiB.", "Send it in smaller parts."
    )


def _replayed(body: bytes, receive: _Receive) -> _Receive:
    left = [body]

    async def again() -> _Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again
