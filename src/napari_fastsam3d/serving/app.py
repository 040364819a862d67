"""The routes: what is asked of a server over HTTP, and how it is refused."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from napari_fastsam3d import __version__
from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.serving.guard import USER, Guard
from napari_fastsam3d.serving.model_host import HostedVolume, ModelHost, click_of, step_of
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.responses import (
    Asgi,
    Counted,
    on_failure,
    on_invalid_request,
    on_refusal,
    on_unknown_route,
    refusal_response,
)
from napari_fastsam3d.serving.schema import (
    AheadReply,
    AheadRequest,
    CandidatesReply,
    Digest,
    ModelInfo,
    Problem,
    ServerInfo,
    StepReply,
    StepRequest,
    VolumeHeader,
    VolumePath,
    VolumeState,
)
from napari_fastsam3d.serving.server import Server
from napari_fastsam3d.session.remote.chunks import content_digest
from napari_fastsam3d.session.remote.wire import PROTOCOL, step_to_json


def make_app(server: Server) -> Asgi:
    """Return the ASGI application of a server."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with server.running():
            yield

    app = FastAPI(
        title="napari-fastsam3d",
        version=__version__,
        summary="Masks of prompts on volumes. The client owns the log; see docs/serving.md.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses={code: {"model": Problem} for code in (401, 404, 408, 409, 413, 422, 429, 503)},
    )
    app.state.server = server
    app.include_router(_open)
    app.include_router(_volumes)
    app.include_router(_sessions)
    app.add_exception_handler(FastSAM3DError, on_refusal)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_unknown_route)
    app.add_exception_handler(Exception, on_failure)
    return Counted(Guard(app, server.gate, server.settings.limits, refusal_response), server)


def _server(request: Request) -> Server:
    return request.app.state.server


def _user(request: Request) -> str:
    return request.scope[USER]


_Served = Annotated[Server, Depends(_server)]
_User = Annotated[str, Depends(_user)]

_open = APIRouter()
_volumes = APIRouter(prefix="/v1/volumes", tags=["volumes"])
_sessions = APIRouter(prefix="/v1/sessions", tags=["sessions"])


@_open.get("/health", tags=["operations"])
async def health() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "alive"}


@_open.get("/ready", tags=["operations"])
async def ready(server: _Served) -> dict[str, str]:
    """Say whether requests are taken: the default model is loaded."""
    await (await server.host("default")).predictor()
    return {"status": "ready"}


@_open.get("/metrics", tags=["operations"], include_in_schema=False)
async def metrics(server: _Served) -> Response:
    """Give out what is counted, in Prometheus' format."""
    text = server.metrics.text()
    if text is None:
        raise Refusal(404, "metrics", "Ray gives the metrics out.", "See docs/serving.md.")
    return Response(text, media_type="text/plain; version=0.0.4")


@_open.get("/v1/server", tags=["sessions"])
async def about(server: _Served, user: _User) -> ServerInfo:
    """Say what a client should know before it begins."""
    settings = server.settings
    return ServerInfo(
        protocol=PROTOCOL,
        program=__version__,
        user=user,
        models=list(settings.models),
        roots=[str(root.resolve()) for root in settings.roots],
        body_bytes=settings.limits.body_bytes,
        volume_bytes=settings.limits.volume_bytes,
    )


@_open.get("/v1/models/{name:path}", tags=["sessions"])
async def model(name: str, server: _Served, _user: _User) -> ModelInfo:
    """Load a model, if need be, and say what tells its weights from others."""
    predictor = await (await server.host(name)).predictor()
    return ModelInfo(
        name=predictor.name, fingerprint=predictor.fingerprint, device=str(predictor.device)
    )


@_volumes.get("")
async def volumes(server: _Served, user: _User) -> dict[str, int]:
    """List the volumes of the user, and the bytes of each."""
    return await asyncio.to_thread(server.store(user).sizes)


@_volumes.get("/{digest}")
async def volume_state(digest: Digest, server: _Served, user: _User) -> VolumeState:
    """Say which chunks of a volume are missing."""
    return await _state(server, user, digest)


@_volumes.put("/{digest}")
async def begin_volume(
    digest: Digest, header: VolumeHeader, server: _Served, user: _User
) -> VolumeState:
    """Begin or go on to send a volume; `digest` is its content hash."""
    await asyncio.to_thread(server.store(user).begin, digest, header.model_dump())
    return await _state(server, user, digest)


@_volumes.put("/{digest}/path")
async def name_volume(digest: Digest, named: VolumePath, server: _Served, user: _User) -> None:
    """Let the server read a volume by itself, below a folder that its operator allowed."""

    def read() -> None:
        server.store(user).keep(digest, server.read(named.path, digest))

    await asyncio.to_thread(read)


