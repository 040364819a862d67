"""A volume as a napari layer shows it: voxel order, and placement in the world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d._napari.layer_geometry import (
    ASSUMED,
    AXIS_LABELS,
    Placement,
    place_of_layer,
    placement_of,
    scan_in,
    scan_metadata,
)
from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Box, Orientation, Volume
from napari_fastsam3d.geometry.volume import check_affine

Scalar = TypeVar("Scalar", bound=np.generic)

_STAYED = 1e-6


@dataclass(frozen=True, eq=False)
class Frame:
    """A volume and its place in the viewer.

    A *layer index* counts along the axes of the napari layer (I, P, L order for our reader, the
    layer's own order for another reader's), a *source index* along those of the file.

    Parameters
    ----------
    volume : Volume
        The scan, in source order.
    orientation : Orientation
        From source order to layer order.
    placement : Placement
        Keyword arguments that put any layer of this plugin exactly on the image: ``scale``,
        ``translate``, ``units``, ``axis_labels`` and, for an image of another reader only, its
        ``rotate``, ``shear`` and ``affine``.
    notes : tuple of str
        What was assumed, for the user.
    """

    volume: Volume
    orientation: Orientation
    placement: Placement
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape in layer order."""
        return self.orientation.target_shape

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel sizes (3,) in mm along the layer's axes, whatever the layer's units."""
        return np.array([self.volume.spacing[axis] for axis in self.orientation.axes])

    @property
    def oriented(self) -> bool:
        """Whether the scan tells how the patient lies; otherwise that was assumed."""
        return not any(ASSUMED in note for note in self.notes)

    def view(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Show a source-ordered (I, J, K) array in layer order, without a copy."""
        return self.orientation.view(array)

    def source_view(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Show an array in layer order in source order (I, J, K), without a copy."""
        return self.orientation.source_view(array)

    def to_source(self, points: ArrayLike) -> NDArray[np.float64]:
        """Turn layer indices (N, 3) into source indices (N, 3)."""
        return np.asarray(self.orientation.to_source(np.atleast_2d(np.asarray(points, float))))

    def to_layer(self, points: ArrayLike) -> NDArray[np.float64]:
        """Turn source indices (N, 3) into layer indices (N, 3)."""
        return np.asarray(self.orientation.to_target(np.atleast_2d(np.asarray(points, float))))

    def source_index(self, point: Sequence[float]) -> tuple[int, int, int]:
        """Source index of the voxel that a layer point (3 floats) lies in."""
        nearest = np.floor(np.asarray(point, float)[-3:] + 0.5)
        i, j, k = (int(value) for value in self.to_source(nearest)[0].round())
        return i, j, k

    def box_to_source(self, box: Box) -> Box:
        """Turn a half-open box of layer indices into one of source indices."""
        return self.orientation.box_to_source(box)

    def box_to_layer(self, box: Box) -> Box:
        """Turn a half-open box of source indices into one of layer indices."""
        return self.orientation.box_to_target(box)

    @property
    def metadata(self) -> dict[str, object]:
        """Layer metadata by which `frame_of_layer` and the writer know the scan again."""
        return scan_metadata(self.volume, self.orientation)


def frame_of_volume(volume: Volume) -> Frame:
    """Return the frame in which our reader shows a volume.

    The voxels are shown in I, P, L order, which napari's default camera draws radiologically in
    all three planes, and on an upright grid even where the scan is oblique: napari can not slice
    a turned one. The world is (I, P, L) in mm, that is ``-ras[::-1]``.
    """
    orientation = volume.display
    affine = orientation.affine_of(volume.affine)
    placement: Placement = {
        "scale": tuple(float(size) for size in np.linalg.norm(affine[:3, :3], axis=0)),
        "translate": tuple(float(-shift) for shift in affine[:3, 3][::-1]),
        "units": ("mm",) * 3,
        "axis_labels": AXIS_LABELS,
    }
    return Frame(volume, orientation, placement)


def frame_of_layer(layer: Image, step: Sequence[int] = (), beside: Iterable[Layer] = ()) -> Frame:
    """Return the frame of any image layer that can be segmented.

    Parameters
    ----------
    layer : napari.layers.Image
        One of our reader, or one of another with three axes, or more of which the leading ones
        are fixed by `step`.
    step : sequence of int
        The viewer's current step along each axis of the layer; selects the frame of a series of
        volumes is meant.
    beside : iterable of napari.layers.Layer
        The other layers of the viewer, which may show how the patient lies where this one doesn't;
        see `place_of_layer`.

    Raises
    ------
    VolumeError
        For colour, multiscale and two-dimensional images.
    """
    kept = scan_in(layer.metadata)
    if kept is not None and kept[1].target_shape == tuple(np.shape(layer.data)):
        frame = frame_of_volume(_volume_shown(layer, *kept))
        return replace(frame, placement=placement_of(layer))
    _refuse_unusable(layer)
    leading = tuple(int(place) for place in tuple(step)[: layer.ndim - 3])
    data: Any = layer.data
    voxels = np.asarray(data[leading] if leading else data)
    affine, notes = place_of_layer(layer, beside)
    volume = Volume.from_array(voxels, affine, name=layer.name)
    upright = Orientation.as_stored(volume.shape)
    return Frame(volume, upright, placement_of(layer), notes + _series_note(leading))


def moved(frame: Frame, layer: Image, step: Sequence[int], beside: Iterable[Layer]) -> Frame:
    """Return the frame of an image whose voxel size or place was changed since.

    Its volume is the same one where the voxels still lie where they did, and that of our reader
    always.

    Parameters
    ----------
    frame : Frame
        From before.
    layer, step, beside
        As in `frame_of_layer`.

    Raises
    ------
    VolumeError
        If the voxels lie nowhere now.
    """
    if scan_in(layer.metadata) is not None:
        return replace(frame, placement=placement_of(layer))
    affine, notes = place_of_layer(layer, beside)
    check_affine(affine)
    volume = frame.volume
    if not np.allclose(affine, volume.affine, rtol=_STAYED, atol=_STAYED * min(volume.spacing)):
        volume = replace(volume, affine=affine)
    notes += _series_note(tuple(step)[: layer.ndim - 3])
    return replace(frame, volume=volume, placement=placement_of(layer), notes=notes)


def _series_note(leading: Sequence[int]) -> tuple[str, ...]:
    if not leading:
        return ()
    return (f"Of this series the volume {' / '.join(map(str, leading))} is segmented.",)


def _volume_shown(layer: Image, volume: Volume, orientation: Orientation) -> Volume:
    """Return the scan, or one on its grid with the voxels that the layer was given since."""
    if shows(layer, volume):
        return volume
    voxels = orientation.source_view(np.asarray(layer.data))
    return Volume.from_array(voxels, volume.affine, name=layer.name, notes=volume.notes)


def shows(layer: Image, volume: Volume) -> bool:
    """Whether a layer's voxels lie where those of a volume do, in memory."""
    return isinstance(layer.data, np.ndarray) and np.may_share_memory(layer.data, volume.voxels)


def _refuse_unusable(layer: Image) -> None:
    if layer.rgb:
        raise VolumeError(
            f"'{layer.name}' is a colour image.", "Choose a layer with one value per voxel."
        )
    if layer.multiscale:
        raise VolumeError(
            f"'{layer.name}' has several resolutions.",
            "Add the resolution that you want to segment as a layer of its own.",
        )
    if layer.ndim < 3:
        raise VolumeError(f"'{layer.name}' is flat.", "Choose a volume with three axes.")
