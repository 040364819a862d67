"""What the user drew, painted or froze stays, whatever the model says later."""

from collections.abc import Sequence
from math import ceil

import numpy as np

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import Edit, Freeze, Point, Prompt, Scribble, place_of
from napari_fastsam3d.inference.sure_part import sure_part

# How far in mm a click frees what a clean-up before it changed. It is what a correcting click
# reaches: ten voxels of the finest crop.
_FREED = 15.0


def apply_edit(mask: Mask, edit: Edit) -> Mask:
    """Return a mask with what an edit adds and without what it removes."""
    return mask.union(edit.added.unpack()).without(edit.removed.unpack())


def enforce_edits(
    mask: Mask,
    prompts: Sequence[Prompt],
    frozen: Sequence[Mask] = (),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Mask:
    """Enforce edits, scribbles, frozen regions and clicks; on one voxel the newest counts.

    Of a click only its own voxel competes with the others: the ball around it is a guess, and
    gives way to what was drawn or frozen, also where the click is newer. Of a lasso only what lies
    well inside does. What a clean-up took away follows the model again around a newer positive
    click, and what it added around a newer negative one: nobody drew those voxels.

    Parameters
    ----------
    mask : Mask
        What the model said, click constraints enforced; source index.
    prompts : sequence of Prompt
        All prompts of the object, the oldest first.
    frozen : sequence of Mask
        For each frozen region of the prompts, in their order, what it held when it was frozen.
    spacing : tuple of float
        Voxel sizes, mm along the source axes.
    """
    fixed = [n for n, prompt in enumerate(prompts) if isinstance(prompt, Edit | Freeze | Scribble)]
    if not fixed:
        return mask
    later = [p for p in prompts[fixed[0] :] if isinstance(p, Edit | Freeze | Scribble | Point)]
    box = mask.box
    for held in frozen:
        box = box.union(held.box)
    for prompt in later:
        if not isinstance(prompt, Freeze):
            box = box.union(place_of(prompt))
    then = iter(frozen)
    voxels = mask.within(box)
    for place, prompt in enumerate(later):
        if isinstance(prompt, Edit):
            added, removed = _binding(prompt, later[place + 1 :], spacing)
            added.write(voxels, box, True)
            removed.write(voxels, box, False)
        elif isinstance(prompt, Freeze):
            seen = prompt.box.intersection(box)
            voxels[seen.shifted([-x for x in box.start]).slices] = next(then).within(seen)
        elif isinstance(prompt, Scribble):
            sure_part(prompt, spacing).write(voxels, box, prompt.positive)
        else:
            i, j, k = (x - a for x, a in zip(prompt.index, box.start, strict=True))
            voxels[i, j, k] = prompt.positive
    return Mask.of(box, voxels)


def _binding(
    edit: Edit, after: Sequence[Prompt], spacing: tuple[float, float, float]
) -> tuple[Mask, Mask]:
    """Return what an edit still adds and removes, after the prompts that came later."""
    added, removed = edit.added.unpack(), edit.removed.unpack()
    for click in after if edit.by is not None else ():
        if isinstance(click, Point):
            freed = removed if click.positive else added
            ball = _ball(click, spacing, freed.box)
            added, removed = (
                (added, removed.without(ball)) if click.positive else (added.without(ball), removed)
            )
    return added, removed


def _ball(click: Point, spacing: tuple[float, float, float], within: Box) -> Mask:
    """Return the voxels of a box that lie near a click."""
    i, j, k = (ceil(_FREED / size) for size in spacing)
    a, b, c = click.index
    box = Box((a - i, b - j, c - k), (a + i + 1, b + j + 1, c + k + 1)).intersection(within)
    if box.is_empty:
        return Mask.empty()
    offsets = np.ogrid[box.shifted([-x for x in click.index]).slices]
    x, y, z = ((d * size) ** 2 for d, size in zip(offsets, spacing, strict=True))
    return Mask.of(box, x + y + z <= _FREED**2)
