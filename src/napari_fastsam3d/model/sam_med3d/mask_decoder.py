"""The mask decoder of the published models (Kirillov et al. 2023, in three dimensions)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.attention import attend_to_few
from napari_fastsam3d.model.layers.linear import (
    TiedLinear,
    gelu_of,
    matrix_of,
    offset_of,
    pack_linears,
    times,
)
from napari_fastsam3d.model.layers.two_way_transformer import (
    ImageProjections,
    TwoWayBlock,
    TwoWayTransformer,
)
from napari_fastsam3d.model.sam_med3d.prompt_encoder import PublishedPromptEncoder

EPSILON = 1e-6


@dataclass(frozen=True)
class DecoderConfig:
    """One mask decoder.

    Attributes
    ----------
    width, depth, heads, hidden : int
        Channels, blocks, heads and hidden MLP channels of the two-way transformer.
    masks : int
        Mask tokens: one for the single mask, the others for several guesses at once.
    iou_hidden : int
        Hidden channels of the IoU head.
    """

    width: int = 384
    depth: int = 2
    heads: int = 8
    hidden: int = 2048
    masks: int = 4
    iou_hidden: int = 256


@dataclass(frozen=True)
class PrecomputedFeatures:
    """What the decoder makes of an embedding before any prompt is known, once a crop.

    The mask of the step before reaches the image tokens as `features @ weight.T + bias`, and the
    first block projects image tokens linearly. So the projections are those of the embedding, kept
    here, and those of the features, whose matrices are multiplied with `weight` once.

    Attributes
    ----------
    base : Tensor
        (B, N, width + 3 * inner): image tokens, and the first block's keys, values and queries.
    fold : Tensor
        (16, width + 3 * inner): what each channel of the mask's features adds to all of them.
    encoding : Tensor
        (1, N, width): of the tokens' positions.
    """

    base: Tensor
    fold: Tensor
    encoding: Tensor


class Expansion(nn.Module):
    """A transposed convolution with kernel = stride = 2, as a matrix product.

    The eight children of a token lie one after the other in its row.
    """

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.linear = TiedLinear(width, out_width, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Map rows (N, C) to (N, 8 * C')."""
        return self.linear(x)

    def gelu(self, x: Tensor) -> Tensor:
        """Map rows (N, C) to (N, 8 * C') and through a GELU; see `gelu_of`."""
        return gelu_of(self.linear, x)


