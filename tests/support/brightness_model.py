"""A small, real segmenter for the tests: voxels as bright as what was clicked.

It is deterministic and cheap, needs no torch, and depends on everything that a session gives
it: points, labels, box and the logits fed back. So a session that mixes any of these up gives
another mask.
"""

from dataclasses import dataclass
from threading import Event
from typing import Literal

import numpy as np


@dataclass
class Answer:
    low_res_logits: np.ndarray
    mask_logits: np.ndarray
    predicted_iou: float
    candidates: tuple = ()
    is_fed: bool = False


class BrightnessModel:
    """The model; counts what it is asked, waits while held, and fails when told to."""

    name = "brightness"
    device = "cpu"
    fingerprint = "0123456789abcdef"
    edge_aware = False
    blends_locally = False
    margin = 0
    sees_from_afar = False

    def __init__(
        self,
        size: int = 32,
        spacings: tuple[float, ...] = (1.0, 2.0, 4.0),
        start_spacing: float = 2.0,
        feeds: Literal["cumulative", "single"] = "cumulative",
        accepts_boxes: bool = True,
        tolerance: float = 20.0,
    ) -> None:
        self.crop_size = size
        self.spacings = spacings
        self.start_spacing = start_spacing
        self.feeds: Literal["cumulative", "single"] = feeds
        self.accepts_boxes = accepts_boxes
        self.tolerance = tolerance
        self.looked = 0
        self.asked = []
        self.error: Exception | None = None
        self.may_go_on = Event()
        self.may_go_on.set()
        self.is_waiting = Event()

    def normalise(self, crop, inside):
        assert crop.dtype == np.float32
        r, a, s = inside
        return np.where(r[:, None, None] & a[:, None] & s, crop, np.nan)

    def encode(self, image):
        self.looked += 1
        return image

    def segment(self, encoded, points, labels, box, previous):
        self.is_waiting.set()
        assert self.may_go_on.wait(30)
        self.asked.append((points, labels, box, previous))
        if self.error is not None:
            raise self.error
        fine = self._logits(encoded, points, labels, box, previous)
        predicted_iou = float(1 / (1 + np.exp(-np.abs(fine).mean() / self.tolerance)))
        return Answer(pooled(fine, 2), fine, predicted_iou)

    def _logits(self, image, points, labels, box, previous):
        cells = pooled(image, 2)
        logits = np.full(cells.shape, -self.tolerance, dtype=np.float32)
        for seed in self._seeds(image, points, labels, box):
            logits = np.fmax(logits, self.tolerance - np.abs(cells - seed))
        if previous is not None:
            fed = previous.repeat(2, 0).repeat(2, 1).repeat(2, 2)
            logits += 0.25 * fed.clip(-self.tolerance, self.tolerance)
        grid = np.indices(cells.shape).reshape(3, -1).T * 2 + 0.5
        for point in points[labels == 0]:
            near = (np.abs(grid - point).max(axis=1) < 5).reshape(cells.shape)
            logits[near] = -self.tolerance
        if box is not None:
            outside = ((grid < box[0]) | (grid > box[1])).any(axis=1)
            logits[outside.reshape(cells.shape)] = -self.tolerance
        return np.where(np.isnan(cells), -self.tolerance, logits).astype(np.float32)

    def _seeds(self, image, points, labels, box):
        places = list(points[labels == 1])
        if box is not None:
            places.append(box.mean(axis=0))
        corner = np.array(image.shape) - 1
        found = [np.clip(np.floor(place + 0.5), 0, corner).astype(int) for place in places]
        return [image[tuple(place)] for place in found]


def pooled(grid: np.ndarray, factor: int) -> np.ndarray:
    """The mean of the numbers in every `factor`^3 voxels, as float32; nan where there is none."""
    n = len(grid) // factor
    blocks = grid.reshape(n, factor, n, factor, n, factor)
    known = (~np.isnan(blocks)).sum(axis=(1, 3, 5))
    with np.errstate(invalid="ignore"):
        return (np.nansum(blocks, axis=(1, 3, 5)) / known).astype(np.float32)
