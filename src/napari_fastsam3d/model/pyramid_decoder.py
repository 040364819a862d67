"""The prompt encoder and mask decoder of the default model."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.attention import padding_bias
from napari_fastsam3d.model.convolution import Convolution, Expand, Merge, ResidualBlock
from napari_fastsam3d.model.fourier_position import FourierPosition
from napari_fastsam3d.model.pyramid_encoder import FRAME, Pyramid, PyramidConfig, grid_encoding
from napari_fastsam3d.model.two_way_transformer import TwoWayTransformer

NARROW, WIDE = 2.5, 10.0
"""Standard deviations, in crop voxels, of the two maps drawn around each click."""


STRICT, LOOSE = 0.2, 0.6
"""Differences of normalised intensity within which a cell counts as like the clicked one."""

REACH = 10
"""Cells that the reach of a click may cross."""


@dataclass(frozen=True)
class Prompts:
    """What the user said about one object, in crop indices.

    Attributes
    ----------
    points : Tensor
        (B, N, 3) float, axis order of the crop, voxel centres at integers.
    labels : Tensor
        (B, N) integer: 1 positive, 0 negative, -1 padding.
    box : Tensor
        (B, 2, 3) float: the lowest and the highest corner; NaN where there is no box.
    previous : Tensor
        (B, 1, S/4, S/4, S/4) logits of the previous step, zeros at first.
    """

    points: Tensor
    labels: Tensor
    box: Tensor
    previous: Tensor


class Masks(NamedTuple):
    """Logits at two resolutions and the mask's estimated IoU with the truth, (B, 1)."""

    low: Tensor
    fine: Tensor
    quality: Tensor


@torch.no_grad()
def click_map(prompts: Prompts, label: int, size: int, cell: int, sigma: float) -> Tensor:
    """Draw a Gaussian around each click of one label and keep the largest.

    Parameters
    ----------
    prompts : Prompts
        Points in crop indices.
    label : int
        1 for positive clicks, 0 for negative ones.
    size, cell : int
        Cells along an edge of the map, and crop voxels along an edge of a cell.
    sigma : float
        Standard deviation in crop voxels.

    Returns
    -------
    Tensor
        (B, size, size, size) in [0, 1]; zeros where there is no such click.
    """
    centres = torch.arange(size, device=prompts.points.device) * cell + (cell - 1) / 2
    offsets = (centres - prompts.points[..., None]) / sigma  # (B, N, 3, size)
    x, y, z = torch.exp(-0.5 * offsets**2).unbind(2)
    x = x * (prompts.labels == label)[..., None]
    product = x[..., :, None, None] * y[..., None, :, None] * z[..., None, None, :]
    return product.amax(1)


@torch.no_grad()
def box_map(box: Tensor, size: int, cell: int) -> Tensor:
    """Draw a box: +1 deep inside, -1 far outside, 0 on its faces and where there is no box.

    Gives (B, size, size, size) for boxes (B, 2, 3) in crop indices; the slope is one cell.
    """
    centres = torch.arange(size, device=box.device) * cell + (cell - 1) / 2
    low = centres - (box[:, 0, :, None] - 0.5)  # (B, 3, size)
    high = (box[:, 1, :, None] + 0.5) - centres
    x, y, z = torch.minimum(low, high).unbind(1)
    depth = torch.minimum(
        torch.minimum(x[:, :, None, None], y[:, None, :, None]), z[:, None, None, :]
    )
    return torch.tanh(depth / cell).nan_to_num(0.0)


def cell_of(points: Tensor, size: int, cell: int) -> Tensor:
    """Give the flat cell number (B, N) of each point (B, N, 3) on a grid of size^3 cells."""
    index = ((points + 0.5) / cell).floor().long().clamp(0, size - 1)
    return (index[..., 0] * size + index[..., 1]) * size + index[..., 2]


