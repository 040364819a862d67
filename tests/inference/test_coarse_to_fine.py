"""The coarse first pass, the candidates, and the choice among them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, SLAB
from brightness_model import BrightnessModel, pooled
from hypothesis import given
from hypothesis import strategies as st
from proposing_model import Proposing, away

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.coarse_judge import FEATURES, OF_BOTH, OF_ONE, describe, relate
from napari_fastsam3d.inference.coarse_to_fine import LEVEL
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Choice, Edit, Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.model.coarse_pass import CoarsePass, LinearModel

BALL_CLICK = Point(1, BALL)
IN_SLAB = Point(1, SLAB)
BESIDE = Point(2, (20, 25, 27), positive=False)


def judged(bias: float) -> CoarsePass:
    """A judge that always (above 0) or never trusts what is seen from afar."""
    nothing = (0.0,) * len(FEATURES)
    gain = LinearModel(nothing, (1.0,) * len(FEATURES), nothing, bias)
    return CoarsePass(16, 6.0, gain)


class Shortsighted(BrightnessModel):
    """Sees no more than a ball around a click, but from afar, or where a mask is fed back."""

    def __init__(self, bias: float | None = None) -> None:
        super().__init__(spacings=(1.0, 2.0, 3.0), start_spacing=1.0)
        self.coarse_pass = None if bias is None else judged(bias)

    def _logits(self, image, points, labels, box, previous):
        logits = super()._logits(image, points, labels, box, previous)
        if len(image) == 16 or previous is not None or box is not None:
            return logits
        return np.where(away(points[-1], len(logits)) < 4, logits, -self.tolerance)


def test_what_is_trusted_from_afar_is_looked_at_again_in_the_crop_that_fits_it(volume):
    model = Shortsighted(1)
    step = Replay(volume, model).step([IN_SLAB])
    *first_looks, (_, _, _, fed) = model.asked
    assert len(first_looks) == 2
    assert all(low is None for *_, low in first_looks)
    assert (fed > 0).any()
    assert step.crop.size == 32
    assert step.crop.spacing == 3.0
    near = Replay(volume, Shortsighted()).step([IN_SLAB])
    wanted = volume.voxels > 150
    found = [np.count_nonzero(s.mask.volume(SHAPE) & wanted) for s in (step, near)]
    assert found[0] > 5 * found[1]


def test_what_is_not_trusted_from_afar_changes_no_voxel(volume):
    model = Shortsighted(-1)
    for prompts in (
        [BALL_CLICK],
        [BALL_CLICK, BESIDE],
        [BoxPrompt(1, Box((9, 9, 9), (30, 30, 30)))],
    ):
        step, wanted = (Replay(volume, m).step(prompts) for m in (model, Shortsighted()))
        assert step.mask.equals(wanted.mask)
        assert step.crop == wanted.crop


def test_where_the_near_mask_makes_it_unlikely_no_coarse_pass_is_made(volume):
    for bias, looked in ((-1, 1), (1, 3)):
        model = Shortsighted(1)
        nothing = (0.0,) * len(OF_ONE)
        worth = LinearModel(nothing, (1.0,) * len(OF_ONE), nothing, bias)
        model.coarse_pass = replace(model.coarse_pass, worth=worth)
        step = Replay(volume, model).step([IN_SLAB])
        assert model.looked == looked
        if bias < 0:
            assert step.mask.equals(Replay(volume, Shortsighted()).step([IN_SLAB]).mask)


def test_a_pass_for_candidates_only_is_made_when_they_are_asked_for(volume):
    model = Shortsighted(-1)
    model.coarse_pass = CoarsePass.for_candidates(16, 6.0)
    replay = Replay(volume, model)
    shown = replay.step([IN_SLAB])
    assert all(len(low) == 8 for *_, low in model.asked if low is not None)
    assert model.looked == 1
    assert shown.mask.equals(Replay(volume, Shortsighted()).step([IN_SLAB]).mask)
    found = replay.candidates([IN_SLAB])
    sizes = [np.count_nonzero(step.mask.voxels) for step in found]
    assert sizes[-1] > 5 * np.count_nonzero(shown.mask.voxels)


def test_only_a_first_click_is_looked_at_from_afar(volume):
    model = Shortsighted(1)
    replay = Replay(volume, model)
    replay.step([BALL_CLICK])
    asked = len(model.asked)
    replay.step([BALL_CLICK, BESIDE])
    assert len(model.asked) == asked + 1
    replay.step([BoxPrompt(1, Box((9, 9, 9), (30, 30, 30)))])
    assert all(len(low) == 8 for *_, low in model.asked[asked:] if low is not None)


def test_a_scan_that_one_crop_shows_whole_is_not_looked_at_from_afar(volume):
    model = Shortsighted(1)
    small = Volume.from_array(volume.voxels[5:30, 15:35, 12:30], spacing=(1.0, 1.0, 1.0))
    Replay(small, model).step([Point(1, (15, 10, 8))])
    assert model.looked == 1


def test_looking_ahead_makes_the_click_encode_nothing(volume):
    for bias in (1, -1):
        model = Shortsighted(bias)
        replay = Replay(volume, model)
        assert replay.encode_speculatively((), IN_SLAB)
        looked = model.looked
        replay.step([IN_SLAB])
        assert model.looked == looked
        assert not replay.encode_speculatively((), IN_SLAB)


def test_candidates_differ_are_sorted_by_size_and_hold_what_is_shown(volume):
    replay = Replay(volume, Proposing())
    shown = replay.step([BALL_CLICK])
    found = replay.candidates([BALL_CLICK])
    sizes = [np.count_nonzero(step.mask.voxels) for step in found]
    assert len(found) == 3
    assert sizes == sorted(sizes)
    assert any(step.mask.equals(shown.mask) for step in found)
    assert max(a.mask.agreement(b.mask) for a, b in pairwise(found)) < 0.9
    assert all(step.mask.contains(BALL) for step in found)


def test_candidates_of_a_first_click_are_also_what_is_seen_from_afar_and_near_by(volume):
    for bias in (1, -1):
        replay = Replay(volume, Shortsighted(bias))
        shown = replay.step([IN_SLAB])
        found = replay.candidates([IN_SLAB])
        assert len(found) >= 2
        assert sum(step.mask.equals(shown.mask) for step in found) == 1


def test_a_model_that_proposes_nothing_has_the_one_mask(volume):
    replay = Replay(volume, BrightnessModel())
    (only,) = replay.candidates([BALL_CLICK])
    assert only.mask.equals(replay.step([BALL_CLICK]).mask)


class Unsure(BrightnessModel):
    """Is the less sure of an object the farther from the click, and proposes nothing else."""

    def segment(self, encoded, points, labels, box, previous):
        main = super().segment(encoded, points, labels, box, previous)
        fine = (6 - away(points[0], len(main.mask_logits))).astype(np.float32)
        return replace(main, mask_logits=fine, low_res_logits=pooled(fine, 2))


def test_a_model_that_proposes_nothing_may_be_more_or_less_sure(volume):
    replay = Replay(volume, Unsure())
    shown = replay.step([BALL_CLICK])
    smaller, same, larger = replay.candidates([BALL_CLICK])
    assert same.mask.equals(shown.mask)
    radius = [
        (np.count_nonzero(s.mask.voxels) * 0.75 / np.pi) ** (1 / 3) for s in (smaller, larger)
    ]
    np.testing.assert_allclose(radius, [2 * (6 - LEVEL), 2 * (6 + LEVEL)], atol=0.7)
    np.testing.assert_array_equal(larger.low_res_logits, shown.low_res_logits + LEVEL)


@pytest.mark.parametrize("rank", [0, 1, 2, 7])
def test_a_choice_is_that_candidate_and_the_next_click_goes_on_from_it(volume, rank):
    model = Proposing()
    replay = Replay(volume, model)
    wanted = replay.candidates([BALL_CLICK])[min(rank, 2)]
    chosen = replay.step([BALL_CLICK, Choice(2, rank)])
    assert chosen.mask.equals(wanted.mask)
    replay.step([BALL_CLICK, Choice(2, rank), replace(BESIDE, id=3)])
    assert model.asked[-1][-1] is wanted.low_res_logits
    fresh = Replay(volume, Proposing()).step([BALL_CLICK, Choice(2, rank), replace(BESIDE, id=3)])
    assert fresh.mask.equals(replay.step([BALL_CLICK, Choice(2, rank), replace(BESIDE, id=3)]).mask)


def test_the_last_of_several_choices_counts(volume):
    replay = Replay(volume, Proposing())
    first, _, last = replay.candidates([BALL_CLICK])
    twice = [BALL_CLICK, Choice(2, 0), Choice(3, 2)]
    assert replay.step(twice).mask.equals(last.mask)
    assert replay.step(twice[:2]).mask.equals(first.mask)
    assert [s.mask.box for s in replay.candidates(twice)] == [
        s.mask.box for s in replay.candidates([BALL_CLICK])
    ]


def test_a_choice_with_nothing_to_choose_from_changes_nothing(volume):
    replay = Replay(volume, Proposing())
    added = Mask.of(Box((3, 3, 3), (6, 6, 6)), np.ones((3, 3, 3), dtype=bool))
    painted = Edit(2, PackedMask.of(added), PackedMask())
    by_hand = [BALL_CLICK, painted]
    assert replay.candidates(by_hand) == ()
    chosen = replay.step([*by_hand, Choice(3, 0)])
    assert chosen.mask.equals(replay.step(by_hand).mask)
    assert replay.step([Choice(1, 0)]).mask.is_empty


@given(
    scale=st.floats(0.01, 1000),
    offset=st.floats(-1000, 1000),
    seed=st.integers(0, 99),
)
def test_the_description_of_a_mask_depends_on_no_unit(scale, offset, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(12, 12, 12)).astype(np.float32)
    logits = rng.normal(size=(12, 12, 12)).astype(np.float32)
    logits[4:8, 4:8, 4:8] += 3
    told = describe(logits, image.astype(np.float64), (5.0, 6.0, 5.0), 0.4)
    again = describe(logits, image.astype(np.float64) * scale + offset, (5.0, 6.0, 5.0), 0.4)
    assert told.shape == (len(OF_ONE),)
    assert np.isfinite(told).all()
    assert np.allclose(told, again, rtol=1e-6, atol=1e-6)


def test_nothing_found_has_no_description():
    assert (
        describe(-np.ones((8, 8, 8), np.float32), np.zeros((8, 8, 8), np.float32), (4, 4, 4), 0)
        is None
    )


def test_a_mask_in_a_flat_scan_and_one_that_fills_the_crop_have_finite_descriptions():
    flat, full = np.zeros((8, 8, 8), np.float32), np.ones((8, 8, 8), np.float32)
    part = np.where(np.indices((8, 8, 8)).sum(0) < 8, 1, -1).astype(np.float32)
    for logits in (full, part):
        assert np.isfinite(describe(logits, flat, (3, 3, 3), 0.5)).all()


def test_how_two_masks_relate():
    large = Mask.of(Box((2, 2, 2), (12, 12, 12)), np.ones((10, 10, 10), bool))
    inside = Mask.of(Box((4, 4, 4), (9, 9, 9)), np.ones((5, 5, 5), bool))
    beside = Mask.of(Box((11, 2, 2), (21, 12, 12)), np.ones((10, 10, 10), bool))
    assert relate(large, inside) == pytest.approx([250 / 1125, np.log(8), 1])
    assert relate(inside, large) == pytest.approx([250 / 1125, -np.log(8), 1 / 8])
    assert relate(large, beside) == pytest.approx([0.1, 0, 0.1])
    assert len(relate(large, inside)) == len(OF_BOTH)


def test_a_coarse_pass_is_read_as_it_was_written_and_a_damaged_one_is_refused():
    always = judged(0.25)
    gain = replace(always.gain, weights=tuple(np.linspace(-1, 1, len(FEATURES)).tolist()))
    wanted = replace(always, gain=gain)
    assert CoarsePass.of_json(wanted.to_json()) == wanted
    for_candidates = CoarsePass.for_candidates(64, 3.0)
    assert CoarsePass.of_json(for_candidates.to_json()) == for_candidates
    assert not for_candidates.may_be_trusted
    assert wanted.may_be_trusted
    features = np.linspace(-9, 9, len(FEATURES))
    assert gain.estimate(features) == pytest.approx(
        0.25 + np.dot(np.clip(features, -3, 3), gain.weights)
    )
    for damaged in ("", "{}", "[1]", wanted.to_json().replace("16", "-1", 1)):
        with pytest.raises(CheckpointError):
            CoarsePass.of_json(damaged)
    short = replace(wanted, gain=replace(gain, weights=gain.weights[1:]))
    with pytest.raises(CheckpointError):
        CoarsePass.of_json(short.to_json())
