"""The objects of a session as one napari Labels layer, written box by box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.events import Event
from numpy.typing import NDArray
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.session import ObjectState
from napari_fastsam3d.session.colour import free_colour

NAME = "Segmentation"
LabelMap: TypeAlias = NDArray[np.uint8 | np.uint16]
"""Label values of voxels; 0 is background."""
Rgba: TypeAlias = tuple[float, float, float, float]
_STEP = 0.25


class MaskLayer:
    """Shows the label map of a session.

    What the user paints in it is a wish: the session makes of it what the layer shows then.

    The array lies in memory in layer order, so that a slice is read in one run, and is written
    through its source ordered view, a box at a time, without touching the rest of the volume.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    opacity : float
        Of the layer, in [0, 1].
    """

    written = Signal()
    """Labels were written; views that show the same array have to draw it again."""

    def __init__(self, frame: Frame, opacity: float = 0.5) -> None:
        self.frame = frame
        # Zeroed pages are not touched before they are written, so this costs no memory yet.
        shown: LabelMap = np.zeros(frame.shape, np.uint8)
        self._labels = frame.source_view(shown)
        self._hidden: frozenset[int] = frozenset()
        self._objects: tuple[ObjectState, ...] = ()
        self._next = 1
        self._strengths: dict[int, float] = {}
        self._colours: dict[int, Rgba] = {}
        self.layer = Labels(
            shown,
            name=NAME,
            opacity=opacity,
            colormap=_colormap({}),
            metadata=frame.metadata,
            **frame.placement,
        )
        self.layer.locked = True
        self.layer.events.data.connect(self._keep_array)

    def write(self, box: Box, labels: LabelMap) -> None:
        """Replace the labels in a source box by an (I, J, K) array of the box's shape."""
        if box.is_empty:
            return
        self._widen(labels.dtype)
        self._labels[box.slices] = labels
        self.layer.refresh(extent=False, thumbnail=False)
        self.written.emit()

    def value_at(self, index: Index) -> int:
        """Return the label of a voxel (source index); 0 is background."""
        return int(self._labels[index])

    def paint_with(self, value: int) -> None:
        """Let napari's brush paint with a label, 1 to 65535."""
        self._widen(np.min_scalar_type(value))
        self._next = value
        self._colour()
        self.layer.selected_label = value

    def show(
        self,
        objects: Sequence[ObjectState],
        hidden: frozenset[int] = frozenset(),
        strengths: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """Give every label the colour of its object.

        Parameters
        ----------
        objects : sequence of ObjectState
        hidden : frozenset of int
            Ids of those that get none.
        strengths : mapping of int to float
            How opaque others are than the layer, 0 to 1, by their id.
        """
        objects = tuple(objects)
        faded, self._strengths = dict(strengths) != self._strengths, dict(strengths)
        known = [(shown.value, shown.colour, shown.id, shown.name) for shown in self._objects]
        if (
            not faded
            and hidden == self._hidden
            and known == [(shown.value, shown.colour, shown.id, shown.name) for shown in objects]
        ):
            return
        self._objects, self._hidden = objects, hidden
        self._colour()
        self.layer.features = _features(objects)  # pyright: ignore[reportAttributeAccessIssue]

    def first_hit(
        self, start: NDArray[np.float64], end: NDArray[np.float64]
    ) -> tuple[float, ...] | None:
        """Find the first labelled voxel on a segment between two layer points (3 floats each).

        Returns
        -------
        tuple of 3 floats or None
            Its layer index, or None where the segment meets no visible object.
        """
        steps = int(np.ceil(np.linalg.norm(end - start) / _STEP)) + 1
        places = start + np.linspace(0.0, 1.0, steps)[:, None] * (end - start)
        voxels = np.floor(places + 0.5).astype(int)
        voxels = voxels[((voxels >= 0) & (voxels < self.frame.shape)).all(axis=1)]
        labels = self.frame.view(self._labels)[tuple(voxels.T)]
        visible = [shown.value for shown in self._objects if shown.id not in self._hidden]
        hits = np.flatnonzero(np.isin(labels, visible))
        return tuple(float(value) for value in voxels[hits[0]]) if len(hits) else None

    def _colour(self) -> None:
        """Colour the visible objects, and the one that a stroke would begin."""
        colours = {
            each.value: (*each.colour, self._strengths.get(each.id, 1.0))
            for each in self._objects
            if each.id not in self._hidden
        }
        if self._next not in {each.value for each in self._objects}:
            used = [each.colour for each in self._objects]
            colours[self._next] = (*free_colour(self._next, used), 1.0)
        if colours != self._colours:
            self._colours = colours
            self.layer.colormap = _colormap(colours)

    def _widen(self, dtype: np.dtype[np.generic]) -> None:
        if dtype.itemsize > self._labels.dtype.itemsize:
            wider = self.frame.view(self._labels).astype(dtype)
            self._labels = self.frame.source_view(wider)
            self.layer.data = wider  # pyright: ignore[reportAttributeAccessIssue]

    def _keep_array(self, _event: Event | None = None) -> None:
        # Such as napari's own change of the type: what is written later would not be shown.
        if not np.shares_memory(self.layer.data, self._labels):
            kept = self.frame.view(self._labels)
            self.layer.data = kept  # pyright: ignore[reportAttributeAccessIssue]


def _colormap(colours: dict[int, Rgba]) -> DirectLabelColormap:
    table: dict[int | None, str | tuple[float, ...]] = {None: "transparent", 0: "transparent"}
    table |= dict(colours)
    return DirectLabelColormap(color_dict=table)


def _features(objects: Sequence[ObjectState]) -> dict[str, list[int] | list[str]]:
    """Names that napari shows in the status bar under the pointer."""
    return {
        "index": [0, *(shown.value for shown in objects)],
        "object": ["", *(shown.name for shown in objects)],
    }