def affinity_map(keys: Tensor, prompts: Prompts, label: int, cell: int) -> Tensor:
    """Tell how alike each cell is to the clicked ones, by the cosine of their keys.

    Parameters
    ----------
    keys : Tensor
        (B, heads, size^3, c) unit vectors.
    prompts, label, cell
        As in `click_map`.

    Returns
    -------
    Tensor
        (B, size, size, size, heads): the largest cosine over the clicks of that label, -1 where
        there is none.
    """
    b, heads, cells, c = keys.shape
    size = round(cells ** (1 / 3))
    where = cell_of(prompts.points, size, cell)  # (B, N)
    clicked = keys.gather(2, where[:, None, :, None].expand(-1, heads, -1, c))
    cosine = keys @ clicked.transpose(-1, -2)  # (B, heads, size^3, N)
    absent = (prompts.labels != label)[:, None, None, :]
    best = cosine.float().masked_fill(absent, -1.0).amax(-1)
    return best.transpose(1, 2).reshape(b, size, size, size, heads)


def clicked_intensity(pyramid: Pyramid, prompts: Prompts) -> Tensor:
    """Give the mean intensity (B, N) of the 4^3 voxels around each point."""
    size = pyramid.middle_intensity.shape[1]
    return pyramid.middle_intensity.flatten(1).gather(1, cell_of(prompts.points, size, 4))


@torch.no_grad()
def similarity_map(
    intensity: Tensor, clicked: Tensor, prompts: Prompts, label: int, tolerance: float
) -> Tensor:
    """Tell how near each cell's intensity is to that of the clicked ones.

    Parameters
    ----------
    intensity : Tensor
        (B, D, H, W) normalised intensities of the cells.
    clicked : Tensor
        (B, N) intensity at each point.
    prompts, label
        As in `click_map`.
    tolerance : float
        Standard deviation of the Gaussian of the difference.

    Returns
    -------
    Tensor
        (B, D, H, W) in [0, 1]: the largest over the clicks of that label, 0 where there is none.
    """
    difference = (intensity[:, None] - clicked[..., None, None, None]) / tolerance
    alike = torch.exp(-0.5 * difference**2) * (prompts.labels == label)[..., None, None, None]
    return alike.amax(1)


@torch.no_grad()
def reach_map(similarity: Tensor, seeds: Tensor, steps: int = REACH) -> Tensor:
    """Spread seeds over neighbouring cells, dimmed by every cell that is unlike the clicked ones.

    This is the exponential of a geodesic distance whose steps cost the dissimilarity (Wang et al.
    2018 give such distances to a network), found by `steps` rounds of propagation.

    Parameters
    ----------
    similarity, seeds : Tensor
        (B, D, H, W) in [0, 1].
    """
    reach = seeds * similarity
    for _ in range(steps):
        spread = F.max_pool3d(reach[:, None], 3, stride=1, padding=1)[:, 0]
        reach = torch.maximum(reach, spread * similarity)
    return reach


class PyramidPromptEncoder(nn.Module):
    """Turn points and a box into tokens, and the previous mask into a bias of the image tokens."""

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        width = config.width
        self.position = FourierPosition(width)
        self.labels = nn.Embedding(2, width)
        self.corners = nn.Embedding(2, width)
        self.clicked = nn.Linear(config.widths[1], width)
        self.mask = nn.Sequential(Merge(1, 32), nn.GELU(approximate="tanh"), Merge(32, width))

    def forward(self, prompts: Prompts, pyramid: Pyramid) -> tuple[Tensor, Tensor, Tensor]:
        """Encode prompts.

        Returns
        -------
        tuple of Tensor
            Tokens (B, N + 2, width); which of them are valid (B, N + 2) bool; what the previous
            mask adds to the image tokens (B, cells, width).
        """
        points = self._encode(prompts.points, pyramid) + self.labels(prompts.labels.clamp(min=0))
        has_box = ~prompts.box.isnan().any(-1)
        corners = self._encode(prompts.box.nan_to_num(0.0), pyramid) + self.corners.weight
        tokens = torch.cat([points, corners.to(points.dtype)], dim=1)
        valid = torch.cat([prompts.labels >= 0, has_box], dim=1)
        previous = torch.tanh(prompts.previous / 4).movedim(1, -1)
        return tokens, valid, self.mask(previous).flatten(1, 3)

    def _encode(self, points: Tensor, pyramid: Pyramid) -> Tensor:
        size = pyramid.middle.shape[1]
        centred = (points + 0.5 - 2 * size + FRAME / 2) / FRAME
        flat = pyramid.middle.flatten(1, 3)
        where = cell_of(points, size, 4)[..., None].expand(-1, -1, flat.shape[-1])
        return self.position(centred) + self.clicked(flat.gather(1, where))


