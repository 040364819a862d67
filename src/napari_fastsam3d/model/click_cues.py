"""What clicks tell beyond their tokens and maps: what is like them from afar, and by intensity."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.decoder_cues import DecoderCues, from_zero, mlp_from_zero
from napari_fastsam3d.model.likelihood_ratio import LikelihoodRatio
from napari_fastsam3d.model.prompt_maps import affinity_map, cell_of, click_map
from napari_fastsam3d.model.pyramid_encoder import Pyramid, PyramidConfig
from napari_fastsam3d.model.pyramid_prompts import Clicks, Prompts

NEAR, FAR = 8.0, 24.0
"""Standard deviations, in crop voxels, of what is near a click and of what isn't far from it."""

NEGATIVE = 4.0
"""Weight of what is near a negative click, beside all that is far from the positive ones."""

RIM = 4
"""Cells of S/4 around the previous mask that it is compared with."""

RATIO_MAPS, HIDDEN = 4, 64


class ClickCueReader(nn.Module):
    """Tell every cell how like the clicked ones it is, on the scales that see whole organs.

    Learned features of the coarse scales are compared with those of the clicked cells, and
    intensities near the clicks and in the previous mask with those elsewhere. What these maps are
    worth is learned, from nothing on.
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.decoder_widths
        alike = 2 * config.affinity_heads[1]
        self.points = from_zero(nn.Linear(config.width, config.width))
        self.tokens = mlp_from_zero(RATIO_MAPS + 6, 2 * HIDDEN, config.width)
        self.coarse = mlp_from_zero(RATIO_MAPS + 6, HIDDEN, coarse)
        self.middle = mlp_from_zero(RATIO_MAPS + 4 + alike + config.widths[1], HIDDEN, middle)
        self.fine = mlp_from_zero(RATIO_MAPS, fine, fine)

    def forward(self, pyramid: Pyramid, prompts: Prompts) -> DecoderCues:
        """Read the clicks of prompts, and the previous mask."""
        maps = _drawn(pyramid, prompts)
        middle = torch.cat([maps.middle.movedim(1, -1), pyramid.middle.float()], -1)
        return DecoderCues(
            points=self.points(_clicked(pyramid, prompts.points)),
            tokens=self.tokens(maps.tokens.movedim(1, -1)).flatten(1, 3),
            coarse=self.coarse(maps.coarse.movedim(1, -1)),
            middle=self.middle(middle),
            fine=self.fine(maps.fine.movedim(1, -1)),
        )


class _Maps(NamedTuple):
    """Maps (B, M, D, H, W) at S/16, S/8, S/4 and S/2."""

    tokens: Tensor
    coarse: Tensor
    middle: Tensor
    fine: Tensor


@torch.no_grad()
def _drawn(pyramid: Pyramid, prompts: Prompts) -> _Maps:
    both = (prompts.clicks(1), prompts.clicks(0))
    clicked, known = _click_ratio(pyramid, both), _mask_ratio(pyramid, prompts.previous[:, 0])
    middle = _ratios(clicked, known, pyramid.middle_intensity, prompts)
    tokens = F.normalize(pyramid.embedding.float(), dim=1).flatten(2)[:, None]
    coarse = F.layer_norm(pyramid.coarse.float(), pyramid.coarse.shape[-1:])
    keys = F.normalize(coarse, dim=-1).movedim(-1, 1).flatten(2)[:, None]
    return _Maps(
        _of_clicks(tokens, both, 16, F.avg_pool3d(middle, 4)),
        _of_clicks(keys, both, 8, F.avg_pool3d(middle, 2)),
        _of_clicks(pyramid.middle_keys, both, 4, middle),
        _ratios(clicked, known, pyramid.fine_intensity, prompts),
    )


def _of_clicks(keys: Tensor, both: tuple[Clicks, Clicks], cell: int, ratios: Tensor) -> Tensor:
    """Join ratios with Gaussians around the clicks of either label, and with their affinities."""
    size = ratios.shape[2]
    near = [click_map(clicks, size, cell, max(w, cell)) for clicks in both for w in (NEAR, FAR)]
    alike = [affinity_map(keys, clicks, cell).float() for clicks in both]
    return torch.cat([ratios, torch.stack(near, 1), *alike], 1)


def _click_ratio(pyramid: Pyramid, both: tuple[Clicks, Clicks]) -> LikelihoodRatio:
    """Compare what is near the positive clicks with what is far from them, or near the others."""
    intensity = pyramid.middle_intensity
    size = intensity.shape[1]
    positive, negative = both
    within = click_map(positive, size, 4, NEAR)
    around = 1 - click_map(positive, size, 4, FAR) + NEGATIVE * click_map(negative, size, 4, NEAR)
    return LikelihoodRatio.of(intensity, within, around)


def _mask_ratio(pyramid: Pyramid, previous: Tensor) -> LikelihoodRatio:
    """Compare what is in the previous mask (B, S/4, S/4, S/4), logits, with its surroundings."""
    share = torch.sigmoid(previous.float())
    grown = F.max_pool3d(share[:, None], 2 * RIM + 1, stride=1, padding=RIM)[:, 0]
    return LikelihoodRatio.of(pyramid.middle_intensity, share, grown * (1 - share))


def _ratios(
    clicked: LikelihoodRatio, known: LikelihoodRatio, intensity: Tensor, prompts: Prompts
) -> Tensor:
    """Look intensities up in both; zeros where there is no previous mask."""
    given = prompts.previous.flatten(1).any(1)[:, None, None, None, None]
    return torch.cat([clicked.maps(intensity), given * known.maps(intensity)], 1)


def _clicked(pyramid: Pyramid, points: Tensor) -> Tensor:
    """Give the embedding of the token that holds each point (B, N, 3), (B, N, width)."""
    flat = pyramid.embedding.float().flatten(2).transpose(1, 2)
    where = cell_of(points, pyramid.embedding.shape[2], 16)[..., None]
    return flat.gather(1, where.expand(-1, -1, flat.shape[-1]))
