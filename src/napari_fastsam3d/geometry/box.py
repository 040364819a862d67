"""A half-open, axis-aligned box of voxels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Index = tuple[int, int, int]


@dataclass(frozen=True, order=True)
class Box:
    """A half-open box of voxels: `start` belongs to it, `stop` does not.

    The frame is whatever the caller says (source, canonical or crop index); a box carries none.

    Parameters
    ----------
    start, stop : tuple of int
        First index and one past the last along each of the three axes. A stop that isn't beyond
        its start makes the box empty.
    """

    start: Index
    stop: Index

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "Box":
        """Return the box of every voxel of a grid of `shape`."""
        return cls((0, 0, 0), _index(shape))

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> "Box | None":
        """Return the tightest box around the true voxels of a 3D mask, or None if there are none.

        Parameters
        ----------
        mask : ndarray of bool, shape (I, J, K)
            Any axis order; the box is in the same.
        """
        # Along the axis whose voxels lie farthest apart, whole planes are combined at once: ten
        # times as quick as along the others.
        slow = max(range(3), key=lambda axis: abs(mask.strides[axis]))
        first, second = (axis for axis in range(3) if axis != slow)
        across = np.asarray(mask.any(axis=slow))
        if not across.any():
            return None
        planes = [np.asarray(across.any(axis=1)), np.asarray(across.any(axis=0))]
        planes.insert(slow, np.asarray(mask.any(axis=(first, second))))
        start = [int(p.argmax()) for p in planes]
        stop = [len(p) - int(p[::-1].argmax()) for p in planes]
        return cls(_index(start), _index(stop))

    @classmethod
    def around_points(cls, points: ArrayLike) -> "Box":
        """Return the tightest box whose voxels hold all `points`, (N, 3) with N > 0.

        A voxel of index i reaches from i - 0.5 to i + 0.5.
        """
        voxels = np.floor(np.atleast_2d(np.asarray(points, dtype=np.float64)) + 0.5)
        return cls(_index(voxels.min(axis=0)), _index(voxels.max(axis=0) + 1))

    @property
    def shape(self) -> Index:
        """Voxels along each axis; zero where the box is empty."""
        a, b = self.start, self.stop
        return (max(0, b[0] - a[0]), max(0, b[1] - a[1]), max(0, b[2] - a[2]))

    @property
    def size(self) -> int:
        """Number of voxels."""
        i, j, k = self.shape
        return i * j * k

    @property
    def is_empty(self) -> bool:
        """Whether there is no voxel in the box."""
        return self.size == 0

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index an array with this to get the box; only for boxes within the array."""
        a, b = self.start, self.stop
        return (slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2]))

    def contains(self, index: Sequence[float]) -> bool:
        """Whether a voxel index lies in the box."""
        return all(a <= x < b for a, x, b in zip(self.start, index, self.stop, strict=True))

    def union(self, other: "Box") -> "Box":
        """Return the smallest box around both; an empty box adds nothing."""
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        return Box(
            _index(map(min, self.start, other.start)), _index(map(max, self.stop, other.stop))
        )

    def intersection(self, other: "Box") -> "Box":
        """Return what is in both; empty where they don't meet."""
        start = _index(map(max, self.start, other.start))
        stop = _index(map(min, self.stop, other.stop))
        return Box(start, _index(map(max, start, stop)))

    def padded(self, margin: int) -> "Box":
        """Return the box grown by `margin` voxels on every side."""
        return Box(_index(a - margin for a in self.start), _index(b + margin for b in self.stop))

    def stretched(self, axis: int, start: int, stop: int) -> "Box":
        """Return the box with another extent along one axis."""
        low, high = list(self.start), list(self.stop)
        low[axis], high[axis] = start, stop
        return Box(_index(low), _index(high))

    def clipped(self, shape: Sequence[int]) -> "Box":
        """Return the part of the box that lies in a grid of `shape`."""
        return self.intersection(Box.whole(shape))

    def shifted(self, offset: Sequence[int]) -> "Box":
        """Return the box moved by `offset` voxels."""
        return Box(
            _index(a + o for a, o in zip(self.start, offset, strict=True)),
            _index(b + o for b, o in zip(self.stop, offset, strict=True)),
        )


def _index(values: Iterable[float]) -> Index:
    i, j, k = (int(v) for v in values)
    return (i, j, k)
