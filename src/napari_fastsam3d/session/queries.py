"""What a session shows: its objects, their masks, what can be undone."""

# ruff: noqa: A002 - `object` is the word of the design's interface, session.mask(object=2)

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.measures import Measured, measure
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.model.predictor import ModelIdentity
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.label_map import (
    Overlapped,
    deepest_overlaps,
    holder_of_click,
    kept_voxel,
    label_map,
    overlapped,
    shown_mask,
)
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.state import ObjectState, SessionState


class Queries:
    """Reads a session.

    Parameters
    ----------
    scheduler : Scheduler

    Attributes
    ----------
    volume : Volume
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.volume: Volume = scheduler.volume

    @property
    def thread(self) -> ModelThread:
        """Where the model lives."""
        return self._scheduler.thread

    @property
    def state(self) -> SessionState:
        """The objects and their prompts now; frozen."""
        return self._scheduler.history.state

    @property
    def history(self) -> History:
        """The log of what was done and undone; frozen."""
        return self._scheduler.history

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._scheduler.history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a step that was taken back."""
        return self._scheduler.history.can_redo

    @property
    def predictor(self) -> ModelIdentity | None:
        """The model; None until it is loaded."""
        return self.thread.predictor

    def wait(self) -> None:
        """Block until every mask asked for so far is there, or has failed, and all is on disk."""
        self._scheduler.wait()

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
        return shown_mask(self.state, chosen.id, self._scheduler.masks.own)

    def empty_objects(self) -> list[int]:
        """Return the ids of the objects that hold no voxel, as shown and saved."""
        return [each.id for each in self.state.objects if self.region(each.id).is_empty]

    def overlapped_objects(self) -> list[Overlapped]:
        """Return the objects of which others keep every voxel that was clicked for them.

        `take_over` at such a click gives the object its part, and `set_overlap("overwrite")` all of
        it, where nothing is locked.
        """
        return overlapped(self.state, self._scheduler.masks.own)

    def overlaps(self, number: int | None = None) -> list[Index]:
        """Return where an object's mask overlaps locked ones, after predictions under way.

        Negative points there give the locked neighbours to the model:
        `for index in session.overlaps(): session.add_point(index, positive=False)`.

        Parameters
        ----------
        number : int, optional
            Id of the object; by default the current one.

        Returns
        -------
        list of tuple of int
            One source index for each locked neighbour, the deepest in what both claim.
        """
        self.wait()
        each = self.state.chosen(number)
        own = self._scheduler.masks.own
        others = [o for o in self.state.objects if o.locked is not None and o.id != each.id]
        return deepest_overlaps(own(each), map(own, others), self.volume.spacing)

    def measures(self, object: int | None = None) -> list[Measured]:
        """Measure the masks as they are shown, after predictions under way.

        Parameters
        ----------
        object : int, optional
            Id of one object; by default all are measured.

        Returns
        -------
        list of Measured
            In the order of the objects; `Measures` says what is measured and in which frame.
        """
        self.wait()
        state = self.state
        wanted = state.objects if object is None else (state.object(object),)
        return [
            Measured(each.name, each.value, measure(self.region(each.id), self.volume))
            for each in wanted
        ]

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
        chosen = self._object(object)
        return None if chosen is None else self._scheduler.masks.of_object(chosen.id).step.crop

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
        return label_map(self.state, box, self._scheduler.masks.own)

    def holder(self, object: int | None = None) -> ObjectState | None:
        """Return the object that keeps what another was given by its newest click or scribble.

        That was positive and yet lies outside the mask; `take_over` at `kept_voxel` gives it to
        whom it was clicked for.

        Parameters
        ----------
        object : int, optional
            Id of the object that was clicked; by default the current one.
        """
        chosen, state = self._object(object), self.state
        if chosen is None:
            return None
        return holder_of_click(state, chosen.id, self._scheduler.masks.own)

    def kept_voxel(self, object: int | None = None) -> Index | None:
        """Return the voxel of an object's newest click or scribble that another one keeps, if any.

        Parameters
        ----------
        object : int, optional
            Id of the object that was clicked; by default the current one.

        Returns
        -------
        tuple of int, or None
            Source index.
        """
        chosen, state = self._object(object), self.state
        if chosen is None:
            return None
        return kept_voxel(state, chosen.id, self._scheduler.masks.own)

    def _object(self, number: int | None) -> ObjectState | None:
        state = self.state
        number = state.current if number is None else number
        return None if number is None else state.object(number)
