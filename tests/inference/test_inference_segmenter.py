import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SHAPE, SLAB, truth
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import dice
from napari_fastsam3d.inference.prompt import BoxPrompt, Point
from napari_fastsam3d.inference.segmenter import Replay

BALL_CLICK = Point(1, BALL)
BESIDE = Point(2, (20, 25, 27), positive=False)
IN_SLAB = Point(3, SLAB)


@pytest.fixture
def replay(volume: Volume, model: BrightnessModel) -> Replay:
    return Replay(volume, model)


def test_a_click_segments_what_was_clicked(replay):
    step = replay.step([BALL_CLICK])
    assert dice(step.mask.volume(SHAPE), truth(100)) > 0.7
    assert step.crop.spacing == 2.0
    assert 0 < step.predicted_iou < 1
    assert step.notes == ()


def test_no_prompt_and_only_negative_prompts_make_no_mask_and_ask_nothing(replay, model):
    for prompts in ([], [Point(1, BALL, False)], [Point(1, BALL, False), BESIDE]):
        step = replay.step(prompts)
        assert step.mask.is_empty
        assert step.crop is None
    assert model.looked == 0


def test_the_mask_cut_off_by_the_crop_is_looked_at_from_further_away(replay, model):
    step = replay.step([IN_SLAB])
    assert step.crop.spacing == 4.0
    assert model.looked == 2
    assert dice(step.mask.volume(SHAPE), truth(200)) > 0.7
    # The second look is a first one too: nothing of the mask cut off is fed back.
    assert [previous for *_, previous in model.asked] == [None, None]


def test_each_step_feeds_back_the_one_before(replay, model):
    first = replay.step([BALL_CLICK])
    replay.step([BALL_CLICK, BESIDE])
    points, labels, _, previous = model.asked[-1]
    assert previous is first.low_res_logits
    assert labels.tolist() == [1, 0]
    assert np.allclose(points, first.crop.to_crop([BALL, BESIDE.index]))
    assert model.looked == 1


def test_what_was_known_is_not_asked_again(replay, model):
    prompts = [BALL_CLICK, BESIDE, Point(4, (22, 25, 20))]
    masks = [replay.step(prompts[:n]).mask for n in (1, 2, 3)]
    asked = len(model.asked)
    again = [replay.step(prompts[:n]).mask for n in (3, 2, 1, 2, 3)]
    assert len(model.asked) == asked
    assert again == [masks[2], masks[1], masks[0], masks[1], masks[2]]
    renumbered = [Point(9, BALL), Point(8, BESIDE.index, False)]
    assert replay.step(renumbered).mask is masks[1]
    assert len(model.asked) == asked


def test_without_an_early_prompt_only_the_decoder_runs(replay, model):
    prompts = [BALL_CLICK, BESIDE, Point(4, (22, 25, 20)), Point(5, (19, 25, 20))]
    replay.step(prompts)
    looked, asked = model.looked, len(model.asked)
    replay.step([prompts[0], *prompts[2:]])
    assert model.looked == looked
    assert len(model.asked) == asked + 2


def test_the_same_prompts_give_the_same_mask_whatever_came_between(volume):
    prompts = [BALL_CLICK, BESIDE, IN_SLAB, Point(4, NOTHING, False)]
    busy = Replay(volume, BrightnessModel(), bytes_kept=1)
    for other in ([IN_SLAB], prompts[:2], [BALL_CLICK, IN_SLAB], prompts[::-1], prompts):
        last = busy.step(other)
    fresh = Replay(volume, BrightnessModel()).step(prompts)
    assert last.mask.equals(fresh.mask)
    assert last.crop == fresh.crop
    assert np.array_equal(last.low_res_logits, fresh.low_res_logits)


def test_a_forgotten_beginning_is_made_again(volume, model):
    forgetful = Replay(volume, model, bytes_kept=1)
    first = forgetful.step([BALL_CLICK])
    forgetful.step([BALL_CLICK, BESIDE])
    assert forgetful.step([BALL_CLICK]).mask.equals(first.mask)
    assert len(model.asked) == 3
    assert model.looked == 1


