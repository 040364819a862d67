"""Masks read back from a file onto the scan that they were made on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.formats import read_volume
from napari_fastsam3d.geometry.orientation import Orientation
from napari_fastsam3d.geometry.volume import Volume

_HIGHEST = np.iinfo(np.uint16).max
# In voxels: what may be lost when a header is written in single precision and read again.
_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class LabelFile:
    """The labels of a file, on the grid of a scan.

    Parameters
    ----------
    labels : ndarray of uint8 or uint16, shape (I, J, K)
        Source order; 0 where there is nothing.
    names : mapping of int to str
        What the labels mean, as far as the file says so.
    """

    labels: NDArray[np.uint8 | np.uint16]
    names: Mapping[int, str] = field(default_factory=dict)


def read_labels(path: str | os.PathLike[str], volume: Volume) -> LabelFile:
    """Read a mask or label map that lies on a scan.

    Where the file stores the scan's grid in another order of axes, or mirrored, its voxels are
    brought to the scan's order by the affines of both; none is interpolated.

    Parameters
    ----------
    path : path
        A file that `read_volume` reads. Names are taken from the label tables that `save_mask`,
        TotalSegmentator and 3D Slicer write.
    volume : Volume
        The scan.

    Raises
    ------
    VolumeError
        If it can't be read, lies on another grid than the scan, or holds no labels.
    """
    found = read_volume(path)
    labels = _in_order_of(volume, found, _whole_numbers(found))
    return LabelFile(labels, found.source.label_names)


def _in_order_of(
    volume: Volume, found: Volume, labels: NDArray[np.uint8 | np.uint16]
) -> NDArray[np.uint8 | np.uint16]:
    between = Orientation.between(found.affine, found.shape, volume.affine)
    order = between or Orientation.as_stored(found.shape)  # refused below, with how far it is off
    remedy = "Choose a mask that was made on this scan, or resample it to the scan."
    if order.target_shape != volume.shape:
        raise VolumeError(
            f"The mask {found.name} has shape {found.shape} and the scan {volume.shape}.", remedy
        )
    corners = np.array([(0, 0, 0), *(np.diag(volume.shape) - 1), np.array(volume.shape) - 1])
    apart = np.abs(found.to_world(order.to_source(corners)) - volume.to_world(corners)).max()
    if not apart <= _TOLERANCE * min(volume.spacing):
        raise VolumeError(
            f"The mask {found.name} lies elsewhere than the scan, by up to {apart:.3g} mm.", remedy
        )
    return order.view(labels)


def _whole_numbers(found: Volume) -> NDArray[np.uint8 | np.uint16]:
    low, high = found.voxels.min(), found.voxels.max()
    if not (low >= 0 and high <= _HIGHEST):
        raise VolumeError(
            f"{found.name} holds values from {low} to {high}, which are no labels.",
            f"Choose a file of whole numbers from 0 to {_HIGHEST}.",
        )
    labels = found.voxels.astype(np.uint8 if high < 256 else np.uint16, copy=False)
    if found.voxels.dtype.kind == "f" and not np.array_equal(labels, found.voxels):
        raise VolumeError(
            f"{found.name} holds fractions, which are no labels.", "Choose a file of whole numbers."
        )
    return labels
