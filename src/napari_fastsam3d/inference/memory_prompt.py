"""What was recalled for an object, as the mask that the model is told of."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.prompt import Point, Prompt, Scribble, clicks_of, locates
from napari_fastsam3d.memory.prior import mask_prompt, trust_in
from napari_fastsam3d.memory.recall import Recall, Recalled
from napari_fastsam3d.memory.search import Neighbour
from napari_fastsam3d.model.predictor import Floats

_OBJECTS_KEPT = 64


class MemoryPrompt:
    """Asks a memory once for each object that begins with a click, and feeds what it says.

    It is a function of the object's prompts and name, so that undo, redo and replay stay exact. The
    crop that a first click looks at tells which cases to recall; these tell how closely to look.

    Parameters
    ----------
    recall : Recall
    policy : CropPolicy
    look : callable
        What the model made of a crop, once.

    Attributes
    ----------
    structure : str or None
        What the object is called whose prompts are asked about.
    """

    def __init__(self, recall: Recall, policy: CropPolicy, look: Callable[[Crop], Any]) -> None:
        self.structure: str | None = None
        self._recall = recall
        self._policy = policy
        self._look = look
        self._recalled: Cache[tuple[Index, str | None], Recalled] = Cache(_OBJECTS_KEPT)

    def encode(self, image: Any) -> Any:
        """Encode a crop, with what is recalled for it where that is the way."""
        return self._recall.encode(image)

    def recalled(self, prompts: Sequence[Prompt]) -> Recalled:
        """Return what is recalled for an object; nothing for one that began otherwise."""
        told = (prompt for prompt in prompts if not isinstance(prompt, Scribble))
        first = next(filter(locates, told), None)
        if not isinstance(first, Point):
            return Recalled()
        key = (first.index, self.structure)
        found = self._recalled.get(key)
        if found is None:
            found = self._asked(first.index)
            self._recalled.put(key, found)
        return found

    def _asked(self, click: Index) -> Recalled:
        first = self._policy.at_click(click)
        at = np.asarray(first.to_crop(click))
        cases = self._recall.cases(self._look(first), at, self.structure)
        if not cases:
            return Recalled()
        crop = self._policy.at(click, cases[0].case.entry.spacing)
        return self._recall.prior(cases, self._look(crop), crop, np.asarray(crop.to_crop(click)))

    def crop(self, prompts: Sequence[Prompt]) -> Crop | None:
        """Return the crop that fits what is recalled for an object; None where nothing is."""
        prior = self.recalled(prompts).prior
        return None if prior is None else prior.crop

    def neighbours(self, prompts: Sequence[Prompt]) -> tuple[Neighbour, ...]:
        """Return the cases that were recalled, unless the clicks have refuted them."""
        recalled = self.recalled(prompts)
        return recalled.neighbours if self._trust(recalled, prompts) > 0 else ()

    def fed(self, crop: Crop, prompts: Sequence[Prompt], previous: Floats | None) -> Floats | None:
        """Return the mask prompt on a crop, of what is recalled and of the step before."""
        recalled = self.recalled(prompts)
        if recalled.prior is None:
            return previous
        return mask_prompt(recalled.prior.on(crop), previous, self._trust(recalled, prompts))

    @staticmethod
    def _trust(recalled: Recalled, prompts: Sequence[Prompt]) -> float:
        if recalled.prior is None:
            return 0.0
        prior = recalled.prior
        seen = [click for click in clicks_of(prompts) if prior.crop.contains(click.index)]
        points = prior.crop.to_crop(np.reshape([click.index for click in seen], (-1, 3)))
        labels = np.array([click.positive for click in seen], dtype=np.int64)
        return trust_in(prior.logits, points.astype(np.float32), labels, prior.crop.size)
