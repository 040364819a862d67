"""Where a remembered structure lies in a scan, found without a click."""

from typing import NamedTuple

import numpy as np

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.memory.case import unit
from napari_fastsam3d.memory.found import Found
from napari_fastsam3d.memory.question import Question
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.memory.remember import CELLS, centres
from napari_fastsam3d.memory.surroundings import (
    cells_in_scan,
    contrasted,
    likeness_of_surroundings,
)
from napari_fastsam3d.model.predictor import Floats, Progress, silent

_LOOKING_FOR = "Looking for {}"

ALIKE_AROUND = 0.2
"""Cosine of surroundings under which a place is too unlike to be the structure's."""

ALIKE = 0.3
"""Mean cosine with descriptors under which a place itself is too unlike."""

# Descriptors that a place must be like, and the difference of cosines by which one place counts for
# a factor e less than another; mm from what was seen from afar at which it counts for 0.6 of it.
_LIKE = 3
_SHARPNESS = 0.05
_NEAR = 10.0


class _Spot(NamedTuple):
    """A cell of a crop whose surroundings look like the remembered ones, in crop index."""

    similarity: float
    crop: Crop
    point: Floats


class StructureSearch:
    """Looks at a whole scan from afar for what lies around a remembered structure, then closer.

    The features of a structure alone don't tell it from its like; what lies around it does. Near
    the place that is found so, the cell is taken that is likest to where clicks in the middle of
    the remembered structures were. To be called from one thread.

    Parameters
    ----------
    recall : Recall
    forward : ForwardPass
    policy : CropPolicy
    progress : callable
        Told `(what, crops done, of)`.
    """

    def __init__(
        self, recall: Recall, forward: ForwardPass, policy: CropPolicy, progress: Progress
    ) -> None:
        self._recall = recall
        self._forward = forward
        self._policy = policy
        self._progress = progress

    def find(self, question: Question) -> tuple[Index | None, tuple[Found, ...]]:
        """Return the place that is likest, source index, and the cases that are like it.

        None and no cases where no place is like enough, or none is remembered.
        """
        structure = question.structure or ""
        remembered = self._recall.surroundings(structure)
        spot = None if remembered is None else self._from_afar(structure, remembered)
        if spot is None or spot.similarity < ALIKE_AROUND:
            return None, ()
        seen = self._source(spot.crop, spot.point)
        crop = self._policy.at_click(seen)
        encoded = self._forward.encode(crop)
        similar = likeness(self._recall.features(encoded), self._recall.descriptors(structure))
        point, found = _likest_near(similar, crop, np.asarray(crop.to_crop(seen), np.float32))
        if found < ALIKE:
            return None, ()
        cases = self._recall.asked(question, encoded, point.astype(np.float64))
        return self._source(crop, point), cases

    def _from_afar(self, structure: str, remembered: Floats) -> _Spot | None:
        what, crops = _LOOKING_FOR.format(structure), self._policy.covering()
        best: _Spot | None = None
        try:
            for done, crop in enumerate(crops):
                self._progress(what, done, len(crops))
                encoded = self._forward.encode(crop, progress=silent)
                contrast = contrasted(self._recall.features(encoded)[0], crop)
                similar = likeness_of_surroundings(contrast, remembered)
                similar[~cells_in_scan(crop, len(similar))] = -1
                found = float(similar.max())
                if best is None or found > best.similarity:
                    best = _Spot(found, crop, _likest_point(similar))
        finally:
            self._progress(what, len(crops), len(crops))
        return best

    def _source(self, crop: Crop, point: Floats) -> Index:
        index = np.round(np.asarray(crop.to_source(point))).astype(int)
        i, j, k = np.clip(index, 0, np.array(self._policy.volume.shape) - 1).tolist()
        return (i, j, k)


def likeness(features: tuple[Floats, Floats], descriptors: Floats) -> Floats:
    """Return how like each cell of a crop is to what is remembered, (n, n, n), a cosine.

    It is the mean over the few descriptors that are likest, for one alone may be an odd one.

    Parameters
    ----------
    features : tuple of ndarray of float32, shape (m, m, m, C)
        At S/4, of which there are n cells along an axis, and at S/8.
    descriptors : ndarray of float32, shape (N, D)
        As by `descriptor`; N > 0.
    """
    fine, coarse = map(unit, features)
    split = fine.shape[-1]
    by_coarse = coarse @ descriptors[:, split:].T
    for axis in range(3):
        by_coarse = by_coarse.repeat(CELLS[1] // CELLS[0], axis)
    similar = (fine @ descriptors[:, :split].T + by_coarse) / np.float32(2**0.5)
    count = min(_LIKE, len(descriptors))
    return np.partition(similar, -count, axis=-1)[..., -count:].mean(axis=-1)


def _likest_near(similar: Floats, crop: Crop, point: Floats) -> tuple[Floats, float]:
    """Return the likest place near another, crop index, and how like it is."""
    axes = [centres(len(similar), CELLS[0], float(x), crop.spacing) for x in point]
    x, y, z = (axis**2 for axis in axes)
    away = (x[:, None, None] + y[:, None] + z) / (2 * _NEAR**2)
    rated = (similar - _SHARPNESS * away).astype(np.float32)
    rated[~cells_in_scan(crop, len(similar))] = -np.inf
    return _likest_point(rated), float(similar.ravel()[rated.argmax()])


def _likest_point(similar: Floats) -> Floats:
    """Return the likest place in crop index, told by that cell and its neighbours."""
    i, j, k = (int(n) for n in np.unravel_index(int(similar.argmax()), similar.shape))
    near = Box((i - 1, j - 1, k - 1), (i + 2, j + 2, k + 2)).clipped(similar.shape)
    part = similar[near.slices]
    weights = np.exp((part - part.max()) / _SHARPNESS)
    cells = np.stack([(weights * at).sum() for at in np.indices(part.shape)]) / weights.sum()
    return ((cells + near.start + 0.5) * CELLS[0] - 0.5).astype(np.float32)
