import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_fastsam3d.model.pyramid_decoder import Masks
from napari_fastsam3d.training.interaction import first_prompts, next_prompts
from napari_fastsam3d.training.loss import intersection_over_union, soft_dice, step_loss

SIZE = 16


def block(low, high):
    truth = torch.zeros(1, 1, SIZE, SIZE, SIZE)
    truth[..., low[0] : high[0], low[1] : high[1], low[2] : high[2]] = 1
    return truth


def cell(point):
    return tuple(int(v) // 2 for v in point)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_first_prompt_lies_in_the_structure_or_boxes_it(seed):
    truth = block((3, 4, 5), (9, 12, 11))
    generator = torch.Generator().manual_seed(seed)
    prompts = first_prompts(truth, 3, generator)
    assert (prompts.labels[0, 0] == 1) or not prompts.box.isnan().any()
    if prompts.labels[0, 0] == 1:
        assert truth[0, 0][cell(prompts.points[0, 0])] == 1
    if not prompts.box.isnan().any():
        low, high = prompts.box[0]
        assert (low < high).all()
        assert (low < torch.tensor([9.0, 12, 15])).all()
        assert (high > torch.tensor([12.0, 18, 16])).all()
    assert (prompts.labels[0, 1:] == -1).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_next_click_corrects_an_error(seed):
    truth, got = block((2, 2, 2), (9, 9, 9)), block((5, 5, 5), (14, 14, 14))
    logits = got * 8 - 4
    generator = torch.Generator().manual_seed(seed)
    first = first_prompts(truth, 2, generator)
    low = F.avg_pool3d(logits, 2)
    prompts = next_prompts(first, 1, truth, logits, low, generator)
    where = cell(prompts.points[0, 1])
    assert truth[0, 0][where] != got[0, 0][where]
    assert prompts.labels[0, 1] == truth[0, 0][where]
    assert torch.equal(prompts.previous, low)


def test_a_perfect_mask_gets_no_click():
    truth = block((2, 2, 2), (9, 9, 9))
    generator = torch.Generator().manual_seed(0)
    first = first_prompts(truth, 2, generator)
    prompts = next_prompts(first, 1, truth, truth * 8 - 4, F.avg_pool3d(truth, 2), generator)
    assert prompts.labels[0, 1] == -1


def test_dice_and_iou_by_hand():
    truth, half = block((0, 0, 0), (8, 8, 8)), block((0, 0, 0), (4, 8, 8))
    assert intersection_over_union(half * 20 - 10, truth).item() == 0.5
    assert abs(soft_dice(half * 60 - 30, truth).item() - (1 - 513 / 769)) < 1e-4


def test_the_loss_prefers_the_better_mask():
    truth = block((2, 2, 2), (9, 9, 9))

    def loss(mask, quality):
        fine = mask * 12 - 6
        return step_loss(Masks(F.avg_pool3d(fine, 2), fine, torch.tensor([[quality]])), truth)

    near, far = block((2, 2, 2), (9, 9, 8)), block((8, 8, 8), (15, 15, 15))
    assert loss(truth, 1.0) < loss(near, 0.9) < loss(far, 0.0)
    assert loss(truth, 1.0) < loss(truth, 0.2)
