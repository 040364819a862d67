import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_folder import SHAPE, ball, bright

from napari_fastsam3d.evaluation import Protocol, Target, run_trial
from napari_fastsam3d.evaluation.baselines import crop_around, random_walker, region_growing
from napari_fastsam3d.evaluation.target import Key
from napari_fastsam3d.session import Mask

BASELINES = [
    pytest.param(random_walker, id="random walker"),
    pytest.param(region_growing, id="region growing"),
]
TRUTH = ball((12, 15, 12), 7)


@pytest.fixture(autouse=True)
def scikit_image():
    pytest.importorskip("skimage", reason="the random walker needs the extra 'train'")


@pytest.mark.parametrize("make", BASELINES)
def test_a_bright_ball_is_found_and_found_again(make):
    target = Target(Key("balls", "a", 1), "ball", bright(TRUTH), Mask.of_volume(TRUTH))
    trial, mask = run_trial(target, make(), Protocol(clicks=3))
    again, mask_again = run_trial(target, make(), Protocol(clicks=3))
    found = mask.volume(SHAPE)
    assert max(trial.dice) > 0.4
    assert (found & TRUTH).sum() > 0.8 * found.sum(), "what is found is bright"
    assert trial.box_dice is None
    assert again.dice == trial.dice
    assert mask.equals(mask_again)


@pytest.mark.parametrize("make", BASELINES)
def test_a_negative_click_takes_a_touching_ball_away(make):
    other = ball((12, 28, 12), 7)
    volume = bright(TRUTH | other)
    with make().begin(volume) as attempt:
        attempt.click((12, 15, 12), True)
        mask = attempt.click((12, 28, 12), False)
    found = mask.volume(SHAPE)
    assert found[12, 15, 12]
    assert not found[12, 28, 12]
    assert (found & other).sum() < 0.4 * other.sum()


@pytest.mark.parametrize("make", BASELINES)
def test_a_scan_that_shows_nothing_does_not_end_it(make):
    with make().begin(bright(np.zeros(SHAPE))) as attempt:
        attempt.click((12, 15, 12), True)
    constant = bright(np.zeros(SHAPE))
    constant = type(constant).from_array(np.full(SHAPE, 7, np.int16))
    with make().begin(constant) as attempt:
        assert attempt.click((12, 15, 12), True).contains((12, 15, 12))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, n - 1) for n in SHAPE]), min_size=1, max_size=6))
def test_the_cube_holds_every_click(clicks):
    volume = bright(np.zeros(SHAPE), (3.0, 2.0, 7.0))
    assert all(crop_around(volume, clicks).contains(click) for click in clicks)
