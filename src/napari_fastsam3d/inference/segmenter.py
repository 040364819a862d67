"""The mask of an object is the replay of its prompts: one more prompt a step, the mask fed back."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.adapted import Adaptations, AdaptedModels
from napari_fastsam3d.inference.box_depth import as_settled, read_guessed
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.candidates import ALIKE
from napari_fastsam3d.inference.coarse_to_fine import CoarseToFine
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.edits import apply_edit
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.inference.memory_prompt import MemoryPrompt
from napari_fastsam3d.inference.model_input import fed_back
from napari_fastsam3d.inference.postprocessing import Postprocessing
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    PromptKey,
    Scribble,
    asked_for,
    has_candidates,
    locates,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt
from napari_fastsam3d.inference.scribble import read_scribble, with_clicks
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.inference.structure_search import StructureSearch
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.model.predictor import GoOn, Predictor, Progress, silent

_REPLAYING = "Making the mask again"
_NOT_FOUND = "Nothing in this scan looks like what is remembered of {}; click it."
# Prompts to be gone through from which on that is told as long work.
_MANY = 4
BYTES_KEPT = 256 << 20
"""What the remembered steps of a scan may hold."""

_Keys = tuple[PromptKey, ...]


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
    recall : Recall, optional
        How earlier cases are recalled for prompts that begin with a `FromMemory` or a `FindPrompt`;
        without it masks are those of the model alone.
    adapters : callable, optional
        Finds an adapter by its identity, for prompts with a `WithAdapter` among them.
    """

    def __init__(
        self,
        volume: Volume,
        predictor: Predictor,
        progress: Progress = silent,
        bytes_kept: int = BYTES_KEPT,
        shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
        recall: Recall | None = None,
        adapters: Adaptations | None = None,
    ) -> None:
        self._volume = volume
        self._making: tuple[PromptKey, ...] | None = None
        self._progress = progress
        self._forward = ForwardPass(volume, predictor, progress)
        policy = CropPolicy.of(volume, predictor, shift)
        if adapters is not None:
            self._forward.adapters = AdaptedModels(predictor, adapters)
        self._search = CoarseToFine(self._forward, policy)
        if recall is not None:
            find = StructureSearch(recall, self._forward, policy, progress).find
            self._forward.memory = MemoryPrompt(recall, policy, self._forward.encode, find)
        self._postprocessing = Postprocessing(volume, self._search)
        self._steps: Cache[_Keys, Step] = Cache(bytes_kept, lambda s: s.nbytes)
        # By itself, for a pointer at rest here and there must not push real steps out.
        self._speculative: Cache[_Keys, Step] = Cache(1)
        self._candidates: Cache[_Keys, tuple[Step, ...]] = Cache(1)

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
        keys = _keys(prompts)
        if (speculative := self._speculative.get(keys)) is not None:
            self._steps.put(keys, speculative)
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

    def candidates(self, prompts: Sequence[Prompt]) -> tuple[Step, ...]:
        """Return what the newest click or box may mean, the smallest first.

        Returns
        -------
        tuple of Step
            At most three that differ, among them what `step` makes of the prompts without the
            choices at their end; empty where the newest other prompt is neither a click nor a box.
        """
        asked = asked_for(prompts)
        if not has_candidates(asked):
            return ()
        keys = _keys(asked)
        found = self._candidates.get(keys)
        if found is None:
            shown = self.step(asked)
            found = self._other_meanings(shown, asked) if any(map(locates, asked)) else (shown,)
            self._candidates.put(keys, found)
        return found

    def _other_meanings(self, shown: Step, prompts: Sequence[Prompt]) -> tuple[Step, ...]:
        before = self.step(prompts[:-1])
        if isinstance(prompts[-1], BoxPrompt):
            before = replace(before, box=None)
        settled = with_clicks(as_settled(prompts, shown.box), shown.told, self._volume)
        kept = [shown]
        for found in self._search.candidates(before, settled)[1:]:
            step = self._postprocessing.step(before, found, settled)
            if all(step.mask.agreement(other.mask) < ALIKE for other in kept):
                kept.append(replace(step, box=shown.box))
        return tuple(sorted(kept, key=lambda step: np.count_nonzero(step.mask.voxels)))

    def serves(self, prompts: Sequence[Prompt]) -> bool:
        """Whether what is being computed now is part of what these prompts need.

        So it is where it is the beginning of them, and where it looks at their crop.
        """
        keys = _keys(prompts)
        if self._making is not None and keys[: len(self._making)] == self._making:
            return True
        if prompts and isinstance(prompts[-1], FindPrompt):
            return False
        before = self._steps.get(keys[:-1]) if keys[:-1] else Step()
        if self._forward.encoding is None or before is None or not any(map(locates, prompts)):
            return False
        return self._forward.encoding in self._search.crops_of(before, prompts)

    def encode_speculatively(self, prompts: Sequence[Prompt], click: Point) -> bool:
        """Encode the crop that a click would use after these prompts.

        Returns
        -------
        bool
            Whether there was anything to do.
        """
        clicked = (*prompts, click)
        if not any(map(locates, clicked)):
            return False
        before = self.step(prompts)
        self._making = _keys(clicked)
        try:
            return self._search.encode_ahead(before, clicked)
        finally:
            self._making = None

    def predict_speculatively(self, prompts: Sequence[Prompt], click: Point) -> bool:
        """Answer a click after these prompts that may be yet to come; the newest answer is kept.

        Returns
        -------
        bool
            Whether there was anything to do.
        """
        clicked = (*prompts, click)
        keys = _keys(clicked)
        if keys in self._steps or keys in self._speculative:
            return False
        before = self.step(prompts)
        self._speculative.put(keys, self._advance(before, clicked))
        return True

    def _longest_known(self, keys: _Keys) -> tuple[int, Step]:
        for length in range(len(keys), 0, -1):
            step = self._steps.get(keys[:length])
            if step is not None:
                return length, step
        return 0, Step()

    def _advance(self, before: Step, prompts: Sequence[Prompt]) -> Step:
        """Add the last of the prompts to what the others made."""
        self._making = _keys(prompts)
        try:
            return self._advanced(before, prompts)
        finally:
            self._making = None

    def _advanced(self, before: Step, prompts: Sequence[Prompt]) -> Step:
        newest = prompts[-1]
        if isinstance(newest, Choice):
            choices = self.candidates(prompts)
            return choices[min(newest.rank, len(choices) - 1)] if choices else before
        if isinstance(newest, Freeze):
            held = before.mask.inside(newest.box)
            return replace(before, notes=(), in_air=False, frozen=(*before.frozen, held))
        if not any(map(locates, prompts)):
            return Step(frozen=before.frozen)
        if isinstance(newest, BoxPrompt):
            if newest.guessed is not None:
                return read_guessed(self._volume, self._advanced, before, prompts)
            before = replace(before, box=None)
        if isinstance(newest, Scribble):
            return read_scribble(self._volume, self._advanced, before, prompts)
        prompts = with_clicks(as_settled(prompts, before.box), before.told, self._volume)
        if isinstance(newest, Edit):
            return self._by_hand(before, apply_edit(before.mask, newest))
        if isinstance(newest, MaskPrompt):
            return self._by_hand(before, newest.mask.unpack())
        memory = self._forward.memory
        told = prompts if memory is None else memory.told(prompts)
        if isinstance(told[-1], FindPrompt):
            return Step(notes=(_NOT_FOUND.format(told[-1].structure),))
        found = self._search.predict(before, told)
        self._forward.go_on()
        step = self._postprocessing.step(before, found, prompts)
        return step if memory is None else replace(step, recalled=memory.neighbours(prompts))

    def _by_hand(self, before: Step, mask: Mask) -> Step:
        """Return the step to a mask that the user made; the model is given it at the next one."""
        crop = before.crop
        low = None if crop is None else fed_back(mask, crop)
        return Step(mask, crop, low, frozen=before.frozen, box=before.box, told=before.told)


def _keys(prompts: Sequence[Prompt]) -> _Keys:
    """Return what tells prompts from others."""
    return tuple(prompt.key for prompt in prompts)
