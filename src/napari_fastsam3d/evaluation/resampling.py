"""The same scan on another grid: thicker slices, larger or smaller voxels."""

from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.resample import AxisFilter, resample
from napari_fastsam3d.geometry.volume import Spacing

_SAME = 1e-3


@dataclass(frozen=True)
class Resampling:
    """Brings a scan and its labels to another grid, which covers the same part of the patient.

    Larger voxels hold the mean of what they cover, as thick slices do; smaller ones are
    interpolated. What is left of the volume when the new voxels do not fill it is cut off.

    Attributes
    ----------
    filters : tuple of AxisFilter
        One for each source axis.
    affine : ndarray of float64, shape (4, 4)
        New source index to RAS mm.
    """

    filters: tuple[AxisFilter, ...]
    affine: NDArray[np.float64]

    @classmethod
    def to_spacing(cls, volume: Volume, spacing: Spacing) -> "Resampling":
        """Plan the way to voxels of `spacing`, mm along the source axes.

        An axis that is shorter than one new voxel stays as it is.
        """
        pairs = zip(volume.shape, volume.spacing, spacing, strict=True)
        steps = np.array([_step(n, old, new) for n, old, new in pairs])
        affine = volume.affine.copy()
        affine[:3, :3] = volume.affine[:3, :3] * steps
        affine[:3, 3] = volume.to_world(steps / 2 - 0.5)
        lengths = zip(volume.shape, steps, strict=True)
        return cls(tuple(_filter(n, float(step)) for n, step in lengths), affine)

    def volume(self, volume: Volume) -> Volume:
        """Bring the scan; its intensities become float32."""
        voxels = resample(volume.valid_intensities(volume.voxels), self.filters, (0, 1, 2))
        return replace(volume, voxels=np.ascontiguousarray(voxels), affine=self.affine)

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bring a mask (I, J, K): a new voxel belongs to it when at least half of it does."""
        return resample(mask, self.filters, (0, 1, 2)) >= 0.5


def thick_slices(volume: Volume, thickness: float) -> Spacing:
    """Give the spacing of the scan in slices at least so thick, in mm.

    Slices lie across the axis along which voxels are unlike those along the other two; if all are
    alike, across that closest to the patient's long axis.
    """
    sizes = list(volume.spacing)
    longest = volume.canonical.axes[2]

    def unlikeness_of_others(axis: int) -> tuple[float, bool]:
        one, other = (size for d, size in enumerate(sizes) if d != axis)
        return round(abs(log(one / other)), 3), axis != longest

    across = min(range(3), key=unlikeness_of_others)
    sizes[across] = max(sizes[across], thickness)
    return (sizes[0], sizes[1], sizes[2])


def _step(length: int, old: float, new: float) -> float:
    step = new / old
    return 1.0 if abs(step - 1) < _SAME or step > length else step


def _filter(length: int, step: float) -> AxisFilter:
    outputs = int(length / step + _SAME)
    if step > 1:
        return AxisFilter.overlap(np.arange(outputs + 1, dtype=np.float64) * step - 0.5, length)
    return AxisFilter.triangle(
        (np.arange(outputs, dtype=np.float64) + 0.5) * step - 0.5, 1.0, length
    )