CUES = 3
"""Maps of similarity and reach for each label at S/4; at S/2 one fewer, without the reach."""


class PyramidDecoder(nn.Module):
    """Decode a mask from a pyramid and prompts: two-way transformer, then three fusing scales.

    Attributes
    ----------
    cues : bool
        Whether the maps of similarity and reach are drawn; else they are zeros, as in the first
        phase of training. The weights that read them start at zero, so that a network trained
        without them goes on with them where it was.
    """

    def __init__(self, config: PyramidConfig) -> None:
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
        self.skip_middle = self._skip(config.widths[1] + 6, 2 * CUES, 2 * heads[1], middle)
        self.block_middle = ResidualBlock(middle)
        self.expand_fine = Expand(middle, fine)
        self.skip_fine = self._skip(config.widths[0] + 3, 2 * (CUES - 1), 2 * heads[0], fine)
        self.conv_fine = Convolution(fine)
        self.hyper_middle = self._mlp(width, middle)
        self.hyper_fine = self._mlp(width, fine)
        self.quality = self._mlp(width, 1)
        self.cues = True

    @staticmethod
    def _skip(before: int, cues: int, after: int, out_width: int) -> nn.Linear:
        skip = nn.Linear(before + cues + after, out_width)
        nn.init.zeros_(skip.weight[:, before : before + cues])
        return skip

    @staticmethod
    def _mlp(width: int, out_width: int) -> nn.Sequential:
        last = nn.Linear(width, out_width)
        nn.init.normal_(last.weight, std=0.1 / width**0.5)  # logits start near zero
        return nn.Sequential(nn.Linear(width, width), nn.GELU(approximate="tanh"), last)

    def forward(self, pyramid: Pyramid, prompts: Prompts) -> Masks:
        """Decode one step of interaction.

        Parameters
        ----------
        pyramid : Pyramid
            Of a crop of S^3 voxels.
        prompts : Prompts
            All prompts so far and the previous step's low logits.

        Returns
        -------
        Masks
            low (B, 1, S/4, S/4, S/4), fine (B, 1, S/2, S/2, S/2) logits, quality (B, 1) in [0, 1].
        """
        tokens, image = self._exchange(pyramid, prompts)
        features = self.expand_coarse(image) + self.skip_coarse(pyramid.coarse)
        features = self.expand_middle(self.block_coarse(features))
        features = features + self.skip_middle(self._middle_maps(pyramid, prompts))
        features = self.block_middle(features)
        low = self._mask(features, self.hyper_middle(tokens[:, 0]))
        features = self.expand_fine(features)
        features = F.gelu(
            features + self.skip_fine(self._fine_maps(pyramid, prompts)), approximate="tanh"
        )
        features = features + self.conv_fine(features)
        fine = self._mask(features, self.hyper_fine(tokens[:, 0]))
        fine = fine + F.interpolate(low, scale_factor=2, mode="trilinear")
        return Masks(low, fine, torch.sigmoid(self.quality(tokens[:, 1]).float()))

    def _exchange(self, pyramid: Pyramid, prompts: Prompts) -> tuple[Tensor, Tensor]:
        embedding = pyramid.embedding.movedim(1, -1)
        size = embedding.shape[1]
        prompt_tokens, valid, dense = self.prompt_encoder(prompts, pyramid)
        batch = prompt_tokens.shape[0]
        output = self.output_tokens.weight.expand(batch, -1, -1).to(prompt_tokens.dtype)
        tokens = torch.cat([output, prompt_tokens], dim=1)
        valid = torch.cat([valid.new_ones(batch, 2), valid], dim=1)
        encoding = grid_encoding(self.prompt_encoder.position, size).to(embedding.dtype)
        tokens, image = self.transformer(
            tokens,
            embedding.flatten(1, 3) + dense,
            encoding.expand(batch, -1, -1),
            padding_bias(valid, tokens.dtype),
        )
        return tokens, image.unflatten(1, (size, size, size))

    def _middle_maps(self, pyramid: Pyramid, prompts: Prompts) -> Tensor:
        size = pyramid.middle.shape[1]
        maps = [
            *(click_map(prompts, label, size, 4, s) for label in (1, 0) for s in (NARROW, WIDE)),
            box_map(prompts.box, size, 4),
            torch.tanh(prompts.previous[:, 0].float() / 4),
        ]
        maps += self._middle_cues(pyramid, prompts, maps)
        return torch.cat(
            [
                pyramid.middle,
                torch.stack(maps, -1).to(pyramid.middle.dtype),
                affinity_map(pyramid.middle_keys, prompts, 1, 4).to(pyramid.middle.dtype),
                affinity_map(pyramid.middle_keys, prompts, 0, 4).to(pyramid.middle.dtype),
            ],
            dim=-1,
        )

    def _fine_maps(self, pyramid: Pyramid, prompts: Prompts) -> Tensor:
        size = pyramid.fine.shape[1]
        maps = [
            click_map(prompts, 1, size, 2, NARROW),
            click_map(prompts, 0, size, 2, NARROW),
            box_map(prompts.box, size, 2),
        ]
        maps += self._fine_cues(pyramid, prompts)
        return torch.cat(
            [
                pyramid.fine,
                torch.stack(maps, -1).to(pyramid.fine.dtype),
                affinity_map(pyramid.fine_keys, prompts, 1, 2).to(pyramid.fine.dtype),
                affinity_map(pyramid.fine_keys, prompts, 0, 2).to(pyramid.fine.dtype),
            ],
            dim=-1,
        )

    def _middle_cues(self, pyramid: Pyramid, prompts: Prompts, maps: list[Tensor]) -> list[Tensor]:
        """Draw both similarities and the reach, for both labels; `maps` begins with the clicks."""
        if not self.cues:
            return 2 * CUES * [torch.zeros_like(maps[0])]
        clicked = clicked_intensity(pyramid, prompts)
        drawn: list[Tensor] = []
        for label, near in ((1, maps[0]), (0, maps[2])):
            strict, loose = (
                similarity_map(pyramid.middle_intensity, clicked, prompts, label, tolerance)
                for tolerance in (STRICT, LOOSE)
            )
            drawn += [strict, loose, reach_map(loose, near)]
        return drawn

    def _fine_cues(self, pyramid: Pyramid, prompts: Prompts) -> list[Tensor]:
        """Draw similarity, strict and loose, for both labels."""
        if not self.cues:
            return 2 * (CUES - 1) * [torch.zeros_like(pyramid.fine_intensity)]
        clicked = clicked_intensity(pyramid, prompts)
        return [
            similarity_map(pyramid.fine_intensity, clicked, prompts, label, tolerance)
            for label in (1, 0)
            for tolerance in (STRICT, LOOSE)
        ]

    @staticmethod
    def _mask(features: Tensor, weights: Tensor) -> Tensor:
        """Weigh features (B, D, H, W, C) by (B, C); gives float logits (B, 1, D, H, W)."""
        flat = features.flatten(1, 3) @ weights[..., None].to(features.dtype)
        return flat.float().movedim(-1, 1).unflatten(2, features.shape[1:4])
