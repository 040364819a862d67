"""Where the crop lies that the model looks at, and which source voxels it covers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.orientation import Orientation
from napari_fastsam3d.geometry.volume import Spacing, Volume

_STEP_DECIMALS = 6

Inside = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]
"""For each canonical axis, (size,) bools: which crop planes lie in the volume."""


@dataclass(frozen=True)
class CropGrid:
    """A cube of `size`^3 isotropic voxels on the canonical grid of a volume.

    Its axes are those of the canonical grid (closest to R, A, S), so that going there is
    a separable interpolation. Crop indices are voxel centres, 0 to `size` - 1; a crop voxel c
    covers [c - 0.5, c + 0.5).

    Parameters
    ----------
    orientation : Orientation
        From the source grid to the canonical one.
    voxel_size : tuple of float
        Size in mm of a canonical voxel along each canonical axis.
    centre : tuple of float
        The canonical index that lies on crop index `size // 2`.
    spacing : float
        Size in mm of a crop voxel.
    size : int
        Crop voxels along each axis.
    """

    orientation: Orientation
    voxel_size: Spacing
    centre: Spacing
    spacing: float
    size: int = 128

    @classmethod
    def around(
        cls,
        volume: Volume,
        centre_source_index: Sequence[float],
        spacing: float = 1.5,
        size: int = 128,
    ) -> Self:
        """Return the crop of a volume with a source index at its centre.

        Parameters
        ----------
        volume : Volume
        centre_source_index : sequence of float
            The source index that is to lie on crop index `size // 2`; may be fractional.
        spacing : float
            Size in mm of a crop voxel.
        size : int
            Crop voxels along each axis.
        """
        r, a, s = (float(x) for x in volume.canonical.to_target(centre_source_index))
        i, j, k = (volume.spacing[axis] for axis in volume.canonical.axes)
        return cls(volume.canonical, (i, j, k), (r, a, s), float(spacing), int(size))

    def halved(self) -> Self:
        """Return the crop that shows the same in half as many voxels along each axis."""
        size = self.size // 2
        middle = 2 * (size // 2) + 0.5 - self.size // 2
        x, y, z = (float(c + middle * s) for c, s in zip(self.centre, self._steps, strict=True))
        return replace(self, centre=(x, y, z), spacing=2 * self.spacing, size=size)

    @cached_property
    def box(self) -> Box:
        """The source voxels whose centres the crop covers; empty where it misses the volume."""
        return self.orientation.box_to_source(self._canonical_box)

    @cached_property
    def inside(self) -> Inside:
        """For each canonical axis, (size,) bools: which crop planes lie in the volume."""
        planes = [
            (at >= -0.5) & (at < n - 0.5)
            for at, n in zip(self._positions, self.orientation.target_shape, strict=True)
        ]
        return (planes[0], planes[1], planes[2])

    @cached_property
    def seen(self) -> tuple[slice, slice, slice]:
        """The crop planes of each canonical axis that lie in the volume, empty where none does."""
        x, y, z = (slice(*_run(planes)) for planes in self.inside)
        return x, y, z

    @property
    def is_outside(self) -> bool:
        """Whether no plane of some axis lies in the volume."""
        return any(planes.start == planes.stop for planes in self.seen)

    def to_crop(self, points_source: ArrayLike) -> NDArray[np.float64]:
        """Map source indices, (N, 3) or (3,), to crop indices, not rounded."""
        canonical = self.orientation.to_target(points_source)
        return (canonical - self.centre) / self._steps + self.size // 2

    def to_source(self, points_crop: ArrayLike) -> NDArray[np.float64]:
        """Map crop indices, (N, 3) or (3,), to source indices, not rounded."""
        from_centre = np.asarray(points_crop, dtype=np.float64) - self.size // 2
        return self.orientation.to_source(from_centre * self._steps + self.centre)

    def contains(self, source_index: ArrayLike, margin: float = 0) -> bool:
        """Whether a source index lies in the crop, `margin` crop voxels or more from its faces."""
        at = self.to_crop(source_index)
        return bool(((at >= margin - 0.5) & (at < self.size - margin - 0.5)).all())

    def covered(self, positive: NDArray[np.bool_]) -> Box:
        """Return the source box outside of which no voxel lies in a mask of these cells.

        Parameters
        ----------
        positive : ndarray of bool, shape (s, s, s)
            Cells over the whole crop, as in `paste`, whose logits exceed a threshold.
        """
        return self.orientation.box_to_source(self._covered_by(positive))

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        # Rounded so that a spacing that a header stores as 1.4999999 is that of the crop, and
        # the same whichever way the affine was rounded.
        return np.round(self.spacing / np.asarray(self.voxel_size), _STEP_DECIMALS)

    @cached_property
    def _positions(self) -> list[NDArray[np.float64]]:
        planes = np.arange(self.size) - self.size // 2
        return [planes * step + c for step, c in zip(self._steps, self.centre, strict=True)]

    @cached_property
    def _canonical_box(self) -> Box:
        low = (-0.5 - self.size // 2) * self._steps + self.centre
        high = (self.size - 0.5 - self.size // 2) * self._steps + self.centre
        return self._canonical_range(low, high)

    def _canonical_range(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> Box:
        start, stop = np.ceil(low).astype(int), np.ceil(high).astype(int)
        box = Box(_index(start), _index(stop))
        return box.clipped(self.orientation.target_shape)

    def _covered_by(self, positive: NDArray[np.bool_]) -> Box:
        """Return the canonical voxels that interpolation from any of the positive cells reaches."""
        cells = Box.of_mask(positive)
        if cells is None:
            return Box((0, 0, 0), (0, 0, 0))
        side = len(positive)
        factor = self.size / side
        reached = cells.padded(1)
        low = np.where(np.asarray(reached.start) < 0, -np.inf, reached.start)
        high = np.where(np.asarray(reached.stop) > side, np.inf, reached.stop)
        offset = self.size // 2 + 0.5
        box = self._canonical_range(
            np.nan_to_num(((low + 0.5) * factor - offset) * self._steps + self.centre, neginf=-1e9),
            np.nan_to_num(((high - 0.5) * factor - offset) * self._steps + self.centre, posinf=1e9),
        )
        return box.intersection(self._canonical_box)


def _run(plane: NDArray[np.bool_]) -> tuple[int, int]:
    """Return start and stop of the one run of true values."""
    count = int(plane.sum())
    start = int(plane.argmax()) if count else 0
    return start, start + count


def _index(values: NDArray[np.intp]) -> Index:
    i, j, k = (int(v) for v in values)
    return (i, j, k)
