"""The mask of an object is the replay of its prompts: one more prompt a step, the mask fed back."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask, deepest_voxel
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.air import Air
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.click_constraints import honour_clicks, reach_mm
from napari_fastsam3d.inference.coarse_to_fine import CoarseToFine
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.edits import apply_edit, honour_edits
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.inference.model_input import fed_back, fence
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    PromptKey,
    clicks_of,
    locates,
)
from napari_fastsam3d.inference.step import Prediction, Step
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.model.progress import GoOn, Progress, silent

_IN_AIR = "The click lies in the air around the patient."
_FROZEN = "The click lies in a frozen region, of which it changes no more than its own voxel."
_REPLAYING = "Making the mask again"
# Prompts to be gone through from which on that is told as long work.
_MANY = 4
_BYTES_KEPT = 256 << 20


class Replay:
    """Makes masks of prompts; a pure function of them, with a memory.

    Each list of prompts that was ever a beginning of another is remembered with its mask, so
    that undo and redo cost nothing, and what a crop looks like to the model is kept for the
    crops in use, so that deleting an early prompt costs decoder passes only. To be called from
    one thread.

    Parameters
    ----------
    volume : Volume
    predictor : Predictor
    progress : callable
        Told `(what, done, of)` when something takes long.
    bytes_kept : int
        What the remembered steps may hold.
    shift : tuple of float
        See `CropPolicy`.
    """

    def __init__(
        self,
        volume: Volume,
        predictor: Predictor,
        progress: Progress = silent,
        bytes_kept: int = _BYTES_KEPT,
        shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> None:
        self._volume = volume
        self._air = Air(volume)
        self._making: tuple[PromptKey, ...] | None = None
        self._progress = progress
        self._forward = ForwardPass(volume, predictor, progress)
        self._search = CoarseToFine(self._forward, CropPolicy.of(volume, predictor, shift))
        self._steps: Cache[tuple[PromptKey, ...], Step] = Cache(bytes_kept, lambda s: s.nbytes)
        # By itself, for a pointer at rest here and there must not push real steps out.
        self._foreseen: Cache[tuple[PromptKey, ...], Step] = Cache(1)

    @property
    def predictor(self) -> Predictor:
        """The model."""
        return self._forward.predictor

    @property
    def go_on(self) -> GoOn:
        """Asked between the parts of the work, and ends it by raising; what is finished is kept."""
        return self._forward.go_on

    @go_on.setter
    def go_on(self, ask: GoOn) -> None:
        self._forward.go_on = ask

    def step(self, prompts: Sequence[Prompt]) -> Step:
        """Return what the prompts, in their order, make of an object."""
        keys = tuple(prompt.key for prompt in prompts)
        if (foreseen := self._foreseen.get(keys)) is not None:
            self._steps.put(keys, foreseen)
        known, step = self._longest_known(keys)
        left = len(keys) - known
        try:
            for done in range(left):
                if left >= _MANY:
                    self._progress(_REPLAYING, done, left)
                step = self._advance(step, prompts[: known + done + 1])
                self._steps.put(keys[: known + done + 1], step)
        finally:
            if left >= _MANY:
                self._progress(_REPLAYING, left, left)
        return step

    def serves(self, prompts: Sequence[Prompt]) -> bool:
        """Whether what is being computed now is part of what these prompts need.

        So it is where it is the beginning of them, and where it looks at their crop.
        """
        keys = tuple(prompt.key for prompt in prompts)
        if self._making is not None and keys[: len(self._making)] == self._making:
            return True
        before = self._steps.get(keys[:-1]) if keys[:-1] else Step()
        if self._forward.encoding is None or before is None or not any(map(locates, prompts)):
            return False
        return self._forward.encoding == self._search.crop(before, prompts)

    def look_ahead(self, prompts: Sequence[Prompt], click: Point) -> bool:
        """Encode the crop that a click would use after these prompts.

        Returns
        -------
        bool
            Whether there was anything to do.
        """
        clicked = (*prompts, click)
        if not any(map(locates, clicked)):
            return False
        crop = self._search.crop(self.step(prompts), clicked)
        if self._forward.has_encoded(crop):
            return False
        self._making = tuple(prompt.key for prompt in clicked)
        try:
            self._forward.encode(crop)
        finally:
            self._making = None
        return True

    def foresee(self, prompts: Sequence[Prompt], click: Point) -> bool:
        """Answer a click after these prompts that may be yet to come; the newest answer is kept.

        Returns
        -------
        bool
            Whether there was anything to do.
        """
        clicked = (*prompts, click)
        keys = tuple(prompt.key for prompt in clicked)
        if keys in self._steps or keys in self._foreseen:
            return False
        self._foreseen.put(keys, self._advance(self.step(prompts), clicked))
        return True

    def _longest_known(self, keys: tuple[PromptKey, ...]) -> tuple[int, Step]:
        for length in range(len(keys), 0, -1):
            step = self._steps.get(keys[:length])
            if step is not None:
                return length, step
        return 0, Step()

    def _advance(self, before: Step, prompts: Sequence[Prompt]) -> Step:
        """Add the last of the prompts to what the others made."""
        self._making = tuple(prompt.key for prompt in prompts)
        try:
            return self._advanced(before, prompts)
        finally:
            self._making = None

    def _advanced(self, before: Step, prompts: Sequence[Prompt]) -> Step:
        newest = prompts[-1]
        if isinstance(newest, Freeze):
            held = before.mask.inside(newest.box)
            return replace(before, notes=(), in_air=False, frozen=(*before.frozen, held))
        if not any(map(locates, prompts)):
            return Step(frozen=before.frozen)
        if isinstance(newest, BoxPrompt):
            if newest.guessed is not None:
                return self._guessed(before, prompts[:-1], newest, newest.guessed)
            before = replace(before, box=None)
        prompts = _as_settled(prompts, before.box)
        if isinstance(newest, Edit):
            return self._by_hand(before, apply_edit(before.mask, newest))
        if isinstance(newest, MaskPrompt):
            return self._by_hand(before, newest.mask.unpack())
        found = self._search.predict(before, prompts)
        return self._finished(before, found, prompts)

    def _guessed(
        self, before: Step, earlier: Sequence[Prompt], drawn: BoxPrompt, axis: int
    ) -> Step:
        """Read a box whose depth is a guess: as deep as the object in its rectangle, or deeper.

        That is as deep as it is known to be; where nothing is known, as deep as what a click finds
        in the middle of what the box is read to hold. The model told of a box that is too short
        stops where the box does, and so can't tell itself.
        """

        def read(box: Box) -> Step:
            told = BoxPrompt(drawn.id, box)
            return replace(self._advanced(before, (*earlier, told)), box=box)

        through = drawn.box.stretched(axis, 0, self._volume.shape[axis])
        known, first = before.mask.inside(through), None
        if known.is_empty:
            first = read(drawn.box)
            held = first.mask.inside(drawn.box)
            if held.is_empty:
                return first
            known = self._clicked_in(held).inside(through)
        box = drawn.box if known.is_empty else _reaching(drawn.box, axis, known.box, through)
        return first if first is not None and box == drawn.box else read(box)

    def _clicked_in(self, mask: Mask) -> Mask:
        """Return what a click in the middle of a mask would find by itself."""
        # On the patient's axes: the same voxel in whichever order a file has them.
        canonical = self._volume.canonical
        r, a, s = (self._volume.spacing[axis] for axis in canonical.axes)
        deepest = deepest_voxel(canonical.view(mask.voxels), (r, a, s))
        place = np.add(deepest, canonical.box_to_target(mask.box).start)
        i, j, k = (int(at) for at in canonical.to_source(place))
        return self._advanced(Step(), (Point(0, (i, j, k)),)).mask

    def _by_hand(self, before: Step, mask: Mask) -> Step:
        """Return the step to a mask that the user made; the model is given it at the next one."""
        crop = before.crop
        low = None if crop is None else fed_back(mask, crop)
        return Step(mask, crop, low, frozen=before.frozen, box=before.box)

    def _finished(self, before: Step, found: Prediction, prompts: Sequence[Prompt]) -> Step:
        """Bring what was seen to the source grid, and join it with what lies elsewhere."""
        self._forward.go_on()
        confined = fence(prompts, self.predictor)
        region = found.crop.box.intersection(confined) if confined else found.crop.box
        here = found.mask.inside(region)
        mask = before.mask.outside(region).union(here)
        reach = reach_mm(self._volume, found.cell)
        obeyed = honour_clicks(mask, clicks_of(prompts), self._volume, reach)
        honoured = honour_edits(obeyed, prompts, before.frozen)
        in_air = self._is_in_air(prompts[-1])
        notes = (_IN_AIR,) if in_air else tuple(self._notes(found, here, prompts[-1]))
        if _is_frozen(prompts):
            notes += (_FROZEN,)
        return Step(
            honoured,
            found.crop,
            found.low,
            found.quality,
            notes,
            before.frozen,
            in_air,
            before.box,
        )

    def _is_in_air(self, newest: Prompt) -> bool:
        return isinstance(newest, Point) and newest.positive and self._air.holds(newest.index)

    def _notes(self, found: Prediction, here: Mask, newest: Prompt) -> Iterator[str]:
        if here.is_empty:
            yield "The model found nothing there; only the clicks themselves are marked."
        elif self._search.policy.cuts_off(found.crop, found.logits):
            seen = found.crop.size * found.crop.spacing
            told = f"{seen:.0f}" if seen >= 10 else f"{seen:.2g}"
            yield (
                f"The structure goes on beyond the {told} mm that the model looks at; "
                "click where it goes on."
            )
        if isinstance(newest, BoxPrompt) and not self.predictor.accepts_boxes:
            yield (
                f"{self.predictor.name} knows no boxes: it was given a point at the centre, "
                "and the mask was kept to the box."
            )


def _as_settled(prompts: Sequence[Prompt], box: Box | None) -> Sequence[Prompt]:
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


def _is_frozen(prompts: Sequence[Prompt]) -> bool:
    """Whether the newest prompt is a click in a region that is frozen."""
    newest = prompts[-1]
    if not isinstance(newest, Point):
        return False
    return any(isinstance(p, Freeze) and p.box.contains(newest.index) for p in prompts)