@_volumes.put("/{digest}/chunks/{chunk}")
async def put_chunk(
    digest: Digest, chunk: int, request: Request, server: _Served, user: _User
) -> None:
    """Send a chunk, with the `Content-Digest` of its body; again does no harm."""
    body = await request.body()
    if request.headers.get("content-digest") != content_digest(body):
        raise Refusal(422, "damaged_chunk", "The chunk is damaged or cut short.", "Send it again.")
    await asyncio.to_thread(server.store(user).put, digest, chunk, body)
    server.metrics.received(len(body))


@_volumes.post("/{digest}/complete")
async def complete_volume(digest: Digest, server: _Served, user: _User) -> None:
    """Check the volume that was sent."""
    await asyncio.to_thread(server.store(user).complete, digest)


@_volumes.delete("/{digest}")
async def delete_volume(digest: Digest, server: _Served, user: _User) -> None:
    """Forget a volume, on disk and in the models that are loaded here."""
    await asyncio.to_thread(server.store(user).delete, digest)
    for name in server.settings.models:
        (await server.host(name)).forget((user, digest))


@_sessions.post("/steps")
async def step(asked: StepRequest, request: Request, server: _Served, user: _User) -> StepReply:
    """Return the mask of a log, as what differs from the one that the client has.

    Any replica gives the same answer, to the voxel, and asking again changes nothing.
    """
    host, hosted, prompts = await _begin(asked, server, user)
    async with _wanted(host, user, asked, request) as wanted:
        made = await host.run(user, step_of(hosted, prompts), wanted)
    known = await host.predictor()
    return StepReply(
        number=asked.number, fingerprint=known.fingerprint, step=_answer(hosted, asked, made)
    )


@_sessions.post("/candidates")
async def candidates(
    asked: StepRequest, request: Request, server: _Served, user: _User
) -> CandidatesReply:
    """Return what the newest click or box of a log may mean, the smallest first."""
    host, hosted, prompts = await _begin(asked, server, user)
    async with _wanted(host, user, asked, request) as wanted:
        found = await host.run(user, lambda go_on: hosted.runner.candidates(prompts, go_on), wanted)
    known = await host.predictor()
    answers = [_answer(hosted, asked, each) for each in found]
    return CandidatesReply(number=asked.number, fingerprint=known.fingerprint, steps=answers)


@_sessions.post("/ahead")
async def ahead(asked: AheadRequest, request: Request, server: _Served, user: _User) -> AheadReply:
    """Answer a click that may come, if the model has nothing else to do."""
    host, hosted, prompts = await _begin(asked, server, user)
    if host.waiting:
        return AheadReply(number=asked.number, done=False)
    click = Point(0, click_of(hosted, asked.click), asked.positive)
    runner = hosted.runner
    job = runner.encode_speculatively if asked.encode_only else runner.predict_speculatively
    async with _wanted(host, user, asked, request) as wanted:
        done = await host.run(
            user, lambda go_on: job(prompts, click, go_on), lambda: wanted() and host.waiting < 2
        )
    return AheadReply(number=asked.number, done=done)


async def _begin(
    asked: StepRequest, server: Server, user: str
) -> tuple[ModelHost, HostedVolume, tuple[Any, ...]]:
    if asked.protocol != PROTOCOL:
        raise Refusal(
            400,
            "protocol",
            f"The server speaks version {PROTOCOL} of the protocol, not {asked.protocol}.",
            "Install the same version of napari-fastsam3d on both sides.",
        )
    host, hosted = await server.hosted(user, asked.model, asked.volume)
    host.check_number((user, asked.session), asked.number)
    most = server.settings.limits.prompts
    prompts = await asyncio.to_thread(hosted.prompts, asked.log, most)
    return host, hosted, prompts


@asynccontextmanager
async def _wanted(
    host: ModelHost, user: str, asked: StepRequest, request: Request
) -> AsyncGenerator[Callable[[], bool]]:
    """Give what says whether an answer is waited for: not once the client left or asked anew."""

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    left = asyncio.create_task(leave())
    session = (user, asked.session)
    try:
        yield lambda: not left.done() and not host.overtaken(session, asked.number)
    finally:
        left.cancel()


def _answer(hosted: HostedVolume, asked: StepRequest, made: Step) -> Any:
    since = hosted.mask(asked.since)
    known = None if since is None else asked.since
    return {"since": known, **step_to_json(made, since)}


async def _state(server: Server, user: str, digest: str) -> VolumeState:
    missing = await asyncio.to_thread(server.store(user).missing, digest)
    if missing is None:
        raise Refusal(404, "unknown_volume", "The server does not have it.", "Send it.")
    whole = await asyncio.to_thread(server.store(user).is_whole, digest)
    return VolumeState(complete=whole, missing=missing)
