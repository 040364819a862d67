"""A session whose model is on a server is the same session: commands, masks, undo, journal."""

import threading

import httpx
import numpy as np
import pytest
from ball_and_slab import BALL, SLAB
from ball_and_slab import NOTHING as OUTSIDE
from brightness_model import BrightnessModel
from served import Department

from napari_fastsam3d.errors import DeviceError, ServerError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.session import ModelThread, Session
from napari_fastsam3d.session.model_place import model_thread


def work(session: Session) -> list[np.ndarray]:
    """Do a bit of everything; return the mask after each step."""
    masks = []
    steps = (
        lambda: session.add_point(BALL),
        lambda: session.add_point(OUTSIDE, positive=False),
        lambda: session.undo(),
        lambda: session.redo(),
        lambda: session.edit_mask(added=Mask.of_indices([(1, 1, 1), (1, 1, 2)])),
        lambda: session.add_scribble([(20, 25, 20), (21, 25, 20), (22, 25, 20)]),
        lambda: session.freeze_region((0, 0, 0), (6, 6, 6)),
        lambda: session.delete_prompt(session.state.objects[0].prompts[1].id),
        lambda: session.new_object("slab"),
        lambda: session.add_box((38, 4, 4), (52, 40, 36)),
        lambda: session.add_point(SLAB),
        lambda: session.undo(),
    )
    for step in steps:
        step()
        masks.append(session.mask())
    return masks


@pytest.fixture
def here(volume: Volume):
    with Session(volume, BrightnessModel()) as session:
        yield session


def test_masks_are_those_made_here_to_the_voxel(volume, department: Department, here: Session):
    with department.thread() as thread, Session(volume, thread) as session:
        found, expected = work(session), work(here)
        assert session.predictor is not None
        assert session.predictor.fingerprint == BrightnessModel.fingerprint
        assert session.crop() == here.crop()

    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert any(mask.any() for mask in found)


def test_a_server_that_forgot_everything_goes_on(volume, department: Department, here: Session):
    """The volume too: the folder of the server is emptied."""
    with department.thread() as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        department.start()
        session.add_point(OUTSIDE, positive=False)
        department.server.store("anna").delete(volume.content_hash)
        department.start()
        session.add_point(SLAB)
        found = session.mask()
    for index, positive in ((BALL, True), (OUTSIDE, False), (SLAB, True)):
        here.add_point(index, positive=positive)

    assert np.array_equal(found, here.mask())


def test_only_what_is_new_is_said(volume, department: Department):
    with department.thread() as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        session.add_point(SLAB)
        sent = len(department.requests)
        session.undo()
        session.redo()

        assert len(department.requests) == sent
        last = department.requests[-1].content
        assert b'"append":[{"id":2,' in last.replace(b" ", b"")
        assert last.count(b"point") == 1


def test_candidates_are_those_made_here(volume, department: Department, here: Session):
    with department.thread() as thread, Session(volume, thread) as session:
        for each in (session, here):
            each.add_point(BALL)
        found, expected = session.candidates(), here.candidates()

    assert [c.shown for c in found] == [c.shown for c in expected]
    assert all(a.mask.equals(b.mask) for a, b in zip(found, expected, strict=True))


def test_a_click_is_answered_ahead(volume, department: Department):
    with department.thread() as thread, Session(volume, thread) as session:
        session.wait()
        assert session.prefetch(BALL).result()
        asked = len(department.model.asked)
        session.add_point(BALL)

        assert len(department.model.asked) == asked


def test_a_lost_server_is_told_and_waited_for(volume, department: Department, here: Session):
    notes: list[str] = []
    lost = threading.Event()

    def note(text: str) -> None:
        notes.append(text)
        lost.set()

    with department.thread() as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        session.noted.connect(note)
        department.broken = lambda _: httpx.ConnectError("away")
        answers = [session.futures.add_point(OUTSIDE, positive=False)]
        assert lost.wait(10)
        answers.append(session.futures.add_point(SLAB))
        assert len(session.state.objects[0].prompts) == 3
        department.start()
        department.broken = lambda _: None
        assert [each.result().stale for each in answers] == [True, False]
        found = session.mask()
    for index, positive in ((BALL, True), (OUTSIDE, False), (SLAB, True)):
        here.add_point(index, positive=positive)

    assert np.array_equal(found, here.mask())
    assert "can't be reached" in notes[0]
    assert notes[-1].endswith("is back.")


def test_waiting_for_a_server_can_be_given_up(volume, department: Department):
    lost = threading.Event()
    with department.thread() as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        session.noted.connect(lambda _: lost.set())
        department.broken = lambda _: httpx.ReadError("cable")
        answer = session.futures.add_point(SLAB)
        assert lost.wait(10)
        session.cancel()

        assert answer.result().stale
        assert len(session.state.objects[0].prompts) == 1


def test_patience_ends(volume, department: Department):
    with department.thread(patience=0.0) as thread, Session(volume, thread) as session:
        session.add_point(BALL)
        before = session.mask()
        department.broken = lambda _: httpx.ConnectTimeout("away")
        with pytest.raises(ServerError, match="can't be reached"):
            session.add_point(SLAB)

        assert np.array_equal(session.mask(), before)


def test_a_broken_upload_goes_on_where_it_stopped(department: Department):
    rng = np.random.default_rng(0)
    large = Volume.from_array(rng.integers(0, 4000, (256, 256, 80), dtype=np.int16))
    chunks: list[str] = []

    def broken(request: httpx.Request) -> Exception | None:
        if "/chunks/" in request.url.path:
            chunks.append(request.url.path)
            if len(chunks) == 2:
                department.start()
                return httpx.WriteError("cable")
        return None

    department.broken = broken
    with department.thread() as thread, Session(large, thread) as session:
        session.add_point((30, 30, 30))

    assert len(chunks) == 4
    assert len(set(chunks)) == 3


def test_what_fails_there_fails_as_it_would_here(volume, department: Department):
    with department.thread() as thread, Session(volume, thread) as session:
        department.model.error = MemoryError()
        with pytest.raises(DeviceError, match="out of memory"):
            session.add_point(BALL)
        department.model.error = None

        assert session.add_point(BALL).object == 1


def test_a_journal_of_a_server_is_gone_on_with_here(volume, department: Department, tmp_path):
    with department.thread() as thread, Session(volume, thread, journal=tmp_path) as session:
        session.add_point(BALL)
        found = session.mask()
    with Session(volume, BrightnessModel(), journal=tmp_path) as session:
        assert np.array_equal(session.mask(), found)
        assert not session.outdated


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("https://", "no address"),
        ("https://host:port", "no address"),
        ("https://anna:secret@host", "no address"),
        ("http://gpu.example.org:8765", "in the clear"),
    ],
)
def test_addresses_that_are_none_are_refused(volume, address: str, problem: str):
    with Session(volume, address) as session, pytest.raises(ServerError, match=problem):
        session.add_point(BALL)


def test_what_is_no_address_is_a_model_of_this_machine():
    assert type(model_thread("default")) is ModelThread
