"""The last finished mask of each object, and which of them follow their prompts."""

from dataclasses import dataclass, field
from functools import lru_cache

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Prompt, Scribble
from napari_fastsam3d.inference.recall_prompts import FindPrompt
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.session.codec import prompts_digest
from napari_fastsam3d.session.journal.saved_session import SavedSession
from napari_fastsam3d.session.label_map import changed_box, holders, relabelled_box
from napari_fastsam3d.session.request import Request, Result
from napari_fastsam3d.session.state import ObjectState, SessionState

_LOCKED_UNPACKED = 64


@dataclass(frozen=True, eq=False)
class FinishedMask:
    """The last finished mask of an object, the prompts that it answers, and who made it.

    Parameters
    ----------
    prompts : tuple of Prompt
    step : Step
    model : str
        Fingerprint of the model; empty before the first mask.
    """

    prompts: tuple[Prompt, ...] = ()
    step: Step = field(default_factory=Step)
    model: str = ""

    def answers(self, prompts: tuple[Prompt, ...]) -> bool:
        """Whether it is the mask of these prompts."""
        return [p.key for p in self.prompts] == [p.key for p in prompts]

    def is_of_another(self, model: str) -> bool:
        """Whether another model made it, of prompts that a model is needed for."""
        kinds = Point | BoxPrompt | Scribble | FindPrompt
        asked = any(isinstance(prompt, kinds) for prompt in self.prompts)
        return asked and bool(self.model) and self.model != model


_NOTHING = FinishedMask()


class MaskCache:
    """What is shown now; each method is one step that no other thread can come between."""

    def __init__(self) -> None:
        self._finished: dict[int, FinishedMask] = {}
        self._unpacked = lru_cache(maxsize=_LOCKED_UNPACKED)(PackedMask.unpack)

    @classmethod
    def of(cls, saved: SavedSession) -> "MaskCache":
        """Return the masks of a journal; one of other prompts is shown until its own is there."""
        cache = cls()
        for each in saved.history.state.objects:
            found = saved.masks.get(each.id)
            if found is not None and each.told:
                answers = found.prompts == prompts_digest(each.told)
                step = Step(found.mask.unpack())
                prompts = each.told if answers else ()
                cache._finished[each.id] = FinishedMask(prompts, step, found.model)
        return cache

    def of_object(self, number: int) -> FinishedMask:
        """Return the last finished mask of an object, and its prompts."""
        return self._finished.get(number, _NOTHING)

    def own(self, each: ObjectState) -> Mask:
        """Return the locked mask of an object, or else the last finished one of its prompts."""
        if each.locked is not None:
            return self._unpacked(each.locked)
        return self.of_object(each.id).step.mask

    def put(self, number: int, finished: FinishedMask) -> None:
        """Show another mask of an object."""
        self._finished[number] = finished

    def forget(self, number: int) -> Box:
        """Drop the mask of an object that is gone; return where it was."""
        return self._finished.pop(number, _NOTHING).step.mask.box

    def answer(self, request: Request, before: SessionState, after: SessionState) -> Result | None:
        """Answer a request between two states of the log; None where the model is needed."""
        number = request.object
        if before.has(number) and not after.has(number):
            return request.result(self.forget(number))
        prompts = prompts_of(after, number) or ()
        if prompts == (prompts_of(before, number) or ()):
            return request.result(relabelled_box(before, after, number, self.own))
        finished = self.of_object(number)
        if not finished.answers(prompts):
            return None
        mask = finished.step.mask
        return request.result(changed_box(after, mask, mask), finished.step)

    def behind(self, state: SessionState) -> list[int]:
        """Return the ids of the objects whose mask doesn't follow their prompts."""
        return [o.id for o in state.objects if not self.of_object(o.id).answers(o.told)]

    def behind_of(self, state: SessionState, number: int) -> list[int]:
        """Return those of them that matter to how one object is shown."""
        if not state.has(number):
            return []
        concerned = {number, *(each.id for each in holders(state, number))}
        return [each for each in self.behind(state) if each in concerned]

    def of_another_model(self, state: SessionState, fingerprint: str) -> list[int]:
        """Return the ids of the objects whose masks not this model made of their prompts."""
        return [
            each.id
            for each in state.objects
            if each.locked is None and self.of_object(each.id).is_of_another(fingerprint)
        ]


def prompts_of(state: SessionState, number: int) -> tuple[Prompt, ...] | None:
    """Return what the mask of the object of that id is made of; None if there is no such object."""
    return state.object(number).told if state.has(number) else None