class Upscaling(nn.ModuleDict):
    """Two expansions with a normalisation between them; keys are the authors' numbers.

    Normalisation, GELU and the product with the hypernetwork's weights treat every voxel alike, so
    that the children of a token, and theirs, need not be brought to their places; the few numbers
    that are left at the end are.
    """

    def __init__(self, width: int) -> None:
        super().__init__(
            {
                "0": Expansion(width, width // 4),
                "1": nn.LayerNorm(width // 4, EPSILON),
                "3": Expansion(width // 4, width // 8),
            }
        )

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Scale tokens up and weigh their channels.

        Parameters
        ----------
        x : Tensor
            (N, C) tokens.
        weights : Tensor
            (C / 8, M).

        Returns
        -------
        Tensor
            (N * 8 * 8, M): children beside their token, and theirs beside them.
        """
        width = x.shape[1]
        coarse = F.gelu(self["1"](self["0"](x).view(-1, width // 4)))
        fine = cast(Expansion, self["3"]).gelu(coarse)
        return times(fine.reshape(-1, width // 8), weights)


class HyperMLP(nn.Module):
    """Three linear layers with ReLUs between."""

    def __init__(self, width: int, hidden: int, out_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out_width)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width) to (B, out_width)."""
        first, second, last = self.layers
        return last(F.relu(second(F.relu(first(x)))))


class PublishedDecoder(nn.Module):
    """Decode masks from image tokens and prompt tokens."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.width
        self.transformer = TwoWayTransformer(width, config.depth, config.heads, config.hidden)
        for block in self.transformer.layers:
            cast(TwoWayBlock, block).cross_attn_image_to_token.attention = attend_to_few
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(config.masks, width)
        self.output_upscaling = Upscaling(width)
        self.output_hypernetworks_mlps = nn.ModuleList(
            HyperMLP(width, width, width // 8) for _ in range(config.masks)
        )
        self.iou_prediction_head = HyperMLP(width, config.iou_hidden, config.masks)

    def pack(self) -> None:
        """Hand the layers that see image tokens, and the widest, to oneDNN; see `pack_linears`.

        For the small layers of a handful of tokens, going there and back costs more than it gains.
        """
        first = cast(TwoWayBlock, self.transformer.layers[0])
        pack_linears(first.cross_attn_image_to_token)
        pack_linears(self.output_upscaling)
        for block in self.transformer.layers:
            pack_linears(cast(TwoWayBlock, block).mlp)

    def precompute(self, embedding: Tensor, prompts: PublishedPromptEncoder) -> PrecomputedFeatures:
        """Prepare for the prompts of an embedding (B, width, n, n, n)."""
        first = cast(TwoWayBlock, self.transformer.layers[0])
        encoding = prompts.grid_encoding()
        mask_bias = prompts.mask_bias
        image = embedding.flatten(2).transpose(1, 2) + offset_of(mask_bias)
        projected = first.project(image, encoding)
        weight = matrix_of(mask_bias)
        look, answer = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        layers = (look.k_proj, look.v_proj, answer.q_proj)
        return PrecomputedFeatures(
            torch.cat([image, projected.keys, projected.values, projected.queries], dim=-1),
            torch.cat([weight, *(matrix_of(layer) @ weight for layer in layers)]).T,
            encoding,
        )

    def forward(
        self,
        precomputed: PrecomputedFeatures,
        features: Tensor,
        points: Tensor,
        bias: Tensor | None = None,
        multimask: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode one step.

        Parameters
        ----------
        precomputed : PrecomputedFeatures
            Of the crop.
        features : Tensor
            (B, N, 16) what the prompt encoder saw in the previous mask.
        points : Tensor
            (B, P, width) prompt tokens.
        bias : Tensor, optional
            (B, 1, 1, T), minus infinity where one of all T tokens is padding, output tokens first.
        multimask : bool
            Whether to give several guesses instead of one mask.

        Returns
        -------
        tuple of Tensor
            Logits (B, M, 4 n, 4 n, 4 n) and qualities (B, M); M is 1, or 3 with `multimask`.
        """
        image, projected = self._with_mask(precomputed, features)
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(points.shape[0], -1, -1), points], dim=1)
        tokens, image = self.transformer(tokens, image, precomputed.encoding, bias, projected)
        wanted = range(1, len(self.output_hypernetworks_mlps)) if multimask else range(1)
        logits = self._masks(image, tokens, wanted)
        return logits, self.iou_prediction_head(tokens[:, 0])[:, wanted.start : wanted.stop]

    def _with_mask(
        self, precomputed: PrecomputedFeatures, features: Tensor
    ) -> tuple[Tensor, ImageProjections]:
        width = precomputed.encoding.shape[-1]
        inner = (precomputed.base.shape[-1] - width) // 3
        image, *projections = torch.split(
            precomputed.base + features @ precomputed.fold, [width, inner, inner, inner], dim=-1
        )
        return image, ImageProjections(*projections)

    def _masks(self, image: Tensor, tokens: Tensor, wanted: range) -> Tensor:
        weights = [self.output_hypernetworks_mlps[i](tokens[:, 1 + i]) for i in wanted]
        hyper = torch.stack(weights, dim=-1)  # (B, width / 8, M)
        each = [self.output_upscaling(x, w).float() for x, w in zip(image, hyper, strict=True)]
        return _in_place(torch.stack(each).transpose(1, 2), round(image.shape[1] ** (1 / 3)))


def _in_place(logits: Tensor, n: int) -> Tensor:
    """Turn (B, M, n^3 * 8 * 8), children beside their tokens, into (B, M, 4 n, 4 n, 4 n)."""
    return logits.index_select(2, _order(n, logits.device)).unflatten(2, (4 * n, 4 * n, 4 * n))


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _order(n: int, device: torch.device) -> Tensor:
    """Tell for each voxel of a grid of (4 n)^3 where `Upscaling` put it, (64 n^3)."""
    nested = torch.arange(64 * n**3, device=device).reshape(n, n, n, 2, 2, 2, 2, 2, 2)
    return nested.permute(0, 3, 6, 1, 4, 7, 2, 5, 8).flatten()
