"""The image encoder of the default model: a convolutional pyramid around a small transformer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.checked_table import checked
from napari_fastsam3d.model.layers.attention import SelfAttention
from napari_fastsam3d.model.layers.convolution import (
    Expand,
    Merge,
    ResidualBlock,
    SeparableBlock,
    space_to_depth,
)
from napari_fastsam3d.model.layers.fourier_position import FourierPosition

FRAME = 128
"""Edge in voxels of the crop that positions are measured in."""


@dataclass(frozen=True)
class PyramidConfig:
    """Sizes of the default network.

    Attributes
    ----------
    widths : tuple of int
        Channels at 1/2, 1/4 and 1/8 of the crop's resolution.
    blocks : tuple of int
        Residual blocks on the way down at those resolutions.
    up_blocks : tuple of int
        The same on the way up.
    separable : bool
        Whether the encoder's residual blocks are depthwise separable ones; at the finest resolution
        they have one convolution and a pointwise one.
    width, depth, heads : int
        Channels, blocks and heads of the transformer at 1/16 resolution (8^3 tokens).
    decoder_widths : tuple of int
        Channels of the mask decoder at 1/2, 1/4 and 1/8 resolution.
    affinity_heads : tuple of int
        Heads of the click affinity at 1/2 and 1/4 resolution.
    affinity_width : int
        Channels of each such head.
    box_decoder : bool
        Whether what begins with a box is answered by a decoder of its own.
    candidates : int
        Masks that the decoder proposes beside its main one for what the prompts may mean.
    coarse_candidates : int
        The same of a decoder for coarse first passes; 0 where the network has none.
    first_candidates : int
        The same of a decoder for first clicks seen near by; 0 where the network has none.
    """

    widths: tuple[int, int, int] = (16, 48, 96)
    blocks: tuple[int, int, int] = (1, 2, 2)
    up_blocks: tuple[int, int, int] = (1, 1, 1)
    separable: bool = False
    width: int = 256
    depth: int = 4
    heads: int = 8
    decoder_widths: tuple[int, int, int] = (16, 32, 64)
    affinity_heads: tuple[int, int] = (2, 4)
    affinity_width: int = 8
    box_decoder: bool = False
    candidates: int = 0
    coarse_candidates: int = 0
    first_candidates: int = 0

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> "PyramidConfig":
        """Make a configuration from a table of JSON or TOML; lists become tuples.

        Raises
        ------
        TypeError
            When the table has a key that a configuration does not have, or a value of another type.
        """
        return cls(**checked(cls, table))


@dataclass(frozen=True)
class Pyramid:
    """What the image alone says about a crop of S^3 voxels, computed once.

    Attributes
    ----------
    embedding : Tensor
        (B, width, S/16, S/16, S/16): the transformer's tokens.
    fine, middle, coarse : Tensor
        Channels-last features at S/2, S/4 and S/8.
    fine_keys, middle_keys : Tensor
        (B, heads, affinity_width, cells): unit vectors that click affinities compare.
    fine_intensity, middle_intensity : Tensor
        (B, D, H, W) float32: the crop itself, averaged to S/2 and S/4.
    """

    embedding: Tensor
    fine: Tensor
    middle: Tensor
    coarse: Tensor
    fine_keys: Tensor
    middle_keys: Tensor
    fine_intensity: Tensor
    middle_intensity: Tensor

    def for_samples(self, count: int) -> "Pyramid":
        """Give each crop as often as samples share it; see `for_samples`."""
        return Pyramid(*(for_samples(getattr(self, f.name), count) for f in fields(self)))


def for_samples(x: Tensor, count: int) -> Tensor:
    """Repeat what is known of B crops (B, ...) for `count` samples, a multiple of B.

    The samples of a crop follow one another: (B, ...) becomes (count, ...).
    """
    return x if len(x) == count else x.repeat_interleave(count // len(x), 0)


class TransformerBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, width) to (B, N, width)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class AffinityKeys(nn.Module):
    """Project features to unit vectors, several heads of them."""

    def __init__(self, width: int, heads: int, out_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, heads * out_width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W, C) to unit vectors (B, heads, out_width, D * H * W)."""
        # One channel after the other, with the cells side by side: what is read again stays cached.
        keys = self.linear(self.norm(x)).flatten(1, 3).transpose(1, 2).contiguous()
        channels = keys.unflatten(1, (self.heads, -1)).unbind(2)
        squares = torch.stack([channel.float().square() for channel in channels]).sum(0)
        scale = torch.rsqrt(squares.clamp(min=1e-24))
        return torch.stack([(channel * scale).to(keys.dtype) for channel in channels], 2)


