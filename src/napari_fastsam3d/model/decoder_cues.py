"""What prompts tell a mask decoder beyond their tokens and maps."""

from typing import NamedTuple

from torch import Tensor, nn


class DecoderCues(NamedTuple):
    """What is added to a decoder's features; None adds nothing.

    Attributes
    ----------
    points, corners : Tensor or None
        (B, N, width) and (B, 1, width), to the tokens of the points and of the box's corners.
    tokens : Tensor or None
        (B, cells, width), to the image tokens at S/16.
    coarse, middle, fine : Tensor or None
        (B, D, H, W, C), to the features at S/8, S/4 and S/2.
    """

    points: Tensor | None = None
    corners: Tensor | None = None
    tokens: Tensor | None = None
    coarse: Tensor | None = None
    middle: Tensor | None = None
    fine: Tensor | None = None


def from_zero(layer: nn.Linear) -> nn.Linear:
    """Make a layer begin as nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def mlp_from_zero(width: int, hidden: int, out_width: int) -> nn.Sequential:
    """Give two layers that begin as nothing."""
    last = from_zero(nn.Linear(hidden, out_width))
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), last)
