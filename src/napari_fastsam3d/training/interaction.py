"""A simulated user: where the first click falls, and where the next ones correct."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.pyramid_prompts import Prompts
from napari_fastsam3d.session.cues import SURE

AIMED_BOXES = 0.1
"""Share of the samples aimed at a first click that begin with a box: there the click is asked."""


def first_prompts(
    truth: Tensor,
    room: int,
    generator: torch.Generator,
    clicks: Tensor | None = None,
    boxes: float = 0.25,
) -> Prompts:
    """Draw what each sample begins with.

    A point, a box, both, or a mask of somebody else, wrong here and there, with a click that
    corrects it.

    Parameters
    ----------
    truth : Tensor
        (B, 1, S/2, S/2, S/2) share of each cell that belongs to the structure.
    room : int
        Points that the prompts have room for.
    generator : torch.Generator
        Decides everything, on the CPU.
    clicks : Tensor or None
        (B, 3) crop indices where the first point lies, as the crop was placed for it; NaN, or
        None for all, draws it anywhere inside the structure.
    boxes : float
        Share that begins with a box, three fifths of them with nothing else; `AIMED_BOXES` where
        there is a click.

    Returns
    -------
    Prompts
        With `room` points a sample, unused ones labelled -1; the previous mask is zeros where
        none was given.
    """
    batch = truth.shape[0]
    points = torch.zeros(batch, room, 3)
    labels = torch.full((batch, room), -1)
    box = torch.full((batch, 2, 3), torch.nan)
    given = truth.new_zeros(truth.shape)
    kind = torch.rand(batch, generator=generator)
    masked: list[int] = []
    for b in range(batch):
        click = None if clicks is None or clicks[b].isnan().any() else clicks[b]
        share = boxes if click is None else AIMED_BOXES
        if kind[b] < share:
            box[b] = _loose_box(truth[b, 0] > 0.5, generator)
        if kind[b] > 0.92:
            masked.append(b)
            given[b] = SURE * (2 * _spoilt(truth[b], generator) - 1)
        elif kind[b] > 0.6 * share or box[b].isnan().any():
            points[b, 0] = _anywhere(truth[b, 0], generator) if click is None else click
            labels[b, 0] = 1
    previous = F.avg_pool3d(given, 2)
    prompts = Prompts(points, labels, box, previous)
    return _corrected(prompts, truth, given, generator, dict.fromkeys(masked, 1))


def next_prompts(
    prompts: Prompts,
    truth: Tensor,
    fine: Tensor,
    low: Tensor,
    generator: torch.Generator,
    most: int = 1,
) -> Prompts:
    """Add clicks where the mask is most wrong, and feed the mask back.

    A click falls in the deepest part of a large error, found by averaging the error over its
    neighbourhood and blurring the choice with noise; a distance transform would cost more than
    the network. Now and then the user takes an earlier click back instead.

    Parameters
    ----------
    prompts : Prompts
        Of the step before.
    truth, fine : Tensor
        (B, 1, S/2, S/2, S/2) share of the structure, and predicted logits.
    low : Tensor
        (B, 1, S/4, S/4, S/4) predicted logits, fed back.
    generator : torch.Generator
        Decides everything, on the CPU.
    most : int
        Clicks that a sample may get at once.
    """
    batch = truth.shape[0]
    many = torch.rand(batch, generator=generator) < 0.4
    counts = torch.where(many, torch.randint(1, most + 1, (batch,), generator=generator), 1)
    labels = prompts.labels.clone()
    for b in (torch.rand(batch, generator=generator) < 0.06).nonzero()[:, 0].tolist():
        used = (labels[b] >= 0).nonzero()[:, 0]
        if len(used) > 1:
            labels[b, used[torch.randint(len(used), (1,), generator=generator)]] = -1
            counts[b] = 0
    left = replace(prompts, labels=labels, previous=low.detach().float())
    return _corrected(left, truth, fine, generator, dict(enumerate(counts.tolist())))


def used_points(prompts: Prompts) -> Prompts:
    """Leave out the places for points that no sample of the batch uses; one at least stays."""
    used = (prompts.labels >= 0).any(0)
    used[0] |= not bool(used.any())
    return replace(prompts, points=prompts.points[:, used], labels=prompts.labels[:, used])


def _corrected(
    prompts: Prompts,
    truth: Tensor,
    fine: Tensor,
    generator: torch.Generator,
    counts: dict[int, int],
) -> Prompts:
    """Add so many clicks to the samples named, each in an error of its own, while there is room."""
    wanted, got = truth > 0.5, fine > 0
    depths = torch.maximum(_depth(wanted & ~got), _depth(got & ~wanted))
    size = truth.shape[-1]
    points, labels = prompts.points.clone(), prompts.labels.clone()
    for b, count in counts.items():
        noise = torch.rand(depths[b, 0].shape, generator=generator)
        choice = depths[b, 0] * (0.6 + 0.4 * noise)
        for place in (labels[b] < 0).nonzero()[:count, 0].tolist():
            best = choice.argmax()
            if choice.flatten()[best] <= 0:
                break
            points[b, place] = _cell_centre(best, size, generator)
            labels[b, place] = int(wanted[b].flatten()[best])
            _clear_around(choice, best, size)
    return replace(prompts, points=points, labels=labels)


def _clear_around(choice: Tensor, flat: Tensor, size: int) -> None:
    """Let no further click fall within an eighth of the crop of a cell."""
    reach = max(1, size // 8)
    cell = (flat // size**2, flat // size % size, flat % size)
    choice[tuple(slice(max(0, int(c) - reach), int(c) + reach + 1) for c in cell)] = 0


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
    """Give the structure's box (2, 3) in crop indices, tight or loose.

    Each face moves inwards by up to a twentieth of the side, or outwards by up to a fifth.
    """
    where = mask.nonzero()
    if not len(where):
        return torch.full((2, 3), torch.nan)
    low, high = where.amin(0) * 2.0, where.amax(0) * 2.0 + 1
    side = (high - low + 1) * 0.2 * torch.rand(1, generator=generator)
    low = low - side * (1.25 * torch.rand(3, generator=generator) - 0.25)
    high = high + side * (1.25 * torch.rand(3, generator=generator) - 0.25)
    return torch.stack([torch.minimum(low, high - 1), high])


def _spoilt(truth: Tensor, generator: torch.Generator) -> Tensor:
    """Shift a mask (1, D, H, W) by a few cells, and grow or shrink it."""
    shift = torch.randint(-2, 3, (3,), generator=generator).tolist()
    moved = torch.roll(truth, shift, (1, 2, 3))
    change = int(torch.randint(3, (1,), generator=generator))
    if change == 0:
        return moved
    sign = 1 if change == 1 else -1
    return sign * F.max_pool3d(sign * moved, 3, stride=1, padding=1)


def _depth(error: Tensor) -> Tensor:
    """Average an error map (B, 1, D, H, W) over 3^3 and 7^3 cells, inside the error only."""
    error_ = error.float()
    near = F.avg_pool3d(error_, 3, stride=1, padding=1)
    wide = error_
    for axis in range(3):  # a wide box is three lines one after the other, at a fraction of it
        line = tuple(7 if a == axis else 1 for a in range(3))
        wide = F.avg_pool3d(wide, line, stride=1, padding=tuple(n // 2 for n in line))
    return error_ * (near + wide)
