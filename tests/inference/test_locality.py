import numpy as np
import pytest
from ball_and_slab import BALL
from brightness_model import Answer, BrightnessModel, pooled

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.locality import is_correction, locally_blended
from napari_fastsam3d.inference.prompt import BoxPrompt, Point
from napari_fastsam3d.inference.segmenter import Replay

X, Y, Z = BALL
CLICKS = [
    Point(1, BALL),
    Point(2, (X - 2, Y, Z), positive=False),
    Point(3, (X + 5, Y, Z)),
    Point(4, (X, Y + 5, Z), positive=False),
]


@pytest.fixture
def answer():
    fine = np.random.default_rng(3).normal(size=(16, 16, 16)).astype(np.float32)
    return Answer(pooled(fine, 2), fine, 0.5)


def test_at_the_click_the_answer_counts_and_far_away_the_step_before_does(answer):
    previous = np.full((8, 8, 8), 5, np.float32)
    low, fine = locally_blended(answer, previous, (7.5, 7.5, 7.5), True, 128)
    assert low.dtype == fine.dtype == np.float32
    assert np.allclose(low[-1], 0.3 * answer.low_res_logits[-1] + 0.7 * 5, atol=1e-5)
    assert np.isclose(low[0, 0, 0], answer.low_res_logits[0, 0, 0])


def test_a_click_on_the_rim_reaches_less_far_than_one_in_the_middle_of_something_missing(answer):
    previous = np.full((8, 8, 8), -5, np.float32)
    previous[:2] = 5
    rim, middle = (locally_blended(answer, previous, (x, 64, 64), True, 128)[0] for x in (33, 90))
    assert np.abs(rim - answer.low_res_logits)[-1].min() > 1
    assert np.abs(middle - answer.low_res_logits)[-3:, 3:5, 3:5].max() < 0.6
    leak = locally_blended(answer, -previous, (90, 64, 64), False, 128)[0]
    new = np.abs(leak - answer.low_res_logits)[-3:, 3:5, 3:5]
    assert new.max() < 0.6


def test_finer_logits_change_as_the_coarse_ones_do(answer):
    previous = answer.low_res_logits + 2
    low, fine = locally_blended(answer, previous, (7.5, 7.5, 7.5), True, 128)
    assert np.allclose((low - answer.low_res_logits)[-1], 1.4, atol=1e-5)
    assert np.allclose((fine - answer.mask_logits)[-1], 1.4, atol=1e-5)
    assert abs(fine - answer.mask_logits)[0, 0, 0] < 0.2


def test_an_answer_that_changes_nothing_is_kept(answer):
    low, fine = locally_blended(answer, answer.low_res_logits, (60.0, 60.0, 60.0), False, 128)
    assert np.array_equal(low, answer.low_res_logits)
    assert np.array_equal(fine, answer.mask_logits)


@pytest.mark.parametrize(
    ("side", "wanted"),
    [(0, (False, False, True)), (9, (False, True, True)), (10, (False, False, True))],
)
def test_what_is_small_in_a_crop_is_corrected_from_the_second_click_on(side, wanted):
    previous = np.full((32, 32, 32), -1, np.float32)
    previous[3 : 3 + side, 5:7, 20:24] = 1
    assert tuple(is_correction(clicks, previous) for clicks in (1, 2, 3)) == wanted


def steps(volume, prompts, *, blended):
    model = BrightnessModel()
    model.blends_locally = blended
    replay = Replay(volume, model)
    return [replay.step(prompts[:n]) for n in range(1, len(prompts) + 1)]


def test_from_the_third_click_on_steps_are_blended_locally(volume):
    free = steps(volume, CLICKS, blended=False)
    held = steps(volume, CLICKS, blended=True)
    same = [
        np.array_equal(a.low_res_logits, b.low_res_logits) for a, b in zip(free, held, strict=True)
    ]
    assert same == [True, True, False, False]
    moved = [np.abs(s[2].low_res_logits - s[1].low_res_logits).mean() for s in (free, held)]
    assert moved[1] < moved[0]


def test_what_is_no_click_is_not_held_back(volume):
    box = BoxPrompt(5, Box((10, 15, 10), (32, 36, 32)))
    model = BrightnessModel()
    model.blends_locally = True
    held = Replay(volume, model).step([*CLICKS, box])
    encoded = model.normalise(held.crop.extract(volume.voxels), held.crop.inside)
    assert np.array_equal(
        held.low_res_logits, model.segment(encoded, *model.asked[-1]).low_res_logits
    )


def test_a_click_in_a_box_corrects_it_and_one_beyond_it_does_not(volume):
    box, inside = BoxPrompt(1, Box((10, 15, 10), (32, 36, 32))), Point(2, (20, 25, 20))
    beyond = Point(3, (45, 25, 20))
    for prompts, held in (([box, inside], True), ([box, beyond], False), ([inside, box], False)):
        (*_, free), (*_, blended) = (steps(volume, prompts, blended=each) for each in (False, True))
        assert np.array_equal(free.low_res_logits, blended.low_res_logits) != held
