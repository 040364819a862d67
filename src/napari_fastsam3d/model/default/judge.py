"""How good each of several masks is: an estimate of its IoU with what the user means."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALARS = 7
"""Plain features of a mask beside what is pooled under it."""


class MaskJudge(nn.Module):
    """Estimate the IoU of masks from what lies in them and on their borders.

    SAM's estimate is made of a mask's token alone, before the mask is known (Kirillov et al. 2023).
    This one sees the mask: features pooled inside it and along its border, its size, how sure it
    is, how much of it ends at the faces of the crop, and how far it agrees with the others. Nothing
    flows back from it: the masks learn as if it weren't there.

    Parameters
    ----------
    width, features : int
        Channels of the tokens, and of the decoder's features at S/4.
    """

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.pooled_norm = nn.LayerNorm(2 * features)
        self.hidden = nn.Linear(width + 2 * features + SCALARS, 96)
        self.last = nn.Linear(96, 1)

    def forward(self, tokens: Tensor, features: Tensor, low_res_logits: Tensor) -> Tensor:
        """Estimate IoUs.

        Parameters
        ----------
        tokens : Tensor
            (B, K, width), one for each mask.
        features : Tensor
            (B, D, H, W, C) at S/4.
        low_res_logits : Tensor
            (B, K, D, H, W) logits of the masks, the main one first.

        Returns
        -------
        Tensor
            (B, K) in [0, 1], float32.
        """
        with torch.autocast(low_res_logits.device.type, enabled=False):
            probability = torch.sigmoid(low_res_logits.detach().float())
            flat, seen = probability.flatten(2), features.detach().flatten(1, 3).float()
            border = flat * (1 - flat)
            pooled = torch.cat([_pooled(flat, seen), _pooled(border, seen)], -1)
            described = torch.cat(
                [
                    self.norm(tokens.detach().float()),
                    self.pooled_norm(pooled),
                    _plain_features(probability, border),
                ],
                -1,
            )
            hidden = F.gelu(self.hidden(described), approximate="tanh")
            return torch.sigmoid(self.last(hidden))[..., 0]


def _pooled(weights: Tensor, features: Tensor) -> Tensor:
    """Average features (B, N, C) by weights (B, K, N); gives (B, K, C)."""
    return (weights @ features) / weights.sum(2, keepdim=True).clamp(min=1e-3)


def _plain_features(probability: Tensor, border: Tensor) -> Tensor:
    """Give (B, K, `SCALARS`), each about -1 to 1."""
    flat = probability.flatten(2)
    total = flat.sum(2).clamp(min=1e-3)
    inside = (flat > 0.5).float()
    faces = sum(
        probability.select(axis, end).flatten(2).sum(2) for axis in (2, 3, 4) for end in (0, -1)
    )
    shared = flat @ flat.transpose(1, 2)
    either = total[:, :, None] + total[:, None] - shared
    overlap = shared / either.clamp(min=1e-3)
    others = (overlap.sum(2) - overlap.diagonal(dim1=1, dim2=2)) / max(1, overlap.shape[1] - 1)
    return torch.stack(
        [
            0.2 * (total / flat.shape[2]).log() + 1,
            (flat * inside).sum(2) / inside.sum(2).clamp(min=1),
            border.sum(2) / total,
            (faces / total).clamp(max=2),
            flat.amax(2),
            overlap[:, :, 0],
            others,
        ],
        -1,
    )
