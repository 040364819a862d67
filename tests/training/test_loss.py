"""The loss beside plain formulas in float64, its gradient beside finite differences."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.training.loss import (
    CANDIDATES,
    LEAST,
    halved,
    intersection_over_union,
    mask_losses,
    soft_dice,
    step_loss,
)

SEEDS = st.integers(0, 2**32 - 1)


def draw(seed: int, batch: int = 2, size: int = 4):
    """Logits and occupancies (B, 1, D, H, W) in float64."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (batch, 1, size, size, size))
    truth = rng.choice((0.0, 0.25, 1.0), logits.shape)
    return torch.from_numpy(logits), torch.from_numpy(truth)


def entropy_of(logits, truth):
    """Cross entropy of each cell, by the formula of a textbook."""
    p = expit(logits)
    return -(truth * np.log(p) + (1 - truth) * np.log(1 - p))


def dice_loss_of(logits, truth):
    p = expit(logits)
    return 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)


def loss_of(logits, truth, weight=1.0):
    share = np.clip(truth.mean(), 0.005, 0.2)
    return (weight * entropy_of(logits, truth)).mean() * np.sqrt(0.1 / share) + dice_loss_of(
        logits, truth
    )


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_loss_of_a_mask_is_weighted_cross_entropy_plus_dice(seed):
    logits, truth = draw(seed)
    weight = torch.rand_like(truth) + 1

    found = mask_losses(logits, truth, weight)

    arrays = (logits.numpy(), truth.numpy(), weight.numpy())
    wanted = [loss_of(*one) for one in zip(*arrays, strict=True)]
    assert np.allclose(found.numpy(), wanted, rtol=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_dice_of_each_mask_of_a_batch_is_its_own(seed):
    logits, truth = draw(seed, batch=3)

    found = soft_dice(logits, truth).numpy()

    pairs = zip(logits.numpy(), truth.numpy(), strict=True)
    assert np.allclose(found, [dice_loss_of(*pair) for pair in pairs])
    assert ((found >= 0) & (found < 1)).all()


def test_the_gradient_of_the_loss_is_that_of_finite_differences():
    logits, truth = draw(1, batch=1, size=2)
    weight = torch.rand_like(truth) + 1

    assert torch.autograd.gradcheck(
        lambda x: mask_losses(x, truth, weight), logits.requires_grad_(True)
    )


def test_halving_has_the_gradient_of_a_mean():
    field = torch.randn(1, 1, 4, 4, 4, dtype=torch.float64, requires_grad=True)

    halved(field).sum().backward()

    assert torch.equal(field.grad, torch.full_like(field, 1 / 8))


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_iou_counts_cells(seed):
    logits, truth = draw(seed, batch=3)

    found = intersection_over_union(logits, truth)

    for one, wanted, iou in zip(logits.numpy(), truth.numpy(), found, strict=True):
        got, real = set(np.flatnonzero(one > 0)), set(np.flatnonzero(wanted > 0.5))
        assert float(iou) == pytest.approx(len(got & real) / len(got | real))


def test_iou_of_nothing_and_nothing_is_none():
    empty = torch.zeros(1, 1, 2, 2, 2)

    assert intersection_over_union(empty - 1, empty).tolist() == [[0.0]]


def masks_of(fine: torch.Tensor, predicted_iou: float, candidates: Masks | None = None) -> Masks:
    ious = torch.full((len(fine), fine.shape[1]), predicted_iou, dtype=fine.dtype)
    return Masks(halved(fine), fine, ious, candidates)


def step_of(logits, truth, predicted_iou):
    """The loss of one mask of one sample, by the formulas above."""
    fine, wanted = logits.numpy()[0], truth.numpy()[0]
    coarse = halved(logits).numpy()[0], halved(truth).numpy()[0]
    drawn = loss_of(fine, wanted) + 0.4 * loss_of(*coarse)
    iou = float(intersection_over_union(logits, truth))
    return drawn, (predicted_iou - iou) ** 2, iou


def test_a_step_counts_both_resolutions_and_the_predicted_iou():
    logits, truth = draw(3, batch=1)

    step = step_loss(masks_of(logits, 0.3), truth)

    drawn, estimate, iou = step_of(logits, truth, 0.3)
    assert float(step.loss) == pytest.approx(drawn + 0.5 * estimate)
    assert step.iou.tolist() == step.best_iou.tolist() == pytest.approx([iou])


def test_of_the_candidates_the_best_one_learns_most():
    logits, truth = draw(4, batch=1)
    others = [torch.randn_like(logits), 8 * (truth - 0.4), -logits]
    each = [step_of(other, truth, 0.6) for other in others]

    step = step_loss(masks_of(logits, 0.3, masks_of(torch.cat(others, 1), 0.6)), truth)

    drawn, estimate, iou = step_of(logits, truth, 0.3)
    losses, estimates, ious = np.transpose(each)
    wanted = drawn + 0.5 * estimate + CANDIDATES * (losses.min() + LEAST * losses.mean())
    assert float(step.loss) == pytest.approx(wanted + 0.5 * estimates.mean())
    assert float(step.best_iou) == pytest.approx(ious.max())
    assert float(step.iou) == pytest.approx(iou)


def test_the_loss_falls_as_a_mask_nears_the_truth():
    _, truth = draw(5)
    steps = [step_loss(masks_of(scale * (truth - 0.5), 0.5), truth).loss for scale in (-4, 0, 4, 8)]

    assert all(later < earlier for earlier, later in pairwise(steps))
