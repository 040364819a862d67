"""The loss of one step of interaction."""

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.pyramid_decoder import Masks


def soft_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Give 1 - Dice of probabilities and occupancies, (B, 1, D, H, W) each; gives (B,)."""
    probability = torch.sigmoid(logits)
    overlap = 2 * (probability * truth).flatten(1).sum(1)
    return 1 - (overlap + 1) / (probability.flatten(1).sum(1) + truth.flatten(1).sum(1) + 1)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Give cross entropy plus Dice loss; the rim of small structures weighs as much as bulk.

    Parameters
    ----------
    logits, truth : Tensor
        (B, 1, D, H, W) logits, and the share of each cell that belongs to the structure.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(1)
    share = truth.flatten(1).mean(1).clamp(0.005, 0.2)
    return (entropy.mean(1) * (0.1 / share).sqrt() + soft_dice(logits, truth)).mean()


def intersection_over_union(logits: Tensor, truth: Tensor) -> Tensor:
    """Give the IoU of the thresholded mask and truth, (B, 1, D, H, W) each; gives (B, 1)."""
    got, wanted = (logits > 0).flatten(1), (truth > 0.5).flatten(1)
    union = (got | wanted).sum(1)
    return ((got & wanted).sum(1) / union.clamp(min=1))[:, None]


def step_loss(masks: Masks, truth: Tensor) -> Tensor:
    """Give the loss of both resolutions and of the quality estimate.

    Parameters
    ----------
    masks : Masks
        The decoder's output.
    truth : Tensor
        (B, 1, S/2, S/2, S/2) share of each cell that belongs to the structure.
    """
    coarse = F.avg_pool3d(truth, 2)
    iou = intersection_over_union(masks.fine.detach(), truth)
    quality = F.mse_loss(masks.quality, iou)
    return mask_loss(masks.fine, truth) + 0.4 * mask_loss(masks.low, coarse) + 0.5 * quality
