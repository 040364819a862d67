"""The mask decoder of the default model."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.default.box_features import BoxFeatureEncoder, BoxFeatures
from napari_fastsam3d.model.default.image_encoder import (
    Pyramid,
    PyramidConfig,
    for_samples,
    grid_encoding,
)
from napari_fastsam3d.model.default.judge import MaskJudge
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.model.default.prompt_encoder import PyramidPromptEncoder
from napari_fastsam3d.model.default.prompt_maps import SIMILARITY_MAPS, fine_maps, middle_maps
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.default.region import NearPyramid, Region
from napari_fastsam3d.model.layers.attention import padding_bias
from napari_fastsam3d.model.layers.convolution import Convolution, Expand, ResidualBlock
from napari_fastsam3d.model.layers.two_way_transformer import TwoWayTransformer


class CandidateHead(nn.Module):
    """Tokens of the candidates, and what makes masks and predicted IoUs of them.

    As SAM's multi-mask output (Kirillov et al. 2023), but its tokens are seen by no other, so that
    the main mask is the same with and without it.
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        _, middle, _ = config.decoder_widths
        self.count = config.candidates
        self.tokens = nn.Embedding(config.candidates, config.width)
        self.hyper_middle = _mlp(config.width, middle)
        self.hyper_fine = _mlp(config.width, config.decoder_widths[0])
        self.judge = MaskJudge(config.width, middle)


def joined_linear(layer: nn.Linear, features: Tensor, maps: Tensor) -> Tensor:
    """Apply a layer to features and maps as if they were joined along the channels.

    Interleaving maps with channels-last features would cost more than the product. Maps
    (B, D, H, W, C), or those of crops that samples share, and (B, M, D, H, W) to (B, D, H, W, C').
    """
    width = features.shape[-1]
    seen = for_samples(F.linear(features, layer.weight[:, :width], layer.bias), len(maps))
    drawn = maps.to(features.dtype).flatten(2).transpose(1, 2)
    weight = layer.weight[:, width:].T.expand(len(drawn), -1, -1)
    return torch.baddbmm(seen.flatten(1, 3), drawn, weight).view_as(seen)


