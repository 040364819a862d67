"""How much more often an intensity is met in one place of a crop than in another."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BINS, LARGEST = 80, 4.0
"""Bins of the histograms, and the normalised intensity from which on all is in the last one."""

RARE = 1e-3
"""Share added to each bin, so that what is met on neither side tells nothing."""


@dataclass(frozen=True)
class LikelihoodRatio:
    """Two tables of log ratios, the second with the cells within weighed by the first.

    GrabCut (Rother et al. 2004) tells an object in a box so from what lies around it, and goes on
    from what that found.

    Attributes
    ----------
    first, second : Tensor
        (B, BINS).
    """

    first: Tensor
    second: Tensor

    @classmethod
    def of(cls, intensity: Tensor, within: Tensor, around: Tensor) -> "LikelihoodRatio":
        """Compare normalised intensities (B, D, H, W) by weights of the same shape."""
        bins = _bins(intensity)
        other = _histogram(bins, around)

        def ratio(weights: Tensor) -> Tensor:
            return ((_histogram(bins, weights) + RARE) / (other + RARE)).log()

        first = ratio(within)
        likely = torch.sigmoid(first.gather(1, bins).view_as(intensity))
        return cls(first, ratio(within * likely))

    def maps(self, intensity: Tensor) -> Tensor:
        """Look intensities (B, D, H, W) up in both; gives (B, 2, D, H, W) in [-1, 1].

        At 1 they are met within only, at -1 around only.
        """
        bins = _bins(intensity)
        found = [torch.tanh(table.gather(1, bins) / 2) for table in (self.first, self.second)]
        return torch.stack(found, 1).unflatten(2, intensity.shape[1:])


def _bins(intensity: Tensor) -> Tensor:
    """Give the bin of each intensity (B, D, H, W), (B, cells)."""
    scaled = (intensity.float() + LARGEST) * (BINS / (2 * LARGEST))
    return scaled.floor().clamp(0, BINS - 1).long().flatten(1)


def _histogram(bins: Tensor, weights: Tensor) -> Tensor:
    """Give the shares (B, BINS) of weights (B, D, H, W), smoothed over neighbouring bins."""
    counts = weights.new_zeros(len(weights), BINS).scatter_add_(1, bins, weights.flatten(1))
    kernel = counts.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    smooth = F.conv1d(counts[:, None], kernel[None, None], padding=2)[:, 0]
    return smooth / smooth.sum(1, keepdim=True).clamp(min=1e-6)
