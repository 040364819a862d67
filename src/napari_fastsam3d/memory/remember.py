"""From an accepted mask to what is remembered of it."""

from datetime import date
from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.vq import kmeans

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import new_identity
from napari_fastsam3d.memory.case import Case, Entry, Floats, Halves, Tokens, scan_digest, unit
from napari_fastsam3d.memory.surroundings import contrasted, surroundings_of
from napari_fastsam3d.model.predictor import ModelIdentity, Predictor

CELLS = (4, 8)
"""Crop voxels along an edge of a remembered cell, fine to coarse."""

# Cells around the box of a structure that are remembered with it.
_MARGIN = 2
# Vectors that stand for a structure, and for what lies around it within so many cells.
_VECTORS, _AROUND = 4, 3
_SAMPLE = 2000
_INSIDE = 0.5


class Encoder(Predictor, Protocol):
    """A model that tells what its encoder makes of a crop."""

    @property
    def memory_layer(self) -> Any:
        """See `BasePredictor.memory_layer`."""
        ...

    @property
    def encoder_fingerprint(self) -> str:
        """See `BasePredictor.encoder_fingerprint`."""
        ...

    def features(self, encoded: Any) -> tuple[Floats, Floats]:
        """See `BasePredictor.features`."""
        ...


def has_features(predictor: ModelIdentity) -> TypeGuard[Encoder]:
    """Whether a model tells what its encoder makes of a crop."""
    return hasattr(predictor, "features") and hasattr(predictor, "memory_layer")


def remembered_case(
    predictor: Encoder,
    volume: Volume,
    crops: tuple[Crop, Crop, Crop],
    mask: Mask,
    name: str,
    *,
    predicted_iou: float | None = None,
    clicks: int = 0,
) -> Case:
    """Look at an accepted mask once more, and return what is to be remembered of it.

    Parameters
    ----------
    predictor : Encoder
        The model that later cases will be segmented with.
    volume : Volume
    crops : tuple of Crop
        The one that the model looks at for a click in the middle of the mask, see `middle_of`, the
        one of a spacing that fits it, and the one that shows most around it.
    mask : Mask
        Source index; not empty, and in the crops.
    name : str
        Structure.
    predicted_iou : float, optional
        The IoU that the model predicted.
    clicks : int
        Prompts that the mask took.
    """
    first, crop, wide = crops
    seen, keys, values = _encoded(predictor, volume, first)
    source = np.asarray(middle_of(mask, volume), dtype=np.float64)
    found_by = descriptor(predictor.features(seen), first.to_crop(source))
    if crop != first:
        seen, _, _ = _encoded(predictor, volume, crop)
    features, middle = predictor.features(seen), crop.to_crop(source)
    tokens = tuple(
        _tokens(each, crop, cell, mask, middle) for each, cell in zip(features, CELLS, strict=True)
    )
    around = _surroundings(predictor, volume, wide, source)
    foreground, background = _vectors(features[0], crop, mask)
    identity, salt = new_identity()
    entry = Entry(
        identity,
        name,
        predictor.encoder_fingerprint,
        crop.spacing,
        predicted_iou,
        clicks,
        date.today().isoformat(),
        salt,
        scan_digest(volume.content_hash, salt),
    )
    return Case(entry, found_by, tokens, foreground, background, keys, values, around)


def descriptor(features: tuple[Floats, ...], point: NDArray[np.floating[Any]]) -> Floats:
    """Return the unit vector by which cases are found: the features of a clicked place.

    A click has no mask yet over which features could be averaged.

    Parameters
    ----------
    features : tuple of ndarray of float32, shape (n, n, n, C)
        At S/4 and S/8.
    point : ndarray, shape (3,)
        Crop index.
    """
    parts: list[Floats] = []
    for each, cell in zip(features, CELLS, strict=True):
        i, j, k = ((point + 0.5) // cell).clip(0, len(each) - 1).astype(int)
        parts.append(unit(each[i, j, k]))
    return unit(np.concatenate(parts))


def centres(side: int, cell: int, point: float, spacing: float) -> Floats:
    """Return where the cells along an axis lie, (side,), in mm from a crop index."""
    return (((np.arange(side) + 0.5) * cell - 0.5 - point) * spacing).astype(np.float32)


def _encoded(
    predictor: Encoder, volume: Volume, crop: Crop
) -> tuple[Any, Halves | None, Halves | None]:
    from napari_fastsam3d.memory.attention import recording

    raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
    image = predictor.normalise(raw, crop.inside)
    if predictor.memory_layer is None:
        return predictor.encode(image), None, None
    with recording(predictor.memory_layer) as kept:
        encoded = predictor.encode(image)
    keys, values = kept
    return encoded, keys, values


def _surroundings(
    predictor: Encoder, volume: Volume, crop: Crop, source: NDArray[np.float64]
) -> Halves:
    seen, _, _ = _encoded(predictor, volume, crop)
    features = predictor.features(seen)[0]
    i, j, k = ((np.asarray(crop.to_crop(source)) + 0.5) // CELLS[0]).clip(0, len(features) - 1)
    return surroundings_of(contrasted(features, crop), (int(i), int(j), int(k)))


def _tokens(
    features: Floats, crop: Crop, cell: int, mask: Mask, middle: NDArray[np.float64]
) -> Tokens:
    filled = crop.resample_mask(mask.box, mask.voxels, cell)
    box = (Box.of_mask(filled > 0) or Box.whole(filled.shape)).padded(_MARGIN).clipped(filled.shape)
    x, y, z = (
        float(centres(len(filled), cell, at, crop.spacing)[first])
        for at, first in zip(middle, box.start, strict=True)
    )
    return Tokens(
        features[box.slices].astype(np.float16),
        filled[box.slices].astype(np.float16),
        (x, y, z),
        cell * crop.spacing,
    )


def _vectors(features: Floats, crop: Crop, mask: Mask) -> tuple[Halves, Halves]:
    """Return vectors of the structure and of what is near, each a mean of like ones.

    Features are interpolated to twice their resolution first: in a small structure no cell may lie
    wholly.
    """
    side = len(features)
    factor = CELLS[0] // 2
    filled = crop.resample_mask(mask.box, mask.voxels, factor)
    inside = filled >= min(_INSIDE, float(filled.max()))
    found = Box.of_mask(inside) or Box.whole(inside.shape)
    near = found.padded(2 * _AROUND).clipped(inside.shape)
    part = inside[near.slices]
    around = ndimage.binary_dilation(part, iterations=2 * _AROUND) & (filled[near.slices] == 0)
    grid = np.indices(near.shape).reshape(3, -1) + np.reshape(near.start, (3, 1))
    at = ((grid + 0.5) / 2 - 0.5).clip(0, side - 1)
    fine: NDArray[Any] = np.stack(
        [
            ndimage.map_coordinates(features[..., c], at, order=1, mode="nearest")
            for c in range(features.shape[-1])
        ],
        axis=-1,
    ).reshape(*near.shape, -1)
    return _means(fine[part]), _means(fine[around])


def _means(vectors: NDArray[Any]) -> Halves:
    """Return `_VECTORS` unit vectors or fewer that vectors (N, C) gather around."""
    if len(vectors) <= _VECTORS:
        return unit(vectors).astype(np.float16)
    some = unit(vectors[:: -(-len(vectors) // _SAMPLE)])
    means, _ = kmeans(some, some[:: len(some) // _VECTORS][:_VECTORS])
    return unit(means).astype(np.float16)
