"""Prompts drawn as maps over the cells of a crop."""

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_fastsam3d.model.default.image_encoder import Pyramid
from napari_fastsam3d.model.default.prompts import Clicks, Prompts

NARROW, WIDE = 2.5, 10.0
"""Standard deviations, in crop voxels, of the two maps drawn around each click."""

STRICT, LOOSE = 0.2, 0.6
"""Differences of normalised intensity within which a cell counts as like the clicked one."""

SIMILARITY_MAPS = 3
"""Maps of similarity for each label at S/4, the last geodesic; at S/2 one fewer, without that."""

GEODESIC_STEPS = 10
"""Cells that a geodesic map crosses from a click."""


def cell_of(points: Tensor, shape: Sequence[int], cell: int) -> Tensor:
    """Give the flat cell number (B, N) of each point (B, N, 3) on a grid (D, H, W)."""
    index = ((points + 0.5) / cell).floor().long().unbind(-1)
    i, j, k = (at.clamp(0, length - 1) for at, length in zip(index, shape, strict=True))
    return (i * shape[1] + j) * shape[2] + k


@torch.no_grad()
def click_map(clicks: Clicks, shape: Sequence[int], cell: int, sigma: float) -> Tensor:
    """Draw a Gaussian around each click and keep the largest.

    Parameters
    ----------
    clicks : Clicks
    shape, cell : sequence of int, int
        Cells along each axis of the map, and crop voxels along an edge of a cell.
    sigma : float
        Standard deviation in crop voxels.

    Returns
    -------
    Tensor
        (B, D, H, W) in [0, 1]; zeros where there is no click.
    """
    if not clicks.any:
        return clicks.points.new_zeros(len(clicks.points), *shape)
    places = clicks.points.unbind(-1)
    offsets = (
        (centres_of(length, cell, at.device) - at[..., None]) / sigma  # (B, M, length)
        for at, length in zip(places, shape, strict=True)
    )
    x, y, z = (torch.exp(-0.5 * offset**2) for offset in offsets)
    x = x * clicks.present[:, None, None]
    product = x[..., :, None, None] * y[..., None, :, None] * z[..., None, None, :]
    return product.amax(1)


@torch.no_grad()
def box_map(box: Tensor, shape: Sequence[int], cell: int) -> Tensor:
    """Draw a box: +1 deep inside, -1 far outside, 0 on its faces and where there is no box.

    Gives (B, D, H, W) for boxes (B, 2, 3) in crop indices; the slope is one cell.
    """
    depths: list[Tensor] = []
    for sides, length in zip(box.unbind(-1), shape, strict=True):
        centres = centres_of(length, cell, box.device)
        low, high = centres - (sides[:, :1] - 0.5), (sides[:, 1:] + 0.5) - centres
        depths.append(torch.minimum(low, high))
    x, y, z = depths  # (B, length)
    depth = torch.minimum(
        torch.minimum(x[:, :, None, None], y[:, None, :, None]), z[:, None, None, :]
    )
    return torch.tanh(depth / cell).nan_to_num(0.0)


