"""Prompts drawn as maps over the cells of a crop."""

import torch
from torch import Tensor

from napari_fastsam3d.model.pyramid_prompts import Clicks

REACH = 10
"""Cells that the reach of a click may cross."""


def cell_of(points: Tensor, size: int, cell: int) -> Tensor:
    """Give the flat cell number (B, N) of each point (B, N, 3) on a grid of size^3 cells."""
    index = ((points + 0.5) / cell).floor().long().clamp(0, size - 1)
    return (index[..., 0] * size + index[..., 1]) * size + index[..., 2]


@torch.no_grad()
def click_map(clicks: Clicks, size: int, cell: int, sigma: float) -> Tensor:
    """Draw a Gaussian around each click and keep the largest.

    Parameters
    ----------
    clicks : Clicks
    size, cell : int
        Cells along an edge of the map, and crop voxels along an edge of a cell.
    sigma : float
        Standard deviation in crop voxels.

    Returns
    -------
    Tensor
        (B, size, size, size) in [0, 1]; zeros where there is no click.
    """
    centres = torch.arange(size, device=clicks.points.device) * cell + (cell - 1) / 2
    offsets = (centres - clicks.points[..., None]) / sigma  # (B, M, 3, size)
    x, y, z = torch.exp(-0.5 * offsets**2).unbind(2)
    x = x * clicks.present[:, None, None]
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


def affinity_map(keys: Tensor, clicks: Clicks, cell: int) -> Tensor:
    """Tell how alike each cell is to the clicked ones, by the cosine of their keys.

    Parameters
    ----------
    keys : Tensor
        (B, heads, c, size^3) unit vectors.
    clicks, cell
        As in `click_map`.

    Returns
    -------
    Tensor
        (B, heads, size, size, size): the largest cosine over the clicks, -1 where there is none.
    """
    size = round(keys.shape[3] ** (1 / 3))
    where = cell_of(clicks.points, size, cell)[:, None, None]
    clicked = keys.gather(3, where.expand(-1, *keys.shape[1:3], -1))
    best = (clicked.transpose(-1, -2) @ keys).amax(2)
    best = torch.where(clicks.present[:, None, None], best, best.new_tensor(-1.0))
    return best.unflatten(2, (size, size, size))


@torch.no_grad()
def contrast_map(intensity: Tensor, clicks: Clicks, middle_intensity: Tensor) -> Tensor:
    """Tell how far each cell's intensity is from the nearest of the clicked ones.

    Parameters
    ----------
    intensity : Tensor
        (B, D, H, W) normalised intensities of the cells.
    clicks : Clicks
    middle_intensity : Tensor
        (B, S/4, S/4, S/4) the intensities averaged over 4^3 voxels, which say what was clicked.

    Returns
    -------
    Tensor
        (B, D, H, W): infinite where there is no click.
    """
    where = cell_of(clicks.points, middle_intensity.shape[1], 4)
    clicked = middle_intensity.flatten(1).gather(1, where)
    clicked = clicked.masked_fill(~clicks.present[:, None], torch.inf)
    return (intensity[:, None] - clicked[..., None, None, None]).abs_().amin(1)


@torch.no_grad()
def similarity_map(contrast: Tensor, tolerance: float) -> Tensor:
    """Turn a contrast into a similarity in [0, 1]: a Gaussian of standard deviation `tolerance`."""
    return torch.exp(-0.5 * (contrast / tolerance) ** 2)


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
        reach = torch.maximum(reach, _largest_around(reach) * similarity)
    return reach


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
