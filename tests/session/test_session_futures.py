from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event, get_ident

import numpy as np
import pytest
from ball_and_slab import BALL, SLAB
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import CheckpointError, DeviceError, SessionError
from napari_fastsam3d.session import Mask, ModelThread, Session, SessionState

BESIDE = (20, 25, 27)
TIMEOUT = 30


@pytest.fixture
def held(model: BrightnessModel):
    """The model, waiting inside its first prediction until it is let go."""
    model.may_go_on.clear()
    yield model
    model.may_go_on.set()


def record(signal) -> list:
    """What a signal tells from now on."""
    told = []
    signal.connect(lambda *news: told.append(news[0] if len(news) == 1 else news))
    record.kept.append(told)
    return told


record.kept = []


def test_the_log_changes_at_once_and_the_mask_follows(session, held):
    future = session.futures.add_point(BALL)
    assert len(session.state.object(1).prompts) == 1
    assert not session.mask().any()
    assert not future.done()
    held.may_go_on.set()
    assert future.result(TIMEOUT).box.size > 0
    assert session.mask()[BALL]


def test_a_newer_request_overtakes_those_that_wait(session, held):
    futures = [session.futures.add_point(BALL)]
    assert held.is_waiting.wait(TIMEOUT)
    for index in ((22, 25, 20), (18, 25, 20), (20, 27, 20)):
        futures.append(session.futures.add_point(index))
    held.may_go_on.set()
    results = [f.result(TIMEOUT) for f in futures]
    assert [r.stale for r in results] == [True, True, True, False]
    assert [r.box.is_empty for r in results] == [True, True, True, False]
    assert [r.request for r in results] == sorted(r.request for r in results)
    assert len(session.state.object(1).prompts) == 4
    # Four prompts were replayed, one decoder pass each: the overtaken requests asked nothing.
    assert len(held.asked) == 4


def test_requests_for_another_object_do_not_overtake(session, held):
    first = session.futures.add_point(BALL)
    session.futures.new_object()
    second = session.futures.add_point(SLAB)
    held.may_go_on.set()
    assert not first.result(TIMEOUT).stale
    assert not second.result(TIMEOUT).stale


def test_looking_ahead_gives_way_to_clicks_and_to_newer_looks(session, held):
    click = session.futures.add_point(BALL)
    assert held.is_waiting.wait(TIMEOUT)
    looks = [session.prefetch(SLAB), session.prefetch(BALL)]
    session.futures.add_point(BESIDE, positive=False)
    held.may_go_on.set()
    assert [look.result(TIMEOUT) for look in looks] == [False, False]
    wait([click])
    assert held.looked == 1


def test_a_click_that_came_meanwhile_goes_before_what_is_foreseen(session, model, monkeypatch):
    encode, looking, may_see = model.encode, Event(), Event()

    def slowly(image):
        looking.set()
        assert may_see.wait(TIMEOUT)
        return encode(image)

    monkeypatch.setattr(model, "encode", slowly)
    look = session.prefetch(SLAB)
    assert looking.wait(TIMEOUT)
    click = session.futures.add_point(BALL)
    may_see.set()
    assert look.result(TIMEOUT)
    assert not click.result(TIMEOUT).stale
    assert len(model.asked) == 1


def test_what_fails_ahead_of_a_click_is_told_when_the_click_comes(session, model):
    failed = record(session.failed)
    model.error = RuntimeError("no room")
    assert isinstance(session.prefetch(BALL).exception(TIMEOUT), RuntimeError)
    assert failed == []
    model.error = None
    session.add_point(BALL)
    assert session.mask()[BALL]


def test_undo_overtakes_a_prediction_and_leaves_what_was_shown(session, model):
    session.add_point(BALL)
    mask = session.mask()
    model.may_go_on.clear()
    model.is_waiting.clear()
    click = session.futures.add_point(BESIDE, positive=False)
    assert model.is_waiting.wait(TIMEOUT)
    undone = session.futures.undo()
    assert undone.done()
    model.may_go_on.set()
    assert click.result(TIMEOUT).stale
    assert np.array_equal(session.mask(), mask)


def test_removing_an_object_makes_its_prediction_stale(session, held):
    click = session.futures.add_point(BALL)
    assert held.is_waiting.wait(TIMEOUT)
    session.remove_object(1)
    held.may_go_on.set()
    assert click.result(TIMEOUT).stale
    assert not session.label_map().any()


