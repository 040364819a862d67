"""What the user drew by hand or froze stays, whatever the model says later."""

from collections.abc import Sequence

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import Edit, Freeze, Point, Prompt, place_of


def apply_edit(mask: Mask, edit: Edit) -> Mask:
    """Return a mask with what an edit adds and without what it removes."""
    return mask.union(edit.added.unpack()).without(edit.removed.unpack())


def enforce_edits(mask: Mask, prompts: Sequence[Prompt], frozen: Sequence[Mask] = ()) -> Mask:
    """Make the voxels of edits, frozen regions and clicks obey the newest of them about the voxel.

    Of a click only its own voxel competes with edits and frozen regions: the ball around it is a
    guess, and gives way to what was drawn by hand or frozen, also where the click is newer.

    Parameters
    ----------
    mask : Mask
        What the model said, clicks obeyed; source index.
    prompts : sequence of Prompt
        All prompts of the object, the oldest first.
    frozen : sequence of Mask
        For each frozen region of the prompts, in their order, what it held when it was frozen.
    """
    fixed = [place for place, prompt in enumerate(prompts) if isinstance(prompt, Edit | Freeze)]
    if not fixed:
        return mask
    later = [p for p in prompts[fixed[0] :] if isinstance(p, Edit | Freeze | Point)]
    box = mask.box
    for held in frozen:
        box = box.union(held.box)
    for prompt in later:
        if not isinstance(prompt, Freeze):
            box = box.union(place_of(prompt))
    then = iter(frozen)
    voxels = mask.within(box)
    for prompt in later:
        if isinstance(prompt, Edit):
            prompt.added.unpack().write(voxels, box, True)
            prompt.removed.unpack().write(voxels, box, False)
        elif isinstance(prompt, Freeze):
            seen = prompt.box.intersection(box)
            voxels[seen.shifted([-x for x in box.start]).slices] = next(then).within(seen)
        else:
            i, j, k = (x - a for x, a in zip(prompt.index, box.start, strict=True))
            voxels[i, j, k] = prompt.positive
    return Mask.of(box, voxels)
