"""Work that nobody waits for any more is dropped; what is part of what is wanted is not."""

import gc
import threading
import time
import weakref
from threading import Event

import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SLAB
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.session import ModelThread, Point, Session

TIMEOUT = 30
BESIDE = (28, 25, 20)
FAR = (57, 47, 37)


class SlowModel(BrightnessModel):
    """Encodes in blocks, of which each waits until the test lets it go on."""

    before_block = staticmethod(lambda: None)

    def __init__(self, **settings):
        super().__init__(size=32, spacings=(2.0,), **settings)
        self.blocks = []
        self.encoding, self.may_look = Event(), Event()

    def encode(self, image):
        for number in range(4):
            self.before_block()
            self.blocks.append(number)
            self.encoding.set()
            assert self.may_look.wait(TIMEOUT)
        return super().encode(image)


@pytest.fixture
def slow(volume):
    model = SlowModel()
    with Session(volume, model=model) as session:
        yield session, model
        model.may_look.set()


def test_a_speculative_prediction_ends_at_the_next_block_when_a_click_comes_elsewhere(slow):
    session, model = slow
    look = session.prefetch(SLAB)
    assert model.encoding.wait(TIMEOUT)
    click = session.futures.add_point(BALL)
    model.may_look.set()
    assert look.result(TIMEOUT) is False
    assert not click.result(TIMEOUT).stale
    assert model.blocks == [0, 0, 1, 2, 3]
    assert session.mask()[BALL]


@pytest.mark.parametrize("clicked", [BALL, (20, 25, 21)])
def test_a_speculative_prediction_at_what_the_click_needs_goes_on(slow, clicked):
    session, model = slow
    session.prefetch(BALL)
    assert model.encoding.wait(TIMEOUT)
    click = session.futures.add_point(clicked)
    model.may_look.set()
    assert not click.result(TIMEOUT).stale
    assert model.blocks == [0, 1, 2, 3]


def test_a_speculative_prediction_ends_when_the_pointer_rests_elsewhere(slow):
    session, model = slow
    first = session.prefetch(SLAB)
    assert model.encoding.wait(TIMEOUT)
    second = session.prefetch(BALL)
    model.may_look.set()
    assert first.result(TIMEOUT) is False
    assert second.result(TIMEOUT) is True


def test_closing_ends_what_is_computed_at_the_next_block(volume):
    model = SlowModel()
    session = Session(volume, model=model)
    click = session.futures.add_point(BALL)
    assert model.encoding.wait(TIMEOUT)
    session.close()
    model.may_look.set()
    assert click.result(TIMEOUT).stale
    assert model.blocks == [0]


def test_an_undone_click_is_not_computed_to_its_end(slow):
    session, model = slow
    click = session.futures.add_point(BALL)
    assert model.encoding.wait(TIMEOUT)
    session.futures.undo()
    model.may_look.set()
    assert click.result(TIMEOUT).stale
    session.wait()
    assert model.blocks == [0]


def test_the_beginning_of_what_is_wanted_is_computed_to_its_end(slow):
    session, model = slow
    first = session.futures.add_point(BALL)
    assert model.encoding.wait(TIMEOUT)
    second = session.futures.add_point((20, 25, 22))
    model.may_look.set()
    assert not second.result(TIMEOUT).stale
    assert first.result(TIMEOUT).stale
    assert model.blocks == [0, 1, 2, 3]


def held_in_a_long_replay(session, model):
    """Delete the first of many prompts, and hold the model in the replay of the others."""
    model.may_look.set()
    for n in range(8):
        session.add_point((13 + 2 * n, 25, 20), positive=n != 3)
    steps, begun = [], Event()
    segment = model.segment

    def counted(*args):
        steps.append(len(args[1]))
        if len(steps) == 3:
            model.may_go_on.clear()
            begun.set()
        return segment(*args)

    model.segment = counted
    deletion = session.futures.delete_prompt(1)
    assert begun.wait(TIMEOUT)
    return deletion, steps


def test_deleting_an_early_prompt_tells_how_far_it_is(slow):
    session, model = slow
    told = []
    session.progress.connect(lambda *news: told.append(news))
    deletion, steps = held_in_a_long_replay(session, model)
    model.may_go_on.set()
    assert not deletion.result(TIMEOUT).stale
    again = [(done, of) for what, done, of in told if "again" in what]
    assert again == [(n, 7) for n in range(8)]
    assert len(steps) == 7


def test_a_long_replay_can_be_cancelled_and_the_deletion_is_taken_back(slow):
    session, model = slow
    before = session.state
    deletion, steps = held_in_a_long_replay(session, model)
    before = session.history
    assert session.cancel()
    model.may_go_on.set()
    assert deletion.result(TIMEOUT).stale
    session.wait()
    assert len(steps) == 3
    assert [p.id for p in session.state.object(1).prompts] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(session.history.entries) == len(before.entries) - 1
    fresh = Replay(session.volume, BrightnessModel(size=32, spacings=(2.0,)))
    assert fresh.step(session.state.object(1).prompts).mask.equals(session.region(1))
    assert not session.cancel()


def test_cancelling_takes_all_steps_back_that_wait_and_no_others(slow):
    session, model = slow
    deletion, _ = held_in_a_long_replay(session, model)
    more = [session.futures.delete_prompt(n) for n in (2, 3)]
    assert session.cancel()
    model.may_go_on.set()
    assert all(f.result(TIMEOUT).stale for f in (deletion, *more))
    session.wait()
    assert [p.id for p in session.state.object(1).prompts] == [1, 2, 3, 4, 5, 6, 7, 8]
    session.add_point(BESIDE, positive=False)
    assert not session.mask()[BESIDE]


