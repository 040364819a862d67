"""What the model is given at one step: prompts in the frame of the crop it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Prompt, locates, place_of
from napari_fastsam3d.model.predictor import Floats, Predictor

# Logit of a cell that a mask fills, when a mask is fed back on another crop than it was made on;
# a cell half filled gets 0. Sure, and yet within what the networks themselves put out.
SURE = 8.0
# Part of a box's side by which a mask may pass it, for a model that has no box prompts.
_BOX_MARGIN = 0.1


@dataclass(frozen=True, eq=False)
class ModelInput:
    """The prompts of one step.

    Parameters
    ----------
    points : ndarray of float32, shape (N, 3)
        Crop index.
    labels : ndarray of int64, shape (N,)
        1 for a point inside the object, 0 for one outside.
    box : ndarray of float32, shape (2, 3), or None
        Inclusive corners in crop index.
    previous : ndarray of float32, shape (size / 4,) * 3, or None
        Logits fed back; None where there is no mask yet in the crop.
    """

    points: Floats
    labels: NDArray[np.int64]
    box: Floats | None
    previous: Floats | None

    @property
    def is_first_click(self) -> bool:
        """Whether a positive point is all that is known."""
        return self.box is None and self.previous is None and self.labels.tolist() == [1]

    @classmethod
    def of(
        cls,
        prompts: Sequence[Prompt],
        crop: Crop,
        previous: Floats | None,
        predictor: Predictor,
    ) -> "ModelInput":
        """Put prompts, the newest last, into the frame of a crop.

        A model that feeds on all points gets all that lie in the crop, and the last box. One that
        feeds on the newest gets that alone, as long as earlier ones are held in what is fed
        back. A model without box prompts gets a positive point at the centre of a box. Positive
        points are told as far from the ends of the scan as the model's `margin` asks.
        """
        if predictor.feeds == "single" and previous is not None:
            prompts = prompts[-1:]
        clicks = [_click(p) for p in prompts if _is_a_click(p, predictor)]
        seen = [(at, positive) for at, positive in clicks if crop.contains(at)]
        places = crop.to_crop(np.reshape([at for at, _ in seen], (-1, 3))).astype(np.float32)
        labels = np.array([positive for _, positive in seen], dtype=np.int64)
        margin = predictor.margin * crop.size // predictor.crop_size
        places = _farther_in(places, labels, crop, margin)
        box = last_box(prompts) if predictor.accepts_boxes else None
        return cls(places, labels, _corners(box, crop) if box else None, previous)


def fed_back(mask: Mask, crop: Crop) -> Floats | None:
    """Return a mask as the logits of a step before, on a crop it was not made on.

    Cells get +8 where the mask fills them, -8 where it misses them, linearly between.

    Returns
    -------
    ndarray of float32, shape (size / 4,) * 3, or None
        Axes towards R, A, S; None where nothing of the mask lies in the crop.
    """
    filled = crop.resample_mask(mask.box, mask.voxels)
    return ((2 * filled - 1) * SURE).astype(np.float32) if filled.any() else None


def last_box(prompts: Sequence[Prompt]) -> Box | None:
    """Return the newest box, source index, as long as no later prompt refutes it.

    A later prompt that says that the object goes on beyond the box, such as a positive click there,
    knows better: the model told of both would mark no more than the click. A tenth of its sides
    beyond, the box is taken for drawn a little too small, and told as large as that.
    """
    place = next((n for n in _backwards(prompts) if isinstance(prompts[n], BoxPrompt)), None)
    if place is None:
        return None
    box = place_of(prompts[place])
    grown = _grown(box)
    for held in map(place_of, filter(locates, prompts[place + 1 :])):
        if held.intersection(grown) != held:
            return None
        box = box.union(held)
    return box


def box_constraint(prompts: Sequence[Prompt], predictor: Predictor) -> Box | None:
    """Return where a mask must stay when the model can't be told of a box itself.

    It is the last box grown by a tenth of its sides, as long as that stands. Source index; None
    where nothing confines the mask.
    """
    box = None if predictor.accepts_boxes else last_box(prompts)
    return None if box is None else _grown(box)


def _backwards(prompts: Sequence[Prompt]) -> range:
    return range(len(prompts) - 1, -1, -1)


def _farther_in(places: Floats, labels: NDArray[np.int64], crop: Crop, margin: int) -> Floats:
    """Move positive points away from the ends of what the crop shows, at most to its middle."""
    if not margin or not labels.any():
        return places
    low, high = np.array([np.flatnonzero(planes)[[0, -1]] for planes in crop.inside]).T
    by = np.minimum(margin, (high - low) / 2)
    inner = np.clip(places, low + by, high - by).astype(np.float32)
    return np.where(labels[:, None] == 1, inner, places)


def _grown(box: Box) -> Box:
    margins = [max(1, round(_BOX_MARGIN * n)) for n in box.shape]
    a, b, (i, j, k) = box.start, box.stop, margins
    return Box((a[0] - i, a[1] - j, a[2] - k), (b[0] + i, b[1] + j, b[2] + k))


def _is_a_click(prompt: Prompt, predictor: Predictor) -> bool:
    """Whether the model is told of a prompt as a point; masks and edits are fed back to it."""
    return isinstance(prompt, Point) or (
        isinstance(prompt, BoxPrompt) and not predictor.accepts_boxes
    )


def _click(prompt: Prompt) -> tuple[tuple[float, ...], bool]:
    if isinstance(prompt, Point):
        return prompt.index, prompt.positive
    box = place_of(prompt)
    return tuple((a + b - 1) / 2 for a, b in zip(box.start, box.stop, strict=True)), True


def _corners(box: Box, crop: Crop) -> Floats | None:
    """Return the first and last crop voxels of a source box; None where it misses the crop."""
    faces = crop.to_crop(np.array([box.start, box.stop]) - 0.5)
    low, high = faces.min(axis=0) + 0.5, faces.max(axis=0) - 0.5
    if (high < -0.5).any() or (low > crop.size - 0.5).any():
        return None
    middle = (low + high) / 2
    corners = np.stack([np.minimum(low, middle), np.maximum(high, middle)])
    return corners.clip(0, crop.size - 1).astype(np.float32)