class PyramidEncoder(nn.Module):
    """From a normalised crop to tokens and to features of three resolutions.

    The way up depends on the image alone, so that everything dear is paid once a crop; prompts
    are fused late, by the decoder.
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.widths
        width = config.width
        fine_block, block = _blocks(config.separable)
        self.stem = nn.Linear(8, fine)
        self.down_fine = _stage(fine_block, fine, config.blocks[0])
        self.merge_middle = Merge(fine, middle)
        self.down_middle = _stage(block, middle, config.blocks[1])
        self.merge_coarse = Merge(middle, coarse)
        self.down_coarse = _stage(block, coarse, config.blocks[2])
        self.merge_tokens = Merge(coarse, width)
        self.position = FourierPosition(width)
        self.position_projection = nn.Linear(width, width)
        self.transformer = nn.Sequential(
            *(TransformerBlock(width, config.heads) for _ in range(config.depth))
        )
        self.neck = nn.LayerNorm(width)
        self.expand_coarse = Expand(width, coarse)
        self.up_coarse = _way_up(block, coarse, config.up_blocks[2])
        self.expand_middle = Expand(coarse, middle)
        self.up_middle = _way_up(block, middle, config.up_blocks[1])
        self.expand_fine = Expand(middle, fine)
        self.up_fine = _way_up(fine_block, fine, config.up_blocks[0])
        heads = config.affinity_heads
        self.fine_keys = AffinityKeys(fine, heads[0], config.affinity_width)
        self.middle_keys = AffinityKeys(middle, heads[1], config.affinity_width)

    def forward(self, image: Tensor) -> Pyramid:
        """Encode (B, 1, S, S, S) normalised intensities, S a multiple of 16."""
        fine = self.down_fine(self.stem(space_to_depth(image.movedim(1, -1))))
        middle = self.down_middle(self.merge_middle(fine))
        coarse = self.down_coarse(self.merge_coarse(middle))
        tokens = self._transform(self.merge_tokens(coarse))
        coarse = self.up_coarse(coarse + self.expand_coarse(tokens))
        middle = self.up_middle(middle + self.expand_middle(coarse))
        fine = self.up_fine(fine + self.expand_fine(middle))
        fine_intensity = F.avg_pool3d(image, 2)
        return Pyramid(
            embedding=tokens.movedim(-1, 1),
            fine=fine,
            middle=middle,
            coarse=coarse,
            fine_keys=self.fine_keys(fine),
            middle_keys=self.middle_keys(middle),
            fine_intensity=fine_intensity[:, 0],
            middle_intensity=F.avg_pool3d(fine_intensity, 2)[:, 0],
        )

    def _transform(self, tokens: Tensor) -> Tensor:
        size = tokens.shape[1]
        encoding = self.position_projection(grid_encoding(self.position, size))
        flat = self.transformer(tokens.flatten(1, 3) + encoding.to(tokens.dtype))
        return self.neck(flat).unflatten(1, (size, size, size))


_Block = Callable[[int], nn.Module]


def _blocks(separable: bool) -> tuple[_Block, _Block]:
    """Give what makes residual blocks of the finest resolution, and of the others.

    On the finest grid, of few channels, it is passes over memory that cost: there one convolution
    is dearer than a separable block by half and comes twice as close to two.
    """
    if separable:
        return partial(ResidualBlock, pointwise=True), SeparableBlock
    return ResidualBlock, ResidualBlock


def _stage(block: _Block, width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(block(width) for _ in range(count)))


def _way_up(block: _Block, width: int, count: int) -> nn.Module:
    return block(width) if count == 1 else _stage(block, width, count)


def grid_encoding(position: FourierPosition, size: int) -> Tensor:
    """Encode the token centres of a crop of 16 * size voxels; gives (size^3, width).

    Positions are measured in a frame of 128 voxels with the crop in its middle, so that a smaller
    crop, as in training, sees the same frequencies per voxel.
    """
    step = torch.arange(size, device=position.device, dtype=torch.float32)
    centres = ((step + 0.5 - size / 2) * 16 + FRAME / 2) / FRAME
    axes = torch.meshgrid(centres, centres, centres, indexing="ij")
    return position(torch.stack(axes, dim=-1).reshape(-1, 3))
