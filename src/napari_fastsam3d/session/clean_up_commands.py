"""Cleaning up the masks of objects: what is done to them as a whole, each one step of undo."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace

import numpy as np

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.clean_up import CleanUp, cleaned_up
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Edit, Freeze, Point, Prompt, Scribble
from napari_fastsam3d.inference.sure_part import sure_part
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.label_map import OwnMasks, shown_mask
from napari_fastsam3d.session.object_commands import ObjectCommands
from napari_fastsam3d.session.prompt_actions import AddPrompt, CleanUpObjects
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.state import OwnPrompt, SessionState

_NOTHING = "Nothing had to be cleaned up."


class CleanUpCommands(ObjectCommands):
    """The commands that clean masks up; see `Commands`."""

    def clean_up(
        self,
        kind: str,
        amount: float | None = None,
        number: int | None = None,
        everything: bool = False,
    ) -> Future[Result]:
        """Clean up the mask of an object, or of all objects that aren't locked; one step of undo.

        It is done to the finished mask as it is shown, and becomes one more of the object's
        prompts, an `Edit`. Clicks still hold, frozen regions and other objects keep their
        voxels by the rules that hold for a brush. Later clicks may change around them what was
        cleaned up. Where nothing changes no step is made, and the result says so.

        Parameters
        ----------
        kind : {"islands", "connected", "holes", "smooth", "grow", "shrink", "interpolate"}
            See `CleanUp`.
        amount : float, optional
            In ml for "islands", in mm for "smooth", "grow" and "shrink"; a usual one by default.
            The others have none.
        number : int, optional
            Id of the object; by default the current one.
        everything : bool
            Whether all objects are cleaned up.
        """
        how, scheduler = CleanUp.of(kind, amount), self._scheduler
        with scheduler.lock:
            scheduler.check_open()
            state = scheduler.history.state
            chosen = [each for each in state.objects if each.locked is None and each.prompts]
            if not everything:
                chosen = [state.unlocked(state.chosen(number).id)]
            if not chosen:
                raise SessionError(
                    "There is nothing to clean up.", "Begin an object, or unlock one, first."
                )
            outcome: Future[Result] = Future()
            wanted = [each.id for each in chosen]
            scheduler.thread.submit(_clean_when_finished, scheduler, wanted, how, outcome)
            scheduler.pending.postpone()
        return outcome


def _clean_when_finished(
    scheduler: Scheduler, wanted: Sequence[int], how: CleanUp, outcome: Future[Result]
) -> None:
    """Clean objects up once their masks are finished; in the model thread.

    The log changes when that is done. Where the objects changed meanwhile it is done again.
    """
    done: Future[Result] | None = None
    try:
        with scheduler.lock:
            scheduler.check_open()
            state, own = scheduler.history.state, scheduler.masks.own
            numbers = [number for number in wanted if state.has(number)]
            behind = any(scheduler.masks.behind_of(state, number) for number in numbers)
            waits = behind and scheduler.pending.unanswered
        if not waits:
            if behind:
                raise SessionError(
                    "The mask doesn't follow its prompts yet.", "Wait for it, then clean it up."
                )
            edits = [
                (number, _edit(state, number, own, how, scheduler.volume)) for number in numbers
            ]
            done = _written(scheduler, state, [(n, e) for n, e in edits if e is not None])
        if done is None:
            scheduler.thread.submit(_clean_when_finished, scheduler, wanted, how, outcome)
            return
    except Exception as error:
        outcome.set_exception(error)
    else:
        assert done is not None
        done.add_done_callback(lambda answer: _pass_on(answer, outcome))
    scheduler.pending.resume()


def _written(
    scheduler: Scheduler, seen: SessionState, edits: Sequence[tuple[int, Edit]]
) -> Future[Result] | None:
    """Add edits to the log as one step; None where objects changed since their masks were seen."""
    if not edits:
        answer: Future[Result] = Future()
        nothing = scheduler.pending.new(seen.current or 0).result()
        answer.set_result(replace(nothing, notes=(_NOTHING,)))
        return answer

    def add(log: History) -> History:
        state = log.state
        if (state.objects, state.overlap) != (seen.objects, seen.overlap):
            raise _ChangedError
        own = [
            OwnPrompt(number, replace(edit, id=state.next_prompt + place))
            for place, (number, edit) in enumerate(edits)
        ]
        if len(own) == 1:
            return log.do(AddPrompt(own[0].object, own[0].prompt))
        touched = [each.object for each in own]
        main = state.current if state.current in touched else touched[0]
        return log.do(CleanUpObjects(main, tuple(own)))

    try:
        return scheduler.change(add, logged=True)
    except _ChangedError:
        return None


class _ChangedError(Exception):
    """The objects are not any more what they were when the masks were cleaned up."""


def _said(prompts: Iterable[Prompt], volume: Volume) -> Iterator[tuple[Index, bool]]:
    """Yield the voxels that clicks and scribbles say belong to an object, or don't."""
    for prompt in prompts:
        if isinstance(prompt, Point):
            yield prompt.index, prompt.positive
        elif isinstance(prompt, Scribble):
            sure = sure_part(prompt, volume.spacing)
            for i, j, k in (np.argwhere(sure.voxels) + sure.box.start).tolist():
                yield (i, j, k), prompt.positive


def _edit(
    state: SessionState, number: int, own: OwnMasks, how: CleanUp, volume: Volume
) -> Edit | None:
    """Return what cleaning up changes of an object, numbered 0; None where that is nothing."""
    each = state.unlocked(number)
    # Of what was said of one voxel the last counts.
    last = dict(_said(each.prompts, volume))
    inside = [index for index, positive in last.items() if positive]
    shown = shown_mask(state, number, own)
    clean = cleaned_up(shown, how, volume, inside)
    if clean.is_empty and not shown.is_empty:
        raise SessionError(
            f"Nothing would be left of {each.name}.", "Choose a smaller amount, or remove it."
        )
    outside = [index for index, positive in last.items() if not positive]
    added = clean.without(shown).without(Mask.of_indices(outside))
    removed = shown.without(clean).without(Mask.of_indices(inside))
    for other in _keepers(state, number):
        added = added.without(shown_mask(state, other, own))
    for prompt in each.prompts:
        if isinstance(prompt, Freeze):
            added, removed = added.outside(prompt.box), removed.outside(prompt.box)
    if added.is_empty and removed.is_empty:
        return None
    return Edit(0, PackedMask.of(added), PackedMask.of(removed), how)


def _keepers(state: SessionState, number: int) -> list[int]:
    """Return the objects whose voxels are not taken from them, as by a brush."""
    if state.overlap == "share":
        return []
    return [
        each.id
        for each in state.objects
        if each.id != number and (each.locked is not None or state.overlap == "keep")
    ]


def _pass_on(answer: Future[Result], outcome: Future[Result]) -> None:
    error = answer.exception()
    if error is None:
        outcome.set_result(answer.result())
    else:
        outcome.set_exception(error)
