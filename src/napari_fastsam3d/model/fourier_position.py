"""Position encoding by random Fourier features (Tancik et al. 2020)."""

import math

import torch
from torch import Tensor, nn


class FourierPosition(nn.Module):
    """Encode positions in the unit cube as sines and cosines of random projections.

    Parameters
    ----------
    width : int
        Channels of the encoding, even.
    scale : float
        Standard deviation of the random frequencies, in cycles per cube.
    """

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", scale * torch.randn(3, width // 2))

    def forward(self, positions: Tensor) -> Tensor:
        """Encode (..., 3) positions in [0, 1], in array axis order; gives (..., width)."""
        phases = (2 * math.pi) * (2 * positions - 1) @ self.frequencies.to(positions.dtype)
        return torch.cat([phases.sin(), phases.cos()], dim=-1)
