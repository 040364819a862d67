"""One object's mask, asked for; and the last one that was finished."""

import hashlib
import json
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import NOWHERE
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Prompt
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.session.change import Change
from napari_fastsam3d.session.codec import prompt_to_json
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.result import Result
from napari_fastsam3d.session.state import ObjectState

Prompts = tuple[Prompt, ...]


def prompts_digest(prompts: Prompts) -> str:
    """Return what tells these prompts, in this order, from others: SHA-256 in hexadecimal."""
    told = [{**prompt_to_json(prompt), "id": 0} for prompt in prompts]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Request:
    """One object's mask, asked for.

    Parameters
    ----------
    number : int
        They count up through a session.
    object : int
        Id of the object; 0 where the verb is about none.
    started : float
        When, by `time.perf_counter`.
    before, after : History or None
        The log at either side of the verb that asked.
    serial : int or None
        The entry that the verb added to the log. All three are None when the engine asks by
        itself.
    written : Future or None
        Done once the log after the verb is on disk, or can't be; None without a journal.
    """

    number: int
    object: int
    started: float
    before: History | None = None
    after: History | None = None
    serial: int | None = None
    written: "Future[None] | None" = None

    def result(
        self,
        box: Box = NOWHERE,
        step: Step | None = None,
        stale: bool = False,
        change: Change | None = None,
        holder: ObjectState | None = None,
    ) -> Result:
        """Return the answer."""
        notes = step.notes if step else ()
        if holder is not None:
            notes += (f"The voxel clicked belongs to {holder.name}, which keeps it.",)
        return Result(
            object=self.object,
            box=box,
            quality=step.quality if step else None,
            milliseconds=(perf_counter() - self.started) * 1000,
            request=self.number,
            stale=stale,
            notes=notes,
            holder=None if holder is None else holder.id,
            in_air=step is not None and step.in_air,
            change=change,
        )


@dataclass(frozen=True, eq=False)
class Shown:
    """The last finished mask of an object, the prompts that it answers, and who made it.

    Parameters
    ----------
    prompts : tuple of Prompt
    step : Step
    model : str
        Fingerprint of the model; empty before the first mask.
    """

    prompts: Prompts = ()
    step: Step = field(default_factory=Step)
    model: str = ""

    def answers(self, prompts: Prompts) -> bool:
        """Whether it is the mask of these prompts."""
        return [p.key for p in self.prompts] == [p.key for p in prompts]

    def is_of_another(self, model: str) -> bool:
        """Whether another model made it, of prompts that a model is needed for."""
        asked = any(isinstance(prompt, Point | BoxPrompt) for prompt in self.prompts)
        return asked and bool(self.model) and self.model != model
