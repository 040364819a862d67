"""What a box tells beyond its corners: how what lies in it differs from what lies around it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.default.image_encoder import Pyramid, PyramidConfig
from napari_fastsam3d.model.default.likelihood_ratio import LikelihoodRatio
from napari_fastsam3d.model.default.prompt_maps import centres_of

AROUND = 1.8
"""How far around a box is compared, in distances from its middle to its faces."""

FRAME_MAPS, RATIO_MAPS, HIDDEN = 5, 2, 64


class BoxFeatures(NamedTuple):
    """What is added to a decoder's features: zeros where a sample has no box, None to add nothing.

    Attributes
    ----------
    corners : Tensor or None
        (B, 1, width), to the tokens of both corners.
    tokens : Tensor or None
        (B, cells, width), to the image tokens at S/16.
    coarse, middle, fine : Tensor or None
        (B, D, H, W, C), to the features at S/8, S/4 and S/2.
    """

    corners: Tensor | None = None
    tokens: Tensor | None = None
    coarse: Tensor | None = None
    middle: Tensor | None = None
    fine: Tensor | None = None


class BoxFeatureEncoder(nn.Module):
    """Tell every cell where in the box it lies, and whether it is more like what lies around.

    What these maps are worth is learned, from nothing on.
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.decoder_widths
        fine_heads, middle_heads = config.affinity_heads
        maps = FRAME_MAPS + RATIO_MAPS
        self.corners = _from_zero(nn.Linear(config.width, config.width))
        self.tokens = _mlp(maps + 2, 2 * HIDDEN, config.width)
        self.coarse = _mlp(maps, HIDDEN, coarse)
        self.middle = _mlp(maps + 2 * middle_heads + config.widths[1], HIDDEN, middle)
        self.fine = _mlp(maps + 2 * fine_heads, fine, fine)

    def forward(self, pyramid: Pyramid, box: Tensor) -> BoxFeatures:
        """Read boxes (B, 2, 3), crop indices; NaN where there is none."""
        present = ~box.isnan().flatten(1).any(1)
        maps = _drawn(pyramid, box.nan_to_num(0.0))
        middle = torch.cat([maps.middle.movedim(1, -1), pyramid.middle.float()], -1)
        token, field = present[:, None, None], present[:, None, None, None, None]
        return BoxFeatures(
            token * self.corners(maps.difference)[:, None],
            token * self.tokens(_channels_last(maps.tokens)).flatten(1, 3),
            field * self.coarse(_channels_last(maps.coarse)),
            field * self.middle(middle),
            field * self.fine(_channels_last(maps.fine)),
        )


class _Maps(NamedTuple):
    """Maps (B, M, D, H, W) at S/16, S/8, S/4 and S/2; `difference` (B, width) of the sides."""

    difference: Tensor
    tokens: Tensor
    coarse: Tensor
    middle: Tensor
    fine: Tensor


@torch.no_grad()
def _drawn(pyramid: Pyramid, box: Tensor) -> _Maps:
    size = pyramid.middle.shape[1]
    grid, fine_grid = frame(box, size, 4), frame(box, 2 * size, 2)
    ratio = LikelihoodRatio.of(pyramid.middle_intensity, grid.within, grid.around)
    seen, fine_seen = ratio.maps(pyramid.middle_intensity), ratio.maps(pyramid.fine_intensity)
    sides, fine_sides = grid.sides(_likely(seen)), fine_grid.sides(_likely(fine_seen))
    width = pyramid.embedding.shape[1]
    embedding = pyramid.embedding.float().flatten(2)[:, None] / width**0.5
    token_sides = tuple(F.avg_pool3d(side[:, None], 4)[:, 0] for side in sides)
    within, around = (mean_key(embedding, side)[:, 0] for side in token_sides)
    token_maps = [frame(box, size // 4, 16).maps, F.avg_pool3d(seen, 4)]
    return _Maps(
        (within - around) * width**0.5,
        torch.cat([*token_maps, likeness(embedding, token_sides)], 1),
        torch.cat([frame(box, size // 2, 8).maps, F.avg_pool3d(seen, 2)], 1),
        torch.cat([grid.maps, seen, likeness(pyramid.middle_keys, sides)], 1),
        torch.cat([fine_grid.maps, fine_seen, likeness(pyramid.fine_keys, fine_sides)], 1),
    )


def _likely(seen: Tensor) -> Tensor:
    """Give how likely cells lie within, by what the second table of a ratio says of them."""
    return (1 + seen[:, 1]) / 2


class BoxGrid(NamedTuple):
    """Cells as they are seen from the middle of a box.

    Attributes
    ----------
    maps : Tensor
        (B, 5, D, H, W): a Gaussian as wide as the box, how far out the cell lies (1 on the faces,
        at most 2), and how far along each axis.
    within, around : Tensor
        (B, D, H, W) weights of the cells in the box, the middle most, and of those around it.
    """

    maps: Tensor
    within: Tensor
    around: Tensor

    def sides(self, likely: Tensor) -> tuple[Tensor, Tensor]:
        """Give both weights, those within times how likely (B, D, H, W) a cell belongs there."""
        return self.within * likely, self.around


def frame(box: Tensor, size: int, cell: int) -> BoxGrid:
    """Frame boxes (B, 2, 3), crop indices, on a grid of size^3 cells of `cell` crop voxels."""
    centres = centres_of(size, cell, box.device)
    half = (box[:, 1] - box[:, 0] + 1).clamp(min=1) / 2
    away = ((centres - box.mean(1)[..., None]) / half[..., None]).abs()
    x, y, z = away.unbind(1)
    x, y, z = x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]
    gaussian = torch.exp(-(x**2 + y**2 + z**2))
    farthest = torch.maximum(torch.maximum(x, y), z)
    far = [a.clamp(max=2).expand_as(gaussian) for a in (farthest, x, y, z)]
    around = ((farthest > 1) & (farthest < AROUND)).float()
    return BoxGrid(torch.stack([gaussian, *far], 1), gaussian * (farthest <= 1), around)


def likeness(keys: Tensor, sides: Sequence[Tensor]) -> Tensor:
    """Compare keys with their means over either side.

    Parameters
    ----------
    keys : Tensor
        (B, heads, c, cells).
    sides : sequence of Tensor
        (B, D, H, W) weights.

    Returns
    -------
    Tensor
        (B, sides * heads, D, H, W) inner products.
    """
    means = [mean_key(keys, side)[:, :, None].to(keys.dtype) for side in sides]
    alike = torch.cat([(mean @ keys)[:, :, 0] for mean in means], 1)
    return alike.float().unflatten(2, sides[0].shape[1:])


def mean_key(keys: Tensor, weights: Tensor) -> Tensor:
    """Give the mean (B, heads, c) of keys (B, heads, c, cells) by weights (B, D, H, W)."""
    flat = weights.flatten(1).to(keys.dtype)
    total = flat.float().sum(1)[:, None, None].clamp(min=1e-6)
    return (keys @ flat[:, None, :, None])[..., 0].float() / total


def _channels_last(maps: Tensor) -> Tensor:
    """Copy (B, M, D, H, W) to (B, D, H, W, M): linear layers are several times slower on a view."""
    return maps.movedim(1, -1).contiguous()


def _mlp(width: int, hidden: int, out_width: int) -> nn.Sequential:
    last = _from_zero(nn.Linear(hidden, out_width))
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(approximate="tanh"), last)


def _from_zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
