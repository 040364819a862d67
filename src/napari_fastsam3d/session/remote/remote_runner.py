"""Makes masks by asking a server; the log stays here, and any server makes them again of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Protocol
from uuid import uuid4

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.prompt import (
    Point,
    Prompt,
    PromptKey,
    asked_for,
    has_candidates,
    locates,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.model.predictor import GoOn, Progress, always
from napari_fastsam3d.session.remote.connection import Connection, RefusedError
from napari_fastsam3d.session.remote.remote_model import RemoteModel
from napari_fastsam3d.session.remote.upload import Upload
from napari_fastsam3d.session.remote.wire import (
    MODEL_HEADER,
    NO_PROMPTS,
    PROTOCOL,
    SESSION_HEADER,
    extended_digest,
    step_from_json,
    told_to_json,
)

_Keys = tuple[PromptKey, ...]

_STEPS_BYTES = 64 << 20
# Times that a server which lost something is told it again before it is given up.
_TRIES = 4
_WAITING = "Waiting for {}"
_LOST = "{} can't be reached: {}. Your work is kept on this machine; masks follow when it is back."
_FOUND = "{} is back."
_ANOTHER = "{} has another version of the model by now: new masks are made with that."
_NO_RECALL = "Earlier cases stay on this machine: masks made on a server don't recall them."


class Server(Protocol):
    """What a runner needs of the thread in which a server is asked."""

    @property
    def connection(self) -> Connection:
        """The way to the server."""
        ...

    @property
    def model(self) -> str:
        """Name of the model, there."""
        ...

    def obtain(self, progress: Progress = ...) -> RemoteModel:
        """Return what is known of the model, asking the server if need be."""
        ...

    def renew(self, fingerprint: str) -> None:
        """Ask the server anew: it has another version of the model by now."""
        ...


class RemoteRunner:
    """Makes masks of prompts with the model of a server; to be used in the model thread only.

    Parameters
    ----------
    volume : Volume
    server : Server
    progress : callable
        Told of long work, and while the server is waited for.
    note : callable
        Told what the user should know.
    """

    def __init__(
        self,
        volume: Volume,
        server: Server,
        progress: Progress,
        note: Callable[[str], object],
    ) -> None:
        self._volume = volume
        self._server = server
        self._progress = progress
        self._note = note
        self._session = uuid4().hex
        self._number = 0
        self._steps: Cache[_Keys, Step] = Cache(_STEPS_BYTES, lambda step: step.nbytes + 1)
        self._told: set[str] = set()
        self._held: tuple[str, Mask] | None = None
        self._making: _Keys | None = None
        self._fingerprint: str | None = None
        self._lost = self._noted_recall = False

    @property
    def _connection(self) -> Connection:
        return self._server.connection

    @cached_property
    def _upload(self) -> Upload:
        return Upload(self._volume, self._connection, self._progress, self._headers)

    def predictor(self) -> RemoteModel:
        """Return what is known of the model; sends the volume ahead."""
        with self._listening():
            known = self._server.obtain(self._progress)
            self._upload.ensure(known.roots)
        return known

    def step(self, prompts: tuple[Prompt, ...], go_on: GoOn = always) -> Step:
        """Return what prompts make of an object; see `ModelRunner.step`."""
        keys = _keys(prompts)
        found = self._steps.get(keys)
        if found is None:
            answer = self._answer("/v1/sessions/steps", prompts, go_on)
            found = self._read(answer["step"])
            self._steps.put(keys, found)
            self._held = (answer["step"]["mask"], found.mask)
        return found

    def candidates(self, prompts: tuple[Prompt, ...], go_on: GoOn = always) -> tuple[Step, ...]:
        """See `ModelRunner.candidates`."""
        asked = tuple(asked_for(prompts))
        if not has_candidates(asked):
            return ()
        answer = self._answer("/v1/sessions/candidates", asked, go_on)
        return tuple(map(self._read, answer["steps"]))

    def encode_speculatively(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn = always
    ) -> bool:
        """See `ModelRunner.encode_speculatively`."""
        return self._ahead(prompts, click, go_on, encode_only=True)

    def predict_speculatively(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn = always
    ) -> bool:
        """See `ModelRunner.predict_speculatively`."""
        return self._ahead(prompts, click, go_on, encode_only=False)

    def serves(self, prompts: tuple[Prompt, ...]) -> bool:
        """Whether what the server computes is the beginning of what these prompts need."""
        making = self._making
        return making is not None and _keys(prompts)[: len(making)] == making

    def forget(self) -> None:
        """Drop what is remembered; may be called from any thread."""
        self._steps = Cache(_STEPS_BYTES, lambda step: step.nbytes + 1)

    def _ahead(
        self, prompts: tuple[Prompt, ...], click: Point, go_on: GoOn, encode_only: bool
    ) -> bool:
        clicked = (*prompts, click)
        if _keys(clicked) in self._steps or not any(map(locates, clicked)) or self._lost:
            return False
        more = {
            "click": click.index,
            "positive": click.positive,
            "encode_only": encode_only,
        }
        return bool(
            self._answer("/v1/sessions/ahead", prompts, go_on, _keys(clicked), more)["done"]
        )

    def _answer(
        self,
        path: str,
        prompts: Sequence[Prompt],
        go_on: GoOn,
        making: _Keys | None = None,
        more: dict[str, Any] | None = None,
    ) -> Any:
        """Ask the server, telling it again what it has lost or never knew."""
        self._note_recall(prompts)
        self._making = _keys(prompts) if making is None else making
        try:
            with self._listening():
                return self._told_again(path, prompts, go_on, more or {})
        finally:
            self._making = None

    def _told_again(
        self, path: str, prompts: Sequence[Prompt], go_on: GoOn, more: dict[str, Any]
    ) -> Any:
        known = self._server.obtain(self._progress)
        for _ in range(_TRIES):
            digests, body = self._request(prompts)
            try:
                self._upload.ensure(known.roots, go_on)
                answer = self._connection.json("POST", path, {**body, **more}, go_on, self._headers)
            except RefusedError as refused:
                if refused.kind == "unknown_log":
                    self._told.clear()
                elif refused.kind in ("unknown_volume", "chunks_missing"):
                    self._upload.again()
                elif refused.kind != "outdated":
                    raise
            else:
                self._told.update(digests)
                self._note_fingerprint(answer.get("fingerprint"), known)
                return answer
        raise ServerError(
            f"{known.device} loses what it is told.", "Try again, or ask whoever runs it."
        )

    def _request(self, prompts: Sequence[Prompt]) -> tuple[list[str], dict[str, Any]]:
        """Return the digests of all beginnings of a log, and what is to be said of it."""
        told = [told_to_json(prompt) for prompt in prompts]
        digests = [NO_PROMPTS]
        for each in told:
            digests.append(extended_digest(digests[-1], each))
        known = next((n for n in range(len(told), 0, -1) if digests[n] in self._told), 0)
        self._number += 1
        return digests, {
            "protocol": PROTOCOL,
            "session": self._session,
            "number": self._number,
            "model": self._server.model,
            "volume": self._volume.content_hash,
            "log": {"base": digests[known] if known else None, "append": told[known:]},
            "since": None if self._held is None else self._held[0],
        }

    def _note_fingerprint(self, fingerprint: str | None, known: RemoteModel) -> None:
        """Note that a server which was started again has another version of the model."""
        if fingerprint is None:
            return
        if fingerprint != known.fingerprint:
            self._server.renew(fingerprint)
        if self._fingerprint not in (None, fingerprint):
            self.forget()
            self._note(_ANOTHER.format(known.device))
        self._fingerprint = fingerprint

    def _read(self, data: Any) -> Step:
        since = Mask.empty()
        try:
            if data["since"] is not None and self._held is not None:
                since = self._held[1]  # the digest of the whole mask says whether it is that one
            return step_from_json(data, since, self._volume)
        except (KeyError, TypeError, ValueError) as error:
            self._held = None
            raise ServerError(
                f"A mask from {self._connection.access.name} is damaged.", "Try again."
            ) from error

    @property
    def _headers(self) -> dict[str, str]:
        return {SESSION_HEADER: self._session, MODEL_HEADER: self._server.model}

    def _note_recall(self, prompts: Sequence[Prompt]) -> None:
        recalls = any(isinstance(prompt, FromMemory | FindPrompt) for prompt in prompts)
        if recalls and not self._noted_recall:
            self._noted_recall = True
            self._note(_NO_RECALL)

    @contextmanager
    def _listening(self):
        """Tell when the server is lost, and when it is back."""
        self._connection.on_lost, self._connection.on_found = self._on_lost, self._on_found
        try:
            yield
        finally:
            if self._lost:
                self._progress(_WAITING.format(self._connection.access.name), 1, 1)

    def _on_lost(self, why: str) -> None:
        name = self._connection.access.name
        self._progress(_WAITING.format(name), 0, 1)
        if not self._lost:
            self._lost = True
            self._note(_LOST.format(name, why))

    def _on_found(self) -> None:
        if self._lost:
            self._lost = False
            self._note(_FOUND.format(self._connection.access.name))


def _keys(prompts: Sequence[Prompt]) -> _Keys:
    return tuple(prompt.key for prompt in prompts)
