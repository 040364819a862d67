"""Linear filters along one axis, and a grid resampled by three of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16
_CHUNK_VOXELS = 1 << 21

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
        than the output grid folds back into it (the tent filter of a mipmap). Weights add up
        to one; beyond the ends the outermost inputs are repeated.

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

    def apply(self, array: Floats, axis: int) -> Floats:
        """Filter a C-contiguous float32 array of three axes along one of them.

        Outputs are made in blocks, each one matrix product with the inputs that it reads, so
        that the cost follows the width of the band and not the length of the axis.
        """
        if self.is_shift:
            index = [slice(None)] * 3
            index[axis] = self.support
            return np.ascontiguousarray(array[tuple(index)])
        shape = list(array.shape)
        shape[axis] = self.outputs
        out = np.empty(shape, dtype=np.float32)
        for low in range(0, self.outputs, _BLOCK):
            self._apply_block(array, out, axis, low, min(low + _BLOCK, self.outputs))
        return out

    def _apply_block(self, array: Floats, out: Floats, axis: int, low: int, high: int) -> None:
        block = self.part(low, high)
        used, matrix = block.support, block.matrix
        if axis == 0:
            rows = array[used].reshape(used.stop - used.start, -1)
            np.matmul(matrix, rows, out=out[low:high].reshape(high - low, -1))
        elif axis == 1:
            np.matmul(matrix, array[:, used], out=out[:, low:high])
        else:
            columns = array.reshape(-1, array.shape[2])[:, used]
            np.matmul(columns, matrix.T, out=out.reshape(-1, self.outputs)[:, low:high])

    @property
    def matrix(self) -> Floats:
        """The filter as a dense matrix over its support, (P, inputs read)."""
        used = self.support
        dense = np.zeros((self.outputs, used.stop - used.start), dtype=np.float32)
        columns = self.first[:, None] - used.start + np.arange(self.weights.shape[1])
        dense[np.arange(self.outputs)[:, None], columns] = self.weights
        return dense


def resample(
    source: NDArray[Any],
    filters: Sequence[AxisFilter],
    *,
    order: Sequence[int] | None = None,
    prepare: Callable[[NDArray[Any]], Floats] | None = None,
) -> Floats:
    """Filter the three axes of an array, one after the other.

    Chunks across the axis that goes last bound the memory: never is more than one chunk of the
    source held as floats. The order of operations depends
    on shapes and filters only, never on how the source lies in memory, so that equal values give
    equal bits.

    Parameters
    ----------
    source : ndarray, shape (A, B, C)
        Of any real type and any strides; `filters[d].length` is its length along d.
    filters : sequence of AxisFilter
        One for each axis.
    order : sequence of int, optional
        Which axis goes first, second and last; by default the one that shrinks most goes first.
    prepare : callable, optional
        Turns a chunk of the source into a new C-contiguous float32 array; by default a cast.

    Returns
    -------
    ndarray of float32, C-contiguous
        Its length along axis d is `filters[d].outputs`.
    """
    source = source[tuple(f.support for f in filters)]
    cut = [f.on_support for f in filters]
    by_shrinkage = sorted(range(3), key=lambda d: cut[d].outputs / cut[d].length)
    first, second, last = order or by_shrinkage
    shape = [f.outputs for f in cut]
    shape[last] = cut[last].length
    reduced = np.empty(shape, dtype=np.float32)
    thickness = max(1, _CHUNK_VOXELS * cut[last].length // source.size)
    index = [slice(None)] * 3
    for at in range(0, cut[last].length, thickness):
        index[last] = slice(at, at + thickness)
        chunk = (prepare or _floats)(source[tuple(index)])
        reduced[tuple(index)] = cut[second].apply(cut[first].apply(chunk, first), second)
    return cut[last].apply(reduced, last)


def _floats(chunk: NDArray[Any]) -> Floats:
    return np.array(chunk, dtype=np.float32, order="C")
