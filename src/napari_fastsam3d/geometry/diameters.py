"""The longest lines across a mask: RECIST diameters in axial slices, and the longest in space."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume

Points = NDArray[np.float64]
_CHUNK = 256


@dataclass(frozen=True)
class Line:
    """A straight line between two places.

    Parameters
    ----------
    start, end : tuple of float
        RAS mm.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]

    @property
    def length(self) -> float:
        """Length in mm."""
        return float(np.linalg.norm(np.subtract(self.end, self.start)))


def axial_diameters(mask: Mask, volume: Volume) -> tuple[Line, Line]:
    """Return the long and the short axis of a mask in the axial slices, as RECIST has them.

    The long axis is the longest line across a connected part (by edges or corners) of the mask in
    one slice; the short axis is the longest line across that part at right angles to it. Both
    reach from edge to edge of the voxels, and may leave a part that is not convex. The slices are
    those across the source axis that is closest to the patient's own: of an oblique scan, as it
    was taken.

    Parameters
    ----------
    mask : Mask
        Not empty.
    volume : Volume
        Its scan.
    """
    axis = volume.canonical.axes[2]
    across = [each for each in range(3) if each != axis]
    # Distances in the slice are those of two coordinates: right also where the axes are sheared.
    plane = np.linalg.qr(volume.affine[:3, across])[1]
    longest, best = 0.0, None
    for slice_number, part, corner in _parts_in_slices(np.moveaxis(mask.voxels, axis, 0)):
        if np.linalg.norm(np.abs(plane) @ part.shape) <= longest:
            continue
        outline = (_rim(part) + corner) @ plane.T
        outline = outline[ConvexHull(outline).vertices]
        length, ends = _farthest(outline)
        if length > longest:
            longest, best = length, (slice_number, outline, ends)
    if best is None:
        raise ValueError("the mask is empty")
    slice_number, outline, ends = best

    def line(points: Points) -> Line:
        index = np.insert(points @ np.linalg.inv(plane).T, axis, slice_number, axis=1)
        return _line(volume.to_world(index + mask.box.start))

    return line(ends), line(_widest_across(outline, ends))


def longest_diameter(mask: Mask, volume: Volume) -> Line:
    """Return the longest line across a connected part of a mask, from edge to edge of the voxels.

    Parameters
    ----------
    mask : Mask
        Not empty. Parts that touch by corners are connected.
    volume : Volume
        Its scan.
    """
    axes = volume.affine[:3, :3]
    parts = np.zeros(mask.voxels.shape, dtype=np.int32)
    ndimage.label(mask.voxels, structure=np.ones((3, 3, 3)), output=parts)
    longest, found = 0.0, None
    for number, slices in enumerate(ndimage.find_objects(parts), start=1):
        part = parts[slices] == number
        if np.linalg.norm(np.abs(axes) @ part.shape) <= longest:
            continue
        rim = _rim(part) + [each.start for each in slices] + mask.box.start
        world = volume.to_world(rim)
        length, ends = _farthest(world[ConvexHull(world).vertices])
        if length > longest:
            longest, found = length, ends
    if found is None:
        raise ValueError("the mask is empty")
    return _line(found)


def _parts_in_slices(
    slices: NDArray[np.bool_],
) -> Iterator[tuple[int, NDArray[np.bool_], list[int]]]:
    """Yield the connected parts in each slice: its number, the part, and the part's corner."""
    for number, voxels in enumerate(slices):
        parts = np.zeros(voxels.shape, dtype=np.int32)
        ndimage.label(voxels, structure=np.ones((3, 3)), output=parts)
        for part, window in enumerate(ndimage.find_objects(parts), start=1):
            yield number, parts[window] == part, [each.start for each in window]


def _rim(part: NDArray[np.bool_]) -> Points:
    """Return where lines along each axis enter and leave a part: index of the middles of faces.

    They are the points of which the convex hull of the surface is made, whatever lies within.
    """
    found: list[Points] = []
    for axis, length in enumerate(part.shape):
        hit = part.any(axis=axis)
        at = np.argwhere(hit).astype(np.float64)
        first = part.argmax(axis=axis)[hit]
        last = length - 1 - np.flip(part, axis).argmax(axis=axis)[hit]
        found += [np.insert(at, axis, place, axis=1) for place in (first - 0.5, last + 0.5)]
    return np.concatenate(found)


def _farthest(points: Points) -> tuple[float, Points]:
    """Return the greatest distance between two of some points, and the two."""
    best, pair = -1.0, (0, 0)
    for at in range(0, len(points), _CHUNK):
        apart = cdist(points[at : at + _CHUNK], points)
        if apart.max() > best:
            one, other = np.unravel_index(int(apart.argmax()), apart.shape)
            best, pair = float(apart.max()), (at + int(one), int(other))
    return best, points[list(pair)]


def _widest_across(outline: Points, axis: Points) -> Points:
    """Return the ends of the longest line in a convex outline at right angles to an axis."""
    along = (axis[1] - axis[0]) / np.linalg.norm(axis[1] - axis[0])
    side = np.array([-along[1], along[0]])
    t, s = outline @ along, outline @ side
    next_t, next_s = np.roll(t, -1), np.roll(s, -1)
    # The width changes evenly between the corners, so that it is greatest beside one of them.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (t[:, None] - t) / (next_t - t)
        met = np.where((share >= 0) & (share <= 1), s + share * (next_s - s), np.nan)
    met = np.concatenate([met, s[:, None]], axis=1)
    low, high = np.nanmin(met, axis=1), np.nanmax(met, axis=1)
    at = int((high - low).argmax())
    return np.array([t[at] * along + low[at] * side, t[at] * along + high[at] * side])


def _line(ends: Points) -> Line:
    (a, b, c), (d, e, f) = ends.tolist()
    return Line((a, b, c), (d, e, f))
