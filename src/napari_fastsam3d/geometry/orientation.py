"""A signed permutation of voxel axes, to and from the orientation a reader of scans expects."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.geometry.box import Box, Index

_SIGNED_AXIS = {"L": (0, -1), "R": (0, 1), "P": (1, -1), "A": (1, 1), "I": (2, -1), "S": (2, 1)}
_LETTERS = ("LR", "PA", "IS")
_TIE_DECIMALS = 6
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Orientation:
    """How a source grid is permuted and flipped into a target grid; no voxel is resampled.

    Parameters
    ----------
    axes : tuple of int
        `axes[d]` is the source axis that runs along target axis d.
    flips : tuple of bool
        Whether target axis d runs against its source axis.
    shape : tuple of int
        Shape of the source grid.
    """

    axes: Index
    flips: tuple[bool, bool, bool]
    shape: Index

    @classmethod
    def closest(cls, affine: ArrayLike, shape: Sequence[int], codes: str) -> "Orientation":
        """Return the orientation that brings a grid closest to `codes`.

        The choice depends on the directions of the voxel axes in the patient only, not on their
        order in the file, even where two choices are equally close (an axis at 45 degrees).

        Parameters
        ----------
        affine : array_like, shape (4, 4)
            Source index to RAS mm.
        shape : sequence of int
            Shape of the source grid.
        codes : str
            Three letters, one of L/R, P/A and I/S each, towards which the target axes run:
            "RAS" for the canonical grid, "IPL" for display.
        """
        directions = axis_directions(affine)
        order = closest_axes(directions)
        target = [_SIGNED_AXIS[letter] for letter in codes]
        axes = [order[world] for world, _ in target]
        flips = [
            bool(directions[world, axis] * sign < 0)
            for (world, sign), axis in zip(target, axes, strict=True)
        ]
        return cls(
            (axes[0], axes[1], axes[2]),
            (flips[0], flips[1], flips[2]),
            (int(shape[0]), int(shape[1]), int(shape[2])),
        )

    @classmethod
    def between(
        cls, affine: ArrayLike, shape: Sequence[int], target: ArrayLike
    ) -> "Orientation | None":
        """Return the one in which the axes of a grid run as those of another; None without one.

        Parameters
        ----------
        affine : array_like, shape (4, 4)
            Index of the grid to RAS mm.
        shape : sequence of int
            Shape of the grid.
        target : array_like, shape (4, 4)
            Index of the other grid to RAS mm.
        """
        steps = np.rint(np.linalg.solve(np.asarray(target), np.asarray(affine))[:3, :3])
        whole = np.abs(steps)
        if not ((whole.sum(axis=0) == 1).all() and (whole.sum(axis=1) == 1).all()):
            return None
        i, j, k = (int(axis) for axis in whole.argmax(axis=1))
        a, b, c = (bool(side < 0) for side in steps.sum(axis=1))
        return cls((i, j, k), (a, b, c), (int(shape[0]), int(shape[1]), int(shape[2])))

    @classmethod
    def as_stored(cls, shape: Sequence[int]) -> "Orientation":
        """Return the one that leaves a grid of that shape as it is."""
        return cls((0, 1, 2), (False, False, False), (int(shape[0]), int(shape[1]), int(shape[2])))

    @property
    def target_shape(self) -> Index:
        """Shape of the target grid."""
        a, b, c = self.axes
        return (self.shape[a], self.shape[b], self.shape[c])

    def view(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return a 3D array of the source grid, or of a box of it, in target order; no copy."""
        return array.transpose(self.axes)[self._steps]

    def source_view(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Undo `view`: a 3D array of the target grid, or of a box of it, in source order."""
        return array[self._steps].transpose(self._inverse_axes)

    def to_target(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map source indices, (N, 3) or (3,), to target indices of the same shape; exact."""
        permuted = np.asarray(points, dtype=np.float64)[..., list(self.axes)]
        return np.where(self.flips, np.asarray(self.target_shape) - 1 - permuted, permuted)

    def to_source(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map target indices, (N, 3) or (3,), to source indices of the same shape; exact."""
        points = np.asarray(points, dtype=np.float64)
        unflipped = np.where(self.flips, np.asarray(self.target_shape) - 1 - points, points)
        return unflipped[..., list(self._inverse_axes)]

    def box_to_target(self, box: Box) -> Box:
        """Return the same voxels as a box of the target grid."""
        start = [box.start[a] for a in self.axes]
        stop = [box.stop[a] for a in self.axes]
        return self._flip(start, stop)

    def box_to_source(self, box: Box) -> Box:
        """Return the same voxels as a box of the source grid."""
        flipped = self._flip(box.start, box.stop)
        a, b, c = self._inverse_axes
        start, stop = flipped.start, flipped.stop
        return Box((start[a], start[b], start[c]), (stop[a], stop[b], stop[c]))

    def affine_of(self, affine: ArrayLike) -> NDArray[np.float64]:
        """Return the (4, 4) affine from target index to RAS mm, given that of the source."""
        to_source = np.zeros((4, 4))
        to_source[3, 3] = 1
        for d, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            to_source[axis, d] = -1 if flip else 1
            to_source[axis, 3] = self.shape[axis] - 1 if flip else 0
        return np.asarray(affine, dtype=np.float64) @ to_source

    @property
    def _inverse_axes(self) -> Index:
        return (self.axes.index(0), self.axes.index(1), self.axes.index(2))

    @property
    def _steps(self) -> tuple[slice, slice, slice]:
        a, b, c = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return (a, b, c)

    def _flip(self, start: Sequence[int], stop: Sequence[int]) -> Box:
        shape, flips = self.target_shape, self.flips
        low = [shape[d] - stop[d] if flips[d] else start[d] for d in range(3)]
        high = [shape[d] - start[d] if flips[d] else stop[d] for d in range(3)]
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def axis_directions(affine: ArrayLike) -> NDArray[np.float64]:
    """Return the (3, 3) unit vectors, in RAS, of the source axes, one a column."""
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    return matrix / np.linalg.norm(matrix, axis=0)


def closest_axes(directions: NDArray[np.float64]) -> Index:
    """Return, for the world axes R, A and S, the source axis that runs closest to each.

    Parameters
    ----------
    directions : ndarray, shape (3, 3)
        Unit vectors in RAS of the source axes, one a column.
    """

    def closeness(order: tuple[int, ...]) -> tuple[float, ...]:
        towards = directions[:, list(order)]
        towards = towards * np.where(np.diag(towards) < 0, -1, 1)
        # The directions themselves decide between equals, so that the order in which the file
        # stores its axes never does; rounding keeps the last bits of the affine out of it.
        return tuple(np.round([np.trace(towards), *towards.ravel()], _TIE_DECIMALS))

    r, a, s = max(permutations(range(3)), key=closeness)
    return (r, a, s)


def ras_affine(
    steps: NDArray[np.float64], origin: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the (4, 4) affine, index to RAS mm, of steps (3, 3), one a column, in LPS mm."""
    lps = np.eye(4)
    lps[:3, :3] = steps
    lps[:3, 3] = origin
    return _LPS_TO_RAS @ lps


def axis_codes(affine: ArrayLike) -> str:
    """Return the letters towards which the source axes run, such as "RAS" or "PSR"."""
    directions = axis_directions(affine)
    letters = ["", "", ""]
    for world, axis in enumerate(closest_axes(directions)):
        letters[axis] = _LETTERS[world][int(directions[world, axis] >= 0)]
    return "".join(letters)
