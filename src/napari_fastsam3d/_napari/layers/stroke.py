"""One stroke of the brush, read from the `paint` event of napari."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d.geometry import Box


@dataclass(frozen=True, eq=False)
class Stroke:
    """Voxels whose label a stroke changed.

    Parameters
    ----------
    box : Box
        Around all of them, source index.
    painted, erased : ndarray of bool
        Shape of the box, source order: those that have the brush's own label now, and those that
        have any other.
    """

    box: Box
    painted: NDArray[np.bool_]
    erased: NDArray[np.bool_]


class _Region(Protocol):
    """A change that napari records as a box with a mask."""

    slice_key: tuple[slice, ...]
    mask: NDArray[np.bool_] | None
    new_value: int


_Voxels = tuple[tuple[NDArray[np.intp], ...], NDArray[np.integer], NDArray[np.integer] | int]
"""A change that napari records as indices, old values and new ones."""
StrokeChange = _Region | _Voxels


def stroke_of(item: Sequence[StrokeChange], value: int, frame: Frame) -> Stroke | None:
    """Read one item of the history of a Labels layer, as its `paint` event hands it over.

    Parameters
    ----------
    item : sequence
        One change after another: each has a box of layer indices (`slice_key`), the mask of what
        changed in it, or None for all of it, and the label given (`new_value`); or it is a tuple
        of indices, old values and new values.
    value : int
        The label that the brush paints with.
    frame : Frame
        Where the layer lies.

    Returns
    -------
    Stroke or None
        None where nothing changed.
    """
    if not item:
        return None
    box = _box_of(item[0])
    for change in item[1:]:
        box = box.union(_box_of(change))
    painted, erased = np.zeros(box.shape, np.bool_), np.zeros(box.shape, np.bool_)
    for change in item:
        where, labels = _within(change, box)
        painted[where] = labels == value
        erased[where] = labels != value
    return Stroke(frame.box_to_source(box), frame.source_view(painted), frame.source_view(erased))


def _box_of(change: StrokeChange) -> Box:
    # napari's own record is a tuple too, with names.
    if hasattr(change, "slice_key"):
        i, j, k = cast(_Region, change).slice_key
        return Box((i.start, j.start, k.start), (i.stop, j.stop, k.stop))
    indices, _, _ = cast(_Voxels, change)
    return Box.around_points(np.stack(indices, axis=1))


def _within(
    change: StrokeChange, box: Box
) -> tuple[tuple[slice, ...] | tuple[NDArray[np.intp], ...], NDArray[np.integer] | int]:
    """Return the index of what changed in an array of the box, and the labels given."""
    if not hasattr(change, "slice_key"):
        indices, _, labels = cast(_Voxels, change)
        return tuple(np.subtract(i, a) for i, a in zip(indices, box.start, strict=True)), labels
    region = cast(_Region, change)
    i, j, k = box.start
    part = _box_of(change).shifted((-i, -j, -k))
    if region.mask is None:
        return part.slices, region.new_value
    found = np.nonzero(region.mask)
    return tuple(n + a for n, a in zip(found, part.start, strict=True)), region.new_value
