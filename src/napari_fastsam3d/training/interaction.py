"""A simulated user: where the first click falls, and where the next one corrects."""

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.pyramid_decoder import Prompts


def first_prompts(truth: Tensor, clicks: int, generator: torch.Generator) -> Prompts:
    """Draw each sample's first prompt: a point anywhere inside, a box, or a box and a point.

    Parameters
    ----------
    truth : Tensor
        (B, 1, S/2, S/2, S/2) share of each cell that belongs to the structure.
    clicks : int
        Points that the prompts have room for.
    generator : torch.Generator
        Decides everything, on the CPU.

    Returns
    -------
    Prompts
        With `clicks` points a sample, unused ones labelled -1, and no previous mask.
    """
    batch, size = truth.shape[0], truth.shape[-1]
    points = torch.zeros(batch, clicks, 3)
    labels = torch.full((batch, clicks), -1)
    box = torch.full((batch, 2, 3), torch.nan)
    kind = torch.rand(batch, generator=generator)
    for b in range(batch):
        if kind[b] < 0.25:
            box[b] = _loose_box(truth[b, 0] > 0.5, generator)
        if kind[b] > 0.15 or box[b].isnan().any():
            points[b, 0] = _anywhere(truth[b, 0], generator)
            labels[b, 0] = 1
    previous = truth.new_zeros(batch, 1, size // 2, size // 2, size // 2)
    return Prompts(points, labels, box, previous)


def _cell_centre(flat: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Give a crop index (3,) inside the flat cell number on a grid of cells of two voxels."""
    cell = torch.stack([flat // size**2, flat // size % size, flat % size]).float()
    return 2 * cell + torch.randint(0, 2, (3,), generator=generator)


def _anywhere(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a point inside the structure, the rim less often than the middle."""
    weight = F.avg_pool3d(truth[None, None], 3, stride=1, padding=1)[0, 0] ** 2 * (truth > 0.5)
    flat = weight.flatten() + 1e-9 * truth.flatten()
    if flat.sum() <= 0:
        flat = torch.ones_like(flat)
    return _cell_centre(
        torch.multinomial(flat, 1, generator=generator)[0], truth.shape[-1], generator
    )


def _loose_box(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Give the structure's box (2, 3) in crop indices, each face moved by up to a tenth."""
    where = mask.nonzero()
    if not len(where):
        return torch.full((2, 3), torch.nan)
    low, high = where.amin(0) * 2.0, where.amax(0) * 2.0 + 1
    slack = (high - low + 1) * 0.1
    low = low + slack * (2 * torch.rand(3, generator=generator) - 1.2)
    high = high + slack * (2 * torch.rand(3, generator=generator) - 0.8)
    return torch.stack([torch.minimum(low, high - 1), high])


def next_prompts(
    prompts: Prompts,
    step: int,
    truth: Tensor,
    fine: Tensor,
    low: Tensor,
    generator: torch.Generator,
) -> Prompts:
    """Add one click where the mask is most wrong, and feed the mask back.

    The click falls in the deepest part of a large error, found by averaging the error over its
    neighbourhood and blurring the choice with noise; a distance transform would cost more than
    the network.

    Parameters
    ----------
    prompts : Prompts
        Of the step before.
    step : int
        Which of the points to fill.
    truth, fine : Tensor
        (B, 1, S/2, S/2, S/2) share of the structure, and predicted logits.
    low : Tensor
        (B, 1, S/4, S/4, S/4) predicted logits, fed back.
    """
    wanted, got = truth > 0.5, fine > 0
    missed = _depth(wanted & ~got)
    spilled = _depth(got & ~wanted)
    size = truth.shape[-1]
    points, labels = prompts.points.clone(), prompts.labels.clone()
    for b in range(truth.shape[0]):
        depth = torch.maximum(missed[b], spilled[b]).flatten()
        noise = torch.rand(depth.shape, generator=generator)
        best = (depth * (0.6 + 0.4 * noise)).argmax()
        if depth[best] <= 0:
            continue
        points[b, step] = _cell_centre(best, size, generator)
        labels[b, step] = int(wanted[b].flatten()[best])
    return Prompts(points, labels, prompts.box, low.detach().float())


def _depth(error: Tensor) -> Tensor:
    """Average an error map (B, 1, D, H, W) over 3^3 and 7^3 cells, inside the error only."""
    error_ = error.float()
    near = F.avg_pool3d(error_, 3, stride=1, padding=1)
    return error_ * (near + F.avg_pool3d(error_, 7, stride=1, padding=3))
