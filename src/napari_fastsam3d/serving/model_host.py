"""One resident model, and what it remembers of the sessions that it serves; all can be lost."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

from napari_fastsam3d.errors import FastSAM3DError, explained
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.prompt import Prompt, place_of
from napari_fastsam3d.inference.prompt_check import point_index
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.model.predictor import GoOn, Predictor, always, silent
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.schema import Log
from napari_fastsam3d.serving.server_settings import ServerSettings
from napari_fastsam3d.session.model_runner import Interrupted, ModelRunner
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.remote.wire import (
    NO_PROMPTS,
    extended_digest,
    mask_digest,
    told_from_json,
)

R = TypeVar("R")

_log = logging.getLogger(__name__)

SessionKey = tuple[str, str]
"""A user and the digest of a volume of theirs."""

_LOGS, _MASKS = 256, 32


@dataclass(eq=False)
class HostedVolume:
    """A volume of a user that the model is working on.

    Parameters
    ----------
    volume : Volume
    runner : ModelRunner
    logs : Cache of str to tuple of Prompt
        Logs that clients have told, by their digests.
    masks : Cache of str to Mask
        Masks that were sent, by their digests.
    """

    volume: Volume
    runner: ModelRunner
    logs: "Cache[str, tuple[Prompt, ...]]" = field(default_factory=lambda: Cache(_LOGS))
    masks: "Cache[str, Mask]" = field(default_factory=lambda: Cache(_MASKS))
    lock: Lock = field(default_factory=Lock)

    def prompts(self, log: Log, most: int) -> tuple[Prompt, ...]:
        """Return the prompts of a log; Refusal if it is unknown, damaged or too long."""
        digest = log.base or NO_PROMPTS
        with self.lock:
            known = () if digest == NO_PROMPTS else self.logs.get(digest)
        if known is None:
            raise Refusal(409, "unknown_log", "This part of the log is not known.", "Send all.")
        if len(known) + len(log.append) > most:
            raise Refusal(413, "long_log", f"The log has over {most} prompts.", "Begin another.")
        told: list[Prompt] = list(known)
        for each in log.append:
            told.append(self._checked(each))
            digest = extended_digest(digest, each)
        prompts = tuple(told)
        with self.lock:
            self.logs.put(digest, prompts)
        return prompts

    def mask(self, digest: str | None) -> Mask | None:
        """Return a mask that was sent; None if it was forgotten."""
        with self.lock:
            return None if digest is None else self.masks.get(digest)

    def sent(self, step: Step) -> None:
        """Remember a mask that the client has now."""
        with self.lock:
            self.masks.put(mask_digest(step.mask), step.mask)

    def _checked(self, data: dict[str, Any]) -> Prompt:
        try:
            for place in _boxes(data):
                # Before the bits of a mask are unfolded, which take as much room as its box says.
                if min(place.start) < 0 or place.clipped(self.volume.shape) != place:
                    raise _outside()
            prompt = told_from_json(data)
        except (KeyError, TypeError, ValueError, AttributeError, MemoryError):
            raise Refusal(
                422, "no_prompt", "The log holds what is no prompt.", "Use a log of this program."
            ) from None
        box = place_of(prompt)
        if not box.is_empty and box.clipped(self.volume.shape) != box:
            raise _outside()
        return prompt


def _boxes(data: Mapping[str, Any]) -> Iterator[Box]:
    """Yield the boxes that a prompt, as JSON, says it has."""
    for name in ("box", "freeze"):
        if name in data:
            yield json_values.box(data[name])
    for name in ("mask", "added", "removed", "scribble", "lasso"):
        if name in data:
            yield json_values.box(data[name]["box"])


def _outside() -> Refusal:
    return Refusal(
        422, "outside", "A prompt lies outside the volume.", "Give voxels of the volume."
    )


def _outdated() -> Refusal:
    return Refusal(
        409, "outdated", "A newer request of the session came first.", "Ask for that one."
    )


class ModelHost:
    """A model in its thread, for the volumes of many users.

    Nothing of it is needed to go on: what it remembers is made again of logs and volumes.

    Parameters
    ----------
    name : str
        Of the model, or its file.
    settings : ServerSettings
    thread : ModelThread, optional
        Of a model that is loaded already.
    """

    def __init__(
        self, name: str, settings: ServerSettings, thread: ModelThread | None = None
    ) -> None:
        self.name = name
        self._settings = settings
        self._thread = thread or ModelThread(name, settings.device)
        self._volumes: OrderedDict[SessionKey, HostedVolume] = OrderedDict()
        self._newest: Cache[tuple[str, str], int] = Cache(4096)
        self._waiting: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """Requests that wait for the model or are being answered."""
        return sum(self._waiting.values())

    async def predictor(self) -> Predictor:
        """Return the model, loaded."""
        return await asyncio.wrap_future(self._thread.submit(self._thread.obtain_predictor))

    def find(self, key: SessionKey) -> HostedVolume | None:
        """Return what is remembered of a volume, if anything is."""
        if key in self._volumes:
            self._volumes.move_to_end(key)
        return self._volumes.get(key)

    def begin(self, key: SessionKey, volume: Volume) -> HostedVolume:
        """Begin to remember a volume, in the place of that of which nothing was asked longest."""
        found = self.find(key)  # while it was opened, another request may have begun
        if found is None:
            runner = ModelRunner(
                volume, self._thread, silent, _log.warning, bytes_kept=self._settings.session_bytes
            )
            found = self._volumes[key] = HostedVolume(volume, runner)
            while len(self._volumes) > self._settings.sessions:
                self._volumes.popitem(last=False)
        return found

    def forget(self, key: SessionKey) -> None:
        """Drop what is remembered of a volume."""
        self._volumes.pop(key, None)

    def check_number(self, session: tuple[str, str], number: int) -> None:
        """Refuse a request that a newer one of the session has overtaken."""
        if number < (self._newest.get(session) or 0):
            raise _outdated()
        self._newest.put(session, number)

    def overtaken(self, session: tuple[str, str], number: int) -> bool:
        """Whether a newer request of the session has come."""
        return (self._newest.get(session) or 0) > number

    async def run(
        self, user: str, job: Callable[[GoOn], R], wanted: Callable[[], bool] = lambda: True
    ) -> R:
        """Do a job in the model thread; `wanted` is asked between its parts."""
        if self._waiting.get(user, 0) >= self._settings.limits.waiting:
            raise Refusal(
                429, "too_many", "Too many requests of yours wait.", "Wait for answers.", 0.2
            )
        gone = [False]

        def go_on() -> None:
            if gone[0] or not wanted():
                raise Interrupted

        def work() -> R:
            go_on()
            return job(go_on)

        self._waiting[user] = self._waiting.get(user, 0) + 1
        future: Future[R] = self._thread.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            gone[0] = True
            raise
        except Interrupted:
            raise _outdated() from None
        except FastSAM3DError:
            raise
        except Exception as error:
            raise explained(error, "Try again") from error
        finally:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                del self._waiting[user]

    def __del__(self) -> None:
        # Ray Serve lets a model go by forgetting it.
        self.close()

    def close(self) -> None:
        """Let the model go."""
        self._volumes.clear()
        self._thread.close()


def step_of(hosted: HostedVolume, prompts: Sequence[Prompt]) -> Callable[[GoOn], Step]:
    """Return the job that makes a mask of prompts."""

    def job(go_on: GoOn = always) -> Step:
        step = hosted.runner.step(tuple(prompts), go_on)
        hosted.sent(step)
        return step

    return job


def click_of(hosted: HostedVolume, index: Sequence[int]) -> tuple[int, int, int]:
    """Check a click that may come."""
    return point_index(index, hosted.volume.shape)
