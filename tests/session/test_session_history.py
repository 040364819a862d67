import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_log import moves, walk

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.history import History, replay
from napari_fastsam3d.session.journal.record import LogRecord, restored
from napari_fastsam3d.session.object_actions import (
    NewObject,
    RenameObject,
    SetOverlap,
)
from napari_fastsam3d.session.prompt_actions import AddPrompt, FlipPrompt
from napari_fastsam3d.session.state import SessionState


def click(history: History, number: int) -> History:
    prompt = Point(history.state.next_prompt, (0, 0, history.state.next_prompt))
    return history.do(AddPrompt(number, prompt))


@given(moves)
def test_the_state_is_the_replay_of_the_log(moves):
    history = walk(moves)
    assert history.state.objects == replay(history.actions).objects
    assert history.state.current is None or history.state.has(history.state.current)


@given(moves)
def test_redo_undoes_undo_and_undo_redo(moves):
    history = walk(moves)
    if history.can_undo:
        assert history.undo().redo().state.objects == history.state.objects
    if history.can_redo:
        assert history.redo().undo().state.objects == history.state.objects


@given(moves)
def test_everything_can_be_undone_and_done_again(moves):
    history = walk(moves)
    while history.can_undo:
        history = history.undo()
    assert history.state == SessionState()
    while history.can_redo:
        history = history.redo()
    assert history.state.objects == replay([e.action for e in history.entries]).objects


@given(moves, st.integers(0, 100))
def test_a_withdrawn_action_was_never_done(moves, pick):
    history = walk(moves)
    if not history.entries:
        return
    gone = history.entries[pick % len(history.entries)]
    left = history.withdraw(gone.serial)
    assert gone.serial not in {e.serial for e in left.entries}
    assert left.state.objects == replay(left.actions).objects
    assert left.do(NewObject(left.state.next_object)).entries[-1].serial == history.next_serial
    assert {e.serial for e in left.entries} < {e.serial for e in history.entries}


def test_withdrawing_keeps_what_others_did_since():
    history = click(click(click(History(), 1), 1), 1)
    left = history.withdraw(history.entries[1].serial)
    assert [p.id for p in left.state.object(1).prompts] == [1, 3]
    assert left.cursor == 2


def test_withdrawing_takes_what_makes_no_sense_alone():
    history = click(click(History(), 1), 1).do(FlipPrompt(1, 2)).do(RenameObject(1, "liver"))
    left = history.undo().withdraw(history.entries[1].serial)
    assert [type(e.action) for e in left.entries] == [AddPrompt, RenameObject]
    assert (left.cursor, left.can_redo) == (1, True)


def test_a_new_step_drops_what_could_be_redone():
    history = click(click(History(), 1), 1).undo()
    assert history.can_redo
    assert not click(history, 1).can_redo


def test_selecting_is_no_step_and_keeps_what_can_be_redone():
    history = click(History(), 1).do(NewObject(2)).do(NewObject(3)).undo()
    selected = history.select(1)
    assert selected.state.current == 1
    assert selected.can_redo
    assert selected.cursor == history.cursor
    assert selected.redo().state.current == 3
    assert selected.undo().state.current == 1
    with pytest.raises(SessionError):
        selected.select(3)


def test_undo_and_redo_select_what_they_change():
    history = click(click(History(), 1), 1).do(NewObject(2))
    history = click(history, 2).select(1)
    undone = history.undo()
    assert undone.state.current == undone.touched == 2
    redone = undone.select(1).redo()
    assert redone.state.current == redone.touched == 2


def test_undoing_a_rule_leaves_the_object_selected_that_is():
    history = click(click(History(), 1), 2).select(1).do(SetOverlap("share"))
    assert history.state.current == 1
    assert history.undo().state.current == 1
    assert history.undo().redo().state.current == 1


@given(moves)
def test_a_log_that_was_read_again_goes_on_as_the_one_that_was_written(moves):
    history = walk(moves)
    again = restored([LogRecord.between(1, History(), history)])
    while history.can_undo:
        assert again.state == history.state
        history, again = history.undo(), again.undo()
    while history.can_redo:
        assert again.state == history.state
        history, again = history.redo(), again.redo()
    assert again.state == history.state


def test_at_either_end_there_is_one_clear_error():
    with pytest.raises(SessionError, match="nothing to undo"):
        History().undo()
    with pytest.raises(SessionError, match="nothing to redo"):
        click(History(), 1).redo()
    assert not History().can_undo
    assert History().touched is None
