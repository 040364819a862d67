"""The part of a crop in which a mask is drawn finely."""

from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from napari_fastsam3d.model.pyramid_encoder import Pyramid
from napari_fastsam3d.model.pyramid_prompts import Prompts

UNLIKELY = -3.0
"""Logit of a coarse mask under which a cell isn't looked at finely."""

MARGIN = 2
"""Cells at S/4 around those that are likely: what is drawn finely may reach a little farther."""

STEP = 4
"""Edges are multiples of it: convolutions are prepared anew for every shape not met before."""

MOST = 0.8
"""Part of the crop's edge from which on nothing would be gained."""

Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Region:
    """A cube of cells of the grid at S/4 over a crop.

    Most structures fill a small part of a crop, and half of the work of a click is done on the
    finest grid. A cube, so that every map over a crop is drawn over it by the same function.

    Attributes
    ----------
    start : tuple of int
        The first cell along each axis.
    edge : int
        Cells along each axis.
    """

    start: tuple[int, int, int]
    edge: int

    @classmethod
    def of_mask(cls, low: Tensor, prompts: Prompts) -> "Region | None":
        """Give the region that holds a mask and all clicks.

        Parameters
        ----------
        low : Tensor
            (1, 1, S/4, S/4, S/4) logits.
        prompts : Prompts
            Of the one sample.

        Returns
        -------
        Region or None
            None where that is most of the crop, or nothing.
        """
        size = low.shape[2]
        likely = (low[0, 0] > UNLIKELY).nonzero()
        clicked = (prompts.points[0][prompts.labels[0] >= 0] / 4).round().long()
        held = torch.cat([likely, clicked]).clamp(0, size - 1)
        if not len(held):
            return None
        lows, highs = held.amin(0) - MARGIN, held.amax(0) + 1 + MARGIN
        lengths = highs.clamp(max=size) - lows.clamp(min=0)
        edge = STEP * ceil(int(lengths.max()) / STEP)
        if edge > MOST * size:
            return None
        centred = lows.clamp(min=0) - (edge - lengths) // 2
        i, j, k = (int(n) for n in centred.clamp(0, size - edge))
        return cls((i, j, k), edge)

    def slices(self, finer: int = 1) -> Slices:
        """Cut the region from a grid with `finer` cells along each of its cells' edges."""
        i, j, k = (slice(n * finer, (n + self.edge) * finer) for n in self.start)
        return i, j, k

    def pyramid(self, whole: Pyramid) -> Pyramid:
        """Cut what is drawn on the finest grid, and the intensities that say what was clicked."""
        near, fine = (..., *self.slices()), self.slices(2)
        keys = whole.fine_keys.unflatten(3, whole.fine_intensity.shape[1:])
        return replace(
            whole,
            fine=whole.fine[(slice(None), *fine)],
            fine_keys=keys[(..., *fine)].flatten(3),
            fine_intensity=whole.fine_intensity[(..., *fine)],
            middle_intensity=whole.middle_intensity[near],
        )

    def prompts(self, whole: Prompts) -> Prompts:
        """Count crop indices of clicks and box from the first voxel of the region."""
        origin = 4 * torch.tensor(self.start, device=whole.points.device)
        return replace(whole, points=whole.points - origin, box=whole.box - origin)
