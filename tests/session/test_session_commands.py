"""Each command is there twice, once waiting and once not, and takes the same."""

import inspect
from concurrent.futures import Future
from threading import Event

import pytest
from ball_and_slab import BALL, SLAB
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import DeviceError, PromptError, SessionError
from napari_fastsam3d.session import ModelThread, Session
from napari_fastsam3d.session.commands import Commands

TIMEOUT = 30
NAMES = [name for name, _ in inspect.getmembers(Commands, callable) if not name.startswith("_")]
NOT_WAITED_FOR = {"make_mask_again"}  # of which a session has the form for all objects


@pytest.mark.parametrize("name", sorted({*NAMES} - NOT_WAITED_FOR))
def test_a_session_waits_for_every_command(name):
    waits, returns_at_once = getattr(Session, name), getattr(Commands, name)
    ours, theirs = inspect.signature(waits), inspect.signature(returns_at_once)

    assert ours.parameters == theirs.parameters
    assert theirs.return_annotation == Future[ours.return_annotation]
    assert waits.__doc__
    assert waits.__doc__ == returns_at_once.__doc__


def test_what_is_waited_for_cannot_be_asked_for_where_it_would_wait_for_itself(volume):
    with ModelThread(BrightnessModel()) as thread, Session(volume, model=thread) as session:
        for ask in (lambda: session.add_point(BALL), session.undo, session.wait):
            with pytest.raises(SessionError, match="wait for itself"):
                thread.submit(ask).result(TIMEOUT)
        inside = thread.submit(lambda: session.futures.add_point(BALL)).result(TIMEOUT)
        assert inside.result(TIMEOUT).object == 1


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("add_point", ((0, 0),)),
        ("add_point", ((0, 0, 99),)),
        ("add_box", ((0, 0, 0), (4, 4, 4), 3)),
        ("freeze_region", ((0, 0, 0), (0, 4, 4))),
        ("move_prompt", (1, (0, 0, 99))),
        ("flip_prompt", (9,)),
        ("delete_prompt", (9,)),
        ("edit_mask", ()),
    ],
)
def test_bad_prompts_are_refused_at_once_and_leave_no_step(session, command, arguments):
    session.add_point(BALL)
    for commands in (session, session.futures):
        with pytest.raises(PromptError):
            getattr(commands, command)(*arguments)
    assert len(session.history.entries) == 1


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("revalue_object", (1, "liver")),
        ("rename_object", (1, "SLAB")),
        ("rename_object", (9, "liver")),
        ("recolour_object", (1, (2, 0, 0))),
        ("select_object", (9,)),
        ("remove_object", (9,)),
        ("lock_object", (9,)),
        ("set_overlap", ("nobody",)),
        ("take_over", (BALL, 1)),
        ("make_mask_again", (9,)),
    ],
)
def test_bad_commands_are_refused_at_once_and_leave_no_step(session, command, arguments):
    session.add_point(BALL)
    session.new_object("slab")
    history = session.history
    with pytest.raises(SessionError):
        getattr(session.futures, command)(*arguments)
    assert session.history == history


def test_commands_without_an_object_say_what_to_do_first(session):
    for command in ("remove_object", "reset_object", "lock_object", "accept_object", "take_over"):
        arguments = (BALL,) if command == "take_over" else ()
        with pytest.raises(SessionError, match="no object yet"):
            getattr(session, command)(*arguments)


def test_a_click_at_the_pointer_is_answered_from_what_was_predicted_ahead(session, model):
    assert session.prefetch(BALL).result(TIMEOUT)
    asked = len(model.asked)
    assert not session.prefetch(BALL).result(TIMEOUT)
    result = session.add_point(BALL)
    assert len(model.asked) == asked
    assert not result.box.is_empty


def test_predicting_ahead_changes_nothing_that_is_shown(session):
    session.add_point(BALL)
    before, history = session.mask(), session.history
    session.prefetch(SLAB, positive=False).result(TIMEOUT)
    assert (session.mask() == before).all()
    assert session.history == history


def test_a_machine_that_is_out_of_memory_takes_the_step_back_in_words(session, model):
    failed = []
    session.failed.connect(failed.append)
    model.error = MemoryError()
    with pytest.raises(DeviceError, match="out of memory") as caught:
        session.add_point(BALL)
    assert failed == [caught.value]
    assert not session.state.objects
    model.error = None
    assert session.add_point(BALL).object == 1


def test_a_listener_that_fails_harms_neither_the_session_nor_the_next_listener(session, caplog):
    heard, called = [], Event()

    def fail(_state):
        called.set()
        raise ValueError("a listener's own fault")

    session.changed.connect(fail)
    session.predicted.connect(heard.append)
    result = session.add_point(BALL)
    session.wait()
    assert called.is_set()
    assert heard == [result]
    assert "A listener to the session failed" in caplog.text


def test_a_closed_session_still_shows_its_masks_and_refuses_commands(volume):
    session = Session(volume, model=BrightnessModel())
    session.add_point(BALL)
    session.close()
    session.close()
    assert session.mask()[BALL]
    for ask in (session.undo, lambda: session.prefetch(BALL), session.new_object):
        with pytest.raises(SessionError, match="closed"):
            ask()
