"""What the mask decoder of the default model gives."""

from typing import NamedTuple

from torch import Tensor


class Masks(NamedTuple):
    """Masks of one step of interaction.

    Attributes
    ----------
    low_res_logits, mask_logits : Tensor
        (B, K, S/4, S/4, S/4) and (B, K, S/2, S/2, S/2) logits.
    predicted_iou : Tensor
        (B, K) predicted IoU of each mask with the truth.
    candidates : Masks or None
        Of a decoder that proposes them: what else the prompts may mean, in no order.
    fed : Masks or None
        Of a decoder that judges it: the mask that was fed back.
    """

    low_res_logits: Tensor
    mask_logits: Tensor
    predicted_iou: Tensor
    candidates: "Masks | None" = None
    fed: "Masks | None" = None

    def select(self, start: int, stop: int | None) -> "Masks":
        """Give some of the masks, without those beside them."""
        part = slice(start, stop)
        return Masks(
            self.low_res_logits[:, part], self.mask_logits[:, part], self.predicted_iou[:, part]
        )
