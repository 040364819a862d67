"""A small trained network that reads remembered cases: where a structure is, and whether it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.memory.readable_case import ReadableCase
from napari_fastsam3d.model.layers.convolution import (
    Convolution,
    Expand,
    Merge,
    ResidualBlock,
    depth_to_space,
    space_to_depth,
)

FINE, COARSE = 48, 96
"""Channels of the default model's features at S/4 and S/8."""

_HEADS, _KEYS = 4, 16
_WIDTH, _COARSE_WIDTH = 24, 32
_OWN, _OWN_COARSE = 12, 16
# What a token gives to a cell that attends to it: the mask in its eighths, its place, and something
# of its features. They are as many as the channels that it is found by, as torch wants it.
_EIGHTHS, _PLACE, _TOLD = 8, 3, 9
# Maps at S/4 beside own features and attended masks: remembered masks (4), likeness (3), click (2)
# and place (3).
_MAPS = 12
_CLICK_WIDTHS = 1.0, 4.0


@dataclass(frozen=True, eq=False)
class Reading:
    """What a reader makes of a crop and of remembered cases.

    Attributes
    ----------
    logits : Tensor
        (2X, 2Y, 2Z) at S/2, of a region of (X, Y, Z) cells at S/4; positive where the structure is
        expected.
    match : Tensor
        (), logit of whether what was clicked is such a structure.
    """

    logits: Tensor
    match: Tensor


