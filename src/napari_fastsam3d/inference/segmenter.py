"""The mask of an object is the replay of its prompts: one more prompt a step, the mask fed back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.depth import deepest_voxel
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.air import Air
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.click_constraints import honour_clicks, reach_mm
from napari_fastsam3d.inference.connected_components import Anchors, without_islands
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.edge_refinement import edge_aware_mask
from napari_fastsam3d.inference.edits import apply_edit, honour_edits
from napari_fastsam3d.inference.locality import CORRECTIONS_FROM, steadied
from napari_fastsam3d.inference.model_input import Cues, fed_back, fence, last_box
from napari_fastsam3d.inference.partial_volume import averaged_over_voxels
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    PromptKey,
    locates,
    place_of,
)
from napari_fastsam3d.model.predictor import Floats, Predictor
from napari_fastsam3d.model.progress import GoOn, Progress, always, silent

_IN_AIR = "The click lies in the air around the patient."
_FROZEN = "The click lies in a frozen region, of which it changes no more than its own voxel."
_LOOKING = "Looking at the scan"
_REPLAYING = "Making the mask again"
# Prompts to be gone through from which on that is told as long work.
_MANY = 4
_CROPS_KEPT = 6
_BYTES_KEPT = 256 << 20
# Clicks from which on small objects are looked at from near by; Dice of that look with the look
# before, under which it is not trusted; and the number of clicks from which on it is anyway.
_NEAR_CLICKS = 2
_AGREEMENT = 0.6
_ENOUGH_CLICKS = 3
# Clicks that a box is worth where later ones correct it.
_BOX_IN_CLICKS = 2
# Dice of a nearer look at a box with the look before, under which it is not trusted.
_BOX_AGREEMENT = 0.8


@dataclass(frozen=True, eq=False)
class Step:
    """What is known of an object after some of its prompts.

    Parameters
    ----------
    mask : Mask
        Source index, clicks obeyed.
    crop : Crop or None
        What the model looked at; None while no prompt says where the object is.
    low : ndarray of float32, shape (size / 4,) * 3, or None
        Logits over the crop, to be fed back at the next step.
    quality : float or None
        The model's guess of the overlap (IoU) with the truth, 0 to 1.
    notes : tuple of str
        What the user should know, a sentence each.
    frozen : tuple of Mask
        For each frozen region of the prompts, in their order, what it held when it was frozen.
    in_air : bool
        Whether the newest prompt is a positive click in the air around the patient.
    box : Box or None
        What the newest box is taken for where its depth was a guess; None where none was.
    """

    mask: Mask = field(default_factory=Mask.empty)
    crop: Crop | None = None
    low: Floats | None = None
    quality: float | None = None
    notes: tuple[str, ...] = ()
    frozen: tuple[Mask, ...] = ()
    in_air: bool = False
    box: Box | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the step holds."""
        low = 0 if self.low is None else self.low.nbytes
        return self.mask.nbytes + low + sum(mask.nbytes for mask in self.frozen)


