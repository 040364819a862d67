"""Answers of several objects as one, and signals whose listeners fail."""

import logging
from concurrent.futures import Future
from itertools import permutations

import pytest
from psygnal import Signal

from napari_fastsam3d.errors import DeviceError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.events import Signals
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.object_actions import NewObject
from napari_fastsam3d.session.prompt_actions import AddPrompt
from napari_fastsam3d.session.request import Request, Result, answered, joined, others_of
from napari_fastsam3d.session.state import ObjectState

BOXES = [Box((n, n, n), (n + 2, n + 3, n + 4)) for n in (0, 5, 9)]


def answers() -> list[Future[Result]]:
    return [Future() for _ in BOXES]


@pytest.mark.parametrize("order", permutations(range(3)))
def test_many_answers_are_one_once_the_last_has_come(order):
    parts = answers()
    whole = joined(parts)
    for place in order:
        assert not whole.done()
        parts[place].set_result(Result(place + 1, BOXES[place], 0.5, 1.0, request=place))
    result = whole.result(0)
    assert (result.object, result.request) == (1, 0)  # the first's
    assert result.box == Box((0, 0, 0), (11, 12, 13))  # all that changed


def test_of_several_failures_the_first_object_s_is_told_when_all_are_over():
    parts = answers()
    whole = joined(parts)
    parts[2].set_exception(DeviceError("The last.", "Again."))
    parts[1].set_exception(DeviceError("The second.", "Again."))
    assert not whole.done()
    parts[0].set_result(Result(1, BOXES[0], None, 1.0))
    with pytest.raises(DeviceError, match=r"The second\."):
        whole.result(0)


def test_one_answer_is_itself():
    (part, *_) = answers()
    assert joined([part]) is part


def test_what_is_known_is_answered_once_it_is_on_disk():
    result = Result(1, BOXES[0], None, 1.0)
    assert answered(result, None).result(0) is result
    written: Future[None] = Future()
    waiting = answered(result, written)
    assert not waiting.done()
    written.set_result(None)
    assert waiting.result(0) is result


def test_a_step_that_is_about_several_objects_names_the_others():
    log = History()
    for number in (1, 2, 3):
        log = log.do(NewObject(number)).do(AddPrompt(number, Point(number, (0, 0, number), True)))
    further = log.do(AddPrompt(1, Point(4, (1, 1, 1), True)))
    both = further.do(AddPrompt(3, Point(5, (2, 2, 2), True)))
    assert others_of(Request(1, 1, 0.0, log, further)) == []
    assert others_of(Request(1, 1, 0.0, log, both)) == [3]
    assert others_of(Request(1, 2, 0.0, log, both)) == [1, 3]
    fourth = log.do(NewObject(4)).do(AddPrompt(4, Point(6, (3, 3, 3), True)))
    assert others_of(Request(1, 1, 0.0, log, fourth)) == []  # it was not there before
    assert others_of(Request(1, 1, 0.0)) == []


def test_who_keeps_the_clicked_voxel_is_told_with_the_answer():
    holder = ObjectState(7, "liver", 7, (1.0, 0.0, 0.0))
    result = Request(3, 2, 0.0).result(BOXES[1], holder=holder)
    assert (result.object, result.request, result.box, result.holder) == (2, 3, BOXES[1], 7)
    assert result.notes == ("The voxel clicked belongs to liver, which keeps it.",)
    assert result.quality is None
    assert Request(3, 2, 0.0).result().notes == ()


def test_a_listener_that_fails_is_logged_and_does_no_harm(caplog: pytest.LogCaptureFixture):
    signals, heard = Signals(), []

    def fail(*_: object) -> None:
        raise RuntimeError("a listener")

    signals.progress.connect(fail)
    signals.noted.connect(heard.append)
    with caplog.at_level(logging.WARNING):
        signals.report_progress("looking", 1, 2)
        signals.note("The model computes elsewhere.")
    assert heard == ["The model computes elsewhere."]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "a listener" in caplog.text
    assert isinstance(Signals.progress, Signal)
