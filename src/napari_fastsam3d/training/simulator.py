"""A simulated user: where the first click falls, and where the next ones correct.

Whole batches are drawn at once on the device of the masks, and nothing is read back from there.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.inference.model_input import SURE
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.training.loss import halved
from napari_fastsam3d.training.random_generator import RandomGenerator

MASKED = 0.92
"""Draws above this begin with a mask of somebody else."""

AIMED_BOXES = 0.1
"""Share of the samples aimed at a first click that begin with a box: there the click is asked."""

_OF_MASKS = 3


def first_prompts(
    truth: Tensor,
    room: int,
    random: RandomGenerator,
    clicks: Tensor | None = None,
    boxes: float = 0.25,
    masked: bool = True,
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
    random : RandomGenerator
        Decides everything; its fields are drawn on the device of `truth`.
    clicks : Tensor or None
        (B, 3) crop indices where the first point lies, as the crop was placed for it; NaN, or
        None for all, draws it anywhere inside the structure.
    boxes : float
        Share that begins with a box, three fifths of them with nothing else; at most `AIMED_BOXES`
        where there is a click, unless all begin with one.
    masked : bool
        Whether any begins with a mask.

    Returns
    -------
    Prompts
        With `room` points a sample, unused ones labelled -1; the previous mask is zeros where
        none was given.
    """
    batch, device = truth.shape[0], truth.device
    anywhere = _anywhere(truth, random)
    clicks = (torch.full((batch, 3), torch.nan) if clicks is None else clicks).to(device)
    placed = ~clicks.isnan().any(1)
    share = torch.where(placed, boxes if boxes == 1 else min(boxes, AIMED_BOXES), boxes)
    kinds = random.numbers.random(batch, dtype="float32")
    kind = torch.from_numpy(kinds).to(device)
    loose = _loose_box(truth[:, 0] > 0.5, random)
    box = torch.where((kind < share)[:, None, None], loose, torch.nan)
    begun = kind > (MASKED if masked else 1)
    pointed = ~begun & ((kind > 0.6 * share) | box.isnan().flatten(1).any(1))
    points = torch.zeros(batch, room, 3, device=device)
    labels = torch.full((batch, room), -1, device=device)
    first = torch.where(placed[:, None], clicks, anywhere)
    points[:, 0] = torch.where(pointed[:, None], first, points[:, 0])
    labels[:, 0] = torch.where(pointed, 1, -1)
    given = torch.zeros_like(truth)
    prompts = Prompts(points, labels, box, halved(given))
    if not (masked and (kinds > MASKED).any()):
        return prompts
    spoilt = SURE * (2 * _spoilt(truth, random) - 1)
    given = torch.where(begun[:, None, None, None, None], spoilt, given)
    prompts = replace(prompts, previous=halved(given))
    return _corrected(prompts, truth, given, random, begun.long(), 1)


