"""The image encoder of the published models: a plain vision transformer on 16^3 patches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.attention import Attention, attend, join_heads, split_heads
from napari_fastsam3d.model.layers.linear import gelu_of, offset_of, working_dtype
from napari_fastsam3d.model.layers.relative_position import (
    RelativePosition,
    padded_logit,
    padding_products,
)

EPSILON = 1e-6
"""Of the layer normalisations of the image encoder, as the weights were trained."""

Residual = Literal["standard", "normalised"]
"""What the second skip connection of a block carries.

"standard" is `x + mlp(norm(x))`. "normalised" is `norm(x) + mlp(norm(x))`, which FastSAM3D's
student was trained with. Both have the same keys and shapes: weights load into the wrong one
without an error and give wrong features.
"""

Mixing = Literal["none", "global", "padded", "grouped"]
"""How the tokens of a block exchange what they know.

"none": not at all; the block is its MLP (the first two blocks of FastSAM3D).
"global": all with all, with relative positions.
"padded": within one window larger than the grid, whose padded places take part as keys
(SAM-Med3D outside its global blocks); computed without the padding, see `padded_logit`.
"grouped": within strided groups, in half precision, without relative positions, and the result
stays in group order (FastSAM3D's "3D sparse flash attention").
"""


@dataclass(frozen=True)
class ViTConfig:
    """One image encoder.

    Attributes
    ----------
    mixing : tuple of Mixing
        One entry a block.
    residual : Residual
        The form of every block's second skip connection.
    width, heads, hidden : int
        Channels of the tokens, attention heads, hidden channels of the MLP.
    out_width : int
        Channels of the embedding.
    grid, patch : int
        Tokens along each axis, and crop voxels along each edge of a token's patch.
    window : int
        Places along each axis of a "padded" window, more than `grid`.
    groups : int
        Number of groups of "grouped" mixing: group i holds tokens i, i + groups, ...
    """

    mixing: tuple[Mixing, ...]
    residual: Residual = "standard"
    width: int = 768
    heads: int = 12
    hidden: int = 3072
    out_width: int = 384
    grid: int = 8
    patch: int = 16
    window: int = 14
    groups: int = 64

    @property
    def crop_size(self) -> int:
        """Voxels along each edge of the crop."""
        return self.grid * self.patch


class PatchEmbedding(nn.Module):
    """A convolution with kernel = stride, written as a matrix product over patches."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Linear(patch**3, width)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 1, S, S, S) to tokens (B, (S / patch)^3, width)."""
        p = self.patch
        b, _, d, h, w = image.shape
        patches = image.reshape(b, d // p, p, h // p, p, w // p, p).permute(0, 1, 3, 5, 2, 4, 6)
        # Cast and gather in one pass over the crop.
        gathered = patches.to(working_dtype(self.proj), memory_format=torch.contiguous_format)
        return self.proj(gathered.reshape(b, -1, p**3))


class BlockAttention(RelativePosition):
    """Self-attention of a block; subclasses say how queries, keys and values are mixed."""

    def __init__(self, config: ViTConfig, window: int) -> None:
        super().__init__(config.width // config.heads, config.grid, window)
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, N, width) to (B, N, width)."""
        projected = self.qkv(x.to(working_dtype(self.qkv)))
        q, k, v = (split_heads(part, self.heads) for part in projected.chunk(3, dim=-1))
        if not x.is_cuda:  # without its matrix units, the softmax's input stays as exact as x
            q, k = q.to(x.dtype), k.to(x.dtype)
        return self.proj(join_heads(self.mix(q, k, v)).to(working_dtype(self.proj)))

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix values (B, heads, N, c), which may be of lower precision; gives the same shape."""
        raise NotImplementedError


class GlobalAttention(BlockAttention):
    """All tokens attend to all, with relative positions."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config, config.grid)
        self.attention: Attention = attend

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix with the bias of relative positions."""
        return self.attention(q, k, v, self.tables(q).bias().to(q.dtype))


class PaddedAttention(BlockAttention):
    """Attention within one zero-padded window, without computing the padding.

    The padded places of a window enter as zeros, so that each has the biases of the projection as
    its query, key and value. One further key stands for all of them; see `padded_logit`.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config, config.window)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix with the bias of relative positions and with one key for all padding."""
        padding = offset_of(self.qkv).view(3, 1, self.heads, 1, -1)
        b_q, b_k, b_v = padding.expand(-1, q.shape[0], -1, -1, -1).unbind()
        tables = self.tables(q)
        products = padding_products(b_q[0, :, 0].to(self.offsets.dtype), self.offsets)
        beyond = padded_logit(tables, products)
        k = torch.cat([k, b_k.to(k.dtype)], dim=2)
        v = torch.cat([v, b_v.to(v.dtype)], dim=2)
        return attend(q, k, v, tables.bias(beyond).to(q.dtype))


class GroupedAttention(BlockAttention):
    """Attention within strided groups, in half precision, left in group order.

    The tables of relative positions are in the published files and are not used.
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__(config, config.grid)
        self.groups = config.groups

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Mix inside each group; tokens come out group after group."""
        q, k, v = (self._grouped(x.half()) for x in (q, k, v))
        mixed = attend(q, k, v).to(v.dtype)
        per_head = mixed.unflatten(0, (-1, self.groups)).transpose(1, 2)
        return per_head.flatten(2, 3).float()

    def _grouped(self, x: Tensor) -> Tensor:
        """Turn (B, heads, N, c) into (B * groups, heads, N / groups, c)."""
        strided = x.unflatten(2, (-1, self.groups))
        return strided.permute(0, 3, 1, 2, 4).flatten(0, 1)


_ATTENTION: dict[Mixing, Callable[[ViTConfig], BlockAttention]] = {
    "global": GlobalAttention,
    "padded": PaddedAttention,
    "grouped": GroupedAttention,
}


class GeluMLP(nn.Module):
    """Two linear layers with a GELU between, at the precision of their weights."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, width) to (B, N, width), in the precision of the weights."""
        return self.lin2(gelu_of(self.lin1, x.flatten(0, 1))).view(x.shape)


class ViTBlock(nn.Module):
    """Attention, where the block has it, and an MLP."""

    def __init__(self, config: ViTConfig, mixing: Mixing) -> None:
        super().__init__()
        self.normalised_skip = config.residual == "normalised"
        self.attn: BlockAttention | None = None
        if mixing != "none":
            self.norm1 = nn.LayerNorm(config.width, EPSILON)
            self.attn = _ATTENTION[mixing](config)
        self.norm2 = nn.LayerNorm(config.width, EPSILON)
        self.mlp = GeluMLP(config.width, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, N, width) to (B, N, width)."""
        if self.attn is not None:
            x = x + self.attn(self.norm1(x))
        normalised = self.norm2(x)
        return (normalised if self.normalised_skip else x) + self.mlp(normalised)


class UnfoldedConvolution(nn.Module):
    """A 3 x 3 x 3 convolution without bias, zero padded, as one matrix product.

    On a grid as small as 8^3 the product over unfolded neighbourhoods runs several times faster
    on a CPU than a convolution does.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(27 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, D, H, W, C) to (B, D, H, W, C)."""
        padded = F.pad(x.to(working_dtype(self.linear)), (0, 0, 1, 1, 1, 1, 1, 1))
        windows = padded.unfold(1, 3, 1).unfold(2, 3, 1).unfold(3, 3, 1)  # ..., C, 3, 3, 3
        return self.linear(windows.movedim(4, -1).flatten(4)).to(x.dtype)


class ViTEncoder(nn.Module):
    """From a normalised crop to its embedding.

    Keys and their order are the authors'; shapes of convolutions are those of the matrix products
    that they are computed as (see `published_layout`).
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        n, width, out = config.grid, config.width, config.out_width
        self.config = config
        self.pos_embed = nn.Parameter(torch.zeros(1, n, n, n, width))
        self.patch_embed = PatchEmbedding(config.patch, width)
        self.blocks = nn.Sequential(*(ViTBlock(config, mixing) for mixing in config.mixing))
        self.neck = nn.Sequential(
            nn.Linear(width, out, bias=False),
            nn.LayerNorm(out, EPSILON),
            UnfoldedConvolution(out),
            nn.LayerNorm(out, EPSILON),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Encode (B, 1, S, S, S) normalised intensities; gives (B, out_width, n, n, n)."""
        tokens = self.blocks(self.patch_embed(image) + self.pos_embed.flatten(1, 3))
        n = self.config.grid
        return self.neck(tokens.unflatten(1, (n, n, n))).movedim(-1, 1)
