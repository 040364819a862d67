"""Commands that wait for a mask: what they do when meanwhile that changes, fails or never comes."""

import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SLAB
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.session import Edit, Session

BESIDE = (20, 25, 27)
TIMEOUT = 30


@pytest.fixture
def held(session: Session, model: BrightnessModel):
    """The model, waiting inside its prediction of a second click on the ball."""
    session.new_object("ball")
    session.add_point(BALL)
    session.new_object("slab")
    session.add_point(SLAB)
    session.select_object(1)
    model.may_go_on.clear()
    model.is_waiting.clear()
    yield model
    model.may_go_on.set()


def click(session: Session, model: BrightnessModel):
    future = session.futures.add_point((20, 28, 20))
    assert model.is_waiting.wait(TIMEOUT)
    return future


def edits_of(session: Session, number: int) -> int:
    return sum(isinstance(each, Edit) for each in session.state.object(number).prompts)


@pytest.mark.parametrize("command", ["clean_up", "lock_object", "accept_object"])
def test_they_follow_the_mask_that_was_waited_for(session, held, command):
    clicked = click(session, held)
    arguments = ("grow", 2.0, 1) if command == "clean_up" else (1,)
    done = getattr(session.futures, command)(*arguments)
    steps = len(session.history.entries)
    assert not done.done()
    held.may_go_on.set()
    session.wait()
    assert not clicked.result(TIMEOUT).stale
    assert not done.result(TIMEOUT).stale
    assert len(session.history.entries) == steps + 1
    with Session(session.volume, model=BrightnessModel()) as again:
        again.add_point(BALL)
        again.add_point((20, 28, 20))
        getattr(again, command)(*arguments)
        assert np.array_equal(session.mask(1), again.mask(1))


def test_what_is_locked_while_its_mask_is_made_keeps_that_mask(session, held):
    click(session, held)
    locked = session.futures.lock_object(1)
    later = session.futures.add_point(BESIDE, positive=False)
    held.may_go_on.set()
    session.wait()
    assert locked.result(TIMEOUT).object == 1
    state = session.state.object(1)
    assert state.locked is not None
    assert np.array_equal(session.mask(1), state.locked.unpack().volume(session.volume.shape))
    # The later click came before the lock in the log, or was refused: it is never lost in silence.
    assert later.done()
    assert len(state.prompts) == 3


def test_an_object_that_is_gone_is_left_out_of_cleaning_everything_up(session, held):
    click(session, held)
    cleaned = session.futures.clean_up("grow", 2.0, everything=True)
    session.futures.remove_object(2)
    held.may_go_on.set()
    session.wait()
    assert cleaned.result(TIMEOUT).object == 1
    assert [each.id for each in session.state.objects] == [1]
    assert edits_of(session, 1) == 1


def test_where_nothing_is_left_to_clean_up_that_is_said(session, held):
    click(session, held)
    cleaned = session.futures.clean_up("grow", 2.0, 1)
    session.futures.remove_object(1)
    held.may_go_on.set()
    session.wait()
    answer = cleaned.result(TIMEOUT)
    assert answer.notes == ("Nothing had to be cleaned up.",)
    assert answer.box.is_empty
    assert edits_of(session, 2) == 0


def test_an_object_that_is_locked_meanwhile_is_not_cleaned_up(session, held):
    click(session, held)
    locked = session.futures.lock_object(1)
    cleaned = session.futures.clean_up("grow", 2.0, 1)
    held.may_go_on.set()
    session.wait()
    assert locked.exception(TIMEOUT) is None
    assert isinstance(cleaned.exception(TIMEOUT), SessionError)
    assert "locked" in str(cleaned.exception())
    assert edits_of(session, 1) == 0


@pytest.mark.parametrize("command", ["clean_up", "lock_object"])
def test_after_a_click_that_failed_they_take_the_mask_that_is_shown(session, held, command):
    shown = session.mask(1)
    held.error = RuntimeError("no luck")
    clicked = click(session, held)
    done = getattr(session.futures, command)(*(("holes",) if command == "clean_up" else ()))
    held.may_go_on.set()
    session.wait()
    assert isinstance(clicked.exception(TIMEOUT), SessionError)
    assert done.exception(TIMEOUT) is None
    assert len(session.state.object(1).prompts) == 1 + edits_of(session, 1)
    if command == "lock_object":
        assert np.array_equal(session.mask(1), shown)


@pytest.mark.parametrize("command", ["clean_up", "lock_object", "candidates"])
def test_closing_answers_what_waits(session, held, command):
    clicked = click(session, held)
    waiting = getattr(session.futures, command)(*(("holes",) if command == "clean_up" else ()))
    steps = session.history
    session.close()
    held.may_go_on.set()
    assert clicked.result(TIMEOUT).stale
    error = waiting.exception(TIMEOUT)
    if command == "candidates":
        assert (error, waiting.result()) == (None, ())
    else:
        assert isinstance(error, SessionError)
        assert "closed" in str(error)
    assert session.history == steps


def test_what_changes_no_mask_of_it_goes_before_what_waits(session, held):
    """The model is not asked, so names, colours and another object need not wait for it."""
    clicked = click(session, held)
    for answered in (
        session.futures.rename_object(1, "sphere"),
        session.futures.recolour_object(1, (1, 0, 0)),
        session.futures.revalue_object(2, 9),
        session.futures.select_object(2),
        session.futures.new_object("third"),
    ):
        assert answered.result(0).quality is None
    # What the ball will keep from the slab isn't known yet; where both hold it, that is the same.
    waits = session.futures.lock_object(2)
    assert not waits.done()
    session.futures.set_overlap("share")
    assert session.futures.lock_object(3).result(0).object == 3
    assert not clicked.done()
    held.may_go_on.set()
    assert clicked.result(TIMEOUT).object == 1
    assert waits.result(TIMEOUT).object == 2
    assert session.state.object(2).locked is not None
    assert [each.name for each in session.state.objects] == ["sphere", "slab", "third"]


def test_a_click_into_nothing_after_the_close_is_refused_and_the_masks_stay(session):
    session.add_point(BALL)
    shown = session.mask()
    session.close()
    session.close()
    for call in (
        lambda: session.add_point(NOTHING),
        lambda: session.futures.clean_up("holes"),
        lambda: session.futures.lock_object(1),
        lambda: session.undo(),
        lambda: session.futures.candidates(),
    ):
        with pytest.raises(SessionError, match="closed"):
            call()
    assert np.array_equal(session.mask(), shown)
    session.wait()
