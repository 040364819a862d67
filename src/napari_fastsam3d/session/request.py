"""One object's mask, asked for, and what that came to."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Lock
from time import perf_counter

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import NOWHERE
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.memory.search import Neighbour
from napari_fastsam3d.session.change import Change
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.state import ObjectState


@dataclass(frozen=True)
class Result:
    """What one command of a session changed.

    Parameters
    ----------
    object : int
        Id of the object concerned.
    box : Box
        Smallest source box that holds every voxel whose membership changed; may be empty.
    quality : float or None
        The model's own guess of the overlap (IoU) of its mask with the truth, 0 to 1; None where
        the model had nothing to do. That of the default model says next to nothing; see the model
        card.
    milliseconds : float
        From the call to the mask, waiting included.
    recalled : tuple of Neighbour
        Remembered cases that took part; empty without a memory bank.
    request : int
        Number of the request; they count up through a session.
    stale : bool
        Whether a newer request for the object overtook it: then nothing was computed and
        nothing changed, and the newer one's result holds what the user asked for.
    notes : tuple of str
        What the user should know about the mask, a sentence each.
    holder : int or None
        Id of the object that keeps the voxel of the newest click, which therefore lies outside
        the mask; see `Session.take_over`.
    in_air : bool
        Whether the newest prompt is a positive click in the air around the patient.
    change : Change or None
        What the mask won and lost, as it is shown; None where the model had nothing to do.
    """

    object: int
    box: Box
    quality: float | None
    milliseconds: float
    recalled: tuple[Neighbour, ...] = ()
    request: int = 0
    stale: bool = False
    notes: tuple[str, ...] = ()
    holder: int | None = None
    in_air: bool = False
    change: Change | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Request:
    """One object's mask, asked for.

    Parameters
    ----------
    number : int
        They count up through a session.
    object : int
        Id of the object; 0 where the command is about none.
    started : float
        When, by `time.perf_counter`.
    before, after : History or None
        The log at either side of the command that asked.
    serial : int or None
        The entry that the command added to the log. All three are None where no command asked.
    written : Future or None
        Done once the log after the command is on disk, or can't be; None without a journal.
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
            quality=step.predicted_iou if step else None,
            milliseconds=(perf_counter() - self.started) * 1000,
            recalled=step.recalled if step else (),
            request=self.number,
            stale=stale,
            notes=notes,
            holder=None if holder is None else holder.id,
            in_air=step is not None and step.in_air,
            change=change,
        )


def answered(result: Result, written: "Future[None] | None") -> Future[Result]:
    """Return a future of a result that is known, done once the log is on disk."""
    future: Future[Result] = Future()
    if written is None:
        future.set_result(result)
    else:
        written.add_done_callback(lambda _: future.set_result(result))
    return future


def others_of(request: Request) -> list[int]:
    """Return the objects whose prompts a step of the log changed, besides the one it is about."""
    if request.before is None or request.after is None:
        return []
    before, after = request.before.state, request.after.state
    return [
        each.id
        for each in after.objects
        if each.id != request.object
        and before.has(each.id)
        and before.object(each.id).prompts != each.prompts
    ]


def joined(answers: Sequence[Future[Result]]) -> Future[Result]:
    """Return a future of the first answer, done when all are; its box holds what all changed."""
    if len(answers) == 1:
        return answers[0]
    outcome: Future[Result] = Future()
    left = [len(answers)]
    lock = Lock()

    def count(_answer: Future[Result]) -> None:
        with lock:
            left[0] -= 1
            last = not left[0]
        if last:
            error = next(filter(None, (each.exception() for each in answers)), None)
            if error is not None:
                outcome.set_exception(error)
                return
            box = NOWHERE
            for each in answers:
                box = box.union(each.result().box)
            outcome.set_result(replace(answers[0].result(), box=box))

    for each in answers:
        each.add_done_callback(count)
    return outcome
