import pytest
from trials import trial

from napari_fastsam3d.evaluation import scores_of
from napari_fastsam3d.evaluation.score import area_under, in_common


def test_a_set_by_hand():
    trials = [
        trial(dice=(0.2, 0.6, 0.4), box=0.3),
        trial(case="b", dice=(0.4, 0.4, 0.8), satisfied=(True, False, True)),
    ]
    (score,) = scores_of(trials, {"x": "CT"})
    assert score.dice == pytest.approx((0.3, 0.5, 0.6))
    assert score.nsd == pytest.approx((0.15, 0.25, 0.3))
    assert (score.cases, score.trials, score.failures, score.unsatisfied) == (2, 2, 1, 1)
    assert score.worse == 0.25
    assert score.falls == ()
    assert score.area == pytest.approx((0.45 + 0.5) / 2)
    assert score.box_dice == 0.3


def test_every_set_weighs_the_same_and_ct_and_mr_stand_apart():
    many = [trial("many", str(n), dice=(0.9, 0.8)) for n in range(5)]
    trials = [*many, trial("few", dice=(0.3, 0.5)), trial("head", dice=(0.6, 0.2))]
    scores = scores_of(trials, {"many": "CT", "few": "CT", "head": "MR"})
    found = {score.name: score for score in scores}
    assert [*found] == ["many", "few", "head", "mean of CT", "mean of MR", "mean over sets"]
    assert found["mean of CT"].dice == pytest.approx((0.6, 0.65))
    assert found["mean over sets"].dice == pytest.approx((0.6, 0.5))
    assert found["mean over sets"].falls == (2,)
    assert found["mean over sets"].modality == "all"
    assert found["mean over sets"].trials == 7


def test_sets_of_one_modality_have_one_mean():
    names = [s.name for s in scores_of([trial("a"), trial("b")], {"a": "MR", "b": "MR"})]
    assert names == ["a", "b", "mean over sets"]


def test_only_the_same_structures_are_compared():
    ours = [trial(case=c) for c in "abc"]
    theirs = [trial(case=c, dice=(0.1, 0.1)) for c in "dcb"]
    one, two = in_common(ours, theirs)
    assert [t.key for t in one] == [t.key for t in two]
    assert [t.case for t in one] == ["b", "c"]
    assert all(t.dice == (0.1, 0.1) for t in two)


def test_the_area_of_one_click_is_its_dice():
    assert area_under((0.4,)) == 0.4
    assert area_under((0.0, 1.0, 1.0)) == 0.75
