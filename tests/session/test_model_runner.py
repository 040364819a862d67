"""What makes masks in the model thread: loaded late, changed, and moved to the CPU if need be."""

import numpy as np
import pytest
from ball_and_slab import BALL, ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import DeviceError, SessionError
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.session import ModelThread, Session
from napari_fastsam3d.session.model_runner import ModelRunner

VOLUME = ball_and_slab()
CLICK = (Point(1, BALL),)
TIMEOUT = 30


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


class Card:
    """A loader whose model has too little memory until it falls back, if it can."""

    def __init__(self, can_fall_back: bool = True):
        self.can_fall_back = can_fall_back
        self.loaded = []
        self.fell_back = 0
        self.is_full = True

    def obtain_predictor(self, progress=None):
        if not self.loaded:
            self.loaded.append(BrightnessModel(size=16))
        if self.is_full:
            self.loaded[-1].error = OutOfMemoryError("CUDA out of memory")
        return self.loaded[-1]

    def fall_back(self) -> bool:
        self.fell_back += 1
        if self.can_fall_back:
            self.is_full = False
            self.loaded.append(BrightnessModel(size=16))
        return self.can_fall_back


def runner(card: Card) -> tuple[ModelRunner, list[str]]:
    notes: list[str] = []
    return ModelRunner(VOLUME, card, lambda *news: None, notes.append), notes


def test_where_the_card_is_full_the_click_is_answered_by_the_cpu_and_that_is_told_once():
    card = Card()
    made, notes = runner(card)
    step = made.step(CLICK)
    assert step.mask.equals(Replay(VOLUME, BrightnessModel(size=16)).step(CLICK).mask)
    assert len(notes) == card.fell_back == 1
    assert "CPU" in notes[0]
    assert made.predictor() is card.loaded[1]
    made.step((*CLICK, Point(2, (20, 28, 20))))
    assert len(notes) == 1


@pytest.mark.parametrize("error", [OutOfMemoryError("full"), RuntimeError("broken"), MemoryError()])
def test_where_nothing_helps_the_failure_is_passed_on_and_the_model_let_go_of(error):
    card = Card(can_fall_back=False)
    card.is_full = False
    made, notes = runner(card)
    made.predictor()
    card.loaded[0].error = error
    with pytest.raises(type(error)):
        made.step(CLICK)
    assert notes == []
    assert card.fell_back == isinstance(error, OutOfMemoryError)
    card.loaded[0].error = None
    assert not made.step(CLICK).mask.is_empty


def test_another_model_of_the_loader_is_used_from_the_next_question_on():
    card = Card()
    card.is_full = False
    made, _ = runner(card)
    first = made.step(CLICK).mask
    assert made.serves(CLICK) is False
    other = BrightnessModel(size=16, tolerance=60.0)
    card.loaded.append(other)
    second = made.step(CLICK).mask
    assert other.asked
    assert not first.equals(second)
    assert second.equals(Replay(VOLUME, other).step(CLICK).mask)
    asked = len(other.asked)
    made.step(CLICK)
    assert len(other.asked) == asked  # it is known
    made.forget()
    made.step(CLICK)
    assert len(other.asked) > asked


def test_who_asks_may_end_it_and_is_not_asked_afterwards():
    card = Card()
    card.is_full = False
    made, _ = runner(card)
    asked = []

    def stop() -> None:
        asked.append(1)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        made.step(CLICK, stop)
    made.step(CLICK)
    made.candidates(CLICK)
    assert made.predict_speculatively(CLICK, Point(2, (20, 28, 20))) in (True, False)
    assert len(asked) == 1


def test_a_session_says_that_the_card_was_full_and_goes_on(monkeypatch):
    model = BrightnessModel()
    thread = ModelThread(model)
    with Session(VOLUME, model=thread) as session:
        session.add_point(BALL)
        shown = session.mask()
        model.error = OutOfMemoryError("full")
        with pytest.raises(DeviceError, match="ran out of memory"):
            session.add_point((20, 28, 20))
        assert np.array_equal(session.mask(), shown)
        assert len(session.state.object(1).prompts) == 1
        model.error = None
        session.add_point((20, 28, 20))
    with pytest.raises(SessionError, match="closed"):
        session.add_point(BALL)
    assert thread.submit(lambda: 3).result(TIMEOUT) == 3
    thread.close()
    with pytest.raises(SessionError), Session(VOLUME, model=thread) as late:
        late.add_point(BALL)
