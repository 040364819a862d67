"""One resident model for many: whose turn it is, what is overtaken, what is remembered and lost."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SLAB
from brightness_model import BrightnessModel
from served import digest_of

from napari_fastsam3d.errors import DeviceError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.model.predictor import always
from napari_fastsam3d.serving.model_host import ModelHost, click_of, step_of
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.schema import Log
from napari_fastsam3d.serving.server import ResidentModels, Server
from napari_fastsam3d.serving.server_settings import Limits, ServerSettings
from napari_fastsam3d.session import ModelThread
from napari_fastsam3d.session.remote.wire import NO_PROMPTS, mask_digest

KEY = ("anna", "0" * 64)


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(tmp_path, ("brightness",), sessions=2, limits=Limits(waiting=2))


@pytest.fixture
def model() -> BrightnessModel:
    return BrightnessModel()


@pytest.fixture
def host(settings: ServerSettings, model: BrightnessModel) -> Iterator[ModelHost]:
    host = ModelHost("brightness", settings, ModelThread(model))
    yield host
    model.may_go_on.set()
    host.close()


def kind(act: Any) -> str:
    with pytest.raises(Refusal) as found:
        act()
    return found.value.kind


def click(number: int, place: tuple[int, ...] = BALL) -> dict[str, Any]:
    return {"id": number, "point": list(place), "positive": True}


def test_a_log_is_told_once(host: ModelHost, volume: Volume):
    hosted = host.begin(KEY, volume)
    one, two, three = click(1), click(2, SLAB), click(3, NOTHING)
    told = hosted.prompts(Log(append=[one, two]), 10)
    longer = hosted.prompts(Log(base=digest_of([one, two]), append=[three]), 10)

    assert longer[:2] == told
    assert longer == hosted.prompts(Log(append=[one, two, three]), 10)
    assert hosted.prompts(Log(base=digest_of([one, two, three]), append=[]), 10) == longer
    assert hosted.prompts(Log(base=NO_PROMPTS, append=[]), 10) == ()
    for unknown in (digest_of([one]), digest_of([two, one]), "f" * 64):
        assert kind(lambda d=unknown: hosted.prompts(Log(base=d, append=[]), 10)) == "unknown_log"


def test_a_log_is_as_long_as_it_may_be(host: ModelHost, volume: Volume):
    hosted = host.begin(KEY, volume)
    known = [click(1), click(2)]
    hosted.prompts(Log(append=known), 2)

    assert kind(lambda: hosted.prompts(Log(append=[*known, click(3)]), 2)) == "long_log"
    longer = Log(base=digest_of(known), append=[click(3)])
    assert kind(lambda: hosted.prompts(longer, 2)) == "long_log"


def test_a_log_with_what_is_no_prompt_is_not_remembered(host: ModelHost, volume: Volume):
    hosted = host.begin(KEY, volume)
    wrong = [click(1), {"id": 2, "point": "here"}]
    assert kind(lambda: hosted.prompts(Log(append=wrong), 10)) == "no_prompt"
    assert kind(lambda: hosted.prompts(Log(base=digest_of(wrong), append=[]), 10)) == "unknown_log"


@pytest.mark.parametrize("place", [(-1, 0, 0), (60, 0, 0), (0, 0, 40)])
def test_what_lies_outside_is_refused(host: ModelHost, volume: Volume, place: tuple[int, ...]):
    hosted = host.begin(KEY, volume)
    assert kind(lambda: hosted.prompts(Log(append=[click(1, place)]), 10)) == "outside"
    with pytest.raises(Exception, match="outside"):
        click_of(hosted, place)


def test_the_newest_request_of_a_session_counts(host: ModelHost):
    one, other = ("anna", "1" * 32), ("berta", "1" * 32)
    host.check_number(one, 5)
    host.check_number(one, 5)
    host.check_number(other, 1)

    assert not host.overtaken(one, 5)
    assert kind(lambda: host.check_number(one, 4)) == "outdated"
    host.check_number(one, 6)
    assert host.overtaken(one, 5)
    assert not host.overtaken(other, 1)


def test_masks_that_were_sent_are_remembered_by_user(host: ModelHost, volume: Volume):
    """Another user's volume is another one, if it holds the same voxels."""
    mine, theirs = host.begin(KEY, volume), host.begin(("berta", KEY[1]), volume)
    prompts = mine.prompts(Log(append=[click(1)]), 10)
    step = asyncio.run(host.run("anna", step_of(mine, prompts)))

    assert step.mask.voxels.any()
    assert mine.mask(mask_digest(step.mask)) is step.mask
    assert theirs.mask(mask_digest(step.mask)) is None
    assert mine.mask(None) is None