def next_prompts(
    prompts: Prompts,
    truth: Tensor,
    mask_logits: Tensor,
    low_res_logits: Tensor,
    random: RandomGenerator,
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
    truth, mask_logits : Tensor
        (B, 1, S/2, S/2, S/2) share of the structure, and predicted logits.
    low_res_logits : Tensor
        (B, 1, S/4, S/4, S/4) predicted logits, fed back.
    random : RandomGenerator
        Decides everything; its fields are drawn on the device of `truth`.
    most : int
        Clicks that a sample may get at once.
    """
    batch, device = truth.shape[0], truth.device
    many = random.numbers.random(batch) < 0.4
    counts = torch.from_numpy(many * random.numbers.integers(0, most, batch) + 1).to(device)
    back = torch.from_numpy(random.numbers.random(batch) < 0.06).to(device)
    used = prompts.labels >= 0
    back = back & (used.sum(1) > 1)
    which = (used * (random.uniform(*used.shape) + 0.01)).argmax(1)
    taken = F.one_hot(which, used.shape[1]).bool() & back[:, None]
    labels = prompts.labels.masked_fill(taken, -1)
    counts = counts.masked_fill(back, 0)
    left = replace(prompts, labels=labels, previous=low_res_logits.detach().float())
    return _corrected(left, truth, mask_logits, random, counts, most)


def shown_mask(masks: Masks, random: RandomGenerator) -> Masks:
    """Give the masks that the user sees and corrects, without gradients.

    Half of the time the main ones, half of the time of each sample the candidate that is held to
    be best.
    """
    others = masks.candidates
    if others is None or not random.happens(0.5):
        return Masks(
            masks.low_res_logits.detach(), masks.mask_logits.detach(), masks.predicted_iou.detach()
        )
    return most_trusted(others)


def most_trusted(masks: Masks) -> Masks:
    """Give the mask of each sample, or its candidate, that is held to be best; no gradients."""
    each = [masks] if masks.candidates is None else [masks, masks.candidates]
    low_res, logits, predicted_iou = (
        torch.cat(parts, dim=1).detach()
        for parts in zip(*(one[:_OF_MASKS] for one in each), strict=True)
    )
    best = predicted_iou.argmax(1)
    rows = torch.arange(len(best), device=best.device)
    low_res, logits, predicted_iou = (
        part[rows, best][:, None] for part in (low_res, logits, predicted_iou)
    )
    return Masks(low_res, logits, predicted_iou)


def used_points(prompts: Prompts) -> Prompts:
    """Leave out the places for points that no sample of the batch uses; one at least stays."""
    used = (prompts.labels >= 0).any(0)
    used[0] |= ~used.any()
    return replace(prompts, points=prompts.points[:, used], labels=prompts.labels[:, used])


def _corrected(
    prompts: Prompts,
    truth: Tensor,
    mask_logits: Tensor,
    random: RandomGenerator,
    counts: Tensor,
    most: int,
) -> Prompts:
    """Add clicks, each in an error of its own, while there is room: `counts` (B,) of them."""
    wanted, got = truth > 0.5, mask_logits > 0
    depths = torch.maximum(_depth(wanted & ~got), _depth(got & ~wanted))
    shape = truth.shape[2:]
    choice = depths * (0.6 + 0.4 * random.uniform(*depths.shape))
    points, labels = prompts.points.clone(), prompts.labels.clone()
    for number in range(most):
        depth, cell = choice.flatten(1).max(1)
        free = labels < 0
        due = (counts > number) & (depth > 0) & free.any(1)
        here = F.one_hot(free.int().argmax(1), free.shape[1]).bool() & due[:, None]
        told = wanted.flatten(1).gather(1, cell[:, None])
        points = torch.where(here[..., None], _cell_centre(cell, shape, random)[:, None], points)
        labels = torch.where(here, told.long(), labels)
        if number + 1 < most:
            choice = choice * ~_around(cell, shape)
    return replace(prompts, points=points, labels=labels)


def _around(flat: Tensor, shape: Sequence[int]) -> Tensor:
    """Mark what lies within an eighth of the crop of cells (B,); gives (B, 1, D, H, W)."""
    x, y, z = (
        (torch.arange(size, device=flat.device) - cell[:, None]).abs() <= max(1, size // 8)
        for cell, size in zip(_index(flat, shape), shape, strict=True)
    )
    return (x[:, :, None, None] & y[:, None, :, None] & z[:, None, None, :])[:, None]


def _index(flat: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    _, height, width = shape
    return flat // (height * width), flat // width % height, flat % width


def _cell_centre(flat: Tensor, shape: Sequence[int], random: RandomGenerator) -> Tensor:
    """Give crop indices (B, 3) inside flat cell numbers (B,) on a grid of cells of two voxels."""
    corner = 2 * torch.stack(_index(flat, shape), -1)
    return corner.float() + (2 * random.uniform(len(flat), 3)).floor()


def _anywhere(truth: Tensor, random: RandomGenerator) -> Tensor:
    """Draw points (B, 3) inside the structures, on the rim less often than in the middle."""
    weight = _box_mean(truth, 3) ** 2 * (truth > 0.5)
    flat = weight.flatten(1) + 1e-9 * truth.flatten(1) + 1e-20
    # The largest of exponential races: a draw in proportion to the weights.
    race = -(random.uniform(*flat.shape) + 1e-12).log() / flat
    return _cell_centre(race.argmin(1), truth.shape[2:], random)


def _loose_box(mask: Tensor, random: RandomGenerator) -> Tensor:
    """Give the boxes (B, 2, 3) of structures (B, D, H, W) in crop indices, tight or loose.

    Each face moves inwards by up to a twentieth of the side, or outwards by up to a fifth. NaN
    where there is nothing.
    """
    batch, *shape = mask.shape
    lows, highs = [], []
    for size, others in zip(shape, ((2, 3), (1, 3), (1, 2)), strict=True):
        at = torch.arange(size, device=mask.device)
        line = mask.any(others[1]).any(others[0])
        lows.append(torch.where(line, at, size).amin(1))
        highs.append(torch.where(line, at, -1).amax(1))
    low, high = 2.0 * torch.stack(lows, 1), 2.0 * torch.stack(highs, 1) + 1
    side = (high - low + 1) * 0.2 * random.uniform(batch, 1)
    moved = low - side * (1.25 * random.uniform(batch, 3) - 0.25)
    high = high + side * (1.25 * random.uniform(batch, 3) - 0.25)
    box = torch.stack([torch.minimum(moved, high - 1), high], 1)
    found = mask.flatten(1).any(1)
    return torch.where(found[:, None, None], box, torch.nan)


def _spoilt(truth: Tensor, random: RandomGenerator) -> Tensor:
    """Shift masks (B, 1, D, H, W) by a few cells, all alike, and grow or shrink some of them."""
    rng = random.numbers
    moved = torch.roll(truth, [int(n) for n in rng.integers(-2, 3, 3)], (2, 3, 4))
    change = int(rng.integers(3))
    if change == 0:
        return moved
    sign = 1 if change == 1 else -1
    return sign * F.max_pool3d(sign * moved, 3, stride=1, padding=1)


def _depth(error: Tensor) -> Tensor:
    """Average an error map (B, 1, D, H, W) over 3^3 and 7^3 cells, inside the error only."""
    error_ = error.float()
    return error_ * (_box_mean(error_, 3) + _box_mean(error_, 7))


def _box_mean(x: Tensor, width: int) -> Tensor:
    """Average (B, 1, D, H, W) over cubes, zeros around; on a CPU much faster than pooling."""
    for axis in (2, 3, 4):
        total, length = x.clone(), x.shape[axis]
        for step in range(1, min(width // 2, length - 1) + 1):
            total.narrow(axis, step, length - step).add_(x.narrow(axis, 0, length - step))
            total.narrow(axis, 0, length - step).add_(x.narrow(axis, step, length - step))
        x = total / width
    return x
