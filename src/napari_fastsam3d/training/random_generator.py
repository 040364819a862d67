"""Random draws: single numbers on the CPU, whole fields where they are needed."""

from typing import NamedTuple

import numpy as np
import torch


class RandomGenerator(NamedTuple):
    """Two generators of one seed, so that what is decided needs no answer from a GPU.

    Attributes
    ----------
    numbers : numpy.random.Generator
        Draws what decides what is done; the same on every device.
    fields : torch.Generator
        Draws arrays on a device; other ones on other kinds of device.
    """

    numbers: np.random.Generator
    fields: torch.Generator

    @classmethod
    def seeded(
        cls, seed: int | tuple[int, ...], device: torch.device | str = "cpu"
    ) -> "RandomGenerator":
        """Begin both from a seed."""
        numbers = np.random.default_rng(seed)
        fields = torch.Generator(device)
        fields.manual_seed(int(numbers.integers(2**62)))
        return cls(numbers, fields)

    @property
    def device(self) -> torch.device:
        """Where fields are drawn."""
        return self.fields.device

    def happens(self, share: float) -> bool:
        """Decide yes in a share of the draws; where that is none, nothing is drawn."""
        return share > 0 and self.numbers.random() < share

    def normal(self, *shape: int) -> torch.Tensor:
        """Draw a float32 field of unit variance."""
        return torch.randn(shape, generator=self.fields, device=self.device)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Draw a float32 field in [0, 1)."""
        return torch.rand(shape, generator=self.fields, device=self.device)
