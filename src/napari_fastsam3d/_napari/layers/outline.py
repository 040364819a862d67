"""A 3D box as napari can draw it: a rectangle in the slice at hand, or twelve edges in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.geometry import Box

Vertices = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """What the viewer shows of a volume.

    Parameters
    ----------
    axis : int or None
        Layer axis that the shown slice is across; None in the 3D view.
    position : int
        Layer index of the slice along `axis`.
    """

    axis: int | None = 0
    position: int = 0


def outline(box: Box, plane: Plane) -> list[Vertices]:
    """Draw a half-open box of layer indices.

    Returns
    -------
    list of (N, 3) arrays
        Corners in layer coordinates, on the outer faces of the voxels. In a slice one rectangle,
        lying in the shown slice where the box spans it and in the nearest slice of the box
        (out of sight) where it doesn't; in the 3D view six faces.
    """
    if plane.axis is not None:
        inside = min(max(plane.position, box.start[plane.axis]), box.stop[plane.axis] - 1)
        return [_face(box, plane.axis, float(inside))]
    low, high = np.subtract(box.start, 0.5), np.subtract(box.stop, 0.5)
    return [_face(box, axis, side[axis]) for axis in range(3) for side in (low, high)]


def _face(box: Box, axis: int, position: float) -> Vertices:
    first, second = (other for other in range(3) if other != axis)
    low, high = np.subtract(box.start, 0.5), np.subtract(box.stop, 0.5)
    corners = np.full((4, 3), position)
    corners[:, first] = [low[first], high[first], high[first], low[first]]
    corners[:, second] = [low[second], low[second], high[second], high[second]]
    return corners


def drawn_box(
    vertices: ArrayLike, spacing: Sequence[float], shape: Sequence[int], depth: float | None = None
) -> Box | None:
    """Make a 3D box of a figure drawn in a slice.

    Parameters
    ----------
    vertices : (N, 3) array
        Corners in layer coordinates; the axis along which they do not spread is the depth.
    spacing : sequence of 3 floats
        Voxel sizes in mm along the layer's axes.
    shape : sequence of 3 ints
        Shape of the layer; the box is clipped to it.
    depth : float or None
        Extent in mm across the slice, centred on it; infinite for all slices. None takes the mean
        of the two sides, a structure being about as deep as it is wide.

    Returns
    -------
    Box or None
        Half-open box of layer indices, holding the voxels whose centres are inside the figure;
        None where there are none.
    """
    corners = np.asarray(vertices, dtype=float)[:, -3:]
    low, high = corners.min(axis=0), corners.max(axis=0)
    axis = int(np.argmin(high - low))
    start, stop = np.ceil(low), np.floor(high) + 1
    if depth is None:
        sides = [(high - low)[i] * spacing[i] for i in range(3) if i != axis]
        depth = float(np.mean(sides))
    slices = max(1, round(min(depth / spacing[axis], 2 * shape[axis])))
    start[axis] = np.floor(low[axis] + 0.5) - (slices - 1) // 2
    stop[axis] = start[axis] + slices
    return _clipped(start, stop, shape)


def redrawn_box(vertices: ArrayLike, before: Box, shape: Sequence[int]) -> Box | None:
    """Change a box to the figure that the user dragged its rectangle to.

    Parameters
    ----------
    vertices : (N, 3) array
        Corners in layer coordinates, all in one slice.
    before : Box
        Half-open box of layer indices; its extent across the slice is kept.
    shape : sequence of 3 ints
        Shape of the layer.
    """
    corners = np.asarray(vertices, dtype=float)[:, -3:]
    low, high = corners.min(axis=0), corners.max(axis=0)
    axis = int(np.argmin(high - low))
    start, stop = np.ceil(low), np.floor(high) + 1
    start[axis], stop[axis] = before.start[axis], before.stop[axis]
    return _clipped(start, stop, shape)


def _clipped(start: ArrayLike, stop: ArrayLike, shape: Sequence[int]) -> Box | None:
    first = tuple(int(value) for value in np.asarray(start))
    last = tuple(int(value) for value in np.asarray(stop))
    box = Box(first, last).clipped(shape)  # type: ignore[arg-type]
    return None if box.is_empty else box
