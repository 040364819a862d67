"""What an adapter learns, and how fast: with clicks as in use, or as SAMed was trained."""

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.adaptation import Kind
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.training.loss import soft_dice, step_loss

RATES: dict[Kind, float] = {"lora": 1e-2, "norm": 2e-2, "bottleneck": 2e-2}
"""Learning rates with clicks."""

_WARM_UP = 0.05


@dataclass(frozen=True)
class Clicked:
    """Masks without a prompt and after clicks; the loss of the model's own training.

    Attributes
    ----------
    kind : "bottleneck", "norm" or "lora"
    unprompted : float
        Share of the samples without a prompt.
    weight_decay : float
    """

    kind: Kind
    unprompted: float = 0.5
    weight_decay: float = 0.01

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate: a short warm-up, then half a cosine."""
        part = step / steps
        warm = min(1, (part + 1 / steps) / _WARM_UP)
        return RATES[self.kind] * warm * 0.5 * (1 + math.cos(math.pi * part))

    def loss(self, masks: Masks, truth: Tensor) -> Tensor:
        """Return the loss of one answer."""
        return step_loss(masks, truth).loss


@dataclass(frozen=True)
class SAMed:
    """No prompts; 0.2 cross entropy and 0.8 Dice, warm-up and polynomial decay (Zhang & Liu 2023).

    SAMed takes the loss of masks at a quarter of the image's resolution; here it is that of the
    finest masks, at half of it, which have that one in them.
    """

    unprompted: float = 1.0
    weight_decay: float = 0.1

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate: 0.005, reached in 250 steps, or a quarter of fewer."""
        warm_up = min(250, max(1, steps // 4))
        if step < warm_up:
            return 0.005 * (step + 1) / warm_up
        return 0.005 * (1 - (step - warm_up) / max(1, steps - warm_up)) ** 0.9

    def loss(self, masks: Masks, truth: Tensor) -> Tensor:
        """Return the loss of one answer."""
        entropy = F.binary_cross_entropy_with_logits(masks.mask_logits, truth)
        return 0.2 * entropy + 0.8 * soft_dice(masks.mask_logits, truth).mean()
