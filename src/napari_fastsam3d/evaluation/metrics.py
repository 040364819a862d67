"""How much the surfaces of two masks agree: the normalised surface Dice."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Mask

TOLERANCE_MM = 2.0
"""How far apart two surfaces may lie and count as one."""

_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of a structure, to which those of masks are held.

    Surface voxels are those of a mask with one of six neighbours outside it. One lies on the
    other's surface when that is within the tolerance: 2 mm, or one voxel along an axis whose
    voxels are larger. An offset (x, y, z) in mm is hence within it when
    (x / a)^2 + (y / b)^2 + (z / c)^2 <= 1, with a, b, c = max(tolerance, voxel size); no label is
    drawn more finely than its grid, and thick slices must not make a plane lenient.

    Parameters
    ----------
    truth : Mask
        The structure, not empty.
    spacing : tuple of float
        Voxel sizes, mm along the source axes.
    tolerance : float
        In mm.

    References
    ----------
    Nikolov et al. 2021, doi:10.2196/26151 (there with surface elements, here with voxels).
    """

    truth: Mask
    spacing: tuple[float, float, float]
    tolerance: float = TOLERANCE_MM

    def dice(self, mask: Mask) -> float:
        """Give the part of both surfaces that lies on the other one, 0 to 1.

        Parameters
        ----------
        mask : Mask
            Of the same volume. An empty one scores 0.
        """
        rim = _rim(mask)
        total = int(rim.voxels.sum()) + int(self._rim.sum())
        here = rim.within(self._box)
        if not here.any():
            return 0.0
        found = int((here & self._near).sum()) + int((self._rim & self._close_to(here)).sum())
        return found / total

    @cached_property
    def _sampling(self) -> NDArray[np.float64]:
        """Voxel sizes in tolerances: what is within the tolerance is at a distance of 1."""
        sizes = np.asarray(self.spacing)
        return sizes / np.maximum(sizes, self.tolerance)

    @cached_property
    def _box(self) -> Box:
        """All that is within the tolerance of the structure, source index."""
        reach = [ceil(1 / step) for step in self._sampling]
        (a, b, c), (u, v, w) = self.truth.box.start, self.truth.box.stop
        return Box(
            (a - reach[0], b - reach[1], c - reach[2]), (u + reach[0], v + reach[1], w + reach[2])
        )

    @cached_property
    def _rim(self) -> NDArray[np.bool_]:
        return _rim(self.truth).within(self._box)

    @cached_property
    def _near(self) -> NDArray[np.bool_]:
        return self._close_to(self._rim)

    def _close_to(self, rim: NDArray[np.bool_]) -> NDArray[np.bool_]:
        distances = np.zeros(rim.shape)
        ndimage.distance_transform_edt(~rim, sampling=self._sampling, distances=distances)
        return distances <= 1 + _ROUNDING


def hausdorff_95(mask: Mask, truth: Mask, spacing: tuple[float, float, float]) -> float:
    """Give the 95th percentile of the distances between two surfaces, both ways, in mm.

    As SAMed reports it: of all distances together, from each surface to the other.

    Parameters
    ----------
    mask, truth : Mask
    spacing : tuple of float
        Voxel sizes, mm along the source axes.

    Returns
    -------
    float
        0 where both are empty, infinite where one of them is.
    """
    if mask.is_empty or truth.is_empty:
        return 0.0 if mask.is_empty and truth.is_empty else float("inf")
    box = mask.box.union(truth.box)
    rims = [_rim(each).within(box) for each in (mask, truth)]
    away: list[NDArray[np.float64]] = []
    for here, there in (rims, rims[::-1]):
        distances = np.zeros(box.shape)
        ndimage.distance_transform_edt(~there, sampling=spacing, distances=distances)
        away.append(distances[here])
    return float(np.percentile(np.concatenate(away), 95))


def _rim(mask: Mask) -> Mask:
    """Give the surface voxels of a mask; the border of the volume is surface, too."""
    box = mask.box.padded(1)
    voxels = mask.within(box)
    core = (
        voxels[:-2, 1:-1, 1:-1]
        & voxels[2:, 1:-1, 1:-1]
        & voxels[1:-1, :-2, 1:-1]
        & voxels[1:-1, 2:, 1:-1]
        & voxels[1:-1, 1:-1, :-2]
        & voxels[1:-1, 1:-1, 2:]
    )
    return Mask.of(mask.box, mask.voxels & ~core)
