"""The part of a crop in which a mask is drawn finely."""

from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from napari_fastsam3d.model.default.image_encoder import Pyramid
from napari_fastsam3d.model.default.prompts import Prompts

UNLIKELY = -3.0
"""Logit of a coarse mask under which a cell isn't looked at finely."""

MARGIN = 2
"""Cells at S/4 around those that are likely: what is drawn finely may reach a little farther."""

STEP = 4
"""Edges are multiples of it: convolutions are prepared anew for every shape not met before."""

MOST = 0.5
"""Part of the crop's cells from which on nothing would be gained."""

Cells = tuple[int, int, int]
Slices = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Region:
    """A box of cells of the grid at S/4 over a crop.

    Most structures fill a small part of a crop, and much of the work of a click is done on the
    finest grid.

    Attributes
    ----------
    start, shape : tuple of int
        The first cell and the number of cells along each axis.
    """

    start: Cells
    shape: Cells

    @classmethod
    def of_mask(cls, low_res_logits: Tensor, prompts: Prompts) -> "Region | None":
        """Give the region that holds a mask and all clicks.

        Parameters
        ----------
        low_res_logits : Tensor
            (1, 1, S/4, S/4, S/4) logits.
        prompts : Prompts
            Of the one sample.

        Returns
        -------
        Region or None
            None where that is most of the crop, or nothing.
        """
        size = low_res_logits.shape[2]
        likely = (low_res_logits[0, 0] > UNLIKELY).nonzero()
        clicked = (prompts.points[0][prompts.labels[0] >= 0] / 4).round().long()
        held = torch.cat([likely, clicked]).clamp(0, size - 1)
        if not len(held):
            return None
        bounds = zip(held.amin(0).tolist(), held.amax(0).tolist(), strict=True)
        spans = [_span(low - MARGIN, high + 1 + MARGIN, size) for low, high in bounds]
        (i, a), (j, b), (k, c) = spans
        return None if a * b * c > MOST * size**3 else cls((i, j, k), (a, b, c))

    def slices(self, finer: int = 1) -> Slices:
        """Cut the region from a grid with `finer` cells along each of its cells' edges."""
        spans = zip(self.start, self.shape, strict=True)
        i, j, k = (slice(n * finer, (n + length) * finer) for n, length in spans)
        return i, j, k

    def of_features(self, whole: Tensor, finer: int = 1) -> Tensor:
        """Cut channels-last features (B, D, H, W, C); `finer` as in `slices`.

        They are copied: linear layers are many times slower on what lies apart in memory.
        """
        return whole[(slice(None), *self.slices(finer))].contiguous()

    def pyramid(self, whole: Pyramid) -> Pyramid:
        """Cut what is drawn on the finest grid, and the intensities that say what was clicked."""
        near, fine = (..., *self.slices()), self.slices(2)
        keys = whole.fine_keys.unflatten(3, whole.fine_intensity.shape[1:])
        return replace(
            whole,
            fine=self.of_features(whole.fine, 2),
            fine_keys=keys[(..., *fine)].flatten(3),
            fine_intensity=whole.fine_intensity[(..., *fine)],
            middle_intensity=whole.middle_intensity[near],
        )

    def near(self, whole: Pyramid) -> "NearPyramid":
        """Cut what is drawn on the finest grid and on the one before."""
        keys = whole.middle_keys.unflatten(3, whole.middle_intensity.shape[1:])
        part = replace(
            self.pyramid(whole),
            middle=self.of_features(whole.middle),
            middle_keys=keys[(..., *self.slices())].flatten(3),
        )
        return NearPyramid(self, part)

    def prompts(self, whole: Prompts) -> Prompts:
        """Count crop indices of clicks and box from the first voxel; cut the mask fed back."""
        origin = 4 * torch.tensor(self.start, device=whole.points.device)
        previous = whole.previous[(..., *self.slices())]
        return replace(
            whole, points=whole.points - origin, box=whole.box - origin, previous=previous
        )


class NearPyramid(NamedTuple):
    """A region, and what of a pyramid is seen there at S/2 and S/4."""

    region: Region
    pyramid: Pyramid


def _span(low: int, high: int, size: int) -> tuple[int, int]:
    """Give the first cell and the length, a multiple of `STEP`, of a span around another."""
    low, high = max(0, low), min(size, high)
    length = STEP * ceil((high - low) / STEP)
    return min(max(0, low - (length - (high - low)) // 2), size - length), length
