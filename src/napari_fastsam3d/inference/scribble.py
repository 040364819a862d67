"""How a scribble or a lasso is read: as clicks where the mask doesn't follow it yet."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.edits import enforce_edits
from napari_fastsam3d.inference.prompt import Point, Prompt, Scribble
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.inference.sure_part import sure_part

Advance = Callable[[Step, Sequence[Prompt]], Step]
"""Adds the last of the prompts to what the others made."""

# Clicks at most that the model is told of in place of a scribble, and the part of it that the mask
# may have wrong without another. Models take each click for something that the last mask got wrong:
# told of five in a row they mark far too much (docs/evaluation.md).
_CLICKS = 5
_LEFT = 0.5


def read_scribble(
    volume: Volume, advance: Advance, before: Step, prompts: Sequence[Prompt]
) -> Step:
    """Read a scribble: a click in its middle, and more as long as the mask has most of it wrong.

    Parameters
    ----------
    volume : Volume
    advance : callable
    before : Step
        What the prompts before the scribble made.
    prompts : sequence of Prompt
        The scribble last.
    """
    *earlier, drawn = prompts
    assert isinstance(drawn, Scribble)
    sure = sure_part(drawn, volume.spacing)
    wrong, step, clicks = sure, before, ()
    while not clicks or (len(clicks) < _CLICKS and _count(wrong) > _LEFT * _count(sure)):
        clicks = (*clicks, Point(drawn.id, _middle(wrong, volume), drawn.positive))
        step = advance(step, (*earlier, *clicks))
        followed = step.mask if drawn.positive else sure.without(step.mask)
        wrong = sure.without(followed)
    step = replace(step, told=(*step.told, (drawn.id, clicks)))
    constraints = with_clicks(prompts, step.told, volume)
    return replace(step, mask=enforce_edits(step.mask, constraints, step.frozen, volume.spacing))


def with_clicks(
    prompts: Sequence[Prompt], told: Sequence[tuple[int, tuple[Point, ...]]], volume: Volume
) -> Sequence[Prompt]:
    """Return prompts with the clicks of each scribble after it.

    One that no model was told of yet, for it came before anything that says where the object is,
    gets a click in its middle.
    """
    known = dict(told)
    found: list[Prompt] = []
    for prompt in prompts:
        found.append(prompt)
        if isinstance(prompt, Scribble):
            clicks = known.get(prompt.id)
            if clicks is None:
                middle = _middle(sure_part(prompt, volume.spacing), volume)
                clicks = (Point(prompt.id, middle, prompt.positive),)
            found += clicks
    return found


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask.voxels))


def _middle(mask: Mask, volume: Volume) -> Index:
    """Return the voxel nearest to the middle of the largest connected part of a mask.

    It is the same voxel of the patient in whichever order a file has its axes.
    """
    canonical = volume.canonical
    # A copy, for scipy numbers parts as they lie in memory, and of equal ones the first is taken.
    inside = np.ascontiguousarray(canonical.view(mask.voxels))
    parts = np.zeros(inside.shape, np.int32)
    ndimage.label(inside, np.ones((3, 3, 3)), output=parts)
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    voxels = np.argwhere(parts == largest)
    places = voxels * [volume.spacing[axis] for axis in canonical.axes]
    nearest = int(((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin())
    at = np.add(voxels[nearest], canonical.box_to_target(mask.box).start)
    i, j, k = (int(value) for value in canonical.to_source(at))
    return i, j, k
