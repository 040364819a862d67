"""Recall with a model whose features are intensities: what it says is known beforehand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_model import SHAPE, FeatureModel, scan

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.accepted import accepted_case, refusal
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.prompt import BoxPrompt, Point
from napari_fastsam3d.inference.recall_prompts import FromMemory
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.memory.remember import remembered_case


@pytest.fixture
def model() -> FeatureModel:
    return FeatureModel(size=64, spacings=(1.0, 2.0, 4.0))


@pytest.fixture
def bank(tmp_path: Path):
    with MemoryBank(tmp_path) as bank:
        yield bank


def remember(bank: MemoryBank, model: FeatureModel, volume: Volume, mask: Mask, name: str) -> str:
    case = accepted_case(model, volume, mask, name, predicted_iou=0.9, clicks=2)
    bank.add(case)
    return case.entry.id


PRIOR, PUBLISHED = FromMemory("prior"), FromMemory("published")
CLICK = Point(1, (21, 24, 20))
FAR = Point(2, (50, 25, 20))


def test_a_remembered_case_holds_what_it_should(bank: MemoryBank, model: FeatureModel):
    volume, mask = scan()
    case = bank.get(remember(bank, model, volume, mask, "ball"))

    fine, coarse = case.tokens
    assert case.entry.is_of(volume.content_hash)
    assert (case.entry.quality, case.entry.clicks, case.entry.name) == (0.9, 2, "ball")
    assert fine.cell == 4 * case.entry.spacing
    assert coarse.cell == 8 * case.entry.spacing
    voxels = np.count_nonzero(mask.voxels) * 8
    for tokens in case.tokens:
        assert tokens.mask.astype(float).sum() * tokens.cell**3 == pytest.approx(voxels, rel=0.02)
        middle = np.average(tokens.places().reshape(-1, 3), axis=0, weights=tokens.mask.ravel())
        np.testing.assert_allclose(middle, 0, atol=1.5)
    assert case.foreground.shape[1] == case.background.shape[1] == 3
    assert (case.foreground.argmax(axis=1) == 1).any()
    assert (case.background.argmax(axis=1) == 0).all()


def test_what_is_stored_holds_no_voxels_and_no_names(bank: MemoryBank, model: FeatureModel):
    volume, mask = scan()
    named = replace(volume, name="DOE^JOHN")
    remember(bank, model, named, mask, "ball")
    content = b"".join(path.read_bytes() for path in bank.path.rglob("*") if path.is_file())
    assert b"DOE" not in content
    assert volume.content_hash.encode() not in content
    assert volume.content_hash[:16].encode() not in content


def test_without_a_memory_and_with_an_empty_one_masks_are_the_same(
    bank: MemoryBank, model: FeatureModel
):
    volume, _ = scan()
    plain = Replay(volume, model)
    empty = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1))
    for prompts in ([CLICK], [CLICK, replace(FAR, positive=False)]):
        one, other = plain.step(prompts), empty.step([FromMemory("prior", "ball"), *prompts])
        assert one.mask.box == other.mask.box
        np.testing.assert_array_equal(one.mask.voxels, other.mask.voxels)
        np.testing.assert_array_equal(one.low_res_logits, other.low_res_logits)
        assert other.recalled == ()


def test_a_case_of_another_scan_is_recalled_and_fed(bank: MemoryBank, model: FeatureModel):
    known = remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    volume, truth = scan()

    step = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1)).step([PRIOR, CLICK])

    (used,) = step.recalled
    assert used.entry.id == known
    assert used.weight == 1
    fed = model.asked[-1][3]
    assert fed is not None
    expected = step.crop.resample_mask(truth.box, truth.voxels, 4)
    inside, outside = fed[expected > 0.9], fed[expected == 0]
    assert (inside > 0).all()
    assert (outside < 0).mean() > 0.98


def test_a_recalled_case_says_how_closely_to_look(bank: MemoryBank):
    model = FeatureModel(size=64, spacings=(1.9, 2.0, 4.0))
    remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    volume, _ = scan()
    plain = Replay(volume, model).step([CLICK])
    told = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1)).step([PRIOR, CLICK])
    assert plain.crop.spacing == 2.0
    assert told.crop.spacing == 1.9


def test_a_scan_never_recalls_itself(bank: MemoryBank, model: FeatureModel):
    volume, mask = scan()
    remember(bank, model, volume, mask, "ball")
    step = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1)).step([PRIOR, CLICK])
    assert step.recalled == ()


def test_a_bank_of_other_structures_changes_nothing(bank: MemoryBank, model: FeatureModel):
    other, _ = scan((25, 20, 18), seed=1)
    slab = np.zeros(SHAPE, bool)
    slab[45:55] = True
    remember(bank, model, other, Mask.of_volume(slab), "slab")
    volume, _ = scan()

    step = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1)).step([PRIOR, CLICK])
    plain = Replay(volume, model).step([CLICK])

    assert step.recalled == ()
    np.testing.assert_array_equal(step.mask.voxels, plain.mask.voxels)
    np.testing.assert_array_equal(step.low_res_logits, plain.low_res_logits)


def test_a_name_chooses_the_structure(bank: MemoryBank, model: FeatureModel):
    other, ball = scan((25, 20, 18), seed=1)
    remember(bank, model, other, ball, "whole")
    upper = ball.inside(Box((0, 0, 18), SHAPE))
    remember(bank, model, other, upper, "upper half")
    volume, _ = scan()
    replay = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1))

    names = [
        replay.step([FromMemory("prior", name), CLICK]).recalled[0].entry.name
        for name in ("whole", "upper half")
    ]

    assert names == ["whole", "upper half"]


def test_clicks_that_contradict_what_was_recalled_make_it_fade(
    bank: MemoryBank, model: FeatureModel
):
    remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    volume, _ = scan()
    replay = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1))
    against = [Point(n, (20 + n, 25, 20), positive=False) for n in range(2, 5)]

    recalled = [len(replay.step([PRIOR, CLICK, *against[:n]]).recalled) for n in range(4)]

    assert recalled == [1, 1, 1, 0]


def test_undo_and_replay_are_exact(bank: MemoryBank, model: FeatureModel):
    remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    volume, _ = scan()
    recall = Recall(bank, model, volume, fewest=1)
    replay = Replay(volume, model, recall=recall)
    first = replay.step([PRIOR, CLICK])
    replay.step([PRIOR, CLICK, FAR])
    remember(bank, model, *scan((22, 22, 18), seed=2), "ball")  # comes too late for this session

    assert replay.step([PRIOR, CLICK]) is first
    again = Replay(volume, model, recall=recall, bytes_kept=1).step([PRIOR, CLICK])
    np.testing.assert_array_equal(again.mask.voxels, first.mask.voxels)
    assert again.recalled == first.recalled


def test_one_case_alone_is_not_enough(bank: MemoryBank, model: FeatureModel):
    volume, _ = scan()
    remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    assert (
        Replay(volume, model, recall=Recall(bank, model, volume)).step([PRIOR, CLICK]).recalled
        == ()
    )

    remember(bank, model, *scan((22, 22, 18), seed=2), "ball")
    step = Replay(volume, model, recall=Recall(bank, model, volume)).step([PRIOR, CLICK])
    assert sum(each.weight for each in step.recalled) == pytest.approx(1)
    assert len(step.recalled) == 2


def test_an_object_begun_with_a_box_recalls_nothing(bank: MemoryBank, model: FeatureModel):
    remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    volume, truth = scan()
    step = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1)).step(
        [PRIOR, BoxPrompt(1, truth.box)]
    )
    assert step.recalled == ()


def test_a_case_that_was_damaged_or_forgotten_is_left_out(bank: MemoryBank, model: FeatureModel):
    for seed in (1, 2):
        remember(bank, model, *scan((25, 20, 18), seed=seed), "ball")
    volume, _ = scan()
    recall = Recall(bank, model, volume, fewest=1)
    bank.forget(bank.list()[0].id)

    step = Replay(volume, model, recall=recall).step([PRIOR, CLICK])

    assert [each.entry.id for each in step.recalled] == [bank.list()[0].id]
    assert step.recalled[0].weight == pytest.approx(1)


def test_recalls_are_counted_once_an_object(bank: MemoryBank, model: FeatureModel):
    remember(bank, model, *scan((25, 20, 18), seed=1), "ball")
    volume, _ = scan()
    replay = Replay(volume, model, recall=Recall(bank, model, volume, fewest=1))
    for prompts in ([PRIOR, CLICK], [PRIOR, CLICK, FAR], [PRIOR, CLICK]):
        replay.step(prompts)
    assert bank.list()[0].recalled == 1


def test_the_default_model_remembers_and_recalls(bank: MemoryBank, tiny_predictor):
    def policy(volume):
        return CropPolicy.of(volume, tiny_predictor)

    volume, mask = scan((25, 20, 18), seed=1)
    crop = policy(volume).at_click((25, 20, 18))
    case = remembered_case(tiny_predictor, volume, (crop, crop, crop), mask, "ball")
    bank.add(case)
    other, _ = scan()

    recall = Recall(bank, tiny_predictor, other, least=-1, fewest=1)
    replay = Replay(other, tiny_predictor, recall=recall)
    step, plain = replay.step([PRIOR, CLICK]), replay.step([CLICK])
    attended = replay.step([PUBLISHED, CLICK])

    assert case.keys is not None
    assert case.keys.shape == (2, 512, 8)
    assert [each.entry.id for each in step.recalled] == [case.entry.id]
    assert [each.entry.id for each in attended.recalled] == [case.entry.id]
    assert plain.recalled == ()
    assert not np.array_equal(attended.low_res_logits, plain.low_res_logits)


def test_only_good_masks_are_remembered_by_themselves():
    assert refusal(0.9, 1) is None
    assert refusal(None, 10) is None
    assert "0.40" in (refusal(0.4, 1) or "")
    assert "11" in (refusal(0.9, 11) or "")
