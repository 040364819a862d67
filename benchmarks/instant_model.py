"""A model that answers at once, so that what a session itself costs can be measured."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_RADIUS = 10.0


@dataclass(frozen=True)
class Answer:
    """A `Segmentation`."""

    low_res_logits: Floats
    mask_logits: Floats
    predicted_iou: float = 1.0


class InstantModel:
    """A `Predictor` to which a ball around each positive point is the object.

    Parameters
    ----------
    pause : float
        Seconds that each answer takes besides, as if something else than the CPU computed it.
    """

    name = "instant"
    device = "cpu"
    fingerprint = "instant"
    feeds: Literal["cumulative", "single"] = "cumulative"
    accepts_boxes = True
    edge_aware = False
    blends_locally = False
    margin = 0
    sees_from_afar = False
    spacings = (1.5,)
    start_spacing = 1.5
    crop_size = 64

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause

    def normalise(self, crop: Floats, inside: Any) -> Floats:
        """See `Predictor`."""
        return crop

    def encode(self, image: Floats) -> Floats:
        """See `Predictor`."""
        return image

    def segment(
        self,
        encoded: Floats,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Answer:
        """See `Predictor`."""
        time.sleep(self._pause)
        cells = [np.arange(0.5, self.crop_size, 2, dtype=np.float32)] * 3
        fine = np.full([self.crop_size // 2] * 3, -_RADIUS, dtype=np.float32)
        for point in points[labels == 1]:
            r, a, s = (axis - x for axis, x in zip(cells, point, strict=True))
            distance = np.sqrt(r[:, None, None] ** 2 + a[:, None] ** 2 + s**2)
            np.maximum(fine, _RADIUS - distance, out=fine)
        return Answer(fine[::2, ::2, ::2], fine)
