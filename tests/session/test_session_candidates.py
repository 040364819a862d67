"""What a click may mean, and the choice among it, in a session."""

import json

import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, SLAB
from proposing_model import Proposing

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.session import Choice, Session, action_from_json, action_to_json


@pytest.fixture
def session(volume):
    with Session(volume, Proposing()) as session:
        yield session


def mask(session: Session) -> np.ndarray:
    return session.mask().copy()


def test_candidates_are_the_smallest_first_and_one_of_them_is_shown(session):
    session.add_point(BALL)
    found = session.candidates()
    assert [each.rank for each in found] == [0, 1, 2]
    sizes = [np.count_nonzero(each.mask.voxels) for each in found]
    assert sizes == sorted(sizes)
    (shown,) = (each for each in found if each.shown)
    assert np.array_equal(shown.mask.volume(SHAPE), mask(session))


def test_each_choice_is_a_step_of_undo(session):
    session.add_point(BALL)
    first = mask(session)
    found = session.candidates()
    for rank in (0, 2):
        result = session.choose(rank)
        assert np.array_equal(mask(session), found[rank].mask.volume(SHAPE))
        assert result.change is not None
        assert [each.shown for each in session.candidates()].index(True) == rank
    session.undo()
    assert np.array_equal(mask(session), found[0].mask.volume(SHAPE))
    session.undo()
    assert np.array_equal(mask(session), first)
    session.redo()
    assert np.array_equal(mask(session), found[0].mask.volume(SHAPE))


def test_a_click_goes_on_from_what_was_chosen_and_has_candidates_of_its_own(session):
    session.add_point(BALL)
    session.choose(2)
    chosen = mask(session)
    session.add_point(SLAB, positive=False)
    assert session.mask()[BALL]
    assert not session.mask()[SLAB]
    assert len(session.candidates()) >= 1
    session.undo()
    assert np.array_equal(mask(session), chosen)


def test_with_its_click_a_choice_goes(session):
    session.add_point(BALL)
    session.choose(0)
    click, choice = session.state.object(1).prompts
    assert isinstance(choice, Choice)
    session.delete_prompt(click.id)
    assert session.state.object(1).prompts == ()
    assert not session.mask().any()
    session.undo()
    assert session.state.object(1).prompts == (click, choice)


def test_a_moved_click_keeps_the_choice(session):
    session.add_point(BALL)
    session.choose(0)
    click, _ = session.state.object(1).prompts
    session.move_prompt(click.id, (BALL[0] + 1, *BALL[1:]))
    found = session.candidates()
    assert found[0].shown


def test_there_is_nothing_to_choose_from_without_a_click_or_box(session):
    with pytest.raises(SessionError):
        session.choose(0)
    session.new_object("empty")
    with pytest.raises(PromptError, match="nothing to choose"):
        session.choose(0)
    assert session.candidates() == ()
    session.add_point(BALL)
    for wrong in (-1, True, "1", 1.0):
        with pytest.raises(PromptError, match="no candidate"):
            session.choose(wrong)
    assert session.candidates()


def test_files_of_prompts_and_the_journal_hold_choices(session, volume, tmp_path):
    session.add_point(BALL)
    session.choose(0)
    session.add_box((10, 15, 10), (31, 36, 31))
    session.choose(1)
    wanted = mask(session)
    session.save_prompts(tmp_path / "prompts.json")
    with Session(volume, Proposing()) as other:
        other.load_prompts(tmp_path / "prompts.json")
        other.wait()
        assert np.array_equal(other.mask(), wanted)
    for action in session.history.actions:
        stored = json.loads(json.dumps(action_to_json(action)))
        assert action_from_json(stored) == action


def test_a_newer_click_does_not_wait_for_candidates(session):
    session.add_point(BALL)
    model = session.predictor
    model.may_go_on.clear()
    model.is_waiting.clear()
    asked = session.futures.candidates()
    assert model.is_waiting.wait(10)
    click = session.futures.add_point(SLAB)
    model.may_go_on.set()
    assert asked.result(20) == ()
    assert click.result(20).stale is False


def test_nor_does_a_click_in_another_object(session):
    session.add_point(BALL)
    first = session.state.current
    session.new_object("slab")
    model = session.predictor
    model.may_go_on.clear()
    model.is_waiting.clear()
    asked = session.futures.candidates(first)
    assert model.is_waiting.wait(10)
    click = session.futures.add_point(SLAB)
    model.may_go_on.set()
    assert asked.result(20) == ()
    assert click.result(20).stale is False
