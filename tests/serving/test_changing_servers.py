"""What changes under an open session: the model, the disk, the lease, other windows, replicas."""

import shutil
import time
from collections import namedtuple
from pathlib import Path

import httpx
import numpy as np
import pytest
from ball_and_slab import BALL, SLAB
from ball_and_slab import NOTHING as OUTSIDE
from brightness_model import BrightnessModel
from served import ADDRESS, Department, header, send

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.serving.model_host import ModelHost
from napari_fastsam3d.serving.volume_store import sweep
from napari_fastsam3d.session import ModelThread, Session
from napari_fastsam3d.session.remote.remote_thread import RemoteThread

Usage = namedtuple("Usage", "total used free")


class NewerModel(BrightnessModel):
    name = "brightness 2"
    fingerprint = "fedcba9876543210"


@pytest.fixture
def here(volume: Volume):
    with Session(volume, BrightnessModel()) as session:
        yield session


def put_in(department: Department, model: BrightnessModel) -> None:
    """Start the server again, with another model."""
    department.start()
    department.host = host = ModelHost("brightness", department.settings, ModelThread(model))

    async def host_of(_name: str) -> ModelHost:
        return host

    department.server._host_of = host_of


def test_another_version_of_the_model_is_noticed(volume: Volume, department: Department):
    """In every session of the thread: masks of before are outdated, and can be made again."""
    newer = NewerModel(tolerance=60.0)
    with (
        department.thread() as thread,
        Session(volume, thread) as one,
        Session(volume, thread) as other,
        Session(volume, newer) as here,
    ):
        notes: list[str] = []
        one.noted.connect(notes.append)
        for session in (one, other):
            session.add_point(BALL)
        before = one.mask()
        put_in(department, newer)
        one.new_object("slab")
        one.add_point(SLAB)
        assert one.predictor.fingerprint == NewerModel.fingerprint
        assert one.predictor.name == "brightness 2"
        assert "another version" in " ".join(notes)
        assert len(one.outdated) == len(other.outdated) == 1
        other.add_point(OUTSIDE, positive=False)
        other.undo()
        for each in (one, other):
            each.make_masks_again()
            assert each.outdated == []
        here.add_point(BALL)
        expected = here.mask()

        assert not np.array_equal(expected, before)
        assert np.array_equal(other.mask(), expected)
        assert np.array_equal(one.mask(one.state.objects[0].id), expected)


def test_two_windows_of_a_user_on_one_scan(volume: Volume, department: Department, here: Session):
    """Their clicks take turns; one of them lets the scan be deleted in between."""
    token = department.token()
    with (
        RemoteThread(ADDRESS, 20, lambda _: department.client(token)) as first,
        RemoteThread(ADDRESS, 20, lambda _: department.client(token)) as second,
        Session(volume, first) as one,
        Session(volume, second) as other,
    ):
        one.add_point(BALL)
        other.add_point(SLAB)
        department.ask("DELETE", f"/v1/volumes/{volume.content_hash}", token)
        one.add_point(OUTSIDE, positive=False)
        other.undo()
        other.add_point(BALL)
        other.add_point(OUTSIDE, positive=False)
        here.add_point(BALL)
        here.add_point(OUTSIDE, positive=False)

        assert np.array_equal(one.mask(), here.mask())
        assert np.array_equal(other.mask(), here.mask())


def test_a_lease_ends_while_the_window_is_open(
    volume: Volume, department: Department, here: Session
):
    with department.thread() as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        assert sweep(department.settings.folder / "volumes", -1.0) == 1
        session.add_point(SLAB)
        for index in (BALL, SLAB):
            here.add_point(index)

        assert np.array_equal(session.mask(), here.mask())


def test_a_clock_that_leaps_ends_no_lease(volume: Volume, department: Department, monkeypatch):
    """Files have the time of the disk's machine, which may not be this one's."""
    send(department, volume, department.token())
    later = time.time() + 1e6
    monkeypatch.setattr(time, "time", lambda: later)

    assert sweep(department.settings.folder / "volumes", 60.0) == 0


def test_a_volume_that_the_disk_lost_a_part_of_is_sent_again(
    volume: Volume, department: Department, here: Session
):
    with department.thread() as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        (voxels,) = (department.settings.folder / "volumes").rglob("voxels.raw")
        voxels.write_bytes(voxels.read_bytes()[:1000])
        department.start()
        session.add_point(SLAB)
        for index in (BALL, SLAB):
            here.add_point(index)

        assert np.array_equal(session.mask(), here.mask())


def test_a_full_disk_is_told_before_anything_is_sent(
    volume: Volume, department: Department, monkeypatch: pytest.MonkeyPatch
):
    with department.thread() as thread, Session(volume, thread) as session:
        session.wait()
        department.server.store("anna").delete(volume.content_hash)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 1 << 20))
            with pytest.raises(ServerError, match="disk of the server is full"):
                session.add_point(BALL)
        assert not session.state.objects
        session.add_point(BALL)

        assert session.mask().any()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_disk_that_fills_up_while_a_scan_is_sent(volume: Volume, department: Department, caplog):
    """What arrived before stays; the operator is told."""
    token, path = department.token(), f"/v1/volumes/{volume.content_hash}"
    department.ask("PUT", path, token, json=header(volume))
    (voxels,) = (department.settings.folder / "volumes").rglob("voxels.raw")
    away = voxels.rename(voxels.with_name("away"))
    voxels.symlink_to("/dev/full")
    with pytest.raises(AssertionError):
        send(department, volume, token)
    assert "disk of the volumes is full" in caplog.text
    assert str(department.settings.folder) not in caplog.text
    assert department.ask("GET", path, token).json()["missing"] == [0]
    away.replace(voxels)

    send(department, volume, token)


class Apart(httpx.AsyncBaseTransport):
    """A proxy before two machines without a common disk: only a session's id leads to one."""

    def __init__(self, places: list[Department]) -> None:
        self._places = [httpx.ASGITransport(each.app) for each in places]
        self._turn = 0
        self.first = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._turn += 1
        led = "X-Session-Id" in request.headers
        return await self._places[self.first if led else self._turn % 2].handle_async_request(
            request
        )


def test_replicas_need_no_common_disk(tmp_path: Path):
    """All of a scan goes to one of them, and to the other if that takes over."""
    rng = np.random.default_rng(0)
    volume = Volume.from_array(rng.integers(0, 500, (400, 200, 80)).astype(np.int16))
    places = [Department(tmp_path / name) for name in "ab"]
    token = places[0].token()
    shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
    proxy = Apart(places)
    headers = {"Authorization": f"Bearer {token}"}

    def client(_access) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=proxy, base_url=ADDRESS, headers=headers, timeout=20)

    with (
        RemoteThread(ADDRESS, 0.0, client) as thread,
        Session(volume, thread) as session,
        Session(volume, BrightnessModel()) as here,
    ):
        session.add_point((20, 20, 20))
        proxy.first = 1
        session.add_point((60, 60, 40))
        for index in ((20, 20, 20), (60, 60, 40)):
            here.add_point(index)

        assert np.array_equal(session.mask(), here.mask())
    assert [len(place.server.store("anna").sizes()) for place in places] == [1, 1]