def test_a_lock_of_an_object_gone_meanwhile_comes_to_nothing(session, held):
    session.futures.add_point(BALL)
    lock = session.futures.lock_object()
    accept = session.futures.accept_object()
    session.futures.undo()
    held.may_go_on.set()
    assert lock.result(TIMEOUT).stale
    assert accept.result(TIMEOUT).stale
    session.wait()
    assert session.state.objects == ()


def test_signals_tell_of_every_change_and_every_mask(session):
    changed, predicted = record(session.changed), record(session.predicted)
    result = session.add_point(BALL)
    session.wait()
    assert changed == [session.state]
    assert predicted == [result]
    session.select_object(1)
    assert len(changed) == 2
    assert len(predicted) == 1
    removed = session.remove_object()
    assert predicted == [result, removed]


def test_a_stale_result_is_not_told(session, held):
    predicted = record(session.predicted)
    session.futures.add_point(BALL)
    assert held.is_waiting.wait(TIMEOUT)
    newest = session.futures.add_point(BESIDE, positive=False)
    held.may_go_on.set()
    session.wait()
    assert predicted == [newest.result(TIMEOUT)]


def test_masks_are_shown_before_they_are_told(session):
    seen = []
    session.predicted.connect(lambda result: seen.append(session.label_map(result.box).any()))
    session.add_point(BALL)
    session.wait()
    assert seen == [True]


def test_a_failure_takes_the_step_back_and_tells_why(session, model):
    session.add_point(BALL)
    before, mask = session.state, session.mask()
    changed, failed = record(session.changed), record(session.failed)
    model.error = RuntimeError("the network broke")
    future = session.futures.add_point(BESIDE, positive=False)
    with pytest.raises(SessionError, match="the network broke") as caught:
        future.result(TIMEOUT)
    session.wait()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert failed == [caught.value]
    assert session.state == before == changed[-1]
    assert np.array_equal(session.mask(), mask)
    model.error = None
    session.add_point(BESIDE, positive=False)
    assert not session.mask()[BESIDE]


def test_a_model_that_cannot_be_loaded_is_told_before_the_first_click(volume):
    model = ModelThread("no such model", device="cpu")
    told = Event()
    hold = Event()
    model.submit(hold.wait, TIMEOUT)
    with Session(volume, model=model) as session:
        failed = record(session.failed)
        session.failed.connect(lambda _: told.set())
        hold.set()
        assert told.wait(TIMEOUT)
        assert isinstance(failed[0], CheckpointError)
    model.close()


def test_a_failing_first_click_leaves_an_empty_session(session, model):
    model.error = RuntimeError("broken")
    with pytest.raises(SessionError, match="taken back"):
        session.add_point(BALL)
    assert session.state == SessionState()
    assert not session.can_undo


def test_a_failure_keeps_what_could_be_redone(session, model):
    session.add_point(BALL)
    session.add_point((22, 25, 20))
    session.undo()
    state = session.state
    model.error = RuntimeError("broken")
    with pytest.raises(SessionError):
        session.add_point(BESIDE, positive=False)
    assert session.state == state
    model.error = None
    session.redo()
    assert len(session.state.object(1).prompts) == 2


def test_what_fails_after_the_model_takes_the_step_back_too(session, monkeypatch):
    def no_room(self, other):
        raise MemoryError

    session.add_point(BALL)
    state = session.state
    with monkeypatch.context() as patched:
        patched.setattr(Mask, "changed_box", no_room)
        with pytest.raises(DeviceError):
            session.add_point(BESIDE, positive=False)
    assert session.state == state
    assert not session.add_point(BESIDE, positive=False).box.is_empty


@pytest.mark.parametrize("error", [MemoryError(), type("OutOfMemoryError", (RuntimeError,), {})()])
def test_running_out_of_memory_is_told_as_that(session, model, error):
    model.error = error
    with pytest.raises(DeviceError, match="out of memory"):
        session.add_point(BALL)


def test_an_error_of_the_family_is_passed_on_as_it_is(session, model):
    model.error = CheckpointError("The weights are damaged.", "Fetch them again.")
    with pytest.raises(CheckpointError) as caught:
        session.add_point(BALL)
    assert caught.value is model.error