def test_deleting_several_prompts_decodes_no_list_of_prompts_twice(slow):
    session, model = slow
    deletion, steps = held_in_a_long_replay(session, model)
    more = [session.futures.delete_prompt(n) for n in (2, 3, 4)]
    model.may_go_on.set()
    assert not more[-1].result(TIMEOUT).stale
    assert deletion.result(TIMEOUT).stale
    # Three steps of the first deletion had begun; the last one's four are all that follows.
    assert len(steps) <= 3 + 4


def test_what_a_cancelled_replay_finished_is_kept(slow):
    session, model = slow
    _, steps = held_in_a_long_replay(session, model)
    session.cancel()
    model.may_go_on.set()
    session.wait()
    done = len(steps)
    session.delete_prompt(1)
    assert len(steps) == done + 7 - 2  # the third was being made


def test_undoing_a_long_replay_ends_it_as_well(slow):
    session, model = slow
    _, steps = held_in_a_long_replay(session, model)
    session.futures.undo()
    model.may_go_on.set()
    session.wait()
    assert len(steps) == 3


def test_a_session_that_is_closed_leaves_neither_threads_nor_its_model(volume):
    before = set(threading.enumerate())
    model = BrightnessModel()
    alive = weakref.ref(model)
    session = Session(volume, model=model)
    session.add_point(BALL)
    session.close()
    del model
    deadline = time.monotonic() + TIMEOUT
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before
    gc.collect()
    assert alive() is None
    assert session.mask()[BALL]


def test_nothing_holds_a_closed_session_of_a_thread_that_lives_on(volume):
    with ModelThread(BrightnessModel()) as thread:
        session = Session(volume, model=thread)
        session.add_point(BALL)
        session.prefetch(SLAB).result(TIMEOUT)
        session.close()
        alive = weakref.ref(session._scheduler)
        del session
        thread.submit(lambda: None).result(TIMEOUT)
        gc.collect()
        assert alive() is None


def test_the_model_of_a_session_can_be_changed_and_the_log_stays(volume):
    other = BrightnessModel(tolerance=60.0)
    other.fingerprint = "of another"
    with Session(volume, model=BrightnessModel()) as session:
        session.add_point(BALL)
        session.add_point(BESIDE, positive=False)
        session.lock_object()
        session.new_object("slab")
        session.add_point(SLAB)
        session.add_point(NOTHING, positive=False)
        session.undo()
        history, labels = session.history, session.label_map()
        notes = []
        session.noted.connect(notes.append)
        session.change_model(other)
        session.add_point(FAR, positive=False)
        session.undo()
        assert session.predictor is other
        assert session.history.entries[:5] == history.entries[:5]
        assert len(session.state.object(1).prompts) == 2
        assert session.outdated == []
        session.redo()
        session.unlock_object(1)
        assert np.array_equal(session.mask(1), labels == 1)
        assert session.outdated == [1]
        assert "another model" in notes[0]


def test_masks_are_made_again_with_the_other_model_where_that_is_wanted(volume):
    first, other = BrightnessModel(), BrightnessModel(tolerance=60.0)
    other.fingerprint = "of another"
    with Session(volume, model=first) as session:
        session.add_point(BALL)
        session.new_object()
        session.add_point(SLAB)
        session.lock_object()
        session.new_object("by hand")
        labels, history = session.label_map(), session.history
        session.change_model(other)
        session.thread.load().result()
        assert np.array_equal(session.label_map(), labels)
        assert session.outdated == [1]
        session.make_masks_again()
        assert session.outdated == []
        assert session.history == history
        wanted = Replay(volume, other).step([Point(1, BALL)]).mask
        assert session.region(1).equals(wanted)
        assert np.array_equal(session.label_map() == 2, labels == 2)
        with pytest.raises(SessionError, match="locked"):
            session.futures.make_mask_again(2)


def test_what_waits_when_the_model_is_changed_is_answered_by_the_new_one(volume):
    first, other = BrightnessModel(), BrightnessModel()
    other.fingerprint = "of another"
    first.may_go_on.clear()
    with ModelThread(first) as old, ModelThread(other) as new:
        session = Session(volume, model=old)
        session.futures.add_point(BALL)
        assert first.is_waiting.wait(TIMEOUT)
        session.futures.new_object()
        session.futures.add_point(SLAB)
        session.change_model(new)
        first.may_go_on.set()
        session.wait()
        assert session.mask(1)[BALL]
        assert session.mask(2)[SLAB]
        assert session.outdated == []
        assert len(other.asked) >= 2
        session.close()


@pytest.mark.parametrize("journal_first", [False, True])
def test_a_session_can_begin_with_the_log_of_another(volume, tmp_path, journal_first):
    with Session(volume, model=BrightnessModel()) as before:
        before.add_point(BALL)
        before.lock_object()
        before.new_object("slab")
        before.add_point(SLAB)
        before.add_point(NOTHING, positive=False)
        before.undo()
    with Session(volume, model=BrightnessModel()) as after:
        if journal_first:
            after.keep_journal(tmp_path).result(TIMEOUT)
        asked = after.take_log(before.history)
        if not journal_first:
            after.keep_journal(tmp_path).result(TIMEOUT)
        assert not any(answer.result(TIMEOUT).stale for answer in asked)
        assert after.history == before.history
        assert np.array_equal(after.label_map(), before.label_map())
        after.redo()
        with pytest.raises(SessionError, match="already"):
            after.take_log(before.history)
    with Session(volume, model=BrightnessModel(), journal=tmp_path) as again:
        assert again.state == after.state
