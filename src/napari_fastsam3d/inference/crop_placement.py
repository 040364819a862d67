"""Where crops lie in a volume: pushed back into it, what they hold, where the volume goes on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.model.predictor import Floats

Faces = tuple[tuple[bool, bool], tuple[bool, bool], tuple[bool, bool]]

_DECIMALS = 6
_STRIDE = 3 / 4


@dataclass(frozen=True, eq=False)
class CropPlacement:
    """Crops of one size in a volume, on its canonical grid.

    Parameters
    ----------
    volume : Volume
    size : int
        Crop voxels along each axis.
    start : float
        Size of a crop voxel in mm where none is given.
    """

    volume: Volume
    size: int
    start: float

    def open_faces(self, crop: Crop) -> Faces:
        """Return, for each canonical axis, whether the volume goes on below and above a crop."""
        seen = self.volume.canonical.box_to_target(crop.box)
        shape = self.volume.canonical.target_shape
        r, a, s = ((seen.start[d] > 0, seen.stop[d] < shape[d]) for d in range(3))
        return (r, a, s)

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Voxel sizes in mm along each canonical axis."""
        return self._template.voxel_size

    def voxels_per_step(self, spacing: float) -> NDArray[np.float64]:
        """Return how many canonical voxels one crop voxel spans, along each canonical axis."""
        return np.round(spacing / np.asarray(self.voxel_size), _DECIMALS)

    def finest(self, box: Box, part: float, room: float) -> float:
        """Return the finest spacing at which a structure in a box, source index, is looked at.

        Crop voxels are at least a part of the scan's, and a crop spans some room: a multiple of the
        structure's longest side.
        """
        content = self.volume.canonical.box_to_target(box)
        longest = max(n * size for n, size in zip(content.shape, self.voxel_size, strict=True))
        voxel = float(np.cbrt(np.prod(self.volume.spacing)))
        return max(part * voxel, room * longest / self.size)

    def at(self, centre: Iterable[float], spacing: float | None = None) -> Crop:
        """Return the crop at a canonical index, pushed back into the volume."""
        spacing = self.start if spacing is None else spacing
        r, a, s = map(
            self._pushed_back,
            centre,
            self.voxels_per_step(spacing),
            self.volume.canonical.target_shape,
        )
        return replace(self._template, centre=(r, a, s), spacing=spacing)

    def covering(
        self, spacing: float, within: Box | None = None
    ) -> list[tuple[float, float, float]]:
        """Return the centres, canonical index, of crops of a spacing that cover the volume.

        Or that cover a canonical box.

        Neighbours share a quarter of their side, so that whatever lies at a face of one lies well
        inside another.
        """
        axes = []
        below, above = self._sides
        box = within or Box.whole(self.volume.canonical.target_shape)
        for step, start, length in zip(
            self.voxels_per_step(spacing), box.start, box.shape, strict=True
        ):
            span = self.size * step
            count = max(1, ceil((length - span) / (_STRIDE * span)) + 1)
            low, high = below * step - 0.5, length - 0.5 - above * step
            # A crop reaches half a voxel farther below its centre than above.
            alone = max((length - 1) / 2, high)
            axes.append(start + (np.linspace(low, high, count) if count > 1 else np.array([alone])))
        return [(float(r), float(a), float(s)) for r, a, s in product(*axes)]

    def _pushed_back(self, centre: float, step: float, length: int) -> float:
        # In half voxels, so that no rounding differs, and outwards, so that a crop at the end of
        # the volume holds its last voxel.
        below, above = self._sides
        low = floor(2 * (below * step - 0.5)) / 2
        high = ceil(2 * (length - 0.5 - above * step)) / 2
        if low > high:  # the crop holds the volume with room to spare
            low, high, centre = high, low, (length - 1) / 2
        return float(min(max(centre, low), high))

    @property
    def _sides(self) -> tuple[float, float]:
        """Crop voxels from the centre to the lower and to the upper face."""
        return self.size // 2 + 0.5, self.size - 0.5 - self.size // 2

    def holds(self, crop: Crop, content: Box, margins: Sequence[float]) -> bool:
        """Whether a crop holds a canonical box, with margins in voxels where the volume goes on."""
        below, above = self._sides
        steps = self.voxels_per_step(crop.spacing)
        for d, (goes_on_below, goes_on_above) in enumerate(self.open_faces(crop)):
            low = crop.centre[d] - below * steps[d] + margins[d]
            high = crop.centre[d] + above * steps[d] - margins[d]
            if goes_on_below and content.start[d] - 0.5 < low:
                return False
            if goes_on_above and content.stop[d] - 0.5 > high:
                return False
        return True

    def extent(self, crop: Crop, logits: Floats) -> Box:
        """Return the canonical box of the positive cells of a prediction."""
        cells = Box.of_mask(logits > 0) or Box.whole(logits.shape)
        factor = self.size / logits.shape[0]
        steps = self.voxels_per_step(crop.spacing)

        def canonical(cell: Index) -> NDArray[np.float64]:
            edges = np.asarray(cell) * factor - 0.5 - self.size // 2
            return edges * steps + crop.centre

        low, high = canonical(cells.start), canonical(cells.stop)
        (i, j, k), (u, v, w) = np.floor(low + 0.5).astype(int), np.ceil(high + 0.5).astype(int)
        box = Box((int(i), int(j), int(k)), (int(u), int(v), int(w)))
        return box.clipped(self.volume.canonical.target_shape)

    @cached_property
    def _template(self) -> Crop:
        return Crop.around(self.volume, (0, 0, 0), self.start, self.size)
