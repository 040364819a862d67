"""The verbs of a session without waiting."""

import operator
from collections.abc import Sequence
from concurrent.futures import Future
from typing import SupportsIndex, TypeVar, get_args

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    box_between,
    point_index,
    positivity,
)
from napari_fastsam3d.session.actions import (
    AcceptObject,
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    LockObject,
    MovePrompt,
    NewObject,
    RecolourObject,
    RemoveObject,
    RenameObject,
    ResetObject,
    RevalueObject,
    SetOverlap,
    UnlockObject,
)
from napari_fastsam3d.session.colour import Colour
from napari_fastsam3d.session.engine import Engine
from napari_fastsam3d.session.result import Result
from napari_fastsam3d.session.state import OverlapRule, SessionState

Voxel = Sequence[SupportsIndex]


class Futures:
    """The verbs of a session, each returning at once.

    The log has changed, and `changed` was emitted, when a verb returns; bad arguments raise
    there. The mask follows in the model thread: the future gets its `Result`. A newer request
    for the same object overtakes one that waits, which then comes out with `stale` set. Where
    the model fails, the future gets the error and the log is as before the verb.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_point(self, index: Voxel, positive: bool = True) -> Future[Result]:
        """See `Session.add_point`."""
        voxel = point_index(index, self._engine.volume.shape)
        inside = positivity(positive)
        return self._engine.do(
            lambda state: AddPrompt(_target(state), Point(state.next_prompt, voxel, inside))
        )

    def add_box(self, start: Voxel, stop: Voxel, guessed_axis: int | None = None) -> Future[Result]:
        """See `Session.add_box`."""
        box = box_between(start, stop, self._engine.volume.shape)
        if guessed_axis not in (None, 0, 1, 2):
            raise PromptError(f"{guessed_axis!r} is no axis.", "Give 0, 1, 2 or None.")
        return self._engine.do(
            lambda state: AddPrompt(_target(state), BoxPrompt(state.next_prompt, box, guessed_axis))
        )

    def freeze_region(self, start: Voxel, stop: Voxel) -> Future[Result]:
        """See `Session.freeze_region`."""
        box = box_between(start, stop, self._engine.volume.shape)
        return self._engine.do(
            lambda state: AddPrompt(_target(state), Freeze(state.next_prompt, box))
        )

    def move_prompt(self, prompt: int, to: Voxel | Box) -> Future[Result]:
        """See `Session.move_prompt`."""
        place = _place(to, self._engine.volume.shape)
        return self._engine.do(lambda state: MovePrompt(state.owner(prompt).id, prompt, place))

    def flip_prompt(self, prompt: int) -> Future[Result]:
        """See `Session.flip_prompt`."""
        return self._engine.do(lambda state: FlipPrompt(state.owner(prompt).id, prompt))

    def delete_prompt(self, prompt: int) -> Future[Result]:
        """See `Session.delete_prompt`."""
        return self._engine.do(lambda state: DeletePrompt(state.owner(prompt).id, prompt))

    def take_over(self, index: Voxel, number: int | None = None) -> Future[Result]:
        """See `Session.take_over`."""
        voxel = point_index(index, self._engine.volume.shape)
        return self._engine.take_over(chosen_object(self._engine.history.state, number), voxel)

    def undo(self) -> Future[Result]:
        """See `Session.undo`."""
        return self._engine.undo()

    def redo(self) -> Future[Result]:
        """See `Session.redo`."""
        return self._engine.redo()

    def reset_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.reset_object`."""
        return self._engine.do(lambda state: ResetObject(chosen_object(state, number)))

    def edit_mask(
        self, added: Mask | None = None, removed: Mask | None = None, number: int | None = None
    ) -> Future[Result]:
        """See `Session.edit_mask`."""
        plus, minus = self._packed(added), self._packed(removed)
        if plus.is_empty and minus.is_empty:
            raise PromptError("The edit holds no voxel of the volume.", "Paint inside it.")
        return self._engine.do(
            lambda state: AddPrompt(
                _target(state) if number is None else number, Edit(state.next_prompt, plus, minus)
            )
        )

    def make_mask_again(self, number: int) -> Future[Result]:
        """Ask the present model for the mask of an object; see `Session.outdated`."""
        return self._engine.make_again(number)

    def add_mask(
        self, mask: Mask, name: str | None = None, value: int | None = None
    ) -> Future[Result]:
        """See `Session.add_mask`."""
        packed = self._packed(mask)
        if packed.is_empty:
            raise PromptError("The mask holds no voxel of the volume.", "Give one that does.")
        return self._engine.do(
            lambda state: NewObject(
                state.next_object,
                _unused(name, state),
                _value(value),
                MaskPrompt(state.next_prompt, packed),
            )
        )

    def new_object(self, name: str | None = None, value: int | None = None) -> Future[Result]:
        """See `Session.new_object`."""
        return self._engine.do(
            lambda state: NewObject(state.next_object, _unused(name, state), _value(value))
        )

    def select_object(self, number: int) -> Future[Result]:
        """See `Session.select_object`."""
        return self._engine.select(number)

    def rename_object(self, number: int, name: str) -> Future[Result]:
        """See `Session.rename_object`."""
        return self._engine.do(lambda state: RenameObject(number, _unused(name, state, number)))

    def remove_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.remove_object`."""
        return self._engine.do(lambda state: RemoveObject(chosen_object(state, number)))

    def recolour_object(self, number: int, colour: Colour) -> Future[Result]:
        """See `Session.recolour_object`."""
        red, green, blue = map(float, colour)
        return self._engine.do(lambda _: RecolourObject(number, (red, green, blue)))

    def revalue_object(self, number: int, value: int) -> Future[Result]:
        """See `Session.revalue_object`."""
        return self._engine.do(lambda _: RevalueObject(number, _whole(value)))

    def lock_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.lock_object`."""
        return self._engine.freeze(chosen_object(self._engine.history.state, number), LockObject)

    def accept_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.accept_object`."""
        return self._engine.freeze(chosen_object(self._engine.history.state, number), AcceptObject)

    def unlock_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.unlock_object`."""
        return self._engine.do(lambda state: UnlockObject(chosen_object(state, number)))

    def set_overlap(self, rule: OverlapRule) -> Future[Result]:
        """See `Session.set_overlap`."""
        if rule not in get_args(OverlapRule):
            raise SessionError(
                f"There is no rule {rule!r}.", f"Choose one of {', '.join(get_args(OverlapRule))}."
            )
        return self._engine.do(lambda _: SetOverlap(rule))

    def _packed(self, mask: Mask | None) -> PackedMask:
        inside = mask.inside(Box.whole(self._engine.volume.shape)) if mask else Mask.empty()
        return PackedMask.of(inside)


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

    Only verbs ask: logs and files of prompts of earlier versions, where names came twice, go on.
    """
    other = None if name is None else state.named(name)
    if other is not None and other.id != number:
        raise SessionError(
            f"Object {other.id} is called {other.name} already.", "Choose another name."
        )
    return name


def _place(to: Voxel | Box, shape: Index) -> Index | Box:
    return box_between(to.start, to.stop, shape) if isinstance(to, Box) else point_index(to, shape)


def _target(state: SessionState) -> int:
    """Return the object that a new prompt belongs to: the current one, or else a new one."""
    return state.next_object if state.current is None else state.current


def chosen_object(state: SessionState, number: int | None) -> int:
    """Return the id of an object, by default the current one; SessionError if there is none."""
    number = state.current if number is None else number
    if number is None:
        raise SessionError("There is no object yet.", "Add a point or a box first.")
    return number
