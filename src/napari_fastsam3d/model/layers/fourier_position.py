"""Position encoding by random Fourier features (Tancik et al. 2020)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Wave = Literal["sin", "cos"]


class FourierPosition(nn.Module):
    """Encode positions in the unit cube as sines and cosines of random projections.

    Parameters
    ----------
    width : int
        Channels of the encoding, a multiple of the number of waves.
    scale : float
        Standard deviation of the random frequencies, in cycles per cube.
    waves : tuple of {"sin", "cos"}
        What is taken of each phase. The published models take `("sin", "cos", "sin")`: the third
        repeats the first, and their weights were trained so.
    """

    def __init__(
        self, width: int, scale: float = 1.0, waves: tuple[Wave, ...] = ("sin", "cos")
    ) -> None:
        super().__init__()
        self.waves = waves
        self.frequencies = nn.Buffer(scale * torch.randn(3, width // len(waves)))

    @property
    def device(self) -> torch.device:
        """Where the frequencies lie."""
        return self.frequencies.device

    def forward(self, positions: Tensor) -> Tensor:
        """Encode (..., 3) positions in [0, 1], in array axis order; gives (..., width)."""
        phases = (2 * math.pi) * (2 * positions - 1) @ self.frequencies.to(positions.dtype)
        taken = {"sin": phases.sin(), "cos": phases.cos()}
        return torch.cat([taken[wave] for wave in self.waves], dim=-1)
