"""The coarse first pass, the candidates, and the choice among them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, SLAB
from brightness_model import Answer, BrightnessModel, pooled
from proposing_model import Proposing, away

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.candidates import LEVEL
from napari_fastsam3d.inference.coarse_to_fine import CoarseToFine
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Choice, Edit, Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.model.predictor import silent

BALL_CLICK = Point(1, BALL)
IN_SLAB = Point(1, SLAB)
BESIDE = Point(2, (20, 25, 27), positive=False)


class Shortsighted(BrightnessModel):
    """Sees no more than a ball around a click, but from afar, or where a mask is fed to it."""

    def __init__(self, afar: bool = True) -> None:
        super().__init__(spacings=(1.0, 2.0, 3.0), start_spacing=1.0)
        self.sees_from_afar = afar

    def first_click(self, encoded, point, afar):
        return self.segment(encoded, point, np.ones(1, dtype=np.int64), None, afar)

    def _logits(self, image, points, labels, box, previous):
        logits = super()._logits(image, points, labels, box, previous)
        if len(image) == 16 or previous is not None or box is not None:
            return logits
        return np.where(away(points[-1], len(logits)) < 4, logits, -self.tolerance)


class Doubting(Shortsighted):
    """Does not believe what is seen from afar."""

    def first_click(self, encoded, point, afar):
        return super().first_click(encoded, point, None)


class Believing(Shortsighted):
    """Takes what is seen from afar for what is meant, wherever it is told of that."""

    def first_click(self, encoded, point, afar):
        near = self.segment(encoded, point, np.ones(1, dtype=np.int64), None, None)
        if afar is None:
            return near
        fine = afar.repeat(2, 0).repeat(2, 1).repeat(2, 2)
        return Answer(afar, fine, 0.9, (near,), is_fed=True)


def test_what_counts_from_afar_is_looked_at_again_and_fed_back():
    away_from = np.linalg.norm(np.indices((60, 60, 60)).T - 30, axis=-1)
    ball = away_from < 7
    scan = Volume.from_array(np.where(ball, 100, 0).astype(np.int16), spacing=(1.0, 1.0, 1.0))
    model = Believing()
    step = Replay(scan, model).step([Point(1, (30, 30, 30))])
    assert model.looked == 2, "in the crop that is encoded already"
    afar, near, again = (previous for *_, previous in model.asked)
    assert afar is None
    assert near is None
    assert (again > 0).any()
    assert Mask.of_volume(ball).agreement(step.mask) > 0.8


def test_what_counts_from_afar_and_is_cut_off_is_looked_at_where_it_fits(volume):
    model = Believing()
    step = Replay(volume, model).step([IN_SLAB])
    near = CropPolicy.of(volume, model).at_click(SLAB)
    assert step.crop.spacing > near.spacing
    assert model.looked == 3, "from afar, near by, and where it fits"
    slab = Mask.of_volume(volume.voxels > 150).inside(step.crop.box)
    assert step.mask.agreement(slab) > 0.95


def test_candidates_beside_what_counts_from_afar_hold_what_is_seen_near_by(volume):
    replay = Replay(volume, Believing())
    shown = replay.step([IN_SLAB])
    found = replay.candidates([IN_SLAB])
    assert any(step.mask.equals(shown.mask) for step in found)
    sizes = [np.count_nonzero(step.mask.voxels) for step in found]
    assert sizes[0] < sizes[-1] / 5


@pytest.mark.parametrize(("excluded", "near"), [((45, 29, 20), True), ((40, 25, 20), False)])
def test_an_exclusion_deep_in_what_counts_from_afar_goes_on_from_near_by(volume, excluded, near):
    """The slab is ten voxels thick: one of its middle lies deep in it, one of its rim doesn't."""
    model = Believing()
    replay = Replay(volume, model)
    first = replay.step([IN_SLAB])
    asked = len(model.asked)
    step = replay.step([IN_SLAB, Point(2, excluded, positive=False)])
    told = [previous for *_, previous in model.asked[asked:] if previous is not None]
    assert step.mask.contains(SLAB)
    assert not step.mask.contains(excluded)
    if near:
        few = np.count_nonzero(told[0] > 0)
        assert 0 < few < np.count_nonzero(first.low_res_logits > 0) / 3
    else:
        assert np.array_equal(told[0], first.low_res_logits)


def test_a_second_inclusion_goes_on_from_what_counts_from_afar(volume):
    model = Believing()
    replay = Replay(volume, model)
    first = replay.step([IN_SLAB])
    asked = len(model.asked)
    replay.step([IN_SLAB, Point(2, (45, 29, 20))])
    assert np.array_equal(model.asked[asked][3], first.low_res_logits)


def test_what_is_seen_from_afar_is_fed_to_the_first_click(volume):
    model = Shortsighted()
    step = Replay(volume, model).step([IN_SLAB])
    assert len(model.asked) % 2 == 0
    for (_, _, _, nothing), (_, _, _, fed) in zip(model.asked[::2], model.asked[1::2], strict=True):
        assert nothing is None
        assert fed.shape == (8, 8, 8)
        assert (fed > 0).any()
    assert step.crop.size == 32
    near = Replay(volume, Shortsighted(afar=False)).step([IN_SLAB])
    wanted = volume.voxels > 150
    found = [np.count_nonzero(s.mask.volume(SHAPE) & wanted) for s in (step, near)]
    assert found[0] > 5 * found[1]


def test_both_crops_of_a_first_click_show_the_same(volume):
    def crops(model):
        forward = ForwardPass(volume, model, silent)
        return CoarseToFine(forward, CropPolicy.of(volume, model)).crops_of(Step(), [IN_SLAB])

    coarse, near = crops(Shortsighted())
    assert coarse == near.halved()
    assert crops(Shortsighted(afar=False)) == (near,)


def test_only_a_first_click_is_looked_at_from_afar(volume):
    model = Shortsighted()
    replay = Replay(volume, model)
    replay.step([BALL_CLICK])
    asked = len(model.asked)
    replay.step([BALL_CLICK, BESIDE])
    assert len(model.asked) == asked + 1
    replay.step([BoxPrompt(1, Box((9, 9, 9), (30, 30, 30)))])
    assert all(len(low) == 8 for *_, low in model.asked[asked:] if low is not None)


def test_a_scan_that_one_crop_shows_whole_is_not_looked_at_from_afar(volume):
    model = Shortsighted()
    small = Volume.from_array(volume.voxels[5:30, 15:35, 12:30], spacing=(1.0, 1.0, 1.0))
    Replay(small, model).step([Point(1, (15, 10, 8))])
    assert model.looked == 1


def test_looking_ahead_makes_the_click_encode_nothing(volume):
    model = Doubting()
    replay = Replay(volume, model)
    assert replay.encode_speculatively((), BALL_CLICK)
    looked = model.looked
    assert looked == 2
    replay.step([BALL_CLICK])
    assert model.looked == looked
    assert not replay.encode_speculatively((), BALL_CLICK)


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


def test_candidates_of_a_first_click_are_also_what_is_seen_from_afar(volume):
    replay = Replay(volume, Doubting())
    shown = replay.step([IN_SLAB])
    found = replay.candidates([IN_SLAB])
    assert sum(step.mask.equals(shown.mask) for step in found) == 1
    sizes = [np.count_nonzero(step.mask.voxels) for step in found]
    assert sizes[-1] > 5 * np.count_nonzero(shown.mask.voxels)


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
