"""Volumetric layers on channels-last tensors.

Every feature map here is (B, D, H, W, C): on a CPU the 3 x 3 x 3 convolutions run two to five
times faster in that layout, and normalisation, merging and expanding need no transposition.
"""

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Convolution(nn.Module):
    """A 3 x 3 x 3 convolution, zero padded, on a channels-last map."""

    def __init__(self, width: int, out_width: int | None = None) -> None:
        super().__init__()
        conv = nn.Conv3d(width, out_width or width, 3, padding=1)
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last_3d)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W, C) to (B, D, H, W, C')."""
        return convolve(self.conv, x.movedim(-1, 1)).movedim(1, -1)


def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """Apply a zero-padded 3 x 3 x 3 convolution to (B, C, D, H, W).

    For one small sample in float32 torch chooses `slow_conv3d` where oneDNN takes six tenths of
    its time, so in inference on a CPU oneDNN is called by name.
    """
    rounded = torch.is_autocast_enabled("cpu")
    if (
        x.device.type != "cpu"
        or x.dtype != torch.float32
        or rounded
        or torch.is_grad_enabled()
        or not torch.backends.mkldnn.is_available()
    ):
        return conv(x)
    one = (1, 1, 1)
    return torch.mkldnn_convolution(x, conv.weight, conv.bias, one, one, one, 1)


class ResidualBlock(nn.Module):
    """Two convolutions in a residual branch: norm, convolution, GELU, convolution.

    The branch starts at zero, so that a deep stack begins as the identity.

    Parameters
    ----------
    width : int
        Channels.
    pointwise : bool
        Whether the second convolution sees single voxels only, at half of the cost.
    """

    def __init__(self, width: int, pointwise: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv1 = Convolution(width)
        self.conv2 = nn.Linear(width, width) if pointwise else Convolution(width)
        last = self.conv2 if isinstance(self.conv2, nn.Linear) else self.conv2.conv
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W, C) to the same shape."""
        return x + self.conv2(F.gelu(self.conv1(self.norm(x)), approximate="tanh"))


class SeparableBlock(nn.Module):
    """A depthwise convolution and a pointwise MLP in a residual branch (Liu et al. 2022, ConvNeXt).

    In float32 on a CPU it takes a fifth of the time of a `ResidualBlock`. The branch starts at
    zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        conv = nn.Conv3d(width, width, 3, padding=1, groups=width)
        conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last_3d)
        self.conv = conv
        self.norm = nn.LayerNorm(width)
        last = nn.Linear(2 * width, width)
        nn.init.zeros_(last.weight)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(inplace=True), last)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W, C) to the same shape."""
        return x + self.mlp(self.norm(self._neighbours(x.movedim(-1, 1)).movedim(1, -1)))

    def _neighbours(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return self.conv(x)
        # Its gradients take a CPU three times longer in bfloat16 than in float32.
        with torch.autocast("cpu", enabled=False):
            return self.conv(x.float())


def space_to_depth(x: Tensor) -> Tensor:
    """Fold 2 x 2 x 2 neighbours into channels: (B, 2D, 2H, 2W, C) to (B, D, H, W, 8 C)."""
    steps = product((0, 1), repeat=3)
    return torch.cat([x[:, i::2, j::2, k::2] for i, j, k in steps], dim=-1)


def depth_to_space(x: Tensor) -> Tensor:
    """Unfold channels into 2 x 2 x 2 neighbours: (B, D, H, W, 8 C) to (B, 2D, 2H, 2W, C)."""
    b, d, h, w, c = x.shape
    x = x.reshape(b, d, h, w, 2, 2, 2, c // 8)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, 2 * d, 2 * h, 2 * w, c // 8)


class Merge(nn.Module):
    """Halve the grid: a convolution with kernel = stride = 2, written as a matrix product."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * width, out_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 2D, 2H, 2W, C) to (B, D, H, W, C')."""
        return self.linear(space_to_depth(x))


class Expand(nn.Module):
    """Double the grid: a transposed convolution with kernel = stride = 2, as a matrix product."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 8 * out_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W, C) to (B, 2D, 2H, 2W, C')."""
        return depth_to_space(self.linear(x))