class PyramidDecoder(nn.Module):
    """Decode a mask from a pyramid and prompts: two-way transformer, then three fusing scales.

    Parameters
    ----------
    config : PyramidConfig
        Sizes of the network.
    reads_boxes : bool
        Whether more is made of a box than its corners and a map of it; see `BoxFeatureEncoder`.
    judges_fed : bool
        Whether it estimates the IoU of the mask fed back as well, beside those of its own; for one
        that proposes candidates.

    Attributes
    ----------
    similarity_maps : bool
        Whether the maps of similarity are drawn; else they are zeros, as in the first
        phase of training. The weights that read them start at zero, so that a network trained
        without them goes on with them where it was.
    """

    def __init__(
        self, config: PyramidConfig, reads_boxes: bool = False, judges_fed: bool = False
    ) -> None:
        super().__init__()
        width = config.width
        fine, middle, coarse = config.decoder_widths
        heads = config.affinity_heads
        self.prompt_encoder = PyramidPromptEncoder(config)
        self.output_tokens = nn.Embedding(2, width)
        self.transformer = TwoWayTransformer(width, 2, config.heads, 4 * width)
        self.expand_coarse = Expand(width, coarse)
        self.skip_coarse = nn.Linear(config.widths[2], coarse)
        self.block_coarse = ResidualBlock(coarse)
        self.expand_middle = Expand(coarse, middle)
        self.skip_middle = _skip(config.widths[1] + 6, 2 * SIMILARITY_MAPS, 2 * heads[1], middle)
        self.block_middle = ResidualBlock(middle)
        self.expand_fine = Expand(middle, fine)
        self.skip_fine = _skip(config.widths[0] + 3, 2 * (SIMILARITY_MAPS - 1), 2 * heads[0], fine)
        self.conv_fine = Convolution(fine)
        self.hyper_middle = _mlp(width, middle)
        self.hyper_fine = _mlp(width, fine)
        self.quality = _mlp(width, 1)
        self.candidates = CandidateHead(config) if config.candidates and not reads_boxes else None
        self.box_cues = BoxFeatureEncoder(config) if reads_boxes else None
        self.similarity_maps = True
        self.judges_fed = judges_fed

    def read_box(self, pyramid: Pyramid, box: Tensor) -> BoxFeatures:
        """Read boxes (B, 2, 3), once for all steps: its features depend on no other prompt."""
        if self.box_cues is None:
            return BoxFeatures()
        return self.box_cues(pyramid.for_samples(len(box)), box)

    def forward(
        self,
        pyramid: Pyramid,
        prompts: Prompts,
        box_features: BoxFeatures | None = None,
        local: bool = False,
        near: NearPyramid | None = None,
    ) -> Masks:
        """Decode one step of interaction.

        Parameters
        ----------
        pyramid : Pyramid
            Of crops of S^3 voxels.
        prompts : Prompts
            All prompts so far and the previous step's low-resolution logits, of as many samples as
            there are crops or a multiple of it: samples that share a crop follow one another.
        box_features : BoxFeatures or None
            What `read_box` has read in the box of the prompts; None to read it now.
        local : bool
            Whether a batch of one is drawn finely only in the region of its mask and clicks: the
            same there up to rounding. Elsewhere mask logits are interpolated.
        near : NearPyramid, optional
            Where alone a batch of one is drawn, without a box: masks are those of its region, the
            same but for a rim of a few cells. For training, where all of a crop would cost much.

        Returns
        -------
        Masks
            Of one mask, with the candidates beside it where the decoder proposes any. With
            `local` these are drawn finely in the region of the mask only.
        """
        if box_features is None:
            box_features = self.read_box(pyramid, prompts.box)
        tokens, image = self._exchange(pyramid, prompts, box_features)
        skipped = for_samples(self.skip_coarse(pyramid.coarse), len(image))
        features = _added(self.expand_coarse(image) + skipped, box_features.coarse)
        features = self.expand_middle(self.block_coarse(features))
        if near is not None:
            features, pyramid = near.region.of_features(features), near.pyramid
            prompts = near.region.prompts(prompts)
        maps = middle_maps(pyramid, prompts, self.similarity_maps)
        features = features + joined_linear(self.skip_middle, pyramid.middle, maps)
        features = self.block_middle(_added(features, box_features.middle))
        weights = self._mask_weights(tokens)
        low_res = self._mask(features, weights.middle)
        region = Region.of_mask(low_res[:, :1], prompts) if local else None
        logits = self._drawn(
            features, weights, low_res, pyramid, prompts, box_features.fine, region
        )
        if self.candidates is None:
            return Masks(low_res, logits, torch.sigmoid(self.quality(tokens[:, 1]).float()))
        judged, judged_tokens, count = low_res, weights.tokens, low_res.shape[1]
        if self.judges_fed:
            judged = torch.cat([low_res, prompts.previous.float()], 1)
            judged_tokens = torch.cat([judged_tokens, tokens[:, 1:2]], 1)
        iou = self.candidates.judge(judged_tokens, features, judged)
        masks = Masks(low_res, logits, iou[:, :count])
        fed = _fed(prompts, iou[:, count:]) if self.judges_fed else None
        return masks.select(0, 1)._replace(candidates=masks.select(1, None), fed=fed)

    def _drawn(
        self,
        features: Tensor,
        weights: "_MaskWeights",
        low_res: Tensor,
        pyramid: Pyramid,
        prompts: Prompts,
        box_fine: Tensor | None,
        region: Region | None,
    ) -> Tensor:
        """Add detail to low-resolution logits, in a region alone where there is one."""
        logits = F.interpolate(low_res, scale_factor=2, mode="trilinear")
        if region is None:
            return logits + self._detail(features, weights.fine, pyramid, prompts, box_fine)
        logits[(..., *region.slices(2))] += self._detail(
            region.of_features(features),
            weights.fine,
            region.pyramid(pyramid),
            region.prompts(prompts),
            None if box_fine is None else region.of_features(box_fine, 2),
        )
        return logits

    def _mask_weights(self, tokens: Tensor) -> "_MaskWeights":
        """Give the weights of the features in each mask, the main one first."""
        main, head = tokens[:, :1], self.candidates
        own = _MaskWeights(main, self.hyper_middle(main), self.hyper_fine(main))
        if head is None:
            return own
        others = tokens[:, -head.count :]
        proposed = _MaskWeights(others, head.hyper_middle(others), head.hyper_fine(others))
        return _MaskWeights(*(torch.cat(pair, 1) for pair in zip(own, proposed, strict=True)))

    def _detail(
        self,
        features: Tensor,
        weights: Tensor,
        pyramid: Pyramid,
        prompts: Prompts,
        box_features: Tensor | None,
    ) -> Tensor:
        """Give what the finest grid adds to logits, (B, K, D, H, W), by features at S/4."""
        features = self.expand_fine(features)
        features = features + joined_linear(
            self.skip_fine, pyramid.fine, fine_maps(pyramid, prompts, self.similarity_maps)
        )
        features = F.gelu(_added(features, box_features), approximate="tanh")
        return self._mask(features + self.conv_fine(features), weights)

    def _exchange(
        self, pyramid: Pyramid, prompts: Prompts, box_features: BoxFeatures
    ) -> tuple[Tensor, Tensor]:
        embedding = pyramid.embedding.movedim(1, -1)
        size = embedding.shape[1]
        prompt_tokens, valid, dense = self.prompt_encoder(prompts, pyramid)
        batch = prompt_tokens.shape[0]
        points, corners = prompt_tokens[:, :-2], _added(prompt_tokens[:, -2:], box_features.corners)
        output = self.output_tokens.weight.expand(batch, -1, -1).to(prompt_tokens.dtype)
        tokens = torch.cat([output, points, corners], dim=1)
        valid = torch.cat([valid.new_ones(batch, 2), valid], dim=1)
        if self.candidates is not None:
            others = self.candidates.tokens.weight.expand(batch, -1, -1).to(tokens.dtype)
            tokens = torch.cat([tokens, others], dim=1)
            valid = torch.cat([valid, valid.new_zeros(others.shape[:2])], dim=1)
        encoding = grid_encoding(self.prompt_encoder.position, size).to(embedding.dtype)
        tokens, image = self.transformer(
            tokens,
            for_samples(embedding.flatten(1, 3), batch) + _added(dense, box_features.tokens),
            encoding.expand(batch, -1, -1),
            padding_bias(valid, tokens.dtype),
        )
        return tokens, image.unflatten(1, (size, size, size))

    @staticmethod
    def _mask(features: Tensor, weights: Tensor) -> Tensor:
        """Weigh features (B, D, H, W, C) by (B, K, C); gives float logits (B, K, D, H, W)."""
        flat = features.flatten(1, 3) @ weights.transpose(1, 2).to(features.dtype)
        return flat.float().movedim(-1, 1).unflatten(2, features.shape[1:4])


class _MaskWeights(NamedTuple):
    """What masks are made by: their tokens (B, K, width), and the weights (B, K, C) of features."""

    tokens: Tensor
    middle: Tensor
    fine: Tensor


def _fed(prompts: Prompts, iou: Tensor) -> Masks:
    """Give the mask that was fed back, with its estimated IoU."""
    low_res = prompts.previous.float()
    return Masks(low_res, F.interpolate(low_res, scale_factor=2, mode="trilinear"), iou)


def _added(features: Tensor, box_features: Tensor | None) -> Tensor:
    return features if box_features is None else features + box_features


def _skip(before: int, maps: int, after: int, out_width: int) -> nn.Linear:
    skip = nn.Linear(before + maps + after, out_width)
    nn.init.zeros_(skip.weight[:, before : before + maps])
    return skip


def _mlp(width: int, out_width: int) -> nn.Sequential:
    last = nn.Linear(width, out_width)
    nn.init.normal_(last.weight, std=0.1 / width**0.5)  # logits start near zero
    return nn.Sequential(nn.Linear(width, width), nn.GELU(approximate="tanh"), last)
