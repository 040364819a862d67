"""What a session shows: its objects, their masks, what can be undone."""

# ruff: noqa: A002 - `object` is the word of the design's interface, session.mask(object=2)

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.session.engine import Engine
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.label_map import (
    Overlapped,
    holder_of_click,
    label_map,
    overlapped,
    shown_mask,
)
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.state import ObjectState, SessionState


class Views:
    """Reads a session; nothing here waits for the model.

    Parameters
    ----------
    engine : Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.volume: Volume = engine.volume

    @property
    def thread(self) -> ModelThread:
        """Where the model lives."""
        return self._engine.thread

    @property
    def state(self) -> SessionState:
        """The objects and their prompts now; frozen."""
        return self._engine.history.state

    @property
    def history(self) -> History:
        """The log of what was done and undone; frozen."""
        return self._engine.history

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._engine.history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a step that was taken back."""
        return self._engine.history.can_redo

    @property
    def predictor(self) -> Predictor | None:
        """The model; None until it is loaded."""
        return self.thread.predictor

    def region(self, object: int | None = None) -> Mask:
        """Return the last finished mask of an object as the box that holds it.

        Voxels that another object holds, by a lock or by the rule of the session, are not in it.
        Doesn't wait for predictions under way; `wait` does.

        Parameters
        ----------
        object : int, optional
            Id of the object; by default the current one.
        """
        chosen = self._object(object)
        if chosen is None:
            return Mask.empty()
        return shown_mask(self.state, chosen.id, self._engine.own)

    def empty_objects(self) -> list[int]:
        """Return the ids of the objects that hold no voxel, as shown and saved."""
        return [each.id for each in self.state.objects if self.region(each.id).is_empty]

    def overlapped_objects(self) -> list[Overlapped]:
        """Return the objects of which others keep every voxel that was clicked for them.

        `take_over` at such a click gives the object its part, and `set_overlap("overwrite")` all of
        it, where nothing is locked.
        """
        return overlapped(self.state, self._engine.own)

    def mask(self, object: int | None = None) -> NDArray[np.bool_]:
        """Return the last finished mask of an object: bool (I, J, K), source order.

        Takes memory for the whole volume; `region` doesn't.

        Parameters
        ----------
        object : int, optional
            Id of the object; by default the current one.
        """
        return self.region(object).volume(self.volume.shape)

    def crop(self, object: int | None = None) -> Crop | None:
        """Return what the model looked at for an object's last finished mask, if at anything."""
        return self._step(object).crop

    def label_map(self, box: Box | None = None) -> NDArray[np.uint8 | np.uint16]:
        """Return the last finished masks of all objects together.

        Parameters
        ----------
        box : Box, optional
            The part of the volume wanted, source index; by default all of it.

        Returns
        -------
        ndarray of uint8, or of uint16 where a value exceeds 255
            The value of the object that holds the voxel, 0 where none does; source order, shape
            of the box. For a voxel that several objects claim see `set_overlap`.
        """
        box = Box.whole(self.volume.shape) if box is None else box
        return label_map(self.state, box, self._engine.own)

    def holder(self, object: int | None = None) -> ObjectState | None:
        """Return the object that keeps the voxel of another's newest click, if one does.

        That click is positive and yet outside the mask; `take_over` gives it to whom it was clicked
        for.

        Parameters
        ----------
        object : int, optional
            Id of the object that was clicked; by default the current one.
        """
        chosen = self._object(object)
        state = self.state
        return None if chosen is None else holder_of_click(state, chosen.id, self._engine.own)

    def _step(self, number: int | None) -> Step:
        chosen = self._object(number)
        return Step() if chosen is None else self._engine.shown(chosen.id)

    def _object(self, number: int | None) -> ObjectState | None:
        state = self.state
        number = state.current if number is None else number
        return None if number is None else state.object(number)
