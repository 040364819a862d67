"""What was recalled for an object, as the mask that the model is told of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.prompt import Point, Prompt, Scribble, clicks_of, locates
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory
from napari_fastsam3d.memory.found import Found
from napari_fastsam3d.memory.prior import Prior, mask_prompt
from napari_fastsam3d.memory.question import DEFAULT_WAY, Question
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.memory.search import Neighbour
from napari_fastsam3d.model.predictor import Floats

_OBJECTS_KEPT = 64

Finder = Callable[[Question], tuple[Index | None, tuple[Found, ...]]]
"""From the question for a structure to where it is, and the cases that say so."""


@dataclass(frozen=True, eq=False)
class Recalled:
    """What was recalled for an object.

    Attributes
    ----------
    neighbours : tuple of Neighbour
        The likest first; empty where nothing was like enough.
    prior : Prior or None
        Where they lead one to expect it; None where that is not the way, or nothing was recalled.
    place : tuple of int or None
        The first click, or where the structure was found, source index.
    """

    neighbours: tuple[Neighbour, ...] = ()
    prior: Prior | None = None
    place: Index | None = None


class MemoryPrompt:
    """Asks a memory once for each object, and feeds what it says.

    It is a function of the prompts, and of what the memory said when it was first asked, so that
    undo, redo and replay are exact. The crop that a first click looks at tells which cases to
    recall; these tell how closely to look.

    Parameters
    ----------
    recall : Recall
    policy : CropPolicy
    look : callable
        What the model makes of a crop, once.
    find : callable
        Looks for a structure in the whole scan.
    """

    def __init__(
        self, recall: Recall, policy: CropPolicy, look: Callable[[Crop], Any], find: Finder
    ) -> None:
        self._recall = recall
        self._policy = policy
        self._look = look
        self._find = find
        self._recalled: Cache[Question, Recalled] = Cache(_OBJECTS_KEPT)

    def asked_by_attention(self, prompts: Sequence[Prompt]) -> Question | None:
        """Return the question where memory attention answers it, which changes what is encoded."""
        question = question_of(prompts, self._recall.model)
        return question if question is not None and question.way == "published" else None

    def encode(self, image: Any, question: Question | None) -> Any:
        """Encode a crop, with what is recalled to a question for memory attention."""
        return self._recall.encode(image, question)

    def recalled(self, prompts: Sequence[Prompt]) -> Recalled:
        """Return what is recalled for an object."""
        question = question_of(prompts, self._recall.model)
        if question is None:
            return Recalled()
        if question.way == "published":
            return Recalled(_neighbours(self._recall.known(question) or ()))
        kept = self._recalled.get(question)
        if kept is None:
            kept = self._asked(question)
            self._recalled.put(question, kept)
        return kept

    def crop(self, prompts: Sequence[Prompt]) -> Crop | None:
        """Return the crop that fits what is recalled for an object; None where nothing is."""
        prior = self.recalled(prompts).prior
        return None if prior is None else prior.crop

    def neighbours(self, prompts: Sequence[Prompt]) -> tuple[Neighbour, ...]:
        """Return the cases that were recalled, unless the clicks have refuted them."""
        recalled = self.recalled(prompts)
        refuted = recalled.prior is not None and self._trust(recalled.prior, prompts) == 0
        return () if refuted else recalled.neighbours

    def fed(self, crop: Crop, prompts: Sequence[Prompt], previous: Floats | None) -> Floats | None:
        """Return the mask prompt on a crop, of what is recalled and of the step before."""
        prior = self.recalled(prompts).prior
        if prior is None:
            return previous
        return mask_prompt(prior.on(crop), previous, self._trust(prior, prompts))

    def drawn(self, crop: Crop, prompts: Sequence[Prompt], fine: Floats) -> Floats:
        """Return logits over a crop, drawn to where the recalled cases expect the object."""
        prior = self.recalled(prompts).prior
        if prior is None or self._trust(prior, prompts) == 0:
            return fine
        points, labels = _clicks_on(crop, prompts)
        return prior.drawn_with(crop, fine, points, labels)

    def told(self, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        """Return the prompts with a click after a search, where the structure was found.

        A model needs one to tell what is meant. It goes once the user's clicks have refuted it.
        """
        searched = next((n for n, p in enumerate(prompts) if isinstance(p, FindPrompt)), None)
        recalled = self.recalled(prompts)
        if searched is None or recalled.place is None or not self.neighbours(prompts):
            return prompts
        click = Point(0, recalled.place)
        return (*prompts[: searched + 1], click, *prompts[searched + 1 :])

    def _asked(self, question: Question) -> Recalled:
        place, cases = self._answered(question)
        if not cases or place is None:
            return Recalled()
        crop = self._policy.at(place, cases[0].case.entry.spacing)
        at = np.asarray(crop.to_crop(place))
        prior = self._recall.prior(question.way, cases, self._look(crop), crop, at)
        if prior is None:
            return Recalled()
        if question.click is None:
            place = _middle(prior, place)
        return Recalled(_neighbours(cases), prior, place)

    def _answered(self, question: Question) -> tuple[Index | None, tuple[Found, ...]]:
        said = self._recall.known(question)
        if said is not None:
            return question.click or self._recall.answers[question].place, said
        if question.click is None:
            place, cases = self._find(question)
        elif self._recall.is_empty:
            return question.click, ()
        else:
            place, first = question.click, self._policy.at_click(question.click)
            at = np.asarray(first.to_crop(place))
            cases = self._recall.asked(question, self._look(first), at)
        self._recall.keep(question, cases, place if question.click is None else None)
        return place, cases

    @staticmethod
    def _trust(prior: Prior, prompts: Sequence[Prompt]) -> float:
        points, labels = _clicks_on(prior.crop, prompts)
        return prior.trust(points, labels)


def _clicks_on(crop: Crop, prompts: Sequence[Prompt]) -> tuple[Floats, NDArray[np.int64]]:
    """Return the clicks that a crop holds, crop index, and which of them are inside the object."""
    seen = [click for click in clicks_of(prompts) if crop.contains(click.index)]
    points = crop.to_crop(np.reshape([click.index for click in seen], (-1, 3)))
    labels = np.array([click.positive for click in seen], dtype=np.int64)
    return points.astype(np.float32), labels


def question_of(prompts: Sequence[Prompt], model: str) -> Question | None:
    """Return what a memory is asked about an object; None where nothing is.

    That depends on what it began with, a click or a search, alone.

    Parameters
    ----------
    prompts : sequence of Prompt
    model : str
        Fingerprint of its image encoder.
    """
    drawn = (prompt for prompt in prompts if not isinstance(prompt, Scribble))
    first = next(filter(locates, drawn), None)
    if isinstance(first, FindPrompt):
        return Question(DEFAULT_WAY, first.structure, model, None, first.known)
    context = prompts[0] if prompts else None
    if not isinstance(context, FromMemory) or not isinstance(first, Point):
        return None
    click = first.index
    return Question(context.way, context.structure, model, click, without=context.without)


def _middle(prior: Prior, place: Index) -> Index:
    """Return the deepest place of what is expected around a place, source index."""
    pieces = np.zeros(prior.logits.shape, dtype=np.int32)
    ndimage.label(prior.logits > 0, output=pieces)
    if not pieces.any():
        return place
    factor = prior.crop.size / len(prior.logits)
    cells = np.argwhere(pieces)
    away = np.linalg.norm(cells - ((prior.crop.to_crop(place) + 0.5) / factor - 0.5), axis=1)
    own = pieces == pieces[tuple(cells[away.argmin()])]
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(own, 1)))
    deepest = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1
    source = np.asarray(prior.crop.to_source((deepest + 0.5) * factor - 0.5))
    inside = prior.crop.box
    i, j, k = (
        np.clip(np.round(source), inside.start, np.array(inside.stop) - 1).astype(int).tolist()
    )
    return (i, j, k)


def _neighbours(cases: Sequence[Found]) -> tuple[Neighbour, ...]:
    return tuple(each.neighbour for each in cases)