@dataclass(frozen=True, eq=False)
class _Sight:
    """What the model said to one look: logits (F, F, F) over the crop, its small islands gone.

    `guide` is the scan where the mask is to be drawn to its edges, None where it is not.
    """

    crop: Crop
    low: Floats
    logits: Floats
    quality: float
    guide: Volume | None

    @property
    def cell(self) -> float:
        """Size in mm of a cell of the logits."""
        return self.crop.spacing * self.crop.size / len(self.logits)

    @cached_property
    def mask(self) -> Mask:
        """The mask on the source grid, inside the crop's box."""
        logits = averaged_over_voxels(self.crop, self.logits)
        if (guide := self.guide) is None:
            return Mask.of(*self.crop.paste_mask(logits))
        return Mask.of(*edge_aware_mask(self.crop, logits, guide.voxels, guide.intensity_floor))


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

    Attributes
    ----------
    go_on : callable
        Asked between the parts of the work, and ends it by raising; what was finished is kept.
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
        self.predictor = predictor
        self.go_on: GoOn = always
        self._making: tuple[PromptKey, ...] | None = None
        self._looking: Crop | None = None
        self._progress = progress
        self._policy = CropPolicy.of(volume, predictor, shift)
        self._steps: Cache[tuple[PromptKey, ...], Step] = Cache(bytes_kept, lambda s: s.nbytes)
        self._encoded: Cache[Crop, Any] = Cache(_CROPS_KEPT)
        # By itself, for a pointer at rest here and there must not push real steps out.
        self._foreseen: Cache[tuple[PromptKey, ...], Step] = Cache(1)

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
        if self._looking is None or before is None or not any(map(locates, prompts)):
            return False
        return self._looking == self._crop(before, prompts)

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
        crop = self._crop(self.step(prompts), clicked)
        if crop in self._encoded:
            return False
        self._making = tuple(prompt.key for prompt in clicked)
        try:
            self._encode(crop)
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
        sight = self._look(self._crop(before, prompts), before, prompts)
        while wider := self._wider(sight, prompts):
            # The mask cut off isn't fed back: it would teach the model to stop where it stopped.
            sight = self._look(wider, before, prompts)
        if isinstance(newest, BoxPrompt):
            sight = self._nearer(sight, newest.box, prompts)
        else:
            sight = self._closer(sight, before, prompts)
        return self._finished(before, sight, prompts)

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

        through = _stretched(drawn.box, axis, 0, self._volume.shape[axis])
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

    def _crop(self, before: Step, prompts: Sequence[Prompt]) -> Crop:
        newest = prompts[-1]
        if not isinstance(newest, Point):
            told = self.predictor.accepts_boxes or not isinstance(newest, BoxPrompt)
            return self._policy.around_box(place_of(newest), closely=told)
        if before.crop is None and before.mask.is_empty:
            return self._policy.at_click(newest.index)
        if before.crop is not None and self._policy.keeps(before.crop, newest.index):
            return before.crop
        return self._policy.holding(_content(before.mask, prompts), newest.index)

    def _wider(self, sight: _Sight, prompts: Sequence[Prompt]) -> Crop | None:
        if isinstance(prompts[-1], BoxPrompt) or fence(prompts, self.predictor):
            return None
        clicks = [click.index for click in _clicks(prompts)]
        return self._policy.wider(sight.crop, sight.logits, clicks)

    def _closer(self, sight: _Sight, before: Step, prompts: Sequence[Prompt]) -> _Sight:
        """Look again at a small object from near by; keep what was seen where that loses it.

        After few clicks what looks small may be part of something larger, of which the near look
        would see too little: after one there is no near look, after two both have to agree.
        """
        clicks = [click.index for click in _clicks(prompts)]
        if len(clicks) < _NEAR_CLICKS:
            return sight
        crop = self._policy.closer(sight.crop, sight.logits, clicks)
        if crop is None:
            return sight
        near = self._look(crop, before, prompts)
        lost = not (near.logits > 0).any() or self._policy.cuts_off(crop, near.logits)
        if lost or (len(clicks) < _ENOUGH_CLICKS and _agreement(sight, near) < _AGREEMENT):
            return sight
        return near

    def _nearer(self, sight: _Sight, box: Box, prompts: Sequence[Prompt]) -> _Sight:
        """Look again at what a box holds, the mask fed back; keep what was seen where they differ.

        The first look shows half of the box's side around it, and so is a coarse one.
        """
        crop = self._policy.nearer_box(box, sight.crop)
        if crop is None or not self.predictor.accepts_boxes or sight.mask.is_empty:
            return sight
        near = self._look(crop, Step(sight.mask, sight.crop), prompts)
        return near if _agreement(sight, near) >= _BOX_AGREEMENT else sight

    def _look(self, crop: Crop, before: Step, prompts: Sequence[Prompt]) -> _Sight:
        previous = before.low if crop == before.crop else fed_back(before.mask, crop)
        cues = Cues.of(prompts, crop, previous, self.predictor)
        seen = self.predictor.segment(
            self._encode(crop), cues.points, cues.labels, cues.box, cues.previous
        )
        low, fine = seen.low, seen.fine
        if previous is not None and self.predictor.steady and _corrects(prompts):
            low, fine = steadied(seen, previous, cues.points[-1], bool(cues.labels[-1]), crop.size)
        anchors = _anchors(crop, before.mask, prompts, len(fine))
        logits = without_islands(fine, anchors)
        guide = self._volume if self.predictor.edge_aware else None
        return _Sight(crop, low, logits, float(seen.quality), guide)

    def _encode(self, crop: Crop) -> Any:
        self.go_on()
        encoded = self._encoded.get(crop)
        if encoded is None:
            self._looking = crop
            self._progress(_LOOKING, 0, 1)
            volume = self._volume
            try:
                raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
                self.go_on()
                image = self.predictor.normalise(raw, crop.inside)
                self.go_on()
                encoded = self.predictor.encode(image)
            finally:
                self._looking = None
                self._progress(_LOOKING, 1, 1)
            self._encoded.put(crop, encoded)
        return encoded

    def _finished(self, before: Step, sight: _Sight, prompts: Sequence[Prompt]) -> Step:
        """Bring what was seen to the source grid, and join it with what lies elsewhere."""
        self.go_on()
        confined = fence(prompts, self.predictor)
        region = sight.crop.box.intersection(confined) if confined else sight.crop.box
        here = sight.mask.inside(region)
        mask = before.mask.outside(region).union(here)
        reach = reach_mm(self._volume, sight.cell)
        obeyed = honour_clicks(mask, _clicks(prompts), self._volume, reach)
        honoured = honour_edits(obeyed, prompts, before.frozen)
        in_air = self._is_in_air(prompts[-1])
        notes = (_IN_AIR,) if in_air else tuple(self._notes(sight, here, prompts[-1]))
        if _is_frozen(prompts):
            notes += (_FROZEN,)
        return Step(
            honoured,
            sight.crop,
            sight.low,
            sight.quality,
            notes,
            before.frozen,
            in_air,
            before.box,
        )

    def _is_in_air(self, newest: Prompt) -> bool:
        return isinstance(newest, Point) and newest.positive and self._air.holds(newest.index)

    def _notes(self, sight: _Sight, here: Mask, newest: Prompt) -> Iterator[str]:
        if here.is_empty:
            yield "The model found nothing there; only the clicks themselves are marked."
        elif self._policy.cuts_off(sight.crop, sight.logits):
            seen = sight.crop.size * sight.crop.spacing
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


