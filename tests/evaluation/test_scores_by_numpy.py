"""Scores of many random trials, against numpy."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trials import trial

from napari_fastsam3d.evaluation import scores_of
from napari_fastsam3d.evaluation.score import area_under, in_common, mean_over_sets

SETS = {"torso": "CT", "neck": "CT", "head": "MR"}
UNIT = st.floats(0, 1)
few = settings(max_examples=25)


@st.composite
def evaluations(draw, sets=tuple(SETS)):
    clicks = draw(st.integers(1, 5))
    curves = st.lists(UNIT, min_size=clicks, max_size=clicks).map(tuple)
    satisfied = st.lists(st.booleans(), min_size=clicks, max_size=clicks).map(tuple)
    return [
        trial(
            set_name=draw(st.sampled_from(sets)),
            case=draw(st.sampled_from("abc")),
            value=value,
            dice=draw(curves),
            box=draw(st.none() | UNIT),
            satisfied=draw(satisfied),
        )
        for value in range(1, draw(st.integers(2, 8)))
    ]


@few
@given(evaluations(sets=("torso",)))
def test_one_set(trials):
    (score,) = scores_of(trials, SETS)
    dice = np.array([t.dice for t in trials])
    steps = np.diff(dice, axis=1)
    boxes = [t.box_dice for t in trials if t.box_dice is not None]
    assert score.name == "torso"
    assert score.modality == "CT"
    np.testing.assert_allclose(score.dice, dice.mean(0), atol=1e-12)
    np.testing.assert_allclose(score.nsd, dice.mean(0) / 2, atol=1e-12)
    assert score.failures == (dice[:, -1] < 0.5).sum()
    assert score.unsatisfied == sum(False in t.satisfied for t in trials)
    assert score.worse == pytest.approx((steps < -0.01).mean() if steps.size else 0)
    assert score.cases == len({t.case for t in trials})
    assert score.box_dice == (pytest.approx(np.mean(boxes)) if boxes else None)
    assert all(score.dice[at - 1] < score.dice[at - 2] for at in score.falls)
    assert len(score.falls) == sum(b < a for a, b in zip(score.dice, score.dice[1:], strict=False))


@few
@given(st.lists(UNIT, min_size=2, max_size=12))
def test_the_area_is_that_of_trapezoids(dice):
    assert area_under(dice) == pytest.approx(np.trapezoid(dice) / (len(dice) - 1), abs=1e-12)
    assert min(dice) - 1e-12 <= area_under(dice) <= max(dice) + 1e-12


@few
@given(evaluations())
def test_sets_are_scored_alone_and_each_weighs_the_same(trials):
    scores = {score.name: score for score in scores_of(trials, SETS)}
    names = list(dict.fromkeys(t.set_name for t in trials))
    for name in names:
        (alone,) = scores_of([t for t in trials if t.set_name == name], SETS)
        assert scores[name] == alone
    if len(names) == 1:
        assert [*scores] == names
        return
    means = scores["mean over sets"]
    np.testing.assert_allclose(
        means.dice, np.mean([scores[name].dice for name in names], axis=0), atol=1e-12
    )
    assert means.area == pytest.approx(np.mean([scores[name].area for name in names]))
    assert means.trials == len(trials)
    kinds = {SETS[name] for name in names}
    assert {name for name in scores if name.startswith("mean of")} == (
        {f"mean of {kind}" for kind in kinds} if len(kinds) > 1 else set()
    )
    for kind in kinds if len(kinds) > 1 else ():
        members = [scores[name].dice for name in names if SETS[name] == kind]
        np.testing.assert_allclose(scores[f"mean of {kind}"].dice, np.mean(members, axis=0))


@few
@given(evaluations(sets=("head",)), st.randoms(use_true_random=False))
def test_the_order_of_trials_changes_no_number(trials, random):
    mixed = list(trials)
    random.shuffle(mixed)
    (one,), (other,) = scores_of(trials, SETS), scores_of(mixed, SETS)
    np.testing.assert_allclose(one.dice, other.dice, atol=1e-12)
    assert (one.failures, one.unsatisfied, one.cases) == (
        other.failures,
        other.unsatisfied,
        other.cases,
    )
    assert one.worse == pytest.approx(other.worse)


@few
@given(evaluations(sets=("torso",)))
def test_the_mean_of_a_single_set_is_that_set(trials):
    (score,) = scores_of(trials, SETS)
    assert mean_over_sets("torso", [score]) == score


def test_a_mean_passes_over_sets_that_were_given_no_box():
    trials = [trial("torso", box=0.5), trial("head", box=None), trial("neck", box=0.7)]
    scores = {score.name: score for score in scores_of(trials, SETS)}
    assert scores["head"].box_dice is None
    assert scores["mean of MR"].box_dice is None
    assert scores["mean over sets"].box_dice == pytest.approx(0.6)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_what_two_evaluations_share_comes_in_the_order_of_the_first(order):
    ours = [trial(case=c, value=v) for c, v in (("a", 1), ("a", 2), ("b", 1))]
    theirs = [ours[at] for at in order]
    one, two = in_common(ours, theirs)
    assert one == two == ours
    assert in_common(ours, [trial("another", "a", 1)]) == ([], [])
