"""A mask kept as the box that holds it: memory follows the object, not the volume."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.volume import Volume

NOWHERE = Box((0, 0, 0), (0, 0, 0))

_REACH = 6  # voxels around one in which the end of a mask is looked for first


@dataclass(frozen=True, eq=False)
class Mask:
    """Which voxels of a volume belong to an object. Make one with `Mask.of`.

    Parameters
    ----------
    box : Box
        The tightest box around the true voxels, source index; `NOWHERE` if there are none.
    voxels : ndarray of bool
        One for each voxel of the box, in source order; not to be written to.
    """

    box: Box
    voxels: NDArray[np.bool_]

    @classmethod
    def of(cls, box: Box, voxels: NDArray[np.bool_]) -> "Mask":
        """Return the mask of the true voxels of a box, and of none outside it.

        Parameters
        ----------
        box : Box
            Source index.
        voxels : ndarray of bool
            One for each voxel of the box, in source order. Kept as it is where the box is
            tight; the caller must not write to it afterwards.
        """
        tight = Box.of_mask(voxels) if voxels.size else None
        if tight is None:
            return cls(NOWHERE, np.zeros((0, 0, 0), dtype=np.bool_))
        if tight.shape != box.shape:
            # A copy, so that the part cut off is freed.
            voxels = voxels[tight.slices].copy(order="K")
        voxels = voxels.view()
        voxels.flags.writeable = False
        return cls(tight.shifted(box.start), voxels)

    @classmethod
    def empty(cls) -> "Mask":
        """Return the mask of no voxel."""
        return cls.of(NOWHERE, np.zeros((0, 0, 0), dtype=np.bool_))

    @classmethod
    def of_volume(cls, voxels: NDArray[np.bool_]) -> "Mask":
        """Return the mask of the true voxels of an array (I, J, K) of the whole volume."""
        return cls.of(Box.whole(voxels.shape), voxels)

    @classmethod
    def of_indices(cls, indices: ArrayLike) -> "Mask":
        """Return the mask of some voxels: their source indices, (N, 3), in any order."""
        found = np.asarray(indices, dtype=np.intp).reshape(-1, 3)
        if not len(found):
            return cls.empty()
        box = Box.around_points(found)
        voxels = np.zeros(box.shape, dtype=np.bool_, order="F")
        voxels[tuple((found - box.start).T)] = True
        return cls.of(box, voxels)

    @property
    def is_empty(self) -> bool:
        """Whether no voxel belongs to the object."""
        return self.box.is_empty

    @property
    def nbytes(self) -> int:
        """Bytes that the mask holds."""
        return self.voxels.nbytes

    def equals(self, other: "Mask") -> bool:
        """Whether both hold the same voxels."""
        return self.box == other.box and bool(np.array_equal(self.voxels, other.voxels))

    def contains(self, index: Sequence[int]) -> bool:
        """Whether a voxel, source index, belongs to the object."""
        if not self.box.contains(index):
            return False
        i, j, k = (x - a for x, a in zip(index, self.box.start, strict=True))
        return bool(self.voxels[i, j, k])

    def volume(self, shape: Sequence[int]) -> NDArray[np.bool_]:
        """Return the mask of the whole volume: a new array of `shape`, source order."""
        return self.within(Box.whole(shape))

    def within(self, box: Box) -> NDArray[np.bool_]:
        """Return the voxels of any box, source index, as a new array in source order."""
        # In the mask's own memory layout: copying across layouts takes ten times as long.
        out = np.zeros_like(self.voxels, shape=box.shape)
        both = self.box.intersection(box)
        if not both.is_empty:
            out[_slices(both, box)] = self.voxels[_slices(both, self.box)]
        return out

    def write(self, out: NDArray[np.generic], box: Box, value: int | bool = True) -> None:
        """Write a value wherever the mask is true into the array of a box, source index."""
        both = self.box.intersection(box)
        if not both.is_empty:
            out[_slices(both, box)][self.voxels[_slices(both, self.box)]] = value

    def inside(self, box: Box) -> "Mask":
        """Return the part of the mask that lies in a box, source index."""
        both = self.box.intersection(box)
        if both == self.box:
            return self
        return Mask.of(both, self.voxels[_slices(both, self.box)])

    def outside(self, box: Box) -> "Mask":
        """Return the part of the mask that lies outside a box, source index."""
        both = self.box.intersection(box)
        if both == self.box:
            return Mask.empty()
        if both.is_empty:
            return self
        left = self.voxels.copy(order="K")
        left[_slices(both, self.box)] = False
        return Mask.of(self.box, left)

    def union(self, other: "Mask") -> "Mask":
        """Return the mask of the voxels of either."""
        if self.is_empty or other.is_empty:
            return other if self.is_empty else self
        box = self.box.union(other.box)
        joined = self.within(box)
        joined[_slices(other.box, box)] |= other.voxels
        return Mask.of(box, joined)

    def without(self, other: "Mask") -> "Mask":
        """Return the mask of the voxels that the other doesn't hold."""
        both = self.box.intersection(other.box)
        if both.is_empty:
            return self
        left = self.voxels.copy(order="K")
        left[_slices(both, self.box)] &= ~other.voxels[_slices(both, other.box)]
        return Mask.of(self.box, left)

    def agreement(self, other: "Mask") -> float:
        """Return the Dice coefficient of two masks, 0 to 1; 1 where both are empty."""
        both = self.box.intersection(other.box)
        shared = self.within(both) & other.within(both)
        return _dice(shared, self.voxels, other.voxels)

    def depth(self, index: Index, spacing: tuple[float, float, float]) -> float:
        """Return how far a voxel, source index, lies from the nearest one that is not held, mm.

        0 for a voxel that is not held itself. What lies beyond the volume is not held.

        Parameters
        ----------
        index : tuple of int
        spacing : tuple of float
            Voxel sizes along the source axes, mm.
        """
        if not self.contains(index):
            return 0.0
        reach = _REACH * max(spacing)
        while True:
            # Most of a large mask lies farther away than what ends it.
            (i, j, k), sides = index, [int(np.ceil(reach / size)) for size in spacing]
            a, b, c = sides
            around = self.within(Box((i - a, j - b, k - c), (i + a + 1, j + b + 1, k + c + 1)))
            x, y, z = (
                (np.arange(-side, side + 1) * size) ** 2
                for side, size in zip(sides, spacing, strict=True)
            )
            squared = x[:, None, None] + y[:, None] + z
            nearest = float(np.sqrt(squared[~around].min(initial=np.inf)))
            if nearest <= reach:
                return nearest
            reach *= 2

    def changed_box(self, other: "Mask") -> Box:
        """Return the tightest source box around the voxels that only one of the two holds.

        Only the two masks' own boxes are read, however far apart they lie.
        """
        return self.without(other).box.union(other.without(self).box)


