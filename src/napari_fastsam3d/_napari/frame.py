# pyright: basic
"""How a volume lies in napari: the layer's voxel order and its place in the world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Box, Orientation, Volume
from napari_fastsam3d.geometry.volume import check_affine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Layer
    from numpy.typing import ArrayLike, NDArray

AXIS_LABELS = ("I", "P", "L")
_VOLUME = "napari_fastsam3d.volume"
_ORIENTATION = "napari_fastsam3d.orientation"
_UNKNOWN = (
    "This reader does not tell how the patient lies: the slices are taken to run from the feet to "
    "the head, with anterior up and the patient's left on the right. Open the file with "
    "'Open scan...' to have its orientation."
)
_BESIDE = "This layer does not tell how the patient lies: it is taken to lie as {name} does."
_SAME = 1e-2
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
    spatial : dict
        Keyword arguments that put any layer of this plugin exactly on the image: ``scale``,
        ``translate``, ``units``, ``axis_labels`` and, for an image of another reader only, its
        ``rotate``, ``shear`` and ``affine``.
    notes : tuple of str
        What was assumed, for the user.
    """

    volume: Volume
    orientation: Orientation
    spatial: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape in layer order."""
        return self.orientation.target_shape

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Voxel sizes (3,) in mm along the layer's axes, whatever the layer's units."""
        return np.array([self.volume.spacing[axis] for axis in self.orientation.axes])

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """Show a source-ordered (I, J, K) array in layer order, without a copy."""
        return self.orientation.view(array)

    def source_view(self, array: NDArray[Any]) -> NDArray[Any]:
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

    def bare_spatial(self) -> dict[str, Any]:
        """Copy of `spatial`, which napari may keep and change."""
        return dict(self.spatial)


def frame_of_volume(volume: Volume) -> Frame:
    """Return the frame in which our reader shows a volume.

    The voxels are shown in I, P, L order, which napari's default camera draws radiologically in
    all three planes, and on an upright grid even where the scan is oblique: napari can not slice
    a turned one. The world is (I, P, L) in mm, that is ``-ras[::-1]``.
    """
    orientation = volume.display
    affine = orientation.affine_of(volume.affine)
    spatial = {
        "scale": tuple(float(size) for size in np.linalg.norm(affine[:3, :3], axis=0)),
        "translate": tuple(float(-shift) for shift in affine[:3, 3][::-1]),
        "units": ("mm",) * 3,
        "axis_labels": AXIS_LABELS,
    }
    return Frame(volume, orientation, spatial)


def frame_of_layer(layer: Image, step: Sequence[int] = (), beside: Iterable[Layer] = ()) -> Frame:
    """Return the frame of any image layer that can be segmented.

    Parameters
    ----------
    layer : napari.layers.Image
        One of our reader, or one of another with three axes, or more of which the leading ones
        are fixed by `step`.
    step : sequence of int
        The viewer's current step along each axis of the layer; tells which frame of a series of
        volumes is meant.
    beside : iterable of napari.layers.Layer
        The other layers of the viewer, which may tell how the patient lies where this one doesn't;
        see `place_of_layer`.

    Raises
    ------
    VolumeError
        For colour, multiscale and two-dimensional images.
    """
    kept = scan_in(layer.metadata)
    if kept is not None and kept[1].target_shape == tuple(np.shape(layer.data)):
        frame = frame_of_volume(_volume_shown(layer, *kept))
        return replace(frame, spatial=spatial_of(layer))
    _refuse_unusable(layer)
    leading = tuple(int(place) for place in tuple(step)[: layer.ndim - 3])
    data: Any = layer.data
    voxels = np.asarray(data[leading] if leading else data)
    affine, notes = place_of_layer(layer, beside)
    volume = Volume.from_array(voxels, affine, name=layer.name)
    upright = Orientation((0, 1, 2), (False, False, False), volume.shape)
    return Frame(volume, upright, spatial_of(layer), notes + _series_note(leading))


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
        return replace(frame, spatial=spatial_of(layer))
    affine, notes = place_of_layer(layer, beside)
    check_affine(affine)
    volume = frame.volume
    if not np.allclose(affine, volume.affine, rtol=_STAYED, atol=_STAYED * min(volume.spacing)):
        volume = replace(volume, affine=affine)
    notes += _series_note(tuple(step)[: layer.ndim - 3])
    return replace(frame, volume=volume, spatial=spatial_of(layer), notes=notes)


