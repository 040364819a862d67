import numpy as np
import pytest
from labelled_folder import ball, bright

from napari_fastsam3d.evaluation import Protocol, SessionSegmenter, ShiftedSegmenter, run_trial
from napari_fastsam3d.evaluation.target import Key, Target
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.session import Mask, ModelThread

TRUTH = ball((12, 15, 10), 6)


@pytest.fixture
def target():
    return Target(Key("balls", "a", 1), "ball", bright(TRUTH), Mask.of_volume(TRUTH))


def test_without_a_shift_it_answers_as_a_session_does(target, tiny_predictor):
    protocol = Protocol(clicks=4)
    with ModelThread(tiny_predictor) as thread:
        plain, mask = run_trial(target, SessionSegmenter("tiny", thread), protocol)
        still, same = run_trial(target, ShiftedSegmenter("tiny", thread, 0.0), protocol)
    assert still.clicks == plain.clicks
    assert still.dice == plain.dice
    assert still.box_dice == plain.box_dice
    assert np.array_equal(same.voxels, mask.voxels)


def test_a_shift_is_the_same_every_time(target, tiny_predictor):
    protocol = Protocol(clicks=2)
    with ModelThread(tiny_predictor) as thread:
        segmenter = ShiftedSegmenter("tiny", thread, 20.0)
        one, _ = run_trial(target, segmenter, protocol)
        two, _ = run_trial(target, segmenter, protocol)
    assert one.clicks == two.clicks
    assert one.dice == two.dice


def test_first_crops_move_by_the_shift_and_keep_the_click():
    volume = Volume(np.zeros((400, 400, 400), np.uint8), np.diag([1.5, 1.5, 1.5, 1]))
    still = CropPolicy(volume, (1.5,), 1.5, 128)
    moved = CropPolicy(volume, (1.5,), 1.5, 128, shift=(30.0, -30.0, 12.5))
    click = (200, 190, 210)
    assert np.allclose(
        np.subtract(moved.at_click(click).centre, still.at_click(click).centre), (30, -30, 12.5)
    )
    assert moved.keeps(moved.at_click(click), click)