def test_a_click_outside_the_crop_moves_it_and_keeps_both_parts(replay, model):
    before = replay.step([BALL_CLICK])
    both = replay.step([BALL_CLICK, IN_SLAB])
    assert not before.crop.contains(IN_SLAB.index, margin=2)
    assert both.crop.spacing == 4.0
    assert both.crop.contains(BALL)
    assert both.mask.contains(BALL)
    assert both.mask.contains(SLAB)
    fed = model.asked[-1][3]
    assert fed is not None
    assert fed is not before.low_res_logits
    assert dice(both.mask.volume(SHAPE), truth(100) | truth(200)) > 0.6


def rods() -> Volume:
    """A long volume with a bright rod at either end, too far apart for any one crop."""
    voxels = np.zeros((400, 20, 20), dtype=np.int16)
    voxels[5:25, 4:16, 4:16] = 100
    voxels[370:390, 4:16, 4:16] = 100
    return Volume.from_array(voxels)


def test_what_was_segmented_elsewhere_survives_a_click_far_away():
    replay = Replay(rods(), BrightnessModel(spacings=(1.0, 2.0)))
    near, far, wrong = (
        Point(1, (15, 10, 10)),
        Point(2, (380, 10, 10)),
        Point(3, (24, 10, 10), False),
    )
    first = replay.step([near])
    both = replay.step([near, far])
    assert not both.crop.contains(near.index)
    assert both.mask.outside(both.crop.box).equals(first.mask)
    assert both.mask.inside(both.crop.box).volume((400, 20, 20))[375:385, 8:12, 8:12].all()
    back = replay.step([near, far, wrong])
    assert not back.crop.contains(far.index)
    assert not back.mask.contains(wrong.index)
    assert back.mask.contains(near.index)
    assert back.mask.outside(back.crop.box).equals(both.mask.inside(both.crop.box))


def test_a_negative_click_is_obeyed_where_the_crop_no_longer_looks():
    replay = Replay(rods(), BrightnessModel(spacings=(1.0, 2.0)))
    wrong = Point(3, (24, 10, 10), False)
    prompts = [Point(1, (15, 10, 10)), wrong, Point(2, (380, 10, 10))]
    step = replay.step(prompts)
    assert not step.crop.contains(wrong.index)
    assert not step.mask.contains(wrong.index)


def test_a_box_makes_a_mask_in_the_box(replay):
    box = Box((11, 16, 11), (30, 35, 30))
    step = replay.step([BoxPrompt(1, box)])
    # Half a side is seen around the box, at a spacing whose cells are coarse for this structure.
    assert step.crop.spacing == 4.0
    assert dice(step.mask.volume(SHAPE), truth(100)) > 0.6
    assert step.mask.outside(box.padded(1)).is_empty
    assert step.notes == ()


def test_a_box_chooses_how_closely_to_look(replay):
    assert replay.step([BoxPrompt(1, Box((17, 22, 17), (23, 28, 23)))]).crop.spacing == 1.0
    assert replay.step([BoxPrompt(1, Box((0, 0, 0), SHAPE))]).crop.spacing == 4.0


def test_a_model_without_boxes_is_given_a_point_and_its_mask_is_kept_to_the_box(volume):
    model = BrightnessModel(accepts_boxes=False)
    replay = Replay(volume, model)
    box = Box((40, 10, 10), (50, 30, 30))
    step = replay.step([BoxPrompt(1, box)])
    assert step.mask.box.intersection(box.padded(2)) == step.mask.box
    assert model.asked[-1][1].tolist() == [1]
    assert "knows no boxes" in " ".join(step.notes)
    negative = replay.step([BoxPrompt(1, box), Point(2, (45, 12, 12), False)])
    assert negative.mask.box.intersection(box.padded(2)) == negative.mask.box
    assert not negative.mask.contains((45, 12, 12))


