"""Whether what is being computed now is part of what other prompts need; and it is told as work."""

import numpy as np
import pytest
from ball_and_slab import BALL, SLAB
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Choice, Freeze, MaskPrompt, Point
from napari_fastsam3d.inference.recall_prompts import FindPrompt
from napari_fastsam3d.inference.segmenter import Replay

CLICK = Point(1, BALL)
BESIDE = Point(2, (22, 25, 20))
AWAY = Point(3, (20, 25, 34), False)
FAR = Point(4, SLAB)


class Watched(BrightnessModel):
    """Calls back whenever it is at work."""

    def __init__(self, **given) -> None:
        super().__init__(**given)
        self.during = {"encode": lambda: None, "segment": lambda: None}

    def encode(self, image):
        self.during["encode"]()
        return super().encode(image)

    def segment(self, *told):
        self.during["segment"]()
        return super().segment(*told)


@pytest.fixture
def watched(volume: Volume):
    model = Watched()
    return Replay(volume, model), model


def asked_during(watched, work: str, questions: dict) -> dict:
    """What `serves` says of prompts while a model is first at some work."""
    replay, model = watched
    answers: dict = {}

    def ask() -> None:
        for name, prompts in questions.items():
            answers.setdefault(name, replay.serves(prompts))

    model.during[work] = ask
    return answers


QUESTIONS = {
    "the same": [CLICK],
    "more": [CLICK, BESIDE],
    "less": [],
    "another": [FAR],
    "another at the same place": [Point(5, (21, 25, 20))],
    "nowhere": [AWAY],
    "a search": [FindPrompt(5, "liver")],
    "with another before": [BESIDE, CLICK],
}


def test_while_a_click_is_answered_it_serves_itself_and_what_comes_after_it(watched):
    replay, model = watched
    answers = asked_during(watched, "segment", QUESTIONS)
    assert not any(map(replay.serves, QUESTIONS.values())), "nothing is being computed"
    replay.step([CLICK])
    assert {name for name, serves in answers.items() if serves} == {"the same", "more"}
    model.during["segment"] = lambda: None
    assert not any(map(replay.serves, QUESTIONS.values())), "nor is it any more"


def test_while_a_crop_is_encoded_it_serves_every_first_click_that_looks_at_it(watched):
    replay, _ = watched
    answers = asked_during(watched, "encode", QUESTIONS)
    replay.encode_speculatively((), CLICK)
    wanted = {"the same", "more", "another at the same place"}
    assert {name for name, serves in answers.items() if serves} == wanted


def test_a_second_click_asks_what_the_first_one_made(watched):
    """The crop of a later click is known only where the steps before it are."""
    replay, _ = watched
    replay.step([CLICK])
    answers = asked_during(
        watched, "encode", {"known": [CLICK, FAR], "unknown": [BESIDE, FAR], "begins": [FAR]}
    )
    replay.step([CLICK, FAR])
    assert answers["known"]
    assert not answers["unknown"]


def test_what_failed_is_not_being_made_any_more(watched):
    replay, model = watched
    model.error = RuntimeError("no memory")
    for work in (replay.step, lambda prompts: replay.predict_speculatively((), prompts[0])):
        with pytest.raises(RuntimeError, match="no memory"):
            work([CLICK])
        assert not replay.serves([CLICK])
    model.error = None
    assert replay.step([CLICK]).mask.contains(BALL)


def test_a_step_of_four_prompts_and_more_is_told_as_work_and_a_shorter_one_is_not(volume):
    told: list = []
    replay = Replay(volume, BrightnessModel(), lambda *said: told.append(said))
    prompts = [CLICK, BESIDE, AWAY]
    replay.step(prompts)
    again = [said for said in told if "again" in said[0]]
    assert again == []
    longer = [BESIDE, CLICK, AWAY, Point(6, (18, 25, 20))]
    replay.step(longer)
    again = [said for said in told if "again" in said[0]]
    assert again == [("Making the mask again", done, 4) for done in (0, 1, 2, 3, 4)]
    told.clear()
    replay.step(longer)
    assert told == [], "what is known is no work"


def test_what_is_frozen_holds_what_the_mask_had_there_and_notes_go(watched):
    replay, _ = watched
    before = replay.step([CLICK])
    region = Freeze(7, before.mask.box.stretched(0, BALL[0], BALL[0] + 3))
    step = replay.step([CLICK, region])
    assert step.mask.equals(before.mask)
    (held,) = step.frozen
    assert held.equals(before.mask.inside(region.box))
    assert step.notes == ()
    assert step.low_res_logits is before.low_res_logits
    nothing = replay.step([region, AWAY])
    assert nothing.mask.is_empty
    assert nothing.frozen[0].is_empty
    assert len(nothing.frozen) == 1


def test_a_mask_to_begin_with_is_the_mask_and_is_fed_back_where_there_is_a_crop(watched):
    replay, model = watched
    drawn = replay.step([CLICK]).mask
    given = MaskPrompt(8, PackedMask.of(drawn))
    alone = replay.step([given])
    assert alone.mask.equals(drawn)
    assert alone.crop is None
    assert alone.low_res_logits is None
    after = replay.step([FAR, given])
    assert after.mask.equals(drawn)
    assert after.crop == replay.step([FAR]).crop
    seen = after.crop.resample_mask(drawn.box, drawn.voxels)
    if seen.any():
        np.testing.assert_allclose(after.low_res_logits, 8 * (2 * seen - 1), atol=1e-5)
    else:
        assert after.low_res_logits is None
    chosen = replay.step([given, Choice(9, 1)])
    assert chosen.mask.equals(drawn)
    assert model.looked >= 2
