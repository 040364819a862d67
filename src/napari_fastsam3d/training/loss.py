"""The loss of one step of interaction."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.default.masks import Masks

CANDIDATES = 0.7
"""Weight of the best candidate beside that of the main mask."""

LEAST = 0.05
"""Weight of all candidates alike, as a part of the best one's."""


def halved(x: Tensor) -> Tensor:
    """Average (B, C, D, H, W) over 2 x 2 x 2 cells; on a CPU much faster than pooling."""
    for axis in (2, 3, 4):
        even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
        x = 0.5 * (even + odd)
    return x


def soft_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Give 1 - Dice of probabilities and occupancies, (B, 1, D, H, W) each; gives (B,)."""
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * truth).flatten(1).sum(1)
    return 1 - (overlap + 1) / (probability.flatten(1).sum(1) + truth.flatten(1).sum(1) + 1)


def mask_losses(logits: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Give cross entropy plus Dice loss; the rim of small structures weighs as much as bulk.

    Parameters
    ----------
    logits, truth : Tensor
        (B, 1, D, H, W) logits, and the share of each cell that belongs to the structure.
    weight : Tensor or None
        (B, 1, D, H, W) how much more a cell counts in the cross entropy, such as near a click.

    Returns
    -------
    Tensor
        (B,)
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, weight, reduction="none")
    share = truth.flatten(1).mean(1).clamp(0.005, 0.2)
    return entropy.flatten(1).mean(1) * (0.1 / share).sqrt() + soft_dice(logits, truth)


def intersection_over_union(logits: Tensor, truth: Tensor) -> Tensor:
    """Give the IoU of the thresholded mask and truth, (B, 1, D, H, W) each; gives (B, 1)."""
    got, wanted = (logits > 0).flatten(1), (truth > 0.5).flatten(1)
    union = (got | wanted).sum(1)
    return ((got & wanted).sum(1) / union.clamp(min=1))[:, None]


class StepLoss(NamedTuple):
    """The loss of one step, and what it says of the masks.

    Attributes
    ----------
    loss : Tensor
        ()
    iou : Tensor
        (B,) of the main mask.
    best_iou : Tensor
        (B,) of the best candidate; where there are none, that of the main mask.
    """

    loss: Tensor
    iou: Tensor
    best_iou: Tensor


def step_loss(masks: Masks, truth: Tensor, weight: Tensor | None = None) -> StepLoss:
    """Give the loss of both resolutions and of the estimated IoU.

    Of the candidates the one with the least loss learns to be better (Guzman-Rivera et al. 2012,
    as SAM's multi-mask output), the others only a little, lest one of them is never the best.

    Parameters
    ----------
    masks : Masks
        The decoder's output.
    truth : Tensor
        (B, 1, S/2, S/2, S/2) share of each cell that belongs to the structure.
    weight : Tensor or None
        As of `mask_losses`.
    """
    coarse = halved(truth)
    near = None if weight is None else halved(weight)

    def of_estimate(one: Masks) -> tuple[Tensor, Tensor]:
        iou = intersection_over_union(one.mask_logits.detach(), truth)
        return (one.predicted_iou - iou).square().mean(1), iou[:, 0]

    def of_mask(one: Masks) -> tuple[Tensor, Tensor, Tensor]:
        drawn = mask_losses(one.mask_logits, truth, weight) + 0.4 * mask_losses(
            one.low_res_logits, coarse, near
        )
        return drawn, *of_estimate(one)

    drawn, estimate, iou = of_mask(masks)
    loss = drawn.mean() + 0.5 * estimate.mean()
    if masks.candidates is None:
        return StepLoss(loss, iou, iou)
    count = masks.candidates.predicted_iou.shape[1]
    each = [of_mask(masks.candidates.select(at, at + 1)) for at in range(count)]
    losses, estimates, ious = (torch.stack(values) for values in zip(*each, strict=True))
    if masks.fed is not None:
        loss = loss + 0.5 * of_estimate(masks.fed)[0].mean()
    loss = loss + CANDIDATES * (losses.amin(0).mean() + LEAST * losses.mean())
    return StepLoss(loss + 0.5 * estimates.mean(), iou, ious.amax(0))
