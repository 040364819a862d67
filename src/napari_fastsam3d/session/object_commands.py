"""What a user can do to the objects of a session: begin, name, lock, accept and remove them."""

import operator
from collections.abc import Callable
from concurrent.futures import Future
from typing import SupportsIndex, TypeVar, get_args

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import MaskPrompt
from napari_fastsam3d.session.colour import Colour
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.label_map import shown_mask
from napari_fastsam3d.session.object_actions import (
    AcceptObject,
    LockObject,
    NewObject,
    RecolourObject,
    RemoveObject,
    RenameObject,
    RevalueObject,
    SetOverlap,
    UnlockObject,
)
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.state import Action, OverlapRule, SessionState


class ObjectCommands:
    """The commands about objects; see `Commands`.

    Parameters
    ----------
    scheduler : Scheduler
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def add_mask(
        self,
        mask: Mask,
        name: str | None = None,
        value: int | None = None,
        colour: Colour | None = None,
    ) -> Future[Result]:
        """Begin an object with a mask, to be refined by clicks; it becomes the current one.

        Parameters
        ----------
        mask : Mask
            Source index, such as `Mask.of_volume` of an array.
        name, value : optional
            See `new_object`.
        colour : tuple of float, optional
            Red, green and blue in [0, 1]; by default one that no other object has.
        """
        packed = self._packed(mask)
        if packed.is_empty:
            raise PromptError("The mask holds no voxel of the volume.", "Give one that does.")
        return self._scheduler.do(
            lambda state: NewObject(
                state.next_object,
                _unused(name, state),
                _value(value),
                MaskPrompt(state.next_prompt, packed),
                colour,
            )
        )

    def new_object(self, name: str | None = None, value: int | None = None) -> Future[Result]:
        """Begin another object and make it the current one; `Result.object` is its id.

        Parameters
        ----------
        name : str, optional
            By default "object" and its number. No two objects have one name; capitals don't tell
            names apart.
        value : int, optional
            Its value in label maps, 1 to 65535, which no other object has; `organs` knows those
            of common organs. By default the next one never used by an object before it.
        """
        return self._scheduler.do(
            lambda state: NewObject(state.next_object, _unused(name, state), _value(value))
        )

    def select_object(self, number: int) -> Future[Result]:
        """Make an object the current one; no step of undo, for nothing is changed by it."""
        return self._scheduler.change(lambda log: log.select(number))

    def rename_object(self, number: int, name: str) -> Future[Result]:
        """Give the object of that id another name, which no other object has."""
        return self._scheduler.do(lambda state: RenameObject(number, _unused(name, state, number)))

    def remove_object(self, number: int | None = None) -> Future[Result]:
        """Take an object away, by default the current one; the others keep their values."""
        return self._scheduler.do(lambda state: RemoveObject(state.chosen(number).id))

    def recolour_object(self, number: int, colour: Colour) -> Future[Result]:
        """Give the object of that id another colour: red, green and blue in [0, 1]."""
        red, green, blue = map(float, colour)
        return self._scheduler.do(lambda _: RecolourObject(number, (red, green, blue)))

    def revalue_object(self, number: int, value: int) -> Future[Result]:
        """Give the object of that id another value in label maps, which no other object has."""
        return self._scheduler.do(lambda _: RevalueObject(number, _whole(value)))

    def lock_object(self, number: int | None = None) -> Future[Result]:
        """Keep an object's mask as it is shown now, by default the current one's.

        Its prompts can't be changed until it is unlocked, and no other object gets its voxels,
        unless objects share theirs (`set_overlap`). Name, colour and value can be changed.
        """
        return self._lock(number, LockObject)

    def accept_object(self, number: int | None = None) -> Future[Result]:
        """Lock an object and call it finished, by default the current one.

        A session that has a memory and waits for this remembers the mask for other scans, unless
        it has no name, the model is not sure of it, or it took many prompts: `noted` says why, and
        `Session.remember` does it anyway. Undo doesn't forget it again. MemoryBankError or
        SaveError says where it couldn't be written; it is accepted all the same.
        """
        return self._lock(number, AcceptObject)

    def unlock_object(self, number: int | None = None) -> Future[Result]:
        """Let an object's mask follow its prompts again, by default the current one's."""
        return self._scheduler.do(lambda state: UnlockObject(state.chosen(number).id))

    def set_overlap(self, rule: OverlapRule) -> Future[Result]:
        """Choose whose a voxel is that several objects claim; one step of undo.

        Parameters
        ----------
        rule : {"keep", "overwrite", "share"}
            Locked objects keep their voxels. Of the others, "keep" gives it to the one that was
            begun first, "overwrite" to the one with the newest prompt; "share" lets all hold it,
            also voxels of locked ones, and only where one value must do, as in a label map, the
            first by "keep" is named.
        """
        if rule not in get_args(OverlapRule):
            raise SessionError(
                f"There is no rule {rule!r}.", f"Choose one of {', '.join(get_args(OverlapRule))}."
            )
        return self._scheduler.do(lambda _: SetOverlap(rule))

    def _lock(
        self, number: int | None, make: Callable[[int, PackedMask], Action]
    ) -> Future[Result]:
        scheduler = self._scheduler
        with scheduler.lock:
            number = scheduler.history.state.chosen(number).id
            scheduler.pending.postpone()
        outcome: Future[Result] = Future()
        _lock_when_finished(scheduler, number, make, outcome)
        if outcome.done() and (error := outcome.exception()):
            raise error
        return outcome

    def _packed(self, mask: Mask | None) -> PackedMask:
        inside = mask.inside(Box.whole(self._scheduler.volume.shape)) if mask else Mask.empty()
        return PackedMask.of(inside)


def _lock_when_finished(
    scheduler: Scheduler,
    number: int,
    make: Callable[[int, PackedMask], Action],
    outcome: Future[Result],
) -> None:
    """Add the action that `make` makes of an object's shown mask, once that is finished.

    Where masks wait for the model, the log changes after them.
    """
    try:
        with scheduler.lock:
            state = scheduler.history.state
            waits = scheduler.pending.unanswered and scheduler.masks.behind_of(state, number)
        if waits:
            scheduler.thread.submit(_lock_when_finished, scheduler, number, make, outcome)
            return
        done = scheduler.change(lambda log: _locked(log, scheduler, number, make), logged=True)
    except Exception as error:
        if scheduler.history.state.has(number):
            outcome.set_exception(error)
        else:
            # Undone or removed since: there is nothing left to lock.
            outcome.set_result(scheduler.pending.new(number).result(stale=True))
    else:
        done.add_done_callback(lambda answer: outcome.set_result(answer.result()))
    scheduler.pending.resume()


def _locked(
    log: History, scheduler: Scheduler, number: int, make: Callable[[int, PackedMask], Action]
) -> History:
    if scheduler.masks.behind_of(log.state, number):
        raise SessionError("The mask doesn't follow its prompts yet.", "Wait for it, then lock it.")
    mask = shown_mask(log.state, number, scheduler.masks.own)
    return log.do(make(number, PackedMask.of(mask)))


def _whole(value: SupportsIndex) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise SessionError(f"{value!r} is no label value.", "Give a whole number.") from None


def _value(value: SupportsIndex | None) -> int | None:
    return None if value is None else _whole(value)


_Name = TypeVar("_Name", str, str | None)


def _unused(name: _Name, state: SessionState, number: int | None = None) -> _Name:
    """Return a name after checking that no object but that of a number has it.

    Only commands ask: logs and files of prompts of earlier versions, where names came twice, go on.
    """
    other = None if name is None else state.named(name)
    if other is not None and other.id != number:
        raise SessionError(
            f"Object {other.id} is called {other.name} already.", "Choose another name."
        )
    return name
