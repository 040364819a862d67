"""Which slice of a scan the viewer shows, and how to get to another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.outline import Plane
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import place_of
from napari_fastsam3d.session import Choice, Edit, FindPrompt, Prompt

if TYPE_CHECKING:
    from napari.viewer import Viewer


class Navigation:
    """Relates the viewer's world and slices to the voxels of one scan.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    frame : Frame
    layer : Labels
        A layer on the grid of the scan.
    """

    def __init__(self, viewer: Viewer, frame: Frame, layer: Labels) -> None:
        self._viewer, self.frame, self._layer = viewer, frame, layer

    def plane(self) -> Plane:
        """Return the plane that the viewer shows, in layer indices."""
        dims = self._viewer.dims
        extra = dims.ndim - 3
        across = [axis - extra for axis in dims.not_displayed if axis >= extra]
        if len(across) != 1:
            return Plane(None)
        return Plane(across[0], int(np.floor(self._to_layer(dims.point)[across[0]] + 0.5)))

    def source_axis(self) -> int | None:
        """Return the source axis that the shown slices are across; None in the 3D view."""
        axis = self.plane().axis
        return None if axis is None else self.frame.orientation.axes[axis]

    def source_slice(self) -> int:
        """Return the source index of the shown slice, along the source axis that it is across."""
        plane = self.plane()
        place = [0.0, 0.0, 0.0]
        place[plane.axis or 0] = float(plane.position)
        source = self.frame.to_source(place).reshape(3)
        return round(float(source[self.frame.orientation.axes[plane.axis or 0]]))

    def slice_number(self, axis: int, index: int) -> int:
        """Return the number that the viewer gives to a slice across a source axis."""
        place = [0, 0, 0]
        place[axis] = index
        return round(float(self.frame.to_layer(place)[0][self.frame.orientation.axes.index(axis)]))

    def source_index(self, world: ArrayLike) -> Index:
        """Return the source index of the voxel at a world position, which may be outside."""
        return self.frame.source_index([float(value) for value in self._to_layer(world)])

    def contains(self, world: ArrayLike) -> bool:
        """Whether a world position lies in the scan."""
        return Box.whole(self.frame.volume.shape).contains(self.source_index(world))

    def plane_through(self, world: ArrayLike, axis: int | None) -> Plane:
        """Return the plane across an axis of the layer at a world position; None is 3D."""
        if axis is None:
            return Plane(None)
        return Plane(axis, int(np.floor(self._to_layer(world)[axis] + 0.5)))

    def step(self, by: int, axis: int | None = None) -> None:
        """Show the slice so many further on, or the last one that there is.

        Parameters
        ----------
        by : int
        axis : int, optional
            Of the layer, across the slices; by default that of the plane shown.
        """
        axis = self.plane().axis if axis is None else axis
        if axis is not None:
            position = self.plane_through(self._viewer.dims.point, axis).position
            self._show(axis, min(max(position + by, 0), self.frame.shape[axis] - 1))

    def go_to_slice(self, axis: int, index: int) -> None:
        """Show a slice across a source axis."""
        shown = self.frame.orientation.axes.index(axis)
        self._show(shown, self.slice_number(axis, index))

    def go_to_prompt(self, prompt: Prompt) -> None:
        """Move the slices to the middle of a prompt; a choice and a search have none."""
        if isinstance(prompt, Choice | FindPrompt):
            return
        self.go_to_layer(self._middle(prompt))

    def go_to_middle(self, mask: Mask) -> None:
        """Show the middle of a mask (source index): of the slice that holds most of it.

        The three slices are moved there, so that it lies in every plane.
        """
        voxels = self.frame.view(mask.voxels)
        axis = self.plane().axis or 0
        others = tuple(each for each in range(3) if each != axis)
        fullest = int(voxels.sum(axis=others).argmax())
        middle = np.empty(3)
        middle[axis] = fullest
        middle[list(others)] = np.argwhere(voxels.take(fullest, axis=axis)).mean(axis=0)
        self.go_to_layer(middle + self.frame.box_to_layer(mask.box).start)

    def go_to_layer(self, place: ArrayLike) -> None:
        """Show the slices through a layer index (3 floats)."""
        world = self._layer.data_to_world(np.floor(np.asarray(place, np.float64) + 0.5))
        dims = self._viewer.dims
        dims.set_point(tuple(range(dims.ndim - 3, dims.ndim)), tuple(float(x) for x in world[-3:]))

    def go_to_place(self, mm: Sequence[float]) -> None:
        """Move the slices to a place of the patient, RAS mm."""
        volume = self.frame.volume
        self.go_to_layer(self.frame.to_layer(volume.to_index(np.asarray(mm)))[0])

    def go_to_object(self, region: Box, newest: Prompt) -> None:
        """Show the newest prompt of an object, unless its mask (source box) is in the slice."""
        plane, box = self.plane(), self.frame.box_to_layer(region)
        axis = plane.axis
        if axis is not None and not box.start[axis] <= plane.position < box.stop[axis]:
            middle = (box.start[axis] + box.stop[axis] - 1) / 2
            chosen = isinstance(newest, Choice | FindPrompt)
            self._show(axis, round(middle if chosen else self._middle(newest)[axis]))

    def steps(self) -> list[int]:
        """Return the number of the shown slice along each of the three axes of the layer."""
        return [int(number) for number in self._viewer.dims.current_step[-3:]]

    def go_to_steps(self, steps: object) -> None:
        """Show the slices that `steps` returned; anything else is ignored."""
        dims = self._viewer.dims
        try:
            dims.set_current_step(tuple(range(dims.ndim - 3, dims.ndim)), tuple(steps))  # pyright: ignore
        except (TypeError, ValueError):
            return  # nothing usable was kept; where the user looks now is as good

    def _show(self, axis: int, step: int) -> None:
        self._viewer.dims.set_current_step(axis + self._viewer.dims.ndim - 3, step)

    def _to_layer(self, world: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(self._layer.world_to_data(np.asarray(world)), np.float64)[-3:]

    def _middle(self, prompt: Prompt) -> NDArray[np.float64]:
        """Layer index (3 floats) of the middle of what a prompt is about."""
        box = place_of(prompt)
        if isinstance(prompt, Edit) and prompt.added.is_empty:
            box = prompt.removed.box
        return self.frame.to_layer(np.add(box.start, np.subtract(box.stop, 1)) / 2)[0]