def test_specks_that_nobody_clicked_are_dropped():
    voxels = np.zeros((60, 60, 60), dtype=np.int16)
    voxels[20:40, 20:40, 20:40] = 100
    voxels[4:12, 4:12, 4:12] = 100
    replay = Replay(Volume.from_array(voxels, spacing=(1, 1, 1)), BrightnessModel())
    body, speck = Point(1, (30, 30, 30)), Point(2, (9, 9, 9))
    assert not replay.step([body]).mask.contains((9, 9, 9))
    assert replay.step([body, speck]).mask.contains((9, 9, 9))
    boxed = replay.step([BoxPrompt(1, Box((2, 2, 2), (50, 50, 50)))])
    assert not boxed.mask.inside(Box((4, 4, 4), (12, 12, 12))).is_empty


def test_the_user_is_told_what_the_model_could_not_do(volume):
    blind = Replay(volume, BrightnessModel(tolerance=1e-6))
    step = blind.step([BALL_CLICK])
    assert step.mask.contains(BALL)
    assert "found nothing" in step.notes[0]
    near = Replay(volume, BrightnessModel(spacings=(2.0,)))
    assert "goes on beyond the 64 mm" in near.step([IN_SLAB]).notes[0]


def test_looking_ahead_spares_the_click_the_encoder(replay, model):
    assert replay.encode_speculatively((), BALL_CLICK)
    assert model.looked == 1
    assert model.asked == []
    assert not replay.encode_speculatively((), BALL_CLICK)
    replay.step([BALL_CLICK])
    assert model.looked == 1
    assert not replay.encode_speculatively((BALL_CLICK,), Point(2, (22, 25, 20)))


def test_a_click_that_was_foreseen_costs_nothing(replay, model, volume):
    assert replay.predict_speculatively((), Point(0, BALL))
    assert replay.predict_speculatively((BALL_CLICK,), BESIDE)
    assert not replay.predict_speculatively((BALL_CLICK,), BESIDE)
    asked = len(model.asked)
    told = replay.step([BALL_CLICK, BESIDE])
    assert len(model.asked) == asked
    assert not replay.predict_speculatively((BALL_CLICK,), BESIDE)
    alone = Replay(volume, BrightnessModel()).step([BALL_CLICK, BESIDE])
    assert np.array_equal(told.mask.volume(SHAPE), alone.mask.volume(SHAPE))
    assert np.array_equal(told.low_res_logits, alone.low_res_logits)


def test_only_the_newest_foreseen_click_is_kept_and_only_it_is_spared(replay, model):
    replay.predict_speculatively((), IN_SLAB)
    replay.predict_speculatively((), BALL_CLICK)
    asked = len(model.asked)
    replay.step([IN_SLAB])
    assert len(model.asked) > asked
    asked = len(model.asked)
    replay.predict_speculatively((IN_SLAB,), BALL_CLICK)
    replay.step([IN_SLAB, Point(1, BALL, positive=False)])
    assert len(model.asked) == asked + 2


def test_a_lone_negative_click_is_not_looked_at(replay, model):
    assert not replay.encode_speculatively((), BESIDE)
    replay.predict_speculatively((), BESIDE)
    assert model.looked == 0
    assert replay.step([BESIDE]).mask.is_empty


def test_looking_tells_its_progress(volume, model):
    told = []
    replay = Replay(volume, model, progress=lambda *news: told.append(news))
    replay.step([BALL_CLICK, BESIDE])
    assert [(done, of) for _, done, of in told] == [(0, 1), (1, 1)]


def test_a_small_volume_is_segmented_in_one_crop(model):
    voxels = np.zeros((9, 7, 3), dtype=np.float32)
    voxels[2:6, 2:5, 1:] = 50
    replay = Replay(Volume.from_array(voxels, spacing=(2, 2, 5)), model)
    step = replay.step([Point(1, (3, 3, 2)), Point(2, (0, 0, 0), False)])
    assert step.mask.contains((3, 3, 2))
    assert not step.mask.contains((0, 0, 0))
    assert model.looked == 1