def _stretched(box: Box, axis: int, low: int, high: int) -> Box:
    """Return a box that reaches from one slice up to another along an axis."""
    start, stop = list(box.start), list(box.stop)
    start[axis], stop[axis] = low, high
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _reaching(box: Box, axis: int, content: Box, through: Box) -> Box:
    """Return a box deep enough along an axis for a content with a voxel around it, or deeper."""
    low = min(box.start[axis], max(content.start[axis] - 1, through.start[axis]))
    high = max(box.stop[axis], min(content.stop[axis] + 1, through.stop[axis]))
    return _stretched(box, axis, low, high)


def _agreement(far: _Sight, near: _Sight) -> float:
    return far.mask.inside(near.crop.box).agreement(near.mask)


def _corrects(prompts: Sequence[Prompt]) -> bool:
    """Whether the newest prompt is a click after others, or in a box that stands."""
    boxed = 0 if last_box(prompts) is None else _BOX_IN_CLICKS
    return isinstance(prompts[-1], Point) and len(_clicks(prompts)) + boxed >= CORRECTIONS_FROM


def _is_frozen(prompts: Sequence[Prompt]) -> bool:
    """Whether the newest prompt is a click in a region that is frozen."""
    newest = prompts[-1]
    if not isinstance(newest, Point):
        return False
    return any(isinstance(p, Freeze) and p.box.contains(newest.index) for p in prompts)


def _clicks(prompts: Sequence[Prompt]) -> list[Point]:
    return [prompt for prompt in prompts if isinstance(prompt, Point)]


def _content(mask: Mask, prompts: Sequence[Prompt]) -> Box:
    """Return the source box of a mask and of all prompts."""
    content = mask.box
    for prompt in prompts:
        if not isinstance(prompt, Freeze):
            content = content.union(place_of(prompt))
    return content


def _anchors(crop: Crop, known: Mask, prompts: Sequence[Prompt], side: int) -> Anchors:
    """Return what holds pieces of a prediction on a grid of `side` cells over a crop."""
    factor = crop.size / side
    seen = [p.index for p in _clicks(prompts) if p.positive and crop.contains(p.index)]
    boxes = [p.box for p in prompts if isinstance(p, BoxPrompt)]
    corners = [
        np.sort(crop.to_crop(np.array([b.start, np.array(b.stop) - 1])), axis=0) for b in boxes
    ]
    return Anchors(
        (crop.to_crop(np.reshape(seen, (-1, 3))) + 0.5) / factor - 0.5,
        tuple((pair + 0.5) / factor - 0.5 for pair in corners),
        faces=known.box.intersection(crop.box) != known.box and not known.is_empty,
    )
