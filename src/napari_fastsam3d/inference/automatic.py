"""Masks of adapted structures without a prompt: from afar where they are, then tiles near by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.step import Prediction
from napari_fastsam3d.model.predictor import (
    Floats,
    GoOn,
    Predictor,
    Progress,
    Segmentation,
    always,
    silent,
)

_LOOKING = "Looking for {}"
_CROPS_KEPT = 4
# Part of a found box's side that is looked at around it, and the least, in mm.
_AROUND, _LEAST_AROUND = 0.25, 8.0
# Pieces smaller than this part of the largest are dropped.
_PIECE = 0.2
_NO_POINTS, _NO_LABELS = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)


@dataclass(frozen=True)
class AutomaticStructure:
    """A structure that is looked for.

    Attributes
    ----------
    name : str
    predictor : Predictor
        Adapted to it.
    spacing : float or None
        Size in mm of a crop voxel at which it is drawn; None for that of the model's first click.
    """

    name: str
    predictor: Predictor
    spacing: float | None


@dataclass(frozen=True, eq=False)
class AutomaticMask:
    """What was found of a structure.

    Attributes
    ----------
    name : str
    mask : Mask
        Source index; empty where nothing was found.
    predicted_iou : float
        What the model predicts, the highest of the tiles that it was drawn in; 0 for an empty one.
    """

    name: str
    mask: Mask
    predicted_iou: float


def segment_automatically(
    volume: Volume,
    predictor: Predictor,
    structures: Sequence[AutomaticStructure],
    progress: Progress = silent,
    go_on: GoOn = always,
) -> list[AutomaticMask]:
    """Make the masks of several structures: crops from afar are encoded once for all of them.

    Parameters
    ----------
    volume : Volume
    predictor : Predictor
        The model that the adapters were put to.
    structures : sequence of AutomaticStructure
    progress, go_on : callable
    """
    looker = _Looker(volume, predictor, go_on)
    found: list[AutomaticMask] = []
    for number, structure in enumerate(structures):
        progress(_LOOKING.format(structure.name), number, len(structures))
        found.append(looker.found(structure))
    progress(_LOOKING.format(structures[-1].name), len(structures), len(structures))
    return found


class _Looker:
    def __init__(self, volume: Volume, predictor: Predictor, go_on: GoOn) -> None:
        self._volume = volume
        self._policy = CropPolicy.of(volume, predictor)
        self._predictor = predictor
        self._go_on = go_on
        covering = max(_CROPS_KEPT, len(self._policy.covering()))
        # Apart, so that the tiles of a large structure don't drive out what all are looked for in.
        self._from_afar: Cache[tuple[Crop, str], Any] = Cache(covering)
        self._near_by: Cache[tuple[Crop, str], Any] = Cache(covering)

    def found(self, structure: AutomaticStructure) -> AutomaticMask:
        """Draw a structure where it is found from afar, and again around what was drawn there."""
        box = self._box_of(structure)
        if box is None:
            return AutomaticMask(structure.name, Mask.empty(), 0.0)
        crops = self._crops(structure, box)
        drawn = self._drawn(structure, box, crops)
        if drawn.mask.is_empty or box == Box.whole(self._volume.shape):
            return drawn
        around = self._grown(drawn.mask.box)
        nearer = self._crops(structure, around)
        return drawn if nearer == crops else self._drawn(structure, around, nearer)

    def _crops(self, structure: AutomaticStructure, box: Box) -> list[Crop]:
        return self._policy.covering(box, self._spacing(structure))

    def _box_of(self, structure: AutomaticStructure) -> Box | None:
        """Return the source box in which a structure is to be drawn; None where there is none.

        Where a crop near by shows all of the scan, it needs no look from afar.
        """
        whole = Box.whole(self._volume.shape)
        middle = [(n - 1) / 2 for n in self._volume.shape]
        if self._policy.shows_all(self._policy.at(middle, self._spacing(structure))):
            return whole
        best: tuple[float, Box] | None = None
        for crop in self._policy.covering():
            seen = self._seen(structure, crop, self._from_afar)
            mask = self._plain(crop, seen.mask_logits)
            if mask.is_empty:
                continue
            surest = float(seen.mask_logits.max()) * np.cbrt(np.count_nonzero(mask.voxels))
            if best is None or surest > best[0]:
                best = surest, mask.box
        if best is None:
            return None
        return self._grown(best[1])

    def _drawn(
        self, structure: AutomaticStructure, box: Box, crops: Sequence[Crop]
    ) -> AutomaticMask:
        """Draw a structure in a source box, by one crop or by tiles that overlap."""
        seen = [(crop, self._seen(structure, crop, self._near_by)) for crop in crops]
        if len(crops) == 1:
            crop, one = seen[0]
            kept = _pieces(one.mask_logits)
            guide = self._volume if structure.predictor.edge_aware else None
            mask = Prediction(crop, one.low_res_logits, kept, 0.0, guide).mask
        else:
            mask = self._joined(box, [(crop, each.mask_logits) for crop, each in seen])
        sure = [each.predicted_iou for _, each in seen if (each.mask_logits > 0).any()]
        return AutomaticMask(structure.name, mask, 0.0 if mask.is_empty else max(sure, default=0.0))

    def _joined(self, box: Box, tiles: Sequence[tuple[Crop, Floats]]) -> Mask:
        """Average the logits of tiles, those near their middle counting more."""
        total, weight = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
        ramp = _ramp(len(tiles[0][1]))
        for crop, logits in tiles:
            part, pasted = crop.paste(logits, box)
            _, share = crop.paste(ramp, box)
            if part.is_empty:
                continue
            at = part.shifted((-box.start[0], -box.start[1], -box.start[2])).slices
            total[at] += pasted * share
            weight[at] += share
        return Mask.of(box, _pieces(np.where(weight > 0, total, -1)) > 0)

    def _spacing(self, structure: AutomaticStructure) -> float:
        return structure.spacing or self._policy.start

    def _seen(
        self, structure: AutomaticStructure, crop: Crop, kept: Cache[tuple[Crop, str], Any]
    ) -> Segmentation:
        self._go_on()
        predictor = structure.predictor
        key = crop, getattr(predictor, "encoder_fingerprint", "")
        encoded = kept.get(key)
        if encoded is None:
            raw = crop.extract(self._volume.voxels, floor=self._volume.intensity_floor)
            encoded = predictor.encode(predictor.normalise(raw, crop.inside))
            kept.put(key, encoded)
        self._go_on()
        return predictor.segment(encoded, _NO_POINTS, _NO_LABELS, None, None)

    def _plain(self, crop: Crop, logits: Floats) -> Mask:
        box, voxels = crop.paste_mask(_pieces(logits, 1.0))
        return Mask.of(box, voxels)

    def _grown(self, box: Box) -> Box:
        margins = [
            int(np.ceil(max(_AROUND * n, _LEAST_AROUND / size)))
            for n, size in zip(box.shape, self._volume.spacing, strict=True)
        ]
        (i, j, k), (a, b, c), (x, y, z) = box.start, box.stop, margins
        wider = Box((i - x, j - y, k - z), (a + x, b + y, c + z))
        return wider.clipped(self._volume.shape)


def _pieces(logits: Floats, least: float = _PIECE) -> Floats:
    """Keep the largest piece of a prediction, and others of at least so large a part of it."""
    labels = np.zeros(logits.shape, np.int32)
    count = ndimage.label(logits > 0, output=labels)
    if not isinstance(count, int) or count < 2:
        return logits
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    small = sizes < least * sizes.max()
    small[0] = False
    return np.where(small[labels], np.minimum(logits, -1), logits).astype(np.float32)


def _ramp(side: int) -> Floats:
    """Return weights (side, side, side) that fall from the middle of a crop to its faces."""
    line: NDArray[np.float64] = 1 - np.abs(np.linspace(-1, 1, side)) ** 2 + 0.01
    x, y, z = line[:, None, None], line[:, None], line
    return np.ascontiguousarray(x * y * z, dtype=np.float32)
