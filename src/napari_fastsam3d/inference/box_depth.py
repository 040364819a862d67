"""How deep a box is taken to be that was drawn in one slice."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Prompt
from napari_fastsam3d.inference.step import Step

Advance = Callable[[Step, Sequence[Prompt]], Step]
"""Adds the last of the prompts to what the others made."""


def read_guessed(volume: Volume, advance: Advance, before: Step, prompts: Sequence[Prompt]) -> Step:
    """Read a box whose depth is a guess: as deep as the object in its rectangle, or deeper.

    That is as deep as it is known to be; where nothing is known, as deep as what a click finds
    in the middle of what the box is read to hold. The model given a box that is too short stops
    where the box does, and so can't tell itself.

    Parameters
    ----------
    volume : Volume
    advance : callable
    before : Step
        What the prompts before the box made.
    prompts : sequence of Prompt
        The box last; where it isn't a guess it is read as it is.
    """
    *earlier, drawn = prompts
    if not isinstance(drawn, BoxPrompt) or drawn.guessed is None:
        return advance(before, prompts)
    axis, number = drawn.guessed, drawn.id

    def read(box: Box) -> Step:
        return replace(advance(before, (*earlier, BoxPrompt(number, box))), box=box)

    through = drawn.box.stretched(axis, 0, volume.shape[axis])
    known, first = before.mask.inside(through), None
    if known.is_empty:
        first = read(drawn.box)
        held = first.mask.inside(drawn.box)
        if held.is_empty:
            return first
        known = _clicked_in(held, volume, advance).inside(through)
    box = drawn.box if known.is_empty else _reaching(drawn.box, axis, known.box, through)
    return first if first is not None and box == drawn.box else read(box)


def _clicked_in(mask: Mask, volume: Volume, advance: Advance) -> Mask:
    """Return what a click in the middle of a mask would find by itself."""
    return advance(Step(), (Point(0, middle_of(mask, volume)),)).mask


def as_settled(prompts: Sequence[Prompt], box: Box | None) -> Sequence[Prompt]:
    """Return prompts with the newest box as it is taken, where its depth was a guess."""
    places = [n for n, prompt in enumerate(prompts) if isinstance(prompt, BoxPrompt)]
    if box is None or not places:
        return prompts
    place = places[-1]
    return (*prompts[:place], BoxPrompt(prompts[place].id, box), *prompts[place + 1 :])


def _reaching(box: Box, axis: int, content: Box, through: Box) -> Box:
    """Return a box deep enough along an axis for a content with a voxel around it, or deeper."""
    low = min(box.start[axis], max(content.start[axis] - 1, through.start[axis]))
    high = max(box.stop[axis], min(content.stop[axis] + 1, through.stop[axis]))
    return box.stretched(axis, low, high)
