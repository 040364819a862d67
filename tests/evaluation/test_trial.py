import json
from contextlib import contextmanager
from dataclasses import asdict, replace

import numpy as np
import pytest
from labelled_folder import ball, bright

from napari_fastsam3d.evaluation import Protocol, SessionSegmenter, Target, Trial, run_trial
from napari_fastsam3d.evaluation.target import Key
from napari_fastsam3d.session import Mask, ModelThread

TRUTH = ball((12, 15, 10), 6)


@pytest.fixture
def target():
    return Target(Key("balls", "a", 1), "ball", bright(TRUTH), Mask.of_volume(TRUTH))


class Fixed:
    """Answers with given masks in turn, and knows no boxes."""

    name = fingerprint = "fixed"

    def __init__(self, *masks):
        self.masks = list(masks)
        self.meanings = []
        self.clicks = []

    @contextmanager
    def begin(self, volume):
        yield self

    def click(self, index, positive):
        self.clicks.append((index, positive))
        return Mask.of_volume(self.masks[len(self.clicks) - 1])

    def candidates(self):
        return [Mask.of_volume(mask) for mask in self.meanings]

    def box(self, box):
        return None


def test_a_model_is_clicked_and_boxed(target, tiny_predictor):
    with ModelThread(tiny_predictor) as thread:
        trial, mask = run_trial(target, SessionSegmenter("tiny", thread), Protocol(clicks=3))
        again, _ = run_trial(target, SessionSegmenter("tiny", thread), Protocol(clicks=3))
    assert len(trial.dice) == len(trial.nsd) == len(trial.milliseconds) == 3
    assert trial.voxels == TRUTH.sum()
    assert trial.satisfied == (True, True, True)
    assert trial.box_dice is not None
    assert not mask.is_empty
    assert replace(again, milliseconds=trial.milliseconds) == trial


def test_clicks_follow_the_masks_and_disobedience_is_seen(target):
    spill = TRUTH | ball((12, 15, 20), 5)
    trial, mask = run_trial(target, Fixed(spill, spill, TRUTH), Protocol(clicks=3))
    assert [positive for _, positive in trial.clicks] == [True, False, False]
    assert trial.clicks[0][0] == (12, 15, 10)
    assert trial.satisfied == (True, False, True)
    assert trial.dice[0] == trial.dice[1] < trial.dice[2] == trial.nsd[2] == 1
    assert trial.box_dice is None
    assert np.array_equal(mask.volume(TRUTH.shape), TRUTH)


def test_the_best_meaning_of_the_first_click_is_measured(target):
    spill = TRUTH | ball((12, 15, 20), 5)
    several = Fixed(spill, TRUTH)
    several.meanings = [spill, TRUTH, ball((3, 3, 3), 2)]
    assert run_trial(target, several, Protocol(clicks=2))[0].best_candidate == 1
    assert run_trial(target, Fixed(spill, TRUTH), Protocol(clicks=2))[0].best_candidate is None


def test_a_random_first_click_depends_on_the_structure_only(target):
    protocol = Protocol(clicks=1, random_first_click=True)

    def first(key):
        return run_trial(replace(target, key=key), Fixed(TRUTH), protocol)[0].clicks[0]

    clicks = [first(Key("balls", "a", value)) for value in range(12)]
    assert clicks == [first(Key("balls", "a", value)) for value in range(12)]
    assert len(set(clicks)) > 6
    assert all(TRUTH[index] and positive for index, positive in clicks)


def test_a_trial_comes_back_from_json(target):
    trial, _ = run_trial(target, Fixed(TRUTH), Protocol(clicks=1))
    assert Trial.of_row(json.loads(json.dumps(asdict(trial)))) == trial
