"""A segment of a file: a mask with a name and a colour, laid on the grid of a scan."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.orientation import Orientation
from napari_fastsam3d.geometry.volume import Volume

Colour = tuple[float, float, float]

# In voxels: what may be lost when a header is written in single precision and read again.
_TOLERANCE = 0.1
_REMEDY = "Choose a mask that was made on this scan, or resample it to the scan."


@dataclass(frozen=True, eq=False)
class Segment:
    """One structure of a segmentation.

    Parameters
    ----------
    name : str
    value : int
        Its number in the file, or label value.
    mask : Mask
        Source index of the scan.
    colour : tuple of float or None
        Red, green and blue in [0, 1].
    """

    name: str
    value: int
    mask: Mask
    colour: Colour | None = None


@dataclass(frozen=True, eq=False)
class Placing:
    """How a grid that has its voxels in common with a scan's lies on it.

    Parameters
    ----------
    order : Orientation
        From the grid's order of axes to the scan's.
    box : Box
        What the grid covers, source index of the scan; it may reach beyond it.
    name : str
        Of the file.
    """

    order: Orientation
    box: Box
    name: str

    @classmethod
    def of(
        cls, affine: NDArray[np.float64], shape: tuple[int, int, int], volume: Volume, name: str
    ) -> "Placing":
        """Place a grid by its affine (index to RAS mm) and its shape.

        Raises
        ------
        VolumeError
            If its voxels aren't those of the scan: nothing is interpolated.
        """
        order = Orientation.between(affine, shape, volume.affine)
        order = order or Orientation.as_stored(shape)  # refused below, with how far it is off
        between = np.linalg.solve(volume.affine, order.affine_of(affine))
        i, j, k = (int(at) for at in np.rint(between[:3, 3]))
        a, b, c = order.target_shape
        box = Box((i, j, k), (i + a, j + b, k + c))
        last = np.subtract(order.target_shape, 1)
        corners = np.array([(0, 0, 0), *np.diag(last), last])
        off = np.abs(corners @ between[:3, :3].T + between[:3, 3] - corners - box.start).max()
        if not off <= _TOLERANCE:
            raise VolumeError(
                f"The voxels of {name} are not those of the scan {volume.name}: they differ by up "
                f"to {off:.3g} voxels.",
                _REMEDY,
            )
        return cls(order, box, name)

    def mask(self, inside: NDArray[np.bool_], volume: Volume) -> Mask:
        """Return the mask of the true voxels of the grid; VolumeError if some lie off the scan."""
        found = Mask.of(self.box, self.order.view(inside))
        if found.box.clipped(volume.shape) != found.box:
            raise VolumeError(f"{self.name} reaches beyond the scan {volume.name}.", _REMEDY)
        return found


def named(names: Mapping[int, str], value: int) -> str:
    """Return the name of a label, or one made of its value."""
    return names.get(value, "").strip() or f"label {value}"
