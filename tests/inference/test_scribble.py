import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, SLAB, truth
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry.mask import Mask, dice
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Choice, Edit, Point, Scribble
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.inference.sure_part import sure_part

X, Y, Z = BALL


def line(number: int, *voxels, positive: bool = True) -> Scribble:
    return Scribble(number, PackedMask.of(Mask.of_indices(voxels)), positive)


def lasso(number: int, radius: int, positive: bool = True, at=BALL) -> Scribble:
    grid = np.indices(SHAPE)
    away = np.hypot(grid[0] - at[0], grid[1] - at[1])
    disc = (away <= radius) & (grid[2] == at[2])
    return Scribble(number, PackedMask.of(Mask.of_volume(disc)), positive, filled=True)


ACROSS = line(1, *[(x, Y, Z) for x in range(X - 6, X + 7)])
INTO_THE_SLAB = line(2, *[(x, Y, Z) for x in range(X + 20, X + 29)])


@pytest.fixture
def replay(volume, model) -> Replay:
    return Replay(volume, model)


@pytest.mark.parametrize("prompt", [ACROSS, lasso(1, 6)])
def test_what_is_drawn_in_a_structure_segments_it(replay, prompt):
    assert dice(replay.step([prompt]).mask.volume(SHAPE), truth(100)) > 0.7


def test_a_line_that_the_mask_follows_is_one_click_in_its_middle(replay, model):
    step = replay.step([ACROSS])
    assert [labels.tolist() for _, labels, _, _ in model.asked] == [[1]]
    assert step.mask.equals(replay.step([Point(1, BALL)]).mask.union(ACROSS.voxels.unpack()))


def test_a_line_into_what_the_mask_lacks_is_told_until_it_follows(replay, model):
    in_ball = [(x, Y, Z) for x in range(X - 6, X + 7)]
    in_slab = [(45, y, Z) for y in (*range(10, 18), *range(33, 41))]
    into_both = line(1, *in_ball, *in_slab)
    step = replay.step([into_both])
    assert 1 < len(model.asked[-1][1]) <= 5
    assert into_both.voxels.unpack().without(step.mask).is_empty
    assert dice(step.mask.volume(SHAPE), truth(100) | truth(200)) > 0.6


def test_all_of_a_line_obeys_and_of_a_lasso_what_lies_well_inside(volume, replay):
    wrong = line(2, *[(x, Y + 3, Z) for x in range(X - 4, X + 5)], positive=False)
    mask = replay.step([Point(1, BALL), wrong]).mask.volume(SHAPE)
    assert not mask[X - 4 : X + 5, Y + 3, Z].any()
    outside = lasso(3, 5, at=(X, Y, Z + 14))
    sure = sure_part(outside, volume.spacing)
    mask = replay.step([Point(1, BALL), wrong, outside]).mask
    assert sure.without(mask).is_empty
    assert 0 < np.count_nonzero(sure.voxels) < np.count_nonzero(outside.voxels.unpack().voxels)


def test_the_newest_of_scribbles_clicks_and_strokes_wins(replay):
    there = (X + 3, Y, Z)
    erased = Edit(9, PackedMask(), PackedMask.of(Mask.of_indices([there])))
    newest_last = [ACROSS, Point(2, there, False)]
    assert not replay.step(newest_last).mask.contains(there)
    newest_last.append(line(3, there, (X + 3, Y + 1, Z)))
    assert replay.step(newest_last).mask.contains(there)
    newest_last.append(erased)
    assert not replay.step(newest_last).mask.contains(there)
    newest_last.append(line(4, there))
    assert replay.step(newest_last).mask.contains(there)


def test_a_scribble_stays_obeyed_when_more_is_said(replay):
    prompts = [Point(1, BALL), INTO_THE_SLAB]
    kept = INTO_THE_SLAB.voxels.unpack()
    for more in (
        Point(3, (X, Y + 12, Z), False),
        BoxPrompt(4, Mask.of_volume(truth(100)).box),
        lasso(5, 3, positive=False, at=(X, Y + 12, Z)),
    ):
        prompts.append(more)
        assert kept.without(replay.step(prompts).mask).is_empty


def test_what_only_excludes_makes_no_mask_and_is_obeyed_later(replay, model):
    beside = line(1, *[(X + d, Y + 2, Z) for d in range(-3, 4)], positive=False)
    assert replay.step([beside]).mask.is_empty
    assert model.looked == 0
    mask = replay.step([beside, Point(2, BALL)]).mask
    assert mask.contains(BALL)
    assert beside.voxels.unpack().without(mask).equals(beside.voxels.unpack())


def test_the_same_prompts_give_the_same_mask_whatever_is_remembered(volume, replay):
    prompts = [ACROSS, INTO_THE_SLAB, Point(3, SLAB, False), lasso(4, 4), Choice(5, 0)]
    forgetful = Replay(volume, BrightnessModel(), bytes_kept=1)
    for length in range(1, len(prompts) + 1):
        replay.step(prompts[:length])
    assert replay.step(prompts).mask.equals(forgetful.step(prompts).mask)


def test_a_line_longer_than_the_crop_is_followed(volume):
    replay = Replay(volume, BrightnessModel(size=16, spacings=(1.0, 2.0)))
    along = line(1, *[(45, y, Z) for y in range(2, 48)])
    assert along.voxels.unpack().without(replay.step([along]).mask).is_empty
