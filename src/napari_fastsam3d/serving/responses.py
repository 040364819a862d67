"""How requests are refused, and what is counted and logged of each answer."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.serving.guard import USER
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.schema import Problem
from napari_fastsam3d.serving.server import Server, pseudonym
from napari_fastsam3d.session.remote.wire import TIME_HEADER

_log = logging.getLogger(__name__)

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def refusal_response(refusal: Refusal) -> JSONResponse:
    """Return the answer that refuses a request."""
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = f"{refusal.retry_after:.3f}"
    problem = Problem(kind=refusal.kind, problem=refusal.problem, remedy=refusal.remedy)
    return JSONResponse(problem.model_dump(), refusal.status, headers)


async def on_refusal(_request: Request, error: Exception) -> Response:
    """Answer with an error of the one family."""
    assert isinstance(error, FastSAM3DError)
    if isinstance(error, Refusal):
        return refusal_response(error)
    if type(error).__name__ in ("DeviceError", "CheckpointError"):
        _log.error("%s", error)
    return refusal_response(Refusal(422, type(error).__name__, error.problem, error.remedy))


async def on_invalid_request(_request: Request, error: Exception) -> Response:
    """Answer to what the schema does not allow."""
    # What was sent is not told back: it may be private, and it is long.
    assert isinstance(error, RequestValidationError)
    where = ".".join(map(str, error.errors()[0]["loc"]))
    return refusal_response(
        Refusal(
            422,
            "not_understood",
            f"The request is not understood ({where[:100]}).",
            "See /v1/openapi.json.",
        )
    )


async def on_unknown_route(_request: Request, error: Exception) -> Response:
    """Answer to what there is no route for."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    return refusal_response(
        Refusal(status, "no_route", "There is no such thing.", "See /v1/openapi.json.")
    )


async def on_failure(_request: Request, error: Exception) -> Response:
    """Answer to a request that failed by a fault of the server."""
    _log.error("A request failed", exc_info=error)
    return refusal_response(Refusal(500, "failed", "The server failed.", "Tell whoever runs it."))


class Counted:
    """Counts and logs every answer, without anything that names a patient or a scan.

    Parameters
    ----------
    app : ASGI application
    server : Server
    """

    def __init__(self, app: Asgi, server: Server) -> None:
        self._app, self._server = app, server

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), [499]

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                took = f"{(time.perf_counter() - begun) * 1000:.1f}".encode()
                message["headers"] = [*message["headers"], (TIME_HEADER.lower().encode(), took)]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - begun
            route = getattr(scope.get("route"), "path", "unknown")
            self._server.metrics.answered(route, status[0], seconds)
            who = scope.get(USER)
            _log.info(
                "%s %s %d %.0f ms user %s",
                scope["method"],
                route,
                status[0],
                seconds * 1000,
                pseudonym(who) if who else "-",
            )
