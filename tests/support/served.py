"""A server in this process, and users of it: all is real but the wire."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from ball_and_slab import BALL
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.serving.app import make_app
from napari_fastsam3d.serving.model_host import ModelHost
from napari_fastsam3d.serving.server import Server
from napari_fastsam3d.serving.server_settings import Limits, ServerSettings
from napari_fastsam3d.session import ModelThread
from napari_fastsam3d.session.remote.chunks import ChunkGrid, content_digest
from napari_fastsam3d.session.remote.remote_thread import RemoteThread
from napari_fastsam3d.session.remote.wire import NO_PROMPTS, PROTOCOL, extended_digest

ADDRESS = "http://127.0.0.1:8765"


class Department:
    """A folder on disk, processes that serve from it, and the tokens of users."""

    def __init__(self, folder: Path, limits: Limits | None = None, **settings) -> None:
        limits = replace(limits or Limits(), requests_per_second=1e6, burst=1e6)
        self.settings = ServerSettings(folder, ("brightness",), limits=limits, **settings)
        self.models: list[BrightnessModel] = []
        self.broken: Callable[[httpx.Request], Exception | None] = lambda _: None
        self.requests: list[httpx.Request] = []
        self.start()

    def start(self) -> None:
        """Let another process take the place of the one before, which is gone with all it knew."""
        model = BrightnessModel()
        host = ModelHost("brightness", self.settings, ModelThread(model))
        self.models.append(model)

        async def host_of(_name: str) -> ModelHost:
            return host

        self.host = host
        self.server = Server(self.settings, host_of)
        self.app = make_app(self.server)

    @property
    def model(self) -> BrightnessModel:
        return self.models[-1]

    def token(self, user: str = "anna") -> str:
        return self.server.tokens.add(user)[1]

    def thread(self, user: str = "anna", patience: float = 20.0) -> RemoteThread:
        """A model thread that asks this server."""
        token = self.token(user)
        return RemoteThread(ADDRESS, patience, lambda _access: self.client(token))

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            transport=_Wire(self), base_url=ADDRESS, headers=headers, timeout=20
        )

    def ask(self, method: str, path: str, token: str | None = None, **request) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            async with self.client(token) as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())


@contextmanager
def listening(app: Any, **options: Any) -> Iterator[tuple[int, uvicorn.Server]]:
    """Serve an application on a free port of this machine, in a thread; gives port and server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(app, port=port, log_level="critical", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield port, server
    finally:
        server.should_exit = True
        thread.join()


class _Wire(httpx.AsyncBaseTransport):
    """Leads to whichever process serves now; breaks where it is told to."""

    def __init__(self, department: Department) -> None:
        self._department = department

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        error = self._department.broken(request)
        if error is not None:
            raise error
        self._department.requests.append(request)
        inner = httpx.ASGITransport(self._department.app, raise_app_exceptions=False)
        return await inner.handle_async_request(request)


def send(department: Department, volume: Volume, token: str) -> None:
    """Send a volume whole."""
    grid, path = ChunkGrid.of(volume), f"/v1/volumes/{volume.content_hash}"
    department.ask("PUT", path, token, json=header(volume))
    for chunk in range(grid.count):
        data = grid.compress(grid.raw(volume, chunk))
        put_chunk(department, path, token, chunk, data)
    assert department.ask("POST", f"{path}/complete", token).status_code == 200


def header(volume: Volume) -> dict[str, Any]:
    """What is said of a volume before its voxels."""
    grid = ChunkGrid.of(volume)
    return {
        "shape": list(volume.shape),
        "dtype": grid.dtype,
        "affine": volume.affine.tolist(),
        "planes": grid.planes,
    }


def put_chunk(
    department: Department,
    path: str,
    token: str,
    chunk: int,
    data: bytes,
    digest: str | None = None,
) -> httpx.Response:
    """Send a chunk, compressed, of the volume of a path."""
    headers = {"Content-Digest": digest or content_digest(data)}
    return department.ask("PUT", f"{path}/chunks/{chunk}", token, content=data, headers=headers)


def question(volume: Volume, number: int = 1, **more: Any) -> dict[str, Any]:
    """Ask for the mask of a click on the ball."""
    click = {"id": 1, "point": list(BALL), "positive": True}
    return {
        "protocol": PROTOCOL,
        "session": "0" * 32,
        "number": number,
        "model": "brightness",
        "volume": volume.content_hash,
        "log": {"base": None, "append": [click]},
        **more,
    }


def digest_of(prompts: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of a log, prompts as JSON."""
    return reduce(extended_digest, prompts, NO_PROMPTS)