def test_of_several_failing_steps_each_is_taken_back(session, held):
    held.error = RuntimeError("broken")
    failed = record(session.failed)
    futures = [session.futures.add_point(BALL)]
    assert held.is_waiting.wait(TIMEOUT)
    futures += [session.futures.add_point(p) for p in ((22, 25, 20), (18, 25, 20))]
    session.futures.new_object("kept")
    held.may_go_on.set()
    session.wait()
    assert futures[0].result(TIMEOUT).stale
    assert futures[1].result(TIMEOUT).stale
    with pytest.raises(SessionError):
        futures[2].result(TIMEOUT)
    assert len(failed) == 3
    assert [(o.name, o.prompts) for o in session.state.objects] == [("kept", ())]


def test_a_failure_after_overtaken_steps_keeps_those_that_work(session, model):
    session.add_point(BALL)
    model.may_go_on.clear()
    model.is_waiting.clear()
    session.futures.add_point(BESIDE, positive=False)
    assert model.is_waiting.wait(TIMEOUT)
    good = session.futures.add_point((22, 25, 20))
    poisoned = (18, 25, 20)
    bad = session.futures.add_point(poisoned)
    ask = model.segment

    def fail_at_the_poison(encoded, points, *rest):
        answer = ask(encoded, points, *rest)
        if any(np.allclose(p, session.crop().to_crop(poisoned)) for p in points):
            raise RuntimeError("poison")
        return answer

    model.segment = fail_at_the_poison
    model.may_go_on.set()
    with pytest.raises(SessionError, match="poison"):
        bad.result(TIMEOUT)
    session.wait()
    assert good.result(TIMEOUT).stale
    indices = [p.index for p in session.state.object(1).prompts]
    assert indices == [BALL, BESIDE, (22, 25, 20)]
    assert session.mask()[22, 25, 20]
    assert not session.mask()[BESIDE]


def test_a_failing_redo_is_taken_back_too(session, held):
    session.futures.add_point(BALL)
    session.futures.new_object()
    assert held.is_waiting.wait(TIMEOUT)
    session.futures.add_point(SLAB)
    session.futures.undo()
    held.may_go_on.set()
    session.wait()
    state = session.state
    held.error = RuntimeError("broken")
    with pytest.raises(SessionError):
        session.redo()
    assert session.state == state
    assert session.can_redo
    held.error = None
    session.redo()
    assert session.mask()[SLAB]


def test_a_listener_that_raises_does_no_harm(session, caplog):
    def listen(_):
        raise ValueError("a bug in the window")

    session.changed.connect(listen)
    session.predicted.connect(listen)
    assert session.add_point(BALL).box.size > 0
    assert session.mask()[BALL]
    session.wait()
    assert "A listener to the session failed" in caplog.text


def test_waiting_in_the_model_thread_is_refused_and_futures_work_there(session):
    caught, idents = [], []

    def answer(result):
        if result.request == 1:
            idents.append(get_ident())
            for call in (session.undo, session.wait):
                with pytest.raises(SessionError, match="model thread"):
                    call()
                caught.append(call)
            session.futures.add_point(BESIDE, positive=False)

    session.predicted.connect(answer)
    session.add_point(BALL)
    session.wait()
    session.wait()
    assert len(caught) == 2
    assert idents != [get_ident()]
    assert len(session.state.object(1).prompts) == 2


def test_closing_waits_for_no_computation(volume, model, tmp_path):
    session = Session(volume, model=model, journal=tmp_path)
    model.may_go_on.clear()
    futures = [session.futures.add_point(BALL)]
    assert model.is_waiting.wait(TIMEOUT)
    session.futures.new_object()
    futures += [session.futures.add_point(SLAB), session.prefetch(BESIDE)]
    session.close()
    assert not futures[0].done()
    model.may_go_on.set()
    first, second, look = (f.result(TIMEOUT) for f in futures)
    assert first.stale
    assert second.stale
    assert look is False
    assert len(model.asked) == 1
    with Session(volume, model=model, journal=tmp_path) as again:
        again.wait()
        assert again.mask(1)[BALL]
        assert again.mask(2)[SLAB]


def test_saving_waits_for_the_click_before_it(session, held, tmp_path):
    session.futures.add_point(BALL)
    with ThreadPoolExecutor() as pool:
        saving = pool.submit(session.save, tmp_path / "mask.nii.gz")
        assert not wait([saving], timeout=0.2).done
        held.may_go_on.set()
    assert saving.result(TIMEOUT).exists()


def test_progress_comes_to_an_end(session):
    told = record(session.progress)
    session.add_point(BALL)
    session.wait()
    assert [(done, of) for _, done, of in told] == [(0, 1), (1, 1)]
