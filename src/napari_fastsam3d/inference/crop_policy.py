"""Which window the model looks at, given what the user clicked and what is known so far."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor

import numpy as np

from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.crop_placement import CropPlacement, Faces
from napari_fastsam3d.inference.spacing_levels import scale_of, spacing_levels
from napari_fastsam3d.model.predictor import Floats, Predictor

ROOM = 3.5
"""Sides of a crop in which a structure is small, as a multiple of its own longest side."""

# Parts of the crop's side: how far from a face a click must lie for the crop to stay, and how
# coarse the lattice is on which the first crops lie.
_MARGIN = 1 / 16
_LATTICE = 1 / 8
# Part of a box's side that is to be seen around it, on either side, and at a nearer look.
_BOX_MARGIN = 0.5
_NEAR_MARGIN = 0.1
# Part of a face of the crop that a mask must cover to be held cut off by it.
_CUT_OFF = 0.005
# The finest crop voxel to look at as a part of the smallest voxel size: anything closer is only a
# blur.
_FINEST = 0.3
# The finest crop voxel and the room for what is remembered: its mask is drawn from that, so voxels
# are to be told apart, and no more is to be seen around it than a click may be off. And for what
# adapters are taught: they know what they look for, and draw it in cells of two crop voxels.
_REMEMBERED = 0.6, 2.0
_TAUGHT = 0.4, 1.1
# Sides of a crop as a multiple of what a coarse pass found.
_AROUND = 2.0


@dataclass(frozen=True, eq=False)
class CropPolicy:
    """How crops are chosen.

    All is decided on the canonical grid, so that the order in which a file stores its axes
    changes nothing. Wherever a crop would look past the volume on one side while the volume goes
    on at the other, it is pushed back: what lies outside teaches nothing.

    Parameters
    ----------
    volume : Volume
    spacings : tuple of float
        Its spacing levels: sizes in mm of a crop voxel, fine to coarse.
    start : float
        The spacing level to begin with at a click.
    size : int
        Crop voxels along each axis.
    shift : tuple of float
        Crop voxels along each canonical axis by which crops of first clicks are moved aside: how
        much depends on where they lie can then be measured. At most three eighths of the crop's
        side, so that the click stays inside.
    """

    volume: Volume
    spacings: tuple[float, ...]
    start: float
    size: int
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def of(
        cls,
        volume: Volume,
        predictor: Predictor,
        shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
    ) -> "CropPolicy":
        """Return the policy of a model for a volume, its spacings made to follow the scan."""
        levels, scale = spacing_levels(volume.spacing, predictor.spacings), scale_of(volume.spacing)
        return cls(volume, levels, scale * predictor.start_spacing, predictor.crop_size, shift)

    def at_click(self, index: Index) -> Crop:
        """Return the crop for a first click at a voxel, source index.

        Crops of first clicks lie on a coarse lattice in the patient, an eighth of their side
        apart, so that the click is near the centre, and neighbouring clicks share one crop: the
        one encoded while the user was still aiming serves for the click.
        """
        point = self.volume.canonical.to_target(index)
        voxels = self._placement.voxels_per_step(self.start)
        nodes = [max(1, round(width)) for width in self.size * _LATTICE * voxels]
        aside = self.shift * voxels
        return self._placement.at(
            [floor(x / n + 0.5) * n + a for x, n, a in zip(point, nodes, aside, strict=True)]
        )

    def covering(self, box: Box | None = None, spacing: float | None = None) -> list[Crop]:
        """Return crops of a spacing, by default the coarsest, that show all or a source box."""
        chosen = spacing or self.spacings[-1]
        within = box and self.volume.canonical.box_to_target(box)
        return [self._placement.at(c, chosen) for c in self._placement.covering(chosen, within)]

    def at(self, index: Sequence[float], spacing: float) -> Crop:
        """Return the crop of a spacing in mm with a voxel in its middle, source index."""
        return self._placement.at(self.volume.canonical.to_target(index), spacing)

    def spacing_to_remember(self, box: Box) -> float:
        """Return the spacing at which a structure in a box, source index, is remembered."""
        return self._level(self._placement.finest(box, *_REMEMBERED))

    def spacing_to_teach(self, box: Box) -> float:
        """Return the spacing at which adapters look at a structure in a box, source index."""
        return self._level(self._placement.finest(box, *_TAUGHT))

    def _level(self, least: float) -> float:
        return next((s for s in self.spacings if s >= least), self.spacings[-1])

    def around_box(self, box: Box, closely: bool = True) -> Crop:
        """Return the crop for a box prompt, source index, centred on it.

        It is the finest spacing level that holds the box with half of the box's side around it, the
        coarsest if none does: what a structure is not tells where it ends.

        Parameters
        ----------
        box : Box
        closely : bool
            Whether levels finer than `start` may be taken. A model that is told of a point in place
            of the box does better where it begins at a click.
        """
        content = self.volume.canonical.box_to_target(box)
        centre = _centre(content)
        levels = [s for s in self.spacings if closely or s >= self.start]
        for spacing in levels:
            crop = self._placement.at(centre, spacing)
            margins = [_BOX_MARGIN * n for n in content.shape]
            if self._placement.holds(crop, content, margins):
                return crop
        return self._placement.at(centre, self.spacings[-1])

    def nearer_box(self, box: Box, crop: Crop) -> Crop | None:
        """Return the crop of the next finer spacing, centred on a box, source index.

        None where the scan has no more to show there, or where that crop would not hold the box
        with a tenth of its side around it.
        """
        finer = [s for s in self.spacings if self._finest <= s < crop.spacing]
        if not finer:
            return None
        content = self.volume.canonical.box_to_target(box)
        near = self._placement.at(_centre(content), finer[-1])
        holds = self._placement.holds(near, content, [_NEAR_MARGIN * n for n in content.shape])
        return near if holds else None

    def holding(self, content: Box, click: Index) -> Crop:
        """Return the crop for a click outside the present crop.

        Parameters
        ----------
        content : Box
            All that should be seen, mask and prompts, source index.
        click : tuple of int
            The voxel that must be seen, source index.

        Returns
        -------
        Crop
            The finest spacing that holds the content, centred on it; if none does, the coarsest,
            centred on the click, so that it sees where the structure goes on.
        """
        canonical = self.volume.canonical.box_to_target(content)
        centre = _centre(canonical)
        for spacing in self.spacings:
            crop = self._placement.at(centre, spacing)
            margins = self.size * _MARGIN * self._placement.voxels_per_step(spacing)
            if self._placement.holds(crop, canonical, list(margins)):
                return crop
        return self._placement.at(self.volume.canonical.to_target(click), self.spacings[-1])

    def fitting(self, content: Box, click: Index) -> Crop:
        """Return the crop that shows what a coarse pass found, source index, and as much around it.

        It is the finest spacing from `start` on whose side is twice the content's, centred on it;
        the coarsest if none is. Where that doesn't hold the click it is centred on the click.
        """
        canonical = self.volume.canonical.box_to_target(content)
        longest = max(
            n * self.volume.spacing[axis]
            for n, axis in zip(canonical.shape, self.volume.canonical.axes, strict=True)
        )
        levels = [s for s in self.spacings if s >= self.start]
        fit = [s for s in levels if s * self.size >= _AROUND * longest] or levels[-1:]
        crop = self._placement.at(_centre(canonical), fit[0])
        if self.keeps(crop, click):
            return crop
        return self._placement.at(self.volume.canonical.to_target(click), fit[0])

    def shows_all(self, crop: Crop) -> bool:
        """Whether the volume goes on nowhere beyond a crop."""
        return not any(map(any, self.open_faces(crop)))

    def keeps(self, crop: Crop, index: Index) -> bool:
        """Whether a crop serves for a click at a voxel, source index.

        It must lie inside, and not close to a face beyond which the volume goes on. A crop of a
        coarse pass serves for none.
        """
        if crop.size != self.size or not crop.contains(index):
            return False
        margin = self.size * _MARGIN
        lowest, highest = margin - 0.5, self.size - 0.5 - margin
        return all(
            (x >= lowest or not goes_on_below) and (x <= highest or not goes_on_above)
            for x, (goes_on_below, goes_on_above) in zip(
                crop.to_crop(index), self.open_faces(crop), strict=True
            )
        )

    def wider(self, crop: Crop, logits: Floats, points: Sequence[Index]) -> Crop | None:
        """Return the crop of the next coarser spacing level if a crop cuts the object off.

        Parameters
        ----------
        crop : Crop
        logits : ndarray of float32, shape (F, F, F)
            What was predicted over it; positive inside the object.
        points : sequence of tuple of int
            Clicks, source index; those in the crop stay in view.

        Returns
        -------
        Crop or None
            None where the object is not cut off, or there is no coarser spacing level.
        """
        coarser = [spacing for spacing in self.spacings if spacing > crop.spacing]
        if not coarser or not self.cuts_off(crop, logits):
            return None
        return self._placement.at(_centre(self._content(crop, logits, points)), coarser[0])

    def closer(self, crop: Crop, logits: Floats, points: Sequence[Index]) -> Crop | None:
        """Return the crop of a finer spacing level if the object is small in a crop.

        Parameters
        ----------
        crop : Crop
        logits : ndarray of float32, shape (F, F, F)
            What was predicted over it; positive inside the object.
        points : sequence of tuple of int
            Clicks, source index; those in the crop stay in view.

        Returns
        -------
        Crop or None
            The finest spacing that holds several times the object, centred on it; None where none
            does, or nothing was predicted.
        """
        if not (logits > 0).any():
            return None
        content = self._content(crop, logits, points)
        longest = max(n * size for n, size in zip(content.shape, crop.voxel_size, strict=True))
        for spacing in self.spacings:
            if self._finest <= spacing < crop.spacing and ROOM * longest <= self.size * spacing:
                return self._placement.at(_centre(content), spacing)
        return None

    def cuts_off(self, crop: Crop, logits: Floats) -> bool:
        """Whether the object covers part of a face of the crop where the volume goes on."""
        cells = _CUT_OFF * logits.shape[0] ** 2
        return any(
            goes_on and np.count_nonzero(np.take(logits, place, axis=axis) > 0) > cells
            for axis, faces in enumerate(self.open_faces(crop))
            for place, goes_on in zip((0, -1), faces, strict=True)
        )

    def open_faces(self, crop: Crop) -> Faces:
        """Return, for each canonical axis, whether the volume goes on below and above a crop."""
        return self._placement.open_faces(crop)

    @cached_property
    def _placement(self) -> CropPlacement:
        return CropPlacement(self.volume, self.size, self.start)

    @property
    def _finest(self) -> float:
        return _FINEST * min(self.volume.spacing)

    def _content(self, crop: Crop, logits: Floats, points: Sequence[Index]) -> Box:
        """Return the canonical box of a prediction and of the clicks that the crop sees."""
        content = self._placement.extent(crop, logits)
        seen = [p for p in points if crop.contains(p)]
        if seen:
            content = content.union(Box.around_points(self.volume.canonical.to_target(seen)))
        return content


def _centre(box: Box) -> list[float]:
    return [(a + b - 1) / 2 for a, b in zip(box.start, box.stop, strict=True)]