def test_so_many_sessions_are_remembered_and_the_oldest_goes(host: ModelHost, volume: Volume):
    keys = [("anna", str(n) * 64) for n in range(3)]
    first = host.begin(keys[0], volume)
    assert host.begin(keys[0], volume) is first
    host.begin(keys[1], volume)
    assert host.find(keys[0]) is first  # and is the newest by that
    host.begin(keys[2], volume)

    assert host.find(keys[1]) is None
    assert host.find(keys[0]) is first
    host.forget(keys[0])
    host.forget(keys[0])
    assert host.find(keys[0]) is None


def test_a_user_waits_for_so_many_answers_and_others_are_not_kept_out(
    host: ModelHost, model: BrightnessModel
):
    begun, may_end = Event(), Event()

    def busy(_go_on: Any) -> str:
        begun.set()
        assert may_end.wait(20)
        return "done"

    async def ask() -> list[Any]:
        first = asyncio.create_task(host.run("anna", busy))
        await asyncio.to_thread(begun.wait, 20)
        second = asyncio.create_task(host.run("anna", busy))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await host.run("anna", busy)
        other = asyncio.create_task(host.run("berta", busy))
        await asyncio.sleep(0)
        waiting = host.waiting
        may_end.set()
        return [refused.value.status, waiting, await first, await second, await other]

    assert asyncio.run(ask()) == [429, 3, "done", "done", "done"]
    assert host.waiting == 0


def test_work_that_nobody_wants_is_not_begun(host: ModelHost):
    done: list[str] = []

    def job(_go_on: Any) -> None:
        done.append("done")

    with pytest.raises(Refusal) as refused:
        asyncio.run(host.run("anna", job, lambda: False))
    assert refused.value.kind == "outdated"
    assert not done


def test_work_is_given_up_in_the_middle(host: ModelHost):
    """Between the parts of a job it is asked whether somebody still wants it."""
    begun, may_go_on, ended = Event(), Event(), Event()
    went_on: list[bool] = []

    def job(go_on: Any) -> None:
        begun.set()
        may_go_on.wait(20)
        try:
            go_on()
            went_on.append(True)
        finally:
            ended.set()

    async def leave() -> None:
        task = asyncio.create_task(host.run("anna", job))
        await asyncio.to_thread(begun.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        may_go_on.set()
        assert await asyncio.to_thread(ended.wait, 20)

    asyncio.run(leave())
    assert not went_on
    assert host.waiting == 0


def test_what_fails_is_explained_and_the_model_goes_on(host: ModelHost, volume: Volume):
    def out_of_memory(_go_on: Any) -> None:
        raise MemoryError

    with pytest.raises(DeviceError, match="out of memory"):
        asyncio.run(host.run("anna", out_of_memory))
    assert asyncio.run(host.run("anna", lambda _: 3)) == 3


def test_masks_are_those_of_a_runner_here(host: ModelHost, volume: Volume):
    from napari_fastsam3d.session.model_runner import ModelRunner

    hosted = host.begin(KEY, volume)
    prompts = hosted.prompts(Log(append=[click(1), click(2, SLAB)]), 10)
    found = asyncio.run(host.run("anna", step_of(hosted, prompts)))
    with ModelThread(BrightnessModel()) as thread:
        runner = ModelRunner(volume, thread, lambda *_: None, lambda *_: None)
        asked = (Point(1, BALL, True), Point(2, SLAB, True))
        expected = thread.submit(runner.step, asked, always).result()

    assert found.mask.equals(expected.mask)
    assert np.count_nonzero(found.mask.voxels) > 1000


def test_a_process_keeps_so_many_models(settings: ServerSettings):
    async def ask() -> None:
        resident = ResidentModels(replace(settings, models_kept=2))
        a, b = await resident("a"), await resident("b")
        assert await resident("a") is a
        c = await resident("c")
        assert await resident("c") is c
        assert await resident("a") is a
        assert await resident("b") is not b
        resident.close()
        assert await resident("a") is not a

    asyncio.run(ask())


def test_only_models_that_are_offered_are_loaded(settings: ServerSettings):
    server = Server(replace(settings, models=("lite", "default")))

    async def name_of(model: str) -> str:
        return (await server.host(model)).name

    assert asyncio.run(name_of("lite")) == "lite"
    assert asyncio.run(name_of("default")) == "default"
    server = Server(replace(settings, models=("lite",)))
    assert asyncio.run(name_of("default")) == "lite", "the first is the default"
    with pytest.raises(Refusal) as refused:
        asyncio.run(name_of("../weights.safetensors"))
    assert refused.value.kind == "unknown_model"
