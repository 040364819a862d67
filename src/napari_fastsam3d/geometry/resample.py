"""Linear filters along one axis, and a grid resampled by three of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_CHUNK_VOXELS = 1 << 19
_THICKNESS = 16

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AxisFilter:
    """A banded linear map along one axis: `out[p] = sum_t weights[p, t] * in[first[p] + t]`.

    Parameters
    ----------
    first : ndarray of int, shape (P,)
        First input of each output, never decreasing.
    weights : ndarray of float32, shape (P, T)
        Weights of the T inputs from there on.
    length : int
        Length N of the input axis; every `first[p] + T` is at most N.
    """

    first: NDArray[np.intp]
    weights: Floats
    length: int

    @classmethod
    def triangle(
        cls, positions: NDArray[np.float64], half_width: float, length: int
    ) -> "AxisFilter":
        """Return the filter that samples an axis at `positions` with a triangle.

        A half width of 1 is linear interpolation; a wider one averages, so that nothing finer
        than the output grid folds back into it. Weights add up to one: at the ends of the axis
        the triangle is cut, and positions beyond them get what the ends get.

        Parameters
        ----------
        positions : ndarray, shape (P,)
            Input index of each output, never decreasing.
        half_width : float
            Of the triangle, in inputs, at least 1.
        length : int
            Length of the input axis.
        """
        positions = positions.clip(0, length - 1)
        return cls._of_kernel(
            positions,
            half_width,
            length,
            lambda taps, at: np.maximum(0.0, 1.0 - np.abs(taps - at) / half_width),
        )

    @classmethod
    def cubic(cls, positions: NDArray[np.float64], length: int) -> "AxisFilter":
        """Return the filter that samples an axis at `positions` by cubic convolution (Keys 1981).

        Smooth also at the inputs, where linear interpolation has kinks. At the ends of the axis
        the kernel is cut and its weights brought to one; positions beyond get what the ends get.

        Parameters
        ----------
        positions : ndarray, shape (P,)
            Input index of each output, never decreasing.
        length : int
            Length of the input axis.
        """
        return cls._of_kernel(positions.clip(0, length - 1), 2.0, length, _keys)

    @classmethod
    def overlap(cls, edges: NDArray[np.float64], length: int) -> "AxisFilter":
        """Return the filter that gives the part of each cell that is covered by inputs.

        Input i covers [i - 0.5, i + 0.5); what lies beyond the axis counts as zero.

        Parameters
        ----------
        edges : ndarray, shape (P + 1,)
            Input coordinates of the cells' borders, increasing by the same step.
        length : int
            Length of the input axis.
        """
        step = float(edges[1] - edges[0])
        centres = (edges[:-1] + edges[1:]) / 2

        def covered(taps: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
            low = np.maximum(taps - 0.5, at - step / 2)
            high = np.minimum(taps + 0.5, at + step / 2)
            return np.maximum(0.0, high - low) / step

        return cls._of_kernel(centres, step / 2 + 0.5, length, covered, normalise=False)

    @classmethod
    def _of_kernel(
        cls,
        centres: NDArray[np.float64],
        reach: float,
        length: int,
        kernel: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
        *,
        normalise: bool = True,
    ) -> "AxisFilter":
        taps = min(length, 2 * int(np.ceil(reach)) + 1)
        first = (np.floor(centres - reach) + 1).clip(0, length - taps).astype(np.intp)
        weights = kernel(first[:, None] + np.arange(taps, dtype=np.float64), centres[:, None])
        if normalise:
            weights /= weights.sum(axis=1, keepdims=True)
        return cls(first, weights.astype(np.float32), length)._trimmed()

    def _trimmed(self) -> "AxisFilter":
        used = np.flatnonzero(self.weights.any(axis=0))
        if not used.size:
            return self
        low, high = int(used[0]), int(used[-1]) + 1
        return AxisFilter(self.first + low, self.weights[:, low:high], self.length)

    @property
    def outputs(self) -> int:
        """Length P of the output axis."""
        return len(self.first)

    @property
    def support(self) -> slice:
        """The inputs that the filter reads."""
        return slice(int(self.first[0]), int(self.first[-1]) + self.weights.shape[1])

    @property
    def on_support(self) -> "AxisFilter":
        """The same filter for an input axis cut to `support`."""
        used = self.support
        return AxisFilter(self.first - used.start, self.weights, used.stop - used.start)

    @property
    def is_shift(self) -> bool:
        """Whether the filter copies a run of inputs without changing them."""
        steps = np.diff(self.first)
        return self.weights.shape[1] == 1 and bool((self.weights == 1).all() and (steps == 1).all())

    def part(self, low: int, high: int) -> "AxisFilter":
        """Return the filter that makes outputs `low` to `high` only."""
        return AxisFilter(self.first[low:high], self.weights[low:high], self.length)

    @cached_property
    def matrix(self) -> "csr_array":
        """The filter as a sparse matrix, shape (P, N)."""
        from scipy.sparse import csr_array

        outputs, taps = self.weights.shape
        columns = (self.first[:, None] + np.arange(taps)).ravel()
        starts = np.arange(0, outputs * taps + 1, taps)
        shape = (outputs, self.length)
        return csr_array((self.weights.ravel(), columns, starts), shape=shape)

    @property
    def dense(self) -> Floats:
        """The filter as a matrix, shape (P, N), for devices on which products are cheap."""
        return self.matrix.toarray()

    def apply(self, array: Floats, axis: int = 0) -> Floats:
        """Filter one axis of a float32 array of three axes and any strides.

        Rows are added up one after the other by a sparse product: this is faster than a dense
        one, starts no threads, and gives each output the same bits whatever lies beside it.
        """
        if self.is_shift:
            return array[(*(slice(None),) * axis, self.support)]
        # The other axes keep their order in memory, so that moving this one to the front is cheap.
        others = sorted({0, 1, 2} - {axis}, key=lambda d: -abs(array.strides[d]))
        front = np.ascontiguousarray(array.transpose(axis, *others))
        out = self.matrix @ front.reshape(self.length, -1)
        return out.reshape(-1, *front.shape[1:]).transpose(np.argsort([axis, *others]))


def resample(
    source: NDArray[Any],
    filters: Sequence[AxisFilter],
    order: Sequence[int],
    prepare: Callable[[NDArray[Any]], NDArray[Any]] = np.asarray,
) -> Floats:
    """Filter the three axes of an array, one after the other.

    Chunks across the axis that goes last bound the memory: never is more than one chunk of the
    source held as floats. What is done to each voxel depends on filters and order only, never on
    how the source lies in memory, so that equal values give equal bits.

    Parameters
    ----------
    source : ndarray, shape (A, B, C)
        Of any real type and any strides; `filters[d].length` is its length along d.
    filters : sequence of AxisFilter
        One for each axis.
    order : sequence of int
        Which axis goes first, second and last; best the one that shrinks most first, and the
        outermost in memory last.
    prepare : callable, optional
        Applied to each chunk of the source before it is filtered.

    Returns
    -------
    ndarray of float32
        Its length along axis d is `filters[d].outputs`; of any strides.
    """
    source = source[tuple(f.support for f in filters)]
    cut = [f.on_support for f in filters]
    first, second, last = (cut[d] for d in order)
    source = source.transpose(order)
    shape = (last.length, second.outputs, first.outputs)
    reduced = np.empty(shape, dtype=np.float32).transpose()
    thickness = _thickness(source)
    for at in range(0, last.length, thickness):
        chunk = prepare(_floats(source[:, :, at : at + thickness]))
        reduced[:, :, at : at + thickness] = second.apply(first.apply(chunk, 0), 1)
    return last.apply(reduced, 2).transpose(np.argsort(order))


def _keys(taps: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(taps - at)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((2.5 - 0.5 * x) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _thickness(source: NDArray[Any]) -> int:
    thickness = _CHUNK_VOXELS * source.shape[2] // source.size
    # Thin slices across the innermost axis would use little of each line of the cache.
    innermost = abs(source.strides[2]) == source.itemsize
    return max(thickness, _THICKNESS if innermost else 1)


def _floats(chunk: NDArray[Any]) -> Floats:
    return chunk.astype(np.float32, order="K")
