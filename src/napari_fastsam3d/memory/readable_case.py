"""A remembered case as a reader takes it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.memory.case import Case, Tokens
from napari_fastsam3d.model.layers.convolution import space_to_depth

# Coarse cells around a structure that are attended to beside it.
_AROUND = 1


@dataclass(frozen=True, eq=False)
class ReadableCase:
    """A remembered case as the reader takes it; lengths are from its middle.

    They are in mm, or, once they were `measured_in` them, in cells at S/4 of the crop that is asked
    about.

    Attributes
    ----------
    tokens : Tensor
        (N, COARSE) features at S/8.
    places : Tensor
        (N, 3) centres of those cells.
    eighths : Tensor
        (N, 8) part that the structure fills of each eighth of them.
    mask : Tensor
        (X, Y, Z) part that it fills of the cells at S/4.
    origin : tuple of float
        Centre of the first of these.
    step : float
        Edge of one of them.
    foreground, background : Tensor
        (M, FINE) unit vectors.
    """

    tokens: Tensor
    places: Tensor
    eighths: Tensor
    mask: Tensor
    origin: tuple[float, float, float]
    step: float
    foreground: Tensor
    background: Tensor

    @classmethod
    def of(cls, case: Case) -> "ReadableCase":
        """Prepare a case once for all objects that it is recalled for."""
        fine, coarse = case.tokens
        eighths = _eighths(fine, coarse)
        box = Box.of_mask(eighths.max(-1) > 0) or Box.whole(eighths.shape[:3])
        near = box.padded(_AROUND).clipped(eighths.shape[:3]).slices
        tokens, places = coarse.features[near], coarse.places()[near]
        return cls(
            torch.from_numpy(tokens.astype(np.float32)).flatten(0, 2),
            torch.from_numpy(places).flatten(0, 2),
            torch.from_numpy(eighths[near]).flatten(0, 2),
            torch.from_numpy(fine.mask.astype(np.float32)),
            fine.origin,
            fine.cell,
            torch.from_numpy(case.foreground.astype(np.float32)),
            torch.from_numpy(case.background.astype(np.float32)),
        )

    def measured_in(self, cell: float) -> "ReadableCase":
        """Return it with lengths in cells of an edge in mm."""
        x, y, z = (o / cell for o in self.origin)
        return replace(self, places=self.places / cell, origin=(x, y, z), step=self.step / cell)

    def mask_on(self, axes: Sequence[Tensor]) -> Tensor:
        """Return the mask as if its middle were the click, on cells that lie so far from that."""
        mask = self.mask
        for origin, axis in zip(self.origin, axes, strict=True):
            steps = torch.arange(mask.shape[0], dtype=axis.dtype)
            hat = (1 - ((axis[:, None] - origin) / self.step - steps).abs()).clamp(min=0)
            mask = torch.einsum("xyz,ax->yza", mask, hat)
        return mask


def _eighths(fine: Tokens, coarse: Tokens) -> NDArray[np.float32]:
    """Give the fine mask in eighths of the coarse cells, (X, Y, Z, 8); the grids nest."""
    first = np.asarray(coarse.origin) - fine.cell / 2
    low = np.rint((np.asarray(fine.origin) - first) / fine.cell).astype(int)
    whole = np.zeros([2 * n for n in coarse.mask.shape], np.float32)
    filled = fine.mask[tuple(slice(max(0, -x), None) for x in low)]
    part = whole[
        tuple(slice(max(0, x), max(0, x) + n) for x, n in zip(low, filled.shape, strict=True))
    ]
    part[...] = filled[tuple(slice(n) for n in part.shape)]
    return space_to_depth(torch.from_numpy(whole)[None, ..., None])[0].numpy()