class Reader(nn.Module):
    """Attend from the cells around a click to remembered ones, and draw a mask from that.

    Everything is measured in cells, for a crop is chosen to fit its structure.

    Parameters
    ----------
    fine, coarse : int
        Channels of the features at S/4 and S/8.
    """

    def __init__(self, fine: int = FINE, coarse: int = COARSE) -> None:
        super().__init__()
        self.norm_fine = nn.LayerNorm(fine)
        self.norm_coarse = nn.LayerNorm(coarse)
        self.queries = nn.Linear(coarse, _HEADS * _KEYS, bias=False)
        self.keys = nn.Linear(coarse, _HEADS * _KEYS, bias=False)
        self.keys.weight.data.copy_(self.queries.weight.data)
        self.sharpness = nn.Parameter(torch.full((_HEADS,), 2.5))
        self.reach = nn.Parameter(torch.linspace(0.0, 2.0, _HEADS))
        self.likeness = nn.Linear(fine, fine, bias=False)
        nn.init.eye_(self.likeness.weight)
        self.own = nn.Linear(fine, _OWN)
        self.own_coarse = nn.Linear(coarse, _OWN_COARSE)
        self.enter = nn.Linear(_MAPS + _HEADS + _OWN, _WIDTH)
        self.convolution = Convolution(_WIDTH)
        self.merge = Merge(_WIDTH, _COARSE_WIDTH)
        self.values = nn.Linear(coarse, _HEADS * _TOLD)
        attended = _HEADS * (_EIGHTHS + _PLACE + _TOLD)
        self.enter_coarse = nn.Linear(attended + _OWN_COARSE, _COARSE_WIDTH)
        self.block = ResidualBlock(_COARSE_WIDTH)
        self.expand = Expand(_COARSE_WIDTH, _WIDTH)
        self.last = Convolution(_WIDTH)
        self.logits = nn.Linear(_WIDTH, _EIGHTHS)
        self.skip = nn.Parameter(torch.tensor([2.0, 2.0]))
        judged = 2 * _COARSE_WIDTH + _MAPS
        self.match = nn.Sequential(nn.Linear(judged, 24), nn.GELU(), nn.Linear(24, 1))

    def forward(
        self,
        fine: Tensor,
        coarse: Tensor,
        axes: Sequence[Tensor],
        cases: Sequence[ReadableCase],
        weights: Tensor,
    ) -> Reading:
        """Read cases for a click.

        Parameters
        ----------
        fine, coarse : Tensor
            Features of a region of a crop: (2X, 2Y, 2Z, FINE) and (X, Y, Z, COARSE).
        axes : sequence of Tensor
            (2X,), (2Y,), (2Z,): where the fine cells lie, in cells from the click.
        cases : sequence of ReadableCase
            One or more, measured in cells.
        weights : Tensor
            (K,) that sum to one.
        """
        attended = self._attend(self.norm_coarse(coarse), axes, cases, weights)
        eighths = attended[..., :_EIGHTHS].transpose(-1, -2).flatten(-2)
        masks = depth_to_space(eighths[None])
        maps = self._maps(fine, axes, cases, weights)[None]
        own = self.own(self.norm_fine(fine))[None]
        hidden, deep = self._drawn(torch.cat([maps, masks, own], -1), attended, coarse)
        skipped = self.skip[0] * (2 * masks.mean(-1) - 1) + self.skip[1] * (2 * maps[..., 0] - 1)
        logits = self.logits(hidden) + skipped[..., None]
        match = self._judge(deep[0], maps[0], logits[0].mean(-1))
        return Reading(depth_to_space(logits)[0, ..., 0], match)

    def _drawn(self, maps: Tensor, attended: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """Give hidden features at S/4 and S/8, as a small U-Net has them."""
        own = self.own_coarse(self.norm_coarse(coarse))
        told = torch.cat([attended.flatten(-2), own], -1)[None]
        # While it learns torch has no fast convolution for one small sample but in bfloat16.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training):
            hidden = self.enter(maps)
            hidden = hidden + F.gelu(self.convolution(F.gelu(hidden)))
            deep = self.block(F.gelu(self.merge(hidden) + self.enter_coarse(told)))
            hidden = hidden + self.expand(deep)
            hidden = F.gelu(hidden + self.last(F.gelu(hidden)))
        return hidden.float(), deep.float()

    def _attend(
        self,
        coarse: Tensor,
        axes: Sequence[Tensor],
        cases: Sequence[ReadableCase],
        weights: Tensor,
    ) -> Tensor:
        """Give what each coarse cell is told, (X, Y, Z, heads, 8 + 3 + 9).

        A token counts by how like its features are, by how alike both lie to their clicks, and by
        the weight of its case.
        """
        centres = [axis.view(-1, 2).mean(1) for axis in axes]
        here = torch.stack(torch.meshgrid(centres, indexing="ij"), -1).flatten(0, 2)
        there = torch.cat([case.places for case in cases])
        tokens = self.norm_coarse(torch.cat([case.tokens for case in cases]))
        counts = torch.tensor([len(case.tokens) for case in cases])
        share = torch.log(weights).repeat_interleave(counts)
        near = torch.exp(-self.reach)[:, None, None]
        # -|h - t|^2 / 2 = h t - t^2 / 2 - h^2 / 2, of which the last is the same for all tokens.
        bias = (share - 0.5 * (near[..., 0] * there.square().sum(-1) * near[..., 0]))[..., None]
        q = _by_head(self.queries(coarse.flatten(0, 2))) * torch.exp(self.sharpness)[:, None, None]
        left = torch.cat([q, near * here, torch.ones_like(q[..., :1])], -1)
        right = torch.cat([_by_head(self.keys(tokens)), near * there, bias], -1)
        told = self.values(tokens).unflatten(-1, (_HEADS, _TOLD)).transpose(0, 1)
        known = torch.cat([torch.cat([c.eighths for c in cases]), there], -1)
        values = torch.cat([known.expand(_HEADS, -1, -1), told], -1)
        out = F.scaled_dot_product_attention(left[None], right[None], values[None], scale=1.0)[0]
        moved = (out[..., _EIGHTHS : _EIGHTHS + _PLACE] - here) / 4
        out = torch.cat([out[..., :_EIGHTHS], moved, out[..., _EIGHTHS + _PLACE :]], -1)
        return out.transpose(0, 1).unflatten(0, coarse.shape[:3])

    def _maps(
        self,
        fine: Tensor,
        axes: Sequence[Tensor],
        cases: Sequence[ReadableCase],
        weights: Tensor,
    ) -> Tensor:
        """Give the maps at S/4 (2X, 2Y, 2Z, _MAPS), that of the remembered masks first."""
        moved = torch.stack([case.mask_on(axes) for case in cases])
        mean = torch.einsum("k,kxyz->xyz", weights, moved)
        blurred = [_blurred(mean, times) for times in (1, 3)]
        own = F.normalize(self.likeness(fine.flatten(0, 2)), dim=-1)
        like, unlike = (
            self._best(own, [getattr(case, kind) for case in cases], weights)
            for kind in ("foreground", "background")
        )
        like, unlike = like.view(mean.shape), unlike.view(mean.shape)
        grid = torch.meshgrid(*axes, indexing="ij")
        distance = torch.stack([x.square() for x in grid]).sum(0)
        clicks = [torch.exp(-distance / (2 * width**2)) for width in _CLICK_WIDTHS]
        places = [torch.tanh(x / 8) for x in grid]
        each = [mean, *blurred, moved.amax(0), like, unlike, 4 * (like - unlike), *clicks, *places]
        return torch.stack(each, -1)

    def _best(self, own: Tensor, vectors: Sequence[Tensor], weights: Tensor) -> Tensor:
        """Give the cosine to the likest of each case's vectors, its mean over the cases."""
        those = F.normalize(self.likeness(torch.cat([*vectors])), dim=-1)
        each = (own @ those.T).split([len(v) for v in vectors], dim=1)
        return torch.stack([part.amax(1) for part in each], -1) @ weights

    def _judge(self, deep: Tensor, maps: Tensor, logits: Tensor) -> Tensor:
        inside = torch.sigmoid(logits)
        share = inside / (inside.sum() + 1)
        coarse_share = space_to_depth(share[None, ..., None])[0].sum(-1)
        pooled = [
            torch.einsum("xyzc,xyz->c", deep, coarse_share),
            deep.mean((0, 1, 2)),
            torch.einsum("xyzc,xyz->c", maps, share),
        ]
        return self.match(torch.cat(pooled))[0]


def _by_head(x: Tensor) -> Tensor:
    """Divide (N, heads c) among the heads, (heads, N, c), at length one."""
    return F.normalize(x.unflatten(-1, (_HEADS, _KEYS)).transpose(0, 1), dim=-1)


def _blurred(mask: Tensor, times: int) -> Tensor:
    out = mask[None, None]
    for _ in range(times):
        out = F.avg_pool3d(out, 3, stride=1, padding=1, count_include_pad=False)
    return out[0, 0]
