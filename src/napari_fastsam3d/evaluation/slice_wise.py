"""A model used one slice at a time, as a 2D SAM is: the same network, the same clicks."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.evaluation.segmenters import ModelSegmenter
from napari_fastsam3d.evaluation.simulator import Click
from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.geometry.mask import dice
from napari_fastsam3d.geometry.resample import Floats
from napari_fastsam3d.model.predictor import Predictor, Segmentation
from napari_fastsam3d.session import Mask

KEPT = 48
"""Slices of a structure whose encodings are kept in memory."""

ALIKE = 0.5
"""Dice with its neighbour under which a mask is not carried on: it has left the structure."""

_Told = tuple[NDArray[np.float64], bool]
"""A click that a plane is told: crop index (3,), and whether it is positive."""

_EDGE = 4


@dataclass(frozen=True)
class SliceWiseSegmenter(ModelSegmenter):
    """A model that sees single slices, carried on from slice to slice.

    The slices are those of the scan, axial where voxels are cubes. Each is shown to the network as
    a volume that does not change across it. A slice with a positive click is answered by its own
    clicks and the mask that it had; from there its neighbours are, each by a click in the middle of
    the last mask and that mask fed back, until nothing is left, or the mask is no longer like its
    neighbour, or holds a voxel that a click excludes. What a session adds (candidates, a first pass
    from afar, edges, click constraints) has no part in it. It knows no boxes. See `ModelSegmenter`.
    """

    @property
    def fingerprint(self) -> str:
        """The hash of the weights, and that slices are seen; loads the model."""
        return f"{super().fingerprint} slice-wise"

    @contextmanager
    def begin(self, volume: Volume) -> Generator["SliceWiseAttempt", None, None]:
        """Begin a structure in a volume."""
        yield SliceWiseAttempt(volume, self.predictor())


@dataclass
class SliceWiseAttempt:
    """The clicks so far; each is answered by going through the slices anew."""

    volume: Volume
    predictor: Predictor
    clicks: list[Click] = field(default_factory=list)
    slices: "_Slices | None" = None

    def click(self, index: tuple[int, int, int], positive: bool) -> Mask:
        """Answer all clicks so far and this one."""
        self.clicks.append((index, positive))
        places = [at for at, _ in self.clicks]
        if self.slices is None or not all(self.slices.crop.contains(at) for at in places):
            self.slices = _Slices(self.volume, self.predictor, self._crop(places))
        return Mask.of(*self.slices.crop.paste_mask(self.slices.segment(self.clicks)))

    def candidates(self) -> Sequence[Mask]:
        """Return nothing: slices are not asked what else a click may mean."""
        return ()

    def box(self, box: Box) -> Mask | None:
        """Tell that boxes are not known."""
        del box

    def _crop(self, places: Sequence[tuple[int, int, int]]) -> Crop:
        """Give the finest crop, from the spacing of a first click on, that holds all clicks."""
        low, high = np.min(places, axis=0), np.max(places, axis=0)
        middle = [float(c) for c in (low + high) / 2]
        widest = float(((high - low + 1) * self.volume.spacing).max())
        size, first = self.predictor.crop_size, self.predictor.start_spacing
        wide = [s for s in sorted(self.predictor.spacings) if s >= first]
        held = (s for s in wide if widest <= s * (size - 2 * _EDGE))
        return Crop.around(self.volume, middle, next(held, widest / (size - 2 * _EDGE)), size)


def slice_axis(sides: Sequence[float]) -> int:
    """Tell across which axis a scan was taken slice by slice: pixels of a slice are square.

    Parameters
    ----------
    sides : sequence of float
        Sizes of a voxel along the canonical axes, mm.

    Returns
    -------
    int
        A canonical axis; 2, which is axial, where all sides are equal.
    """
    r, a, s = np.log(sides)
    skew = np.round(np.abs([a - s, r - s, r - a]), 2)
    return 2 - int(np.argmin(skew[::-1]))


class _Slices:
    """The slices of one crop; what the network has seen of them is kept."""

    def __init__(self, volume: Volume, predictor: Predictor, crop: Crop) -> None:
        self.crop = crop
        self._predictor = predictor
        self._voxels = crop.extract(volume.voxels, floor=volume.intensity_floor)
        self._axis = slice_axis([volume.spacing[axis] for axis in crop.orientation.axes])
        self._planes = self._planes_of_scan()
        self._encoded: dict[int, Any] = {}
        self._last: dict[int, Floats] = {}

    def _planes_of_scan(self) -> list[int]:
        """Name the crop planes that lie nearest to slices of the scan."""
        box = self.crop.orientation.box_to_target(self.crop.box)
        numbers = np.arange(box.start[self._axis], box.stop[self._axis])
        on_grid = np.tile(np.asarray(box.start, float), (len(numbers), 1))
        on_grid[:, self._axis] = numbers
        places = self.crop.to_crop(self.crop.orientation.to_source(on_grid))[:, self._axis]
        return sorted(set(np.rint(places).astype(int).clip(0, self.crop.size - 1).tolist()))

    def segment(self, clicks: Sequence[Click]) -> Floats:
        """Return logits (S, S, S) over the crop, for clicks of source index."""
        size = self.crop.size
        drawn = self._answers(clicks)
        self._last = {plane: answer.low_res_logits for plane, answer in drawn.items()}
        logits = np.full((size,) * 3, -1, np.float32)
        across = np.moveaxis(logits, self._axis, 0)
        for plane in np.flatnonzero(self.crop.inside[self._axis]):
            answer = drawn.get(self._nearest(float(plane)))
            if answer is not None:
                across[plane] = self._drawn(answer)
        return logits

    def _answers(self, clicks: Sequence[Click]) -> dict[int, Segmentation]:
        """Answer each plane that has a positive click, and those that its mask is carried to."""
        told: dict[int, list[_Told]] = {}
        for index, positive in clicks:
            place = self.crop.to_crop(index)
            told.setdefault(self._nearest(place[self._axis]), []).append((place, positive))
        seeds = [plane for plane, own in told.items() if any(positive for _, positive in own)]
        found = {plane: self._answer(plane, told[plane], self._last.get(plane)) for plane in seeds}
        distance = dict.fromkeys(seeds, 0)
        for seed in seeds:
            for step in (1, -1):
                for plane, answer in self._carried(seed, found[seed], step, told):
                    if abs(plane - seed) < distance.get(plane, self.crop.size):
                        found[plane], distance[plane] = answer, abs(plane - seed)
        return found

    def _carried(
        self, seed: int, last: Segmentation, step: int, told: dict[int, list[_Told]]
    ) -> Iterator[tuple[int, Segmentation]]:
        """Carry a mask on to the planes above or below it, as far as it goes."""
        at = self._planes.index(seed) + step
        planes = self._planes[at:] if step > 0 else self._planes[: at + 1][::-1]
        for plane in planes:
            mask, own = self._mask(last), told.get(plane, [])
            if not mask.any() or any(positive for _, positive in own):
                return
            told_now = [*own, (self._middle(mask), True)]
            last = self._answer(plane, told_now, last.low_res_logits)
            carried = self._mask(last)
            if dice(carried, mask) < ALIKE or any(self._holds(carried, at) for at, _ in own):
                return
            yield plane, last

    def _answer(
        self,
        plane: int,
        clicks: Sequence[_Told],
        previous: Floats | None,
    ) -> Segmentation:
        """Ask the network about a plane; what lies across the slices is the middle of the crop."""
        if self._predictor.feeds == "single" and previous is not None:
            clicks = clicks[-1:]
        points = np.array([place for place, _ in clicks], np.float32)
        points[:, self._axis] = self.crop.size // 2
        labels = np.array([int(positive) for _, positive in clicks])
        return self._predictor.segment(self._seen(plane), points, labels, None, previous)

    def _seen(self, plane: int) -> Any:
        if plane in self._encoded:
            return self._encoded[plane]
        image = self._voxels.take([plane], self._axis).repeat(self.crop.size, self._axis)
        everywhere = np.ones(self.crop.size, bool)
        inside = tuple(
            everywhere if axis == self._axis else planes
            for axis, planes in enumerate(self.crop.inside)
        )
        encoded = self._predictor.encode(self._predictor.normalise(image, inside))
        if len(self._encoded) < KEPT:
            self._encoded[plane] = encoded
        return encoded

    def _nearest(self, place: float) -> int:
        return min(self._planes, key=lambda plane: abs(plane - place))

    def _plane(self, answer: Segmentation) -> Floats:
        cells = answer.mask_logits.shape[self._axis]
        return answer.mask_logits.take(cells // 2, self._axis)

    def _mask(self, answer: Segmentation) -> NDArray[np.bool_]:
        return self._plane(answer) > 0

    def _holds(self, mask: NDArray[np.bool_], place: NDArray[np.float64]) -> bool:
        """Tell whether a mask of a plane holds a crop index (3,)."""
        in_plane = np.delete(place, self._axis) + 0.5
        cell = (in_plane * mask.shape[0] / self.crop.size).astype(int).clip(0, mask.shape[0] - 1)
        return bool(mask[tuple(cell)])

    def _drawn(self, answer: Segmentation) -> Floats:
        """Give the logits of a plane on the grid of the crop, (S, S)."""
        plane = self._plane(answer)
        factor = self.crop.size / plane.shape[0]
        return np.asarray(ndimage.zoom(plane, factor, order=1, mode="nearest", grid_mode=True))

    def _middle(self, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Give the place deepest in a mask of a plane, a crop index (3,)."""
        depth = np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1)))
        cell = np.unravel_index(int(np.argmax(depth)), depth.shape)
        factor = self.crop.size / mask.shape[0]
        # The padding shifts cells by one; the middle of a cell lies half a cell further.
        in_plane = (np.array(cell) - 1 + 0.5) * factor - 0.5
        return np.insert(in_plane, self._axis, 0.0)
