"""At which crops an object is looked at: wider where it is cut off, closer where it is small."""

from collections.abc import Sequence

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.inference.model_input import fence
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Freeze,
    Point,
    Prompt,
    clicks_of,
    place_of,
)
from napari_fastsam3d.inference.step import Prediction, Step

# Clicks from which on small objects are looked at from near by; Dice of that prediction with the
# one before, under which it is not trusted; and the number of clicks from which on it is anyway.
_NEAR_CLICKS = 2
_AGREEMENT = 0.6
_ENOUGH_CLICKS = 3
# Dice of a nearer prediction of a box with the one before, under which it is not trusted.
_BOX_AGREEMENT = 0.8


class CoarseToFine:
    """Chooses the crops of a step, and which prediction counts.

    Parameters
    ----------
    forward : ForwardPass
    policy : CropPolicy
    """

    def __init__(self, forward: ForwardPass, policy: CropPolicy) -> None:
        self._forward = forward
        self._predictor = forward.predictor
        self.policy = policy

    def predict(self, before: Step, prompts: Sequence[Prompt]) -> Prediction:
        """Answer the newest of the prompts, given what the others made."""
        newest = prompts[-1]
        found = self._forward.predict(self.crop(before, prompts), before, prompts)
        while wider := self._wider(found, prompts):
            # The mask cut off isn't fed back: it would teach the model to stop where it stopped.
            found = self._forward.predict(wider, before, prompts)
        if isinstance(newest, BoxPrompt):
            return self._nearer(found, newest.box, prompts)
        return self._closer(found, before, prompts)

    def crop(self, before: Step, prompts: Sequence[Prompt]) -> Crop:
        """Return the crop to begin with."""
        newest = prompts[-1]
        if not isinstance(newest, Point):
            reads_boxes = self._predictor.accepts_boxes or not isinstance(newest, BoxPrompt)
            return self.policy.around_box(place_of(newest), closely=reads_boxes)
        if before.crop is None and before.mask.is_empty:
            return self.policy.at_click(newest.index)
        if before.crop is not None and self.policy.keeps(before.crop, newest.index):
            return before.crop
        return self.policy.holding(_content(before.mask, prompts), newest.index)

    def _wider(self, found: Prediction, prompts: Sequence[Prompt]) -> Crop | None:
        if isinstance(prompts[-1], BoxPrompt) or fence(prompts, self._predictor):
            return None
        clicks = [click.index for click in clicks_of(prompts)]
        return self.policy.wider(found.crop, found.logits, clicks)

    def _closer(self, found: Prediction, before: Step, prompts: Sequence[Prompt]) -> Prediction:
        """Look again at a small object from near by; keep what was found where that loses it.

        After few clicks what looks small may be part of something larger, of which the nearer crop
        would show too little: after one there is none, after two both have to agree.
        """
        clicks = [click.index for click in clicks_of(prompts)]
        if len(clicks) < _NEAR_CLICKS:
            return found
        crop = self.policy.closer(found.crop, found.logits, clicks)
        if crop is None:
            return found
        near = self._forward.predict(crop, before, prompts)
        lost = not (near.logits > 0).any() or self.policy.cuts_off(crop, near.logits)
        if lost or (len(clicks) < _ENOUGH_CLICKS and _agreement(found, near) < _AGREEMENT):
            return found
        return near

    def _nearer(self, found: Prediction, box: Box, prompts: Sequence[Prompt]) -> Prediction:
        """Look again at what a box holds, the mask fed back; keep what was found where they differ.

        The first crop shows half of the box's side around it, and so is a coarse one.
        """
        crop = self.policy.nearer_box(box, found.crop)
        if crop is None or not self._predictor.accepts_boxes or found.mask.is_empty:
            return found
        near = self._forward.predict(crop, Step(found.mask, found.crop), prompts)
        return near if _agreement(found, near) >= _BOX_AGREEMENT else found


def _agreement(far: Prediction, near: Prediction) -> float:
    return far.mask.inside(near.crop.box).agreement(near.mask)


def _content(mask: Mask, prompts: Sequence[Prompt]) -> Box:
    """Return the source box of a mask and of all prompts."""
    content = mask.box
    for prompt in prompts:
        if not isinstance(prompt, Freeze):
            content = content.union(place_of(prompt))
    return content