@pytest.mark.parametrize("feeds", ["cumulative", "single"])
def test_clicks_are_obeyed_after_every_step(volume, feeds):
    replay = Replay(volume, BrightnessModel(feeds=feeds))
    rng = np.random.default_rng(1)
    places = [tuple(int(x) for x in rng.integers(0, SHAPE)) for _ in range(8)]
    prompts = [Point(n, place, n % 3 != 1) for n, place in enumerate(places)]
    for length in range(1, 9):
        mask = replay.step(prompts[:length]).mask
        assert all(mask.contains(p.index) == p.positive for p in prompts[:length])


PEA = (40, 52, 33)


def pea() -> Volume:
    """A small bright ball in a large dark volume."""
    voxels = np.zeros((80, 80, 80), dtype=np.int16)
    away = np.indices(voxels.shape) - np.reshape(PEA, (3, 1, 1, 1))
    voxels[(away**2).sum(axis=0) <= 7**2] = 100
    return Volume.from_array(voxels)


class BlindNearby(BrightnessModel):
    """Finds nothing in whatever fills much of what it looks at."""

    much = 0.003

    def _logits(self, image, points, labels, box, previous):
        logits = super()._logits(image, points, labels, box, previous)
        return logits if (logits > 0).mean() < self.much else np.full_like(logits, -self.tolerance)


PEA_CLICKS = [Point(n + 1, tuple(at + n for at in PEA)) for n in range(3)]


def test_a_small_structure_is_looked_at_from_near_by_from_the_third_click_on():
    volume, clicks = pea(), PEA_CLICKS
    model = BrightnessModel(64, spacings=(0.5, 1.0, 2.0))
    replay = Replay(volume, model)
    assert [replay.step(clicks[:n]).crop.spacing for n in (1, 2)] == [2.0, 2.0]
    assert model.looked == 1
    far = Replay(volume, BrightnessModel(64, spacings=(2.0,))).step(clicks)
    near = Replay(volume, model).step(clicks)
    assert (far.crop.spacing, near.crop.spacing) == (2.0, 1.0)
    wanted = volume.voxels > 50
    assert dice(near.mask.volume((80,) * 3), wanted) > dice(far.mask.volume((80,) * 3), wanted)


def test_a_look_from_near_by_that_finds_less_is_not_trusted():
    volume, clicks = pea(), PEA_CLICKS
    blind = BlindNearby(64, spacings=(1.0, 2.0))
    step = Replay(volume, blind).step(clicks)
    assert blind.looked == 2
    only_far = Replay(volume, BlindNearby(64, spacings=(2.0,))).step(clicks)
    assert step.crop.spacing == 2.0
    assert step.mask.equals(only_far.mask)


def test_a_box_is_looked_at_twice_the_second_time_from_nearer_by_with_the_mask():
    volume, box = pea(), BoxPrompt(1, Box((32, 44, 25), (49, 61, 42)))
    model = BrightnessModel(64, spacings=(0.5, 0.7, 1.0, 1.4))
    step = Replay(volume, model).step([box])
    assert step.crop.spacing == 0.5
    assert model.looked == 2
    (_, _, first, nothing), (_, _, second, fed) = model.asked
    assert nothing is None
    assert (fed > 0).any()
    assert np.diff(second, axis=0).min() > np.diff(first, axis=0).max()
    assert dice(step.mask.volume((80,) * 3), volume.voxels > 50) > 0.9


def test_a_nearer_look_at_a_box_that_sees_something_else_is_not_trusted():
    volume, box = pea(), BoxPrompt(1, Box((32, 44, 25), (49, 61, 42)))
    model = BlindNearby(64, spacings=(0.5, 0.7))
    model.much = 0.02
    step = Replay(volume, model).step([box])
    only_far = Replay(volume, BrightnessModel(64, spacings=(0.7,))).step([box])
    assert model.looked == 2
    assert step.crop.spacing == 0.7
    assert step.mask.equals(only_far.mask)
