"""What the user painted and erased by hand stays, whatever the model says later."""

from collections.abc import Sequence

from napari_fastsam3d.session.mask import Mask
from napari_fastsam3d.session.prompt import Edit, Point, Prompt, place_of


def apply_edit(mask: Mask, edit: Edit) -> Mask:
    """Return a mask with what an edit adds and without what it removes."""
    return mask.union(edit.added.unpack()).without(edit.removed.unpack())


def honour_edits(mask: Mask, prompts: Sequence[Prompt]) -> Mask:
    """Make the voxels of edits and clicks obey the newest of them that is about the voxel.

    Of a click only its own voxel competes with edits: the ball around it is a guess, and gives
    way to what was drawn by hand, also where the click is newer.

    Parameters
    ----------
    mask : Mask
        What the model said, clicks obeyed; source index.
    prompts : sequence of Prompt
        All prompts of the object, the oldest first.
    """
    edits = [place for place, prompt in enumerate(prompts) if isinstance(prompt, Edit)]
    if not edits:
        return mask
    later = [p for p in prompts[edits[0] :] if isinstance(p, Edit | Point)]
    box = mask.box
    for prompt in later:
        box = box.union(place_of(prompt))
    voxels = mask.within(box)
    for prompt in later:
        if isinstance(prompt, Edit):
            prompt.added.unpack().write(voxels, box, True)
            prompt.removed.unpack().write(voxels, box, False)
        else:
            i, j, k = (x - a for x, a in zip(prompt.index, box.start, strict=True))
            voxels[i, j, k] = prompt.positive
    return Mask.of(box, voxels)