def _series_note(leading: Sequence[int]) -> tuple[str, ...]:
    if not leading:
        return ()
    return (f"Of this series the volume {' / '.join(map(str, leading))} is segmented.",)


def place_of_layer(
    layer: Layer, beside: Iterable[Layer] = ()
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return where the voxels of a layer of another reader lie, and what had to be assumed.

    It is said by the layer's own metadata, as the ITK readers leave them; or else by those of an
    image on the very same grid; or else by its place in the world, where this is the one in which
    our reader shows scans. Otherwise the slices are taken to run from the feet to the head. Units
    that are no length count as mm.

    Parameters
    ----------
    layer : napari.layers.Layer
        With three axes or more, of which the last three are meant.
    beside : iterable of napari.layers.Layer
        The other layers of the viewer.

    Returns
    -------
    affine : ndarray of float64, shape (4, 4)
        Layer index to RAS mm.
    notes : tuple of str
        Sentences for the user; none where the place is known.
    """
    world = _world_of(layer)
    told = _told_affine(layer, world)
    if told is not None:
        return told, ()
    images = [each for each in beside if each is not layer and isinstance(each, Image)]
    twin = next((each for each in images if _same_grid(each, layer)), None)
    twins = None if twin is None else _told_affine(twin, world)
    if twin is not None and twins is not None:
        return twins, (_BESIDE.format(name=twin.name),)
    ours = next((each for each in images if scan_in(each.metadata) is not None), None)
    unit = _unit_note(layer, world)
    if tuple(layer.axis_labels[-3:]) == AXIS_LABELS:
        return _FROM_IPL @ world, (unit,) if unit else ()
    assumed = _UNKNOWN if ours is None else _BESIDE.format(name=ours.name)
    return (_FROM_SPL if ours is None else _FROM_IPL) @ world, (f"{assumed} {unit}".strip(),)


def scan_under(layer: Layer, beside: Iterable[Layer]) -> tuple[Volume, Orientation] | None:
    """Return the scan of our reader on whose grid a layer lies to the voxel, if there is one."""
    for each in beside:
        kept = scan_in(each.metadata) if isinstance(each, Image) and each is not layer else None
        if kept is not None and _same_grid(each, layer):
            return kept
    return None


def metadata_of(frame: Frame) -> dict[str, Any]:
    """Return the layer metadata by which `frame_of_layer` and the writer know the scan again."""
    return {_VOLUME: frame.volume, _ORIENTATION: frame.orientation}


def scan_in(metadata: Mapping[str, Any]) -> tuple[Volume, Orientation] | None:
    """Return the scan that layer metadata carries, and its way to layer order, if they do."""
    volume, orientation = metadata.get(_VOLUME), metadata.get(_ORIENTATION)
    if isinstance(volume, Volume) and isinstance(orientation, Orientation):
        return volume, orientation
    return None


def _volume_shown(layer: Image, volume: Volume, orientation: Orientation) -> Volume:
    """Return the scan, or one on its grid with the voxels that the layer was given since."""
    data: Any = layer.data
    if shows(layer, volume):
        return volume
    voxels = orientation.source_view(np.asarray(data))
    return Volume.from_array(voxels, volume.affine, name=layer.name, notes=volume.notes)


def shows(layer: Image, volume: Volume) -> bool:
    """Whether a layer's voxels lie where those of a volume do, in memory."""
    data: Any = layer.data
    return isinstance(data, np.ndarray) and np.may_share_memory(data, volume.voxels)


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


def spatial_of(layer: Layer) -> dict[str, Any]:
    """Return the keyword arguments that put another layer where this one is, as in `Frame`."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(layer.affine.affine_matrix)[-4:-1, -4:-1]
    affine[:3, 3] = np.asarray(layer.affine.affine_matrix)[-4:-1, -1]
    spatial: dict[str, Any] = {
        "scale": tuple(layer.scale[-3:]),
        "translate": tuple(layer.translate[-3:]),
        "units": tuple(layer.units[-3:]),
        "axis_labels": tuple(layer.axis_labels[-3:]),
    }
    if not np.allclose(affine, np.eye(4)):
        spatial["affine"] = affine
    if layer.ndim == 3 and not np.allclose(layer.rotate, np.eye(3)):
        spatial["rotate"] = np.asarray(layer.rotate)
    if layer.ndim == 3 and np.any(layer.shear):
        spatial["shear"] = np.asarray(layer.shear)
    return spatial


_FROM_IPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
_FROM_SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def _world_of(layer: Layer) -> NDArray[np.float64]:
    """Affine (4, 4) from the last three axes of a layer to napari's world, in mm."""
    corners = np.vstack([np.zeros(3), np.eye(3)])
    origin, *ends = (np.asarray(layer.data_to_world(corner))[-3:] for corner in corners)
    world = np.eye(4)
    world[:3, :3] = np.transpose([end - origin for end in ends])
    world[:3, 3] = origin
    return np.diag([*(_millimetres(unit) for unit in layer.units[-3:]), 1.0]) @ world


def _same_grid(one: Layer, other: Layer) -> bool:
    shapes = [np.shape(each.data)[-3:] for each in (one, other)]
    if shapes[0] != shapes[1] or getattr(one, "multiscale", False):
        return False
    corners = np.vstack([np.diag(shapes[0]), np.zeros(3)])
    first, second = (_world_of(each) for each in (one, other))
    apart = np.abs(corners @ (first - second)[:3, :3].T + (first - second)[:3, 3]).max()
    return bool(apart <= _SAME * np.linalg.norm(first[:3, :3], axis=0).min())


def _millimetres(unit: Any) -> float:
    return 1.0 if (length := _length(unit)) is None else length


def _length(unit: Any) -> float | None:
    """Return how many mm a unit is; None for one that is no length, as napari's default pixel."""
    try:
        return float((1 * unit).to("mm").magnitude)
    except Exception:  # pint raises errors of several families
        return None


def _unit_note(layer: Layer, world: NDArray[np.float64]) -> str:
    if all(_length(unit) is not None for unit in layer.units[-3:]):
        return ""
    sizes = " × ".join(f"{size:.3g}" for size in np.linalg.norm(world[:3, :3], axis=0))
    return f"It names no unit of length: mm are assumed, which makes voxels of {sizes} mm."


def _told_affine(layer: Layer, world: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Affine (4, 4) from layer index to RAS mm by metadata that agree with the voxel sizes."""
    kept = scan_in(layer.metadata)
    if kept is not None:
        return kept[1].affine_of(kept[0].affine)
    sizes = np.linalg.norm(world[:3, :3], axis=0)
    for told in (_itk_affine(layer.metadata), _plain_affine(layer.metadata)):
        if told is not None and np.allclose(
            np.linalg.norm(told[:3, :3], axis=0), sizes, rtol=_SAME, atol=0
        ):
            return told
    return None


def _itk_affine(metadata: dict[str, Any]) -> NDArray[np.float64] | None:
    """Read origin, direction and spacing as the ITK readers leave them (LPS, x first)."""
    if not {"origin", "direction", "spacing"} <= metadata.keys():
        return None
    try:
        direction = np.asarray(metadata["direction"], float).reshape(3, 3)
        matrix = direction * np.asarray(metadata["spacing"], float).reshape(3)
        origin = np.asarray(metadata["origin"], float).reshape(3)
    except (TypeError, ValueError):
        return None
    flip = np.array([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = (flip[:, None] * matrix)[:, ::-1]
    affine[:3, 3] = flip * origin
    return affine


def _plain_affine(metadata: dict[str, Any]) -> NDArray[np.float64] | None:
    """Read ``metadata["affine"]``, (4, 4) from array index to RAS mm."""
    try:
        affine = np.asarray(metadata.get("affine"), float)
    except (TypeError, ValueError):
        return None
    return affine if affine.shape == (4, 4) and np.isfinite(affine).all() else None
