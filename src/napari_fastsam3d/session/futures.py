"""The verbs of a session without waiting."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import SupportsIndex

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.session.action import (
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    MovePrompt,
    NewObject,
    RemoveObject,
    RenameObject,
    ResetObject,
)
from napari_fastsam3d.session.engine import Engine
from napari_fastsam3d.session.prompt import BoxPrompt, Point, box_between, point_index, positivity
from napari_fastsam3d.session.result import Result
from napari_fastsam3d.session.state import SessionState

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

    def add_box(self, start: Voxel, stop: Voxel) -> Future[Result]:
        """See `Session.add_box`."""
        box = box_between(start, stop, self._engine.volume.shape)
        return self._engine.do(
            lambda state: AddPrompt(_target(state), BoxPrompt(state.next_prompt, box))
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

    def undo(self) -> Future[Result]:
        """See `Session.undo`."""
        return self._engine.undo()

    def redo(self) -> Future[Result]:
        """See `Session.redo`."""
        return self._engine.redo()

    def reset_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.reset_object`."""
        return self._engine.do(lambda state: ResetObject(_chosen(state, number)))

    def new_object(self, name: str | None = None) -> Future[Result]:
        """See `Session.new_object`."""
        return self._engine.do(lambda state: NewObject(state.next_object, name))

    def select_object(self, number: int) -> Future[Result]:
        """See `Session.select_object`."""
        return self._engine.select(number)

    def rename_object(self, number: int, name: str) -> Future[Result]:
        """See `Session.rename_object`."""
        return self._engine.do(lambda state: RenameObject(number, name))

    def remove_object(self, number: int | None = None) -> Future[Result]:
        """See `Session.remove_object`."""
        return self._engine.do(lambda state: RemoveObject(_chosen(state, number)))


def _place(to: Voxel | Box, shape: Index) -> Index | Box:
    return box_between(to.start, to.stop, shape) if isinstance(to, Box) else point_index(to, shape)


def _target(state: SessionState) -> int:
    """Return the object that a new prompt belongs to: the current one, or else a new one."""
    return state.next_object if state.current is None else state.current


def _chosen(state: SessionState, number: int | None) -> int:
    number = state.current if number is None else number
    if number is None:
        raise SessionError("There is no object yet.", "Add a point or a box first.")
    return number
