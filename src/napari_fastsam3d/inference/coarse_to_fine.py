"""At which crops an object is looked at: wider where it is cut off, closer where it is small."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.candidates import smaller_and_larger
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.inference.model_input import box_constraint
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Freeze,
    Point,
    Prompt,
    clicks_of,
    place_of,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter
from napari_fastsam3d.inference.step import Prediction, Step

# Clicks from which on small objects are looked at from near by.
_NEAR_CLICKS = 3
# Dice of a nearer prediction of a box with the one before, under which it is not trusted.
_BOX_AGREEMENT = 0.8
# Dice of what was found from afar with what is seen of it near by, under which that is another
# thing.
_FOLLOWS = 0.3

# Depth of an excluded voxel in what was found from afar, as a part of that of the first click, from
# which on that was another thing than what is meant.
_AS_DEEP = 0.75


class CoarseToFine:
    """Chooses the crops of a step, and which prediction counts.

    Parameters
    ----------
    forward : ForwardPass
    policy : CropPolicy
    """

    def __init__(self, forward: ForwardPass, policy: CropPolicy) -> None:
        self._forward = forward
        self.predictor = forward.predictor
        self.policy = policy

    def predict(self, before: Step, prompts: Sequence[Prompt]) -> Prediction:
        """Answer the newest of the prompts, given what the others made."""
        newest = prompts[-1]
        remembered = self._remembered(before, prompts)
        if remembered is not None:
            return self._widened(remembered, before, prompts)
        before = self._seen_near_by(before, prompts) or before
        first = self.predictor.sees_from_afar
        found = self._widened(self.crop(before, prompts), before, prompts, first)
        if self._adapted_spacing(prompts) is not None:
            return found
        if isinstance(newest, BoxPrompt):
            return self._zoomed_in_on_box(found, newest.box, prompts)
        return self._zoomed_in(found, before, prompts)

    def candidates(self, before: Step, prompts: Sequence[Prompt]) -> list[Prediction]:
        """Return what the newest of the prompts may mean, what `predict` returns first.

        Beside it stand at most a smaller one and a larger one, of what else the model proposes and,
        of a first click, finds from afar; see `smaller_and_larger`. What was found from afar is
        looked at again in the crop that fits it.
        """
        shown = self.predict(before, prompts)
        pool = self._forward.alternatives(shown, before, prompts)
        coarse = self._from_afar(before, prompts)
        if coarse is not None:
            crop = self.crop(before, prompts)
            if self._remembered(before, prompts) is not None:
                pool.append(self._widened(crop, before, prompts))
            elif not shown.alternatives:
                begun = self._seen(crop, before, prompts, first=True)
                pool += self._forward.alternatives(begun, before, prompts)
            pool += [coarse, *self._forward.alternatives(coarse, before, prompts)]
        cut = partial(self._forward.cut_at, shown, before, prompts)
        others = smaller_and_larger(shown, pool, cut)
        return [shown, *(self._seen_finely(each, prompts) for each in others)]

    def _seen_finely(self, found: Prediction, prompts: Sequence[Prompt]) -> Prediction:
        """Follow what was found from afar, unless something else is seen of it near by."""
        if found.crop.size == self.policy.size:
            return found
        followed = self._followed(found, prompts)
        same = followed.plain_mask.agreement(found.plain_mask) >= _FOLLOWS
        return followed if same else found

    def crops_of(self, before: Step, prompts: Sequence[Prompt]) -> tuple[Crop, ...]:
        """Return the crops that a step begins with, as far as they are known before it."""
        coarse = self._coarse_crop(before, prompts)
        return (*([] if coarse is None else [coarse]), self.crop(before, prompts))

    def encode_ahead(self, before: Step, prompts: Sequence[Prompt]) -> bool:
        """Encode the crops that a step begins with. Whether there were any."""
        remembered = self._remembered(before, prompts)
        crops = self.crops_of(before, prompts) if remembered is None else (remembered,)
        new = [self._encoded(crop, prompts) for crop in crops]
        return any(new)

    def _encoded(self, crop: Crop, prompts: Sequence[Prompt]) -> bool:
        """Encode a crop; whether it wasn't yet."""
        known = self._forward.has_encoded(crop, prompts)
        self._forward.encode(crop, prompts)
        return not known

    def _remembered(self, before: Step, prompts: Sequence[Prompt]) -> Crop | None:
        """Return the crop that fits what is known of a structure at a first click, if anything.

        So it is where the model is adapted to it, or cases of it are recalled.
        """
        if not before.is_beginning:
            return None
        spacing = self._adapted_spacing(prompts)
        if spacing is not None:
            return self.policy.at(_last_click(prompts), spacing)
        return self._forward.remembered_crop(prompts)

    def _adapted_spacing(self, prompts: Sequence[Prompt]) -> float | None:
        """Return at which spacing, mm, an adapter looks at a click; None where none answers."""
        adapted = self._forward.adapted(prompts)
        return adapted.spacing if adapted and isinstance(prompts[-1], Point) else None

    def _coarse_crop(self, before: Step, prompts: Sequence[Prompt]) -> Crop | None:
        newest = prompts[-1]
        if not self.predictor.sees_from_afar or not before.is_beginning:
            return None
        if not isinstance(newest, Point) or not newest.positive:
            return None
        near = self.policy.at_click(newest.index)
        return None if self.policy.shows_all(near) else near.halved()

    def _from_afar(self, before: Step, prompts: Sequence[Prompt]) -> Prediction | None:
        """Return what a coarse pass finds at a first click; None where there is none."""
        crop = self._coarse_crop(before, prompts)
        return None if crop is None else self._forward.predict(crop, before, prompts)

    def _seen_near_by(self, before: Step, prompts: Sequence[Prompt]) -> Step | None:
        """Return what was seen near by at a first click, where the second says to go on from that.

        That is where what was seen from afar was taken for what is meant, and a click excludes what
        lies about as deep in it as the first click: a mask so much too large is seldom mended.
        """
        match prompts:
            case [Point(positive=True) as meant, Point(positive=False) as excluded]:
                beginning, first = Step(), prompts[:1]
            case _:
                return None
        if self._remembered(beginning, first) or self._coarse_crop(beginning, first) is None:
            return None
        spacing = self.policy.volume.spacing
        kept, lost = (before.mask.depth(at.index, spacing) for at in (meant, excluded))
        if lost < _AS_DEEP * kept:
            return None
        found = self._seen(self.crop(beginning, first), beginning, first, first=True)
        if not found.is_fed:
            return None
        near = self._forward.alternatives(found, beginning, first)[-1]
        return Step(near.plain_mask, near.crop, near.low_res_logits)

    def _fitting(self, coarse: Prediction, prompts: Sequence[Prompt]) -> Crop:
        return self.policy.fitting(coarse.plain_mask.box, _last_click(prompts))

    def _followed(
        self, coarse: Prediction, prompts: Sequence[Prompt], crop: Crop | None = None
    ) -> Prediction:
        """Look again at what was found from afar, that fed back, by default in what fits it."""
        before = Step(coarse.plain_mask, coarse.crop, coarse.low_res_logits)
        found = self._forward.predict(crop or self._fitting(coarse, prompts), before, prompts)
        return found if (found.logits > 0).any() else coarse

    def _widened(
        self, crop: Crop, before: Step, prompts: Sequence[Prompt], first: bool = False
    ) -> Prediction:
        found = self._seen(crop, before, prompts, first)
        while wider := self._wider(found, prompts):
            if found.is_fed:
                return self._followed(found, prompts)
            # The mask cut off isn't fed back: it would teach the model to stop where it stopped.
            found = self._seen(wider, before, prompts, first)
        if not found.is_fed:
            return found
        followed = self._followed(found, prompts, found.crop)
        return replace(followed, alternatives=found.alternatives)

    def _seen(self, crop: Crop, before: Step, prompts: Sequence[Prompt], first: bool) -> Prediction:
        """Predict in a crop; a first click with what a coarse pass finds in the same window."""
        coarse = None
        if first and self._coarse_crop(before, prompts) is not None:
            coarse = self._forward.predict(crop.halved(), before, prompts)
        return self._forward.predict(crop, before, prompts, first, coarse)

    def crop(self, before: Step, prompts: Sequence[Prompt]) -> Crop:
        """Return the crop to begin with near by."""
        newest = prompts[-1]
        if not isinstance(newest, Point):
            reads_boxes = self.predictor.accepts_boxes or not isinstance(newest, BoxPrompt)
            return self.policy.around_box(place_of(newest), closely=reads_boxes)
        if before.is_beginning:
            return self.policy.at_click(newest.index)
        if before.crop is not None and self.policy.keeps(before.crop, newest.index):
            return before.crop
        spacing = self._adapted_spacing(prompts)
        if spacing is not None:
            return self.policy.at(newest.index, spacing)
        return self.policy.holding(_content(before.mask, prompts), newest.index)

    def _wider(self, found: Prediction, prompts: Sequence[Prompt]) -> Crop | None:
        if isinstance(prompts[-1], BoxPrompt) or box_constraint(prompts, self.predictor):
            return None
        clicks = [click.index for click in clicks_of(prompts)]
        return self.policy.wider(found.crop, found.logits, clicks)

    def _zoomed_in(self, found: Prediction, before: Step, prompts: Sequence[Prompt]) -> Prediction:
        """Refine a small object by zooming in; keep what was found where that loses it.

        After one or two clicks what looks small may be part of something larger, of which the
        nearer crop would show too little.
        """
        clicks = [click.index for click in clicks_of(prompts)]
        if len(clicks) < _NEAR_CLICKS:
            return found
        crop = self.policy.closer(found.crop, found.logits, clicks)
        if crop is None:
            return found
        near = self._forward.predict(crop, before, prompts)
        lost = not (near.logits > 0).any() or self.policy.cuts_off(crop, near.logits)
        return found if lost else near

    def _zoomed_in_on_box(
        self, found: Prediction, box: Box, prompts: Sequence[Prompt]
    ) -> Prediction:
        """Refine what a box holds by zooming in, the mask fed back; keep it where they differ.

        The first crop shows half of the box's side around it, and so is a coarse one.
        """
        crop = self.policy.nearer_box(box, found.crop)
        if crop is None or not self.predictor.accepts_boxes or found.mask.is_empty:
            return found
        near = self._forward.predict(crop, Step(found.mask, found.crop), prompts)
        return near if _agreement(found, near) >= _BOX_AGREEMENT else found


def _last_click(prompts: Sequence[Prompt]) -> Index:
    return clicks_of(prompts)[-1].index


def _agreement(far: Prediction, near: Prediction) -> float:
    return far.mask.inside(near.crop.box).agreement(near.mask)


def _content(mask: Mask, prompts: Sequence[Prompt]) -> Box:
    """Return the source box of a mask and of all prompts."""
    content = mask.box
    for prompt in prompts:
        if not isinstance(prompt, Freeze | Choice | FindPrompt | FromMemory | WithAdapter):
            content = content.union(place_of(prompt))
    return content
