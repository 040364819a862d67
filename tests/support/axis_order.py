"""How a file may store one anatomy: 48 orders and directions of its axes."""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from napari_fastsam3d.geometry import Box, Volume


@dataclass(frozen=True)
class AxisOrder:
    """Axis d of the file is axis `axes[d]` of the original, reversed where `signs[d]` is -1."""

    axes: tuple[int, ...]
    signs: tuple[int, ...]

    def array(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(self.axes)[tuple(slice(None, None, s) for s in self.signs)]

    def index(self, index, shape) -> tuple[int, ...]:
        """Where a voxel of the original of that shape is stored."""
        return tuple(
            int(index[a]) if sign > 0 else shape[a] - 1 - int(index[a])
            for a, sign in zip(self.axes, self.signs, strict=True)
        )

    def box(self, box: Box, shape) -> Box:
        last = [x - 1 for x in box.stop]
        return Box.around_points([self.index(box.start, shape), self.index(last, shape)])

    def volume(self, volume: Volume) -> Volume:
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for d, (axis, sign) in enumerate(zip(self.axes, self.signs, strict=True)):
            matrix[axis, d] = sign
            matrix[axis, 3] = 0 if sign > 0 else volume.shape[axis] - 1
        return Volume.from_array(self.array(volume.voxels), affine=volume.affine @ matrix)


ORDERS = [
    AxisOrder(axes, signs)
    for axes, signs in product(permutations(range(3)), product((1, -1), repeat=3))
]
