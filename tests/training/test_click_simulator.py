from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.training.loss import (
    halved,
    intersection_over_union,
    soft_dice,
    step_loss,
)
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.simulator import (
    first_prompts,
    next_prompts,
    shown_mask,
    used_points,
)

SIZE = 16
SEEDS = st.integers(0, 10_000)


def block(low, high):
    truth = torch.zeros(1, 1, SIZE, SIZE, SIZE)
    truth[..., low[0] : high[0], low[1] : high[1], low[2] : high[2]] = 1
    return truth


def cell(point):
    return tuple(int(v) // 2 for v in point)


def clicks(prompts, b=0):
    return [
        (cell(point), int(label))
        for point, label in zip(prompts.points[b], prompts.labels[b], strict=True)
        if label >= 0
    ]


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_the_first_prompt_lies_in_the_structure_boxes_it_or_corrects_a_mask(seed):
    truth = block((3, 4, 5), (9, 12, 11))
    prompts = first_prompts(truth, 3, RandomGenerator.seeded(seed))
    given_mask = bool(prompts.previous.any())
    boxed = not prompts.box.isnan().any()
    assert given_mask or boxed or clicks(prompts)
    for where, label in clicks(prompts):
        assert truth[0, 0][where] == label
        assert label == 1 or given_mask
    if boxed:
        low, high = prompts.box[0]
        assert (low < high).all()
        assert (low < torch.tensor([9.0, 12, 15])).all()
        assert (high > torch.tensor([12.0, 18, 16])).all()
    assert len(clicks(prompts)) <= 1


def test_every_kind_of_beginning_is_drawn():
    truth = block((3, 4, 5), (9, 12, 11)).expand(200, -1, -1, -1, -1)
    prompts = first_prompts(truth, 1, RandomGenerator.seeded(0))
    boxed = ~prompts.box.isnan().flatten(1).any(1)
    pointed = (prompts.labels >= 0).any(1)
    masked = prompts.previous.flatten(1).any(1)
    for kind in (boxed & ~pointed, boxed & pointed, pointed & ~boxed & ~masked, masked):
        assert 5 < kind.sum() < 180


def test_the_first_point_lies_where_the_crop_was_placed_for_it():
    truth = block((3, 4, 5), (9, 12, 11)).expand(60, -1, -1, -1, -1)
    aimed = torch.arange(60) % 2 == 0
    placed = torch.where(aimed[:, None], torch.tensor([9.0, 15, 13]), torch.nan)
    prompts = first_prompts(truth, 1, RandomGenerator.seeded(0), placed, boxes=0.5)
    boxed = ~prompts.box.isnan().flatten(1).any(1)
    plain = aimed & (prompts.labels[:, 0] == 1) & ~prompts.previous.flatten(1).any(1)
    assert plain.sum() > 20
    assert (prompts.points[plain, 0] == placed[plain]).all()
    assert boxed[aimed].sum() < boxed[~aimed].sum()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_further_clicks_correct_errors_and_lie_apart(seed, most):
    truth, got = block((2, 2, 2), (9, 9, 9)), block((5, 5, 5), (14, 14, 14))
    logits = got * 8 - 4
    random = RandomGenerator.seeded(seed)
    first = first_prompts(truth, 1 + most, random)
    low = F.avg_pool3d(logits, 2)
    prompts = next_prompts(first, truth, logits, low, random, most)
    old, new = clicks(first), clicks(prompts)
    assert torch.equal(prompts.previous, low)
    assert len(new) <= len(old) + most
    for where, label in set(new) - set(old):
        assert truth[0, 0][where] != got[0, 0][where]
        assert label == truth[0, 0][where]
    added = [where for where, label in new if (where, label) not in old]
    for i, one in enumerate(added):
        assert all(max(abs(a - b) for a, b in zip(one, two, strict=True)) > 2 for two in added[:i])


def test_the_user_takes_a_click_back_now_and_then():
    truth, got = block((2, 2, 2), (9, 9, 9)), block((5, 5, 5), (14, 14, 14))
    random = RandomGenerator.seeded(0)
    prompts = first_prompts(truth, 4, random)
    low = F.avg_pool3d(got, 2)
    two = next_prompts(prompts, truth, got * 8 - 4, low, random)
    fewer = [
        len(clicks(next_prompts(two, truth, got * 8 - 4, low, random))) < len(clicks(two))
        for _ in range(200)
    ]
    assert 2 <= sum(fewer) <= 40


def test_there_are_never_more_clicks_than_room():
    truth, got = block((2, 2, 2), (9, 9, 9)), block((5, 5, 5), (14, 14, 14))
    random = RandomGenerator.seeded(1)
    prompts = first_prompts(truth, 2, random)
    for _ in range(6):
        prompts = next_prompts(prompts, truth, got * 8 - 4, F.avg_pool3d(got, 2), random, 3)
        assert prompts.points.shape[1] == 2
        assert len(clicks(prompts)) <= 2


def test_a_perfect_mask_gets_no_click():
    truth = block((2, 2, 2), (9, 9, 9))
    random = RandomGenerator.seeded(0)
    first = first_prompts(truth, 2, random)
    prompts = next_prompts(first, truth, truth * 8 - 4, F.avg_pool3d(truth, 2), random)
    assert clicks(prompts) == clicks(first)


def test_places_that_no_sample_uses_are_left_out():
    truth = block((3, 4, 5), (9, 12, 11))
    prompts = first_prompts(truth, 5, RandomGenerator.seeded(3))
    labels = torch.tensor([[1, -1, 0, -1, -1]])
    kept = used_points(replace(prompts, labels=labels))
    assert kept.labels.tolist() == [[1, 0]]
    assert torch.equal(kept.points, prompts.points[:, [0, 2]])
    assert used_points(replace(prompts, labels=-labels.abs())).labels.shape == (1, 1)


def test_dice_and_iou_by_hand():
    truth, half = block((0, 0, 0), (8, 8, 8)), block((0, 0, 0), (4, 8, 8))
    assert intersection_over_union(half * 20 - 10, truth).item() == 0.5
    assert soft_dice(half * 60 - 30, truth).item() == pytest.approx(1 - 513 / 769, abs=1e-4)


def test_the_loss_prefers_the_better_mask():
    truth = block((2, 2, 2), (9, 9, 9))

    def loss(mask, predicted_iou):
        fine = mask * 12 - 6
        return step_loss(
            Masks(F.avg_pool3d(fine, 2), fine, torch.tensor([[predicted_iou]])), truth
        ).loss

    near, far = block((2, 2, 2), (9, 9, 8)), block((8, 8, 8), (15, 15, 15))
    assert loss(truth, 1.0) < loss(near, 0.9) < loss(far, 0.0)
    assert loss(truth, 1.0) < loss(truth, 0.2)


def masks_of(*shapes, predicted_iou=0.5):
    fine = torch.cat([shape * 12 - 6 for shape in shapes], 1)
    return Masks(F.avg_pool3d(fine, 2), fine, torch.full((1, len(shapes)), predicted_iou))


def test_the_candidate_that_is_right_is_the_one_that_counts():
    truth, other = block((2, 2, 2), (9, 9, 9)), block((8, 8, 8), (15, 15, 15))
    right = masks_of(other)._replace(candidates=masks_of(other, truth))
    wrong = masks_of(other)._replace(candidates=masks_of(other, other))
    main = step_loss(masks_of(other), truth)
    assert step_loss(right, truth).loss - main.loss < 0.3 * (
        step_loss(wrong, truth).loss - main.loss
    )
    assert step_loss(right, truth).best_iou.item() == 1
    assert step_loss(right, truth).iou.item() == main.iou.item() == main.best_iou.item() < 0.1


def test_an_error_beside_a_click_weighs_more_than_one_far_away():
    truth = block((2, 2, 2), (14, 14, 14))
    weight = 1 + 5 * block((2, 2, 2), (6, 6, 6))
    near, far = truth - block((2, 2, 2), (5, 5, 5)), truth - block((11, 11, 11), (14, 14, 14))
    assert step_loss(masks_of(near), truth).loss == pytest.approx(
        step_loss(masks_of(far), truth).loss.item(), rel=0.02
    )
    assert (
        step_loss(masks_of(near), truth, weight).loss
        > 1.1 * step_loss(masks_of(far), truth, weight).loss
    )


def test_the_user_corrects_the_main_mask_or_the_candidate_held_to_be_best():
    one, two, three = (block((n, n, n), (n + 5, n + 5, n + 5)) for n in (1, 4, 8))
    masks = masks_of(one)._replace(
        candidates=masks_of(two, three)._replace(predicted_iou=torch.tensor([[0.2, 0.9]]))
    )
    seen = {
        int((shown_mask(masks, RandomGenerator.seeded(seed)).mask_logits > 0).float().argmax())
        for seed in range(20)
    }
    assert seen == {int(shape.argmax()) for shape in (one, three)}
    assert shown_mask(masks_of(one), RandomGenerator.seeded(0)).mask_logits.equal(masks.mask_logits)


@pytest.mark.parametrize("shape", [(2, 1, 6, 8, 10), (1, 3, 4, 4, 4)])
def test_halving_is_average_pooling(shape):
    field = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(halved(field), F.avg_pool3d(field, 2), atol=1e-6)