def masks_of(labels: NDArray[np.unsignedinteger]) -> Iterator[tuple[int, Mask]]:
    """Yield each value but 0 that a label map (I, J, K) holds, with its mask.

    Nothing larger than the box of a label is made for it.
    """
    for value, slices in enumerate(ndimage.find_objects(labels), start=1):
        if slices is not None:
            start, stop = zip(*((part.start, part.stop) for part in slices), strict=True)
            yield value, Mask.of(Box(start, stop), labels[slices] == value)


def _slices(part: Box, whole: Box) -> tuple[slice, slice, slice]:
    """Return what cuts `part` out of an array of the voxels of `whole`."""
    i, j, k = whole.start
    return part.shifted((-i, -j, -k)).slices


def dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Give the Dice coefficient 2 |A and B| / (|A| + |B|); 1 when both are empty.

    Parameters
    ----------
    mask, truth : ndarray of bool
        Of one shape.
    """
    return _dice(mask & truth, mask, truth)


def _dice(shared: NDArray[np.bool_], one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(shared)) / total if total else 1.0


def deepest_voxel(
    region: NDArray[np.bool_], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Index:
    """Return the voxel of a region that lies farthest from its rim; the first of several.

    Parameters
    ----------
    region : ndarray of bool
        (I, J, K), not empty. What lies beyond the array counts as outside.
    spacing : tuple of float
        Voxel sizes along the axes, mm.

    Returns
    -------
    tuple of int
        Index into the array.
    """
    depth = np.zeros(tuple(n + 2 for n in region.shape))
    ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing, distances=depth)
    where = np.unravel_index(int(depth[1:-1, 1:-1, 1:-1].argmax()), region.shape)
    i, j, k = (int(at) for at in where)
    return i, j, k


def middle_of(mask: Mask, volume: Volume) -> Index:
    """Return the deepest voxel of a mask that isn't empty, source index.

    It is the same voxel of the patient in whichever order a file has its axes.
    """
    canonical = volume.canonical
    r, a, s = (volume.spacing[axis] for axis in canonical.axes)
    deepest = deepest_voxel(canonical.view(mask.voxels), (r, a, s))
    place = np.add(deepest, canonical.box_to_target(mask.box).start)
    i, j, k = (int(at) for at in canonical.to_source(place))
    return i, j, k
