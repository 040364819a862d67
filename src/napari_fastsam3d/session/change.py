"""What a step changed of a mask, and how much of it lies far from where the user pointed."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume

Run = tuple[int, int]
"""The first and the last of some slices that follow each other."""


@dataclass(frozen=True, eq=False)
class Change:
    """The voxels that an object won and lost.

    Parameters
    ----------
    added, removed : Mask
        Source index.
    spacing : tuple of float
        Voxel sizes, mm along the source axes.
    """

    added: Mask
    removed: Mask
    spacing: tuple[float, float, float]

    @classmethod
    def between(cls, before: Mask, after: Mask, volume: Volume) -> "Change":
        """Return what leads from one mask of a volume to another."""
        return cls(after.without(before), before.without(after), volume.spacing)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return self.added.is_empty and self.removed.is_empty

    @property
    def millilitres(self) -> tuple[float, float]:
        """How much was added and how much removed."""
        millilitre = prod(self.spacing) / 1000
        return (
            int(np.count_nonzero(self.added.voxels)) * millilitre,
            int(np.count_nonzero(self.removed.voxels)) * millilitre,
        )

    def far_from(self, place: Box, reach: float) -> "Change":
        """Return the part that lies farther than `reach` mm from a box, source index."""
        added, removed = (
            _far_part(mask, place, reach, self.spacing) for mask in (self.added, self.removed)
        )
        return Change(added, removed, self.spacing)

    def runs(self, axis: int) -> list[Run]:
        """Return the slices across a source axis that changed: runs, the largest change first."""
        low, counts = self._profile(axis)
        changed = np.flatnonzero(np.diff(np.concatenate([[0], counts > 0, [0]])))
        found = [(int(a), int(b)) for a, b in zip(changed[::2], changed[1::2], strict=True)]
        found.sort(key=lambda run: -int(counts[slice(*run)].sum()))
        return [(low + a, low + b - 1) for a, b in found]

    def busiest(self, run: Run, axis: int) -> int:
        """Return the slice of a run across a source axis that changed most."""
        low, counts = self._profile(axis)
        first, last = run
        return first + int(counts[first - low : last + 1 - low].argmax())

    def _profile(self, axis: int) -> tuple[int, NDArray[np.intp]]:
        """Return the first slice of the change across an axis, and how much changed from there."""
        box = self.added.box.union(self.removed.box)
        counts = np.zeros(box.shape[axis], dtype=np.intp)
        others = tuple(other for other in range(3) if other != axis)
        for mask in (self.added, self.removed):
            at = mask.box.start[axis] - box.start[axis]
            if not mask.is_empty:
                counts[at : at + mask.box.shape[axis]] += mask.voxels.sum(axis=others)
        return box.start[axis], counts


def _far_part(mask: Mask, place: Box, reach: float, spacing: tuple[float, float, float]) -> Mask:
    """Return the voxels of a mask that lie farther than `reach` mm from the nearest of a box."""
    # A change has few voxels in a wide box: only theirs are looked at.
    at = np.nonzero(mask.voxels)
    squared = np.zeros(len(at[0]))
    for offsets, low, a, b, mm in zip(
        at, mask.box.start, place.start, place.stop, spacing, strict=True
    ):
        away = np.maximum(a - (offsets + low), offsets + low - (b - 1)).clip(0)
        squared += (away * mm) ** 2
    near = squared <= reach**2
    left = mask.voxels.copy(order="K")
    left[tuple(offsets[near] for offsets in at)] = False
    return Mask.of(mask.box, left)
