"""Where the voxels of a napari layer lie in the patient, by its metadata and its transforms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.geometry import Orientation, Volume

if TYPE_CHECKING:
    from pint import Unit

AXIS_LABELS = ("I", "P", "L")
OVERLAY = "napari_fastsam3d.overlay"
"""Marks a layer that lies over a scan and is none itself, in its metadata."""
_VOLUME = "napari_fastsam3d.volume"
_ORIENTATION = "napari_fastsam3d.orientation"
ASSUMED = "does not tell how the patient lies"
"""Stands in the note of a scan whose orientation was assumed."""
_UNKNOWN = (
    f"This reader {ASSUMED}: the slices are taken to run from the feet to "
    "the head, with anterior up and the patient's left on the right. Open the file with "
    "'Open scan...' to have its orientation."
)
_BESIDE = f"This layer {ASSUMED}: it is taken to lie as {{name}} does."
_SAME = 1e-2


class Placement(TypedDict, total=False):
    """Keyword arguments of a napari layer that place its three axes in the world."""

    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[Unit | str, ...]
    axis_labels: tuple[str, ...]
    rotate: NDArray[np.float64]
    shear: NDArray[np.float64]
    affine: NDArray[np.float64]


def placement_of(layer: Layer) -> Placement:
    """Return the keyword arguments that put another layer where this one is."""
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(layer.affine.affine_matrix)[-4:-1, -4:-1]
    affine[:3, 3] = np.asarray(layer.affine.affine_matrix)[-4:-1, -1]
    placement: Placement = {
        "scale": tuple(layer.scale[-3:]),
        "translate": tuple(layer.translate[-3:]),
        "units": tuple(layer.units[-3:]),
        "axis_labels": tuple(layer.axis_labels[-3:]),
    }
    if not np.allclose(affine, np.eye(4)):
        placement["affine"] = affine
    if layer.ndim == 3 and not np.allclose(layer.rotate, np.eye(3)):
        placement["rotate"] = np.asarray(layer.rotate)
    if layer.ndim == 3 and np.any(layer.shear):
        placement["shear"] = np.asarray(layer.shear)
    return placement


def scan_metadata(volume: Volume, orientation: Orientation) -> dict[str, object]:
    """Return the layer metadata by which `frame_of_layer` and the writer know the scan again."""
    return {_VOLUME: volume, _ORIENTATION: orientation}


def scan_in(metadata: Mapping[str, object]) -> tuple[Volume, Orientation] | None:
    """Return the scan that layer metadata carries, and its way to layer order, if they do."""
    volume, orientation = metadata.get(_VOLUME), metadata.get(_ORIENTATION)
    if isinstance(volume, Volume) and isinstance(orientation, Orientation):
        return volume, orientation
    return None


def place_of_layer(
    layer: Layer, beside: Iterable[Layer] = ()
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Return where the voxels of a layer of another reader lie, and what had to be assumed.

    The sources, in this order: the layer's own metadata, as the ITK readers write it; the metadata
    of an image on the same grid; the layer's transform, if a scan of our reader or the axis labels
    show that its world is ours. Otherwise slices are assumed to run from the feet to the head.
    Units that are not lengths count as mm.

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
    known = _metadata_affine(layer, world)
    if known is not None:
        return known, ()
    images = [each for each in beside if each is not layer and isinstance(each, Image)]
    twin = next((each for each in images if _same_grid(each, layer)), None)
    twins = None if twin is None else _metadata_affine(twin, world)
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


def _millimetres(unit: Unit) -> float:
    return 1.0 if (length := _length(unit)) is None else length


def _length(unit: Unit) -> float | None:
    """Return how many mm a unit is; None for one that is no length, as napari's default pixel."""
    try:
        return float((1 * unit).to("mm").magnitude)  # pyright: ignore
    except Exception:  # pint raises errors of several families
        return None


def _unit_note(layer: Layer, world: NDArray[np.float64]) -> str:
    if all(_length(unit) is not None for unit in layer.units[-3:]):
        return ""
    sizes = " × ".join(f"{size:.3g}" for size in np.linalg.norm(world[:3, :3], axis=0))
    return f"It names no unit of length: mm are assumed, which makes voxels of {sizes} mm."


def _metadata_affine(layer: Layer, world: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Affine (4, 4) from layer index to RAS mm by metadata that agree with the voxel sizes."""
    kept = scan_in(layer.metadata)
    if kept is not None:
        return kept[1].affine_of(kept[0].affine)
    sizes = np.linalg.norm(world[:3, :3], axis=0)
    for affine in (_itk_affine(layer.metadata), _plain_affine(layer.metadata)):
        if affine is not None and np.allclose(
            np.linalg.norm(affine[:3, :3], axis=0), sizes, rtol=_SAME, atol=0
        ):
            return affine
    return None


def _itk_affine(metadata: Mapping[str, ArrayLike]) -> NDArray[np.float64] | None:
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


def _plain_affine(metadata: Mapping[str, ArrayLike]) -> NDArray[np.float64] | None:
    """Read ``metadata["affine"]``, (4, 4) from array index to RAS mm."""
    try:
        affine = np.asarray(metadata.get("affine"), float)
    except (TypeError, ValueError):
        return None
    return affine if affine.shape == (4, 4) and np.isfinite(affine).all() else None
