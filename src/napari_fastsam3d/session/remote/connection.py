"""Requests to a server: sent again while it can't be reached, and given up when not wanted."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from napari_fastsam3d import errors
from napari_fastsam3d.errors import FastSAM3DError, ServerError
from napari_fastsam3d.model.predictor import GoOn, always
from napari_fastsam3d.session.remote.servers import ServerAccess
from napari_fastsam3d.session.remote.wire import TIME_HEADER

MakeClient = Callable[[ServerAccess], httpx.AsyncClient]

# Seconds between looks at whether an answer is still wanted.
_LOOK = 0.02
_CONNECT_SECONDS, _ANSWER_SECONDS = 5.0, 120.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
# What a server or what stands before it says while it starts, moves or is busy.
_BUSY = {429, 502, 503, 504}
_SECOND = 1000.0
# How OpenSSL, by its version, calls an answer that isn't TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


class RefusedError(ServerError):
    """The server refused a request.

    Parameters
    ----------
    status : int
        Of HTTP.
    kind : str
        For programs.
    problem, remedy : str
    """

    def __init__(self, status: int, kind: str, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.status = status
        self.kind = kind


class _AwayError(Exception):
    """The server can't be reached now; `pause` is when it asks to be asked again."""

    def __init__(self, why: str, pause: float | None = None, reached: bool = False) -> None:
        super().__init__(why)
        self.pause = pause
        self.reached = reached


