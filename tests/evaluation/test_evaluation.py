import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.evaluation import Trial, dice, mean_at, next_click, run_trial, structures_of
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import ModelThread

SHAPE = (18, 20, 16)


def block(low, high):
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_the_first_click_is_in_the_middle():
    assert next_click(np.zeros(SHAPE, bool), block((2, 3, 4), (9, 10, 11))) == ((5, 6, 7), True)


def test_the_larger_error_is_corrected():
    truth = block((2, 2, 2), (10, 10, 10))
    spilled = truth | block((10, 2, 2), (17, 9, 9))
    assert next_click(spilled, truth) == ((13, 5, 5), False)
    missed = truth & ~block((2, 2, 2), (7, 7, 7)) | block((15, 15, 12), (17, 17, 14))
    assert next_click(missed, truth) == ((4, 4, 4), True)


def test_spacing_decides_what_is_deep():
    """In thick slices, the middle is where the rim in the plane is far."""
    truth = block((2, 2, 7), (15, 15, 8)) | block((2, 2, 9), (5, 5, 16))
    index, _ = next_click(np.zeros(SHAPE, bool), block((2, 2, 7), (15, 15, 8)), (1, 1, 10))
    assert index == (8, 8, 7)
    assert truth[next_click(np.zeros(SHAPE, bool), truth, (1, 1, 10))[0]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_every_click_corrects_an_error(seed):
    rng = np.random.default_rng(seed)
    truth, mask = rng.random((2, *SHAPE)) > 0.6
    index, positive = next_click(mask, truth)
    assert truth[index] == positive != mask[index]


def test_an_empty_structure_cannot_be_clicked():
    with pytest.raises(ValueError, match="without voxels"):
        next_click(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool))


def test_dice_by_hand():
    assert dice(block((0, 0, 0), (4, 4, 4)), block((2, 0, 0), (6, 4, 4))) == 0.5
    assert dice(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)) == 1
    assert dice(np.zeros(SHAPE, bool), np.ones(SHAPE, bool)) == 0


def test_structures_come_largest_first():
    labels = np.zeros(SHAPE, np.int32)
    labels[:4], labels[5:7], labels[8, 0, 0] = 7, 3, 9
    assert [value for value, _ in structures_of(labels, 2, 5)] == [7, 3]
    assert [value for value, _ in structures_of(labels, 2, 1)] == [7]


def test_a_trial_counts_clicks_and_boxes(tiny_predictor):
    truth = block((4, 4, 4), (12, 12, 12))
    volume = Volume.from_array((300 * truth).astype(np.int16), spacing=(2, 2, 2), name="cube")
    with ModelThread(tiny_predictor) as thread:
        trial = run_trial(volume, truth, thread, 3, ("case", "cube"))
    assert len(trial.clicks) == len(trial.milliseconds) == 3
    assert trial.voxels == 512
    assert all(0 < score <= 1 for score in trial.clicks), "a positive click is always obeyed"
    assert trial.box is not None


def test_the_mean_keeps_the_last_score_of_short_trials():
    trials = [
        Trial("a", "x", 9, (0.2, 0.4), None, (1.0, 1.0)),
        Trial("b", "y", 9, (0.6,), None, (1.0,)),
    ]
    assert mean_at(trials, 1) == pytest.approx(0.4)
    assert mean_at(trials, 2) == pytest.approx(0.5)