def affinity_map(keys: Tensor, clicks: Clicks, shape: Sequence[int], cell: int) -> Tensor:
    """Tell how alike each cell is to the clicked ones, by the cosine of their keys.

    Parameters
    ----------
    keys : Tensor
        (C, heads, c, D * H * W) unit vectors of the crops; B is a multiple of C, and samples that
        share a crop follow one another.
    clicks, shape, cell
        As in `click_map`.

    Returns
    -------
    Tensor
        (B, heads, D, H, W): the largest cosine over the clicks, -1 where there is none.
    """
    samples, crops = len(clicks.points), len(keys)
    if not clicks.any:
        return keys.new_full((samples, keys.shape[1], *shape), -1.0)
    where = cell_of(clicks.points, shape, cell).reshape(crops, 1, 1, -1)
    clicked = keys.gather(3, where.expand(-1, *keys.shape[1:3], -1))
    cosines = (clicked.transpose(-1, -2) @ keys).unflatten(2, (samples // crops, -1))
    best = cosines.amax(3).transpose(1, 2).flatten(0, 1)
    best = best.masked_fill(~clicks.present[:, None, None], -1.0)
    return best.unflatten(2, tuple(shape))


@torch.no_grad()
def contrast_map(intensity: Tensor, clicks: Clicks, middle_intensity: Tensor) -> Tensor:
    """Tell how far each cell's intensity is from the nearest of the clicked ones.

    Parameters
    ----------
    intensity : Tensor
        (C, D, H, W) normalised intensities of the cells, of crops as in `affinity_map`.
    clicks : Clicks
    middle_intensity : Tensor
        (C, S/4, S/4, S/4) the intensities averaged over 4^3 voxels, which say what was clicked.

    Returns
    -------
    Tensor
        (B, D, H, W): infinite where there is no click.
    """
    samples, crops = len(clicks.points), len(intensity)
    where = cell_of(clicks.points, middle_intensity.shape[1:], 4)
    clicked = middle_intensity.flatten(1).gather(1, where.view(crops, -1)).view(samples, -1)
    clicked = clicked.masked_fill(~clicks.present[:, None], torch.inf)
    apart = intensity[:, None, None] - clicked.view(crops, samples // crops, -1, 1, 1, 1)
    return apart.abs_().amin(2).flatten(0, 1)


@torch.no_grad()
def similarity_map(contrast: Tensor, tolerance: float) -> Tensor:
    """Turn a contrast into a similarity in [0, 1]: a Gaussian of standard deviation `tolerance`."""
    return torch.exp(-0.5 * (contrast / tolerance) ** 2)


@torch.no_grad()
def geodesic_map(similarity: Tensor, seeds: Tensor, steps: int = GEODESIC_STEPS) -> Tensor:
    """Spread seeds over neighbouring cells, dimmed by every cell that is unlike the clicked ones.

    This is the exponential of a geodesic distance whose steps cost the dissimilarity (Wang et al.
    2018 give such distances to a network), found by `steps` rounds of propagation.

    Parameters
    ----------
    similarity, seeds : Tensor
        (B, D, H, W) in [0, 1].
    """
    near = seeds * similarity
    for _ in range(steps):
        near = torch.maximum(near, _largest_around(near) * similarity)
    return near


def _largest_around(x: Tensor) -> Tensor:
    """Give the largest of the 27 cells around each; one axis after the other, for pooling is slow.

    Maps (B, D, H, W) to the same shape.
    """
    for axis in (1, 2, 3):
        largest, inner = x.clone(), x.shape[axis] - 1
        lower, upper = largest.narrow(axis, 0, inner), largest.narrow(axis, 1, inner)
        torch.maximum(lower, x.narrow(axis, 1, inner), out=lower)
        torch.maximum(upper, x.narrow(axis, 0, inner), out=upper)
        x = largest
    return x


def centres_of(length: int, cell: int, device: torch.device) -> Tensor:
    """Give the crop indices (length,) of the middles of cells of `cell` voxels along an axis."""
    return torch.arange(length, device=device) * cell + (cell - 1) / 2


def middle_maps(pyramid: Pyramid, prompts: Prompts, similarity: bool) -> Tensor:
    """Draw the prompts at S/4; gives (B, M, S/4, S/4, S/4).

    Without `similarity` the maps of what is like the clicks are zeros.
    """
    both = _both(prompts)
    shape = pyramid.middle.shape[1:4]
    maps = [click_map(clicks, shape, 4, sigma) for clicks in both for sigma in (NARROW, WIDE)]
    seeds = maps[0], maps[2]
    maps += [box_map(prompts.box, shape, 4), torch.tanh(prompts.previous[:, 0].float() / 4)]
    intensity = pyramid.middle_intensity
    for clicks, near in zip(both, seeds, strict=True):
        if similarity and clicks.any:
            contrast = contrast_map(intensity, clicks, intensity)
            strict, loose = (similarity_map(contrast, t) for t in (STRICT, LOOSE))
            maps += [strict, loose, geodesic_map(loose, near)]
        else:
            maps += SIMILARITY_MAPS * [torch.zeros_like(near)]
    return _joined(maps, [affinity_map(pyramid.middle_keys, clicks, shape, 4) for clicks in both])


def fine_maps(pyramid: Pyramid, prompts: Prompts, similarity: bool) -> Tensor:
    """Draw the prompts at S/2; gives (B, M, D, H, W); for `similarity` see `middle_maps`."""
    both = _both(prompts)
    shape = pyramid.fine.shape[1:4]
    maps = [click_map(clicks, shape, 2, NARROW) for clicks in both]
    maps.append(box_map(prompts.box, shape, 2))
    for clicks in both:
        if similarity and clicks.any:
            contrast = contrast_map(pyramid.fine_intensity, clicks, pyramid.middle_intensity)
            maps += [similarity_map(contrast, tolerance) for tolerance in (STRICT, LOOSE)]
        else:
            maps += (SIMILARITY_MAPS - 1) * [torch.zeros_like(maps[0])]
    return _joined(maps, [affinity_map(pyramid.fine_keys, clicks, shape, 2) for clicks in both])


def _both(prompts: Prompts) -> tuple[Clicks, Clicks]:
    """Give the positive and the negative clicks."""
    return prompts.clicks(1), prompts.clicks(0)


def _joined(maps: list[Tensor], affinities: list[Tensor]) -> Tensor:
    """Join maps (B, D, H, W) and affinities (B, heads, D, H, W) along a dimension of channels."""
    drawn = torch.stack(maps, 1).to(affinities[0].dtype)
    return torch.cat([drawn, *affinities], 1)