class Connection:
    """The way to a server; for one thread, in which it waits.

    Parameters
    ----------
    access : ServerAccess
    patience : float
        Seconds after which a server that can't be reached is given up.
    make_client : callable, optional
        Makes the HTTP client.
    """

    def __init__(
        self, access: ServerAccess, patience: float, make_client: MakeClient | None = None
    ) -> None:
        self.access = access
        self._patience = patience
        self._make_client = make_client or _client
        self._runner: asyncio.Runner | None = None
        self._http: httpx.AsyncClient | None = None
        self._heard = False
        self.on_lost: Callable[[str], object] = always_silent
        self.on_found: Callable[[], object] = always
        self.network_milliseconds: float | None = None

    def json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        go_on: GoOn = always,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send JSON, or nothing, and return the JSON of the answer.

        Parameters
        ----------
        method, path : str
        body : mapping, optional
        go_on : callable
            Asked while it waits; ends that by raising.
        headers : mapping, optional

        Raises
        ------
        RefusedError
            If the server refuses.
        ServerError
            If it can't be reached for longer than the patience lasts, or isn't such a server.
        FastSAM3DError
            What failed there, as it would have failed here.
        """
        return self._ask(go_on, method, path, json=body, headers=headers)

    def octets(self, path: str, body: bytes, headers: Mapping[str, str], go_on: GoOn) -> None:
        """Put bytes; see `json`."""
        self._ask(go_on, "PUT", path, content=body, headers=headers)

    def close(self) -> None:
        """Close what is open."""
        if self._runner is not None:
            if self._http is not None:
                self._runner.run(self._http.aclose())
            self._runner.close()
        self._runner = self._http = None

    def _ask(self, go_on: GoOn, method: str, path: str, **request: Any) -> Any:
        lost_at, pause = None, _FIRST_PAUSE
        while True:
            try:
                answer = self._once(go_on, method, path, request)
            except _AwayError as away:
                now = time.monotonic()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at > self._patience:
                    raise self._unreachable(str(away)) from away
                self.on_lost(str(away))
                self._pause(away.pause or pause, go_on)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if lost_at is not None:
                    self.on_found()
                return answer

    def _once(self, go_on: GoOn, method: str, path: str, request: Mapping[str, Any]) -> Any:
        if self._runner is None or self._http is None:
            self._runner = asyncio.Runner()
            self._http = self._make_client(self.access)
        begun = time.perf_counter()
        call = self._http.request(method, path, **request)
        try:
            response = self._runner.run(_watched(call, go_on))
        except httpx.ConnectError as error:
            self._check_tls(str(error))
            raise _AwayError("it does not answer") from error
        except httpx.TimeoutException as error:
            raise _AwayError("it takes too long to answer") from error
        except (httpx.TransportError, OSError) as error:
            raise _AwayError("the connection broke") from error
        self._measure(response, (time.perf_counter() - begun) * _SECOND)
        return _read(response, self._heard)

    def _measure(self, response: httpx.Response, milliseconds: float) -> None:
        """Note what the way there and back took."""
        there = response.headers.get(TIME_HEADER)
        if there is not None:
            self._heard = True
            self.network_milliseconds = max(0.0, milliseconds - float(there))

    def _pause(self, seconds: float, go_on: GoOn) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            go_on()
            time.sleep(min(_LOOK, left))

    def _unreachable(self, why: str) -> ServerError:
        return ServerError(
            f"The server {self.access.name} can't be reached: {why}.",
            "Check the address and the network, or choose a model of this machine.",
        )

    def _check_tls(self, why: str) -> None:
        """Raise ServerError where asking again does not help."""
        name = self.access.name
        if "CERTIFICATE_VERIFY_FAILED" in why:
            reason = why.partition("verify failed: ")[2].partition(" (_ssl")[0].rstrip(".")
            remedy = (
                "Use the name that it was made for, or give its file: "
                "napari-fastsam3d login ADDRESS --certificate FILE"
            )
            if "expired" in reason or "not yet valid" in reason:
                remedy = "Check the clock of this machine, or ask whoever runs the server."
            raise ServerError(f"The certificate of {name} is not trusted: {reason}.", remedy)
        if any(each in why for each in _NO_TLS):
            raise ServerError(f"{name} speaks no TLS.", "Use http://, on this machine alone.")


def always_silent(_why: str) -> None:
    """Tell nobody."""


async def _watched(call: Any, go_on: GoOn) -> httpx.Response:
    """Await an answer, and break the connection off when nobody wants it any more."""
    task = asyncio.ensure_future(call)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_LOOK)
            if done:
                return task.result()
            go_on()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _read(response: httpx.Response, heard: bool) -> Any:
    """Return what was answered; `heard` is whether the program itself answered here before."""
    if response.is_success:
        try:
            return response.json() if response.content else None
        except ValueError:
            raise ServerError(
                "The answer is not that of a napari-fastsam3d server.", "Check the address."
            ) from None
    try:
        told = response.json()
        refused = RefusedError(
            response.status_code, str(told["kind"]), str(told["problem"]), str(told["remedy"])
        )
    except (ValueError, KeyError, TypeError):
        refused = RefusedError(
            response.status_code,
            "unknown",
            f"The server answered with status {response.status_code}.",
            "Check the address, or ask whoever runs it.",
        )
    # Where Ray Serve leaves or starts, its proxy is there before the program and after it: 404.
    proxy = refused.kind == "unknown" and (response.status_code >= 500 or heard)
    if response.status_code in _BUSY or proxy:
        raise _AwayError(refused.problem.rstrip(".").lower(), _retry_after(response))
    kind = getattr(errors, refused.kind, None)
    if isinstance(kind, type) and issubclass(kind, FastSAM3DError):
        raise kind(refused.problem, refused.remedy)
    raise refused


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return min(float(response.headers["retry-after"]), _LONGEST_PAUSE)
    except (KeyError, ValueError):
        return None


def _client(access: ServerAccess) -> httpx.AsyncClient:
    """Make a client that goes straight to the server, whatever proxies the environment names."""
    verify: ssl.SSLContext | bool = True
    if access.address.startswith("https:"):
        try:
            verify = ssl.create_default_context()
            if access.certificate:
                verify.load_verify_locations(access.certificate)
        except (OSError, ssl.SSLError) as error:
            raise ServerError(
                f"The certificate {access.certificate} can't be read.", "Give a PEM file."
            ) from error
    return httpx.AsyncClient(
        base_url=access.address,
        headers={"Authorization": f"Bearer {access.token}"},
        verify=verify,
        trust_env=False,
        timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
    )
