"""The default model as a resident predictor."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.model.normalisation import Inside, foreground_contrast
from napari_fastsam3d.model.predictor import Floats, Predictor, Segmentation, volume_array
from napari_fastsam3d.model.pyramid import PyramidNetwork
from napari_fastsam3d.model.pyramid_decoder import Masks, Prompts
from napari_fastsam3d.model.pyramid_encoder import Pyramid

LEAST_AGREEMENT = 0.25
"""IoU of a mask's extent with its box, under which the box's middle is taken to be empty."""

EDGE = 5
"""Crop voxels that a positive point is kept from the crop's faces, as the network is told of it.

A face that a point lies this close to is the end of the scan, where the network paints little more
than a ball. Told of a point a little farther in, it does in the last two slices of a CT as well as
in the third: mean Dice of a click 0.40 instead of 0.24.
"""


class PyramidPredictor(Predictor):
    """Runs a `PyramidNetwork`: all prompts so far at each step, boxes too, masks at half size."""

    spacings = (0.53, 0.75, 1.06, 1.5, 2.12, 3.0)
    start_spacing = 1.5
    feeds = "cumulative"
    accepts_boxes = True

    def __init__(
        self,
        network: PyramidNetwork,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        fingerprint: str,
    ) -> None:
        super().__init__(name, device, dtype, fingerprint)
        self.network = network.eval().requires_grad_(False).to(device)

    def normalise(self, crop: Floats, inside: Inside) -> Tensor:
        """Scale by the crop's own tissue; see `foreground_contrast`."""
        return self._tensor(foreground_contrast(crop, inside))[None, None]

    def encode(self, image: Tensor) -> Pyramid:
        """Encode (1, 1, S, S, S) normalised intensities."""
        with torch.inference_mode(), self._autocast():
            return self.network.encoder(image.to(self.device))

    def decode(
        self,
        embedding: Pyramid,
        points: Tensor,
        labels: Tensor,
        previous_logits: Tensor | None = None,
        box: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts; see `Predictor.decode`."""
        masks = self._masks(embedding, points, labels, previous_logits, box)
        return masks.low, masks.quality

    def segment(
        self,
        encoded: Pyramid,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Segmentation:
        """Answer one step of interaction; see `Predictor.segment`.

        A box without a positive point is read with a point in its middle, which lies in most
        structures. Where that finds next to nothing of the box's extent, as in a bowed structure
        around an empty middle, it is read without.
        """
        if box is None or (labels == 1).any():
            return self._answer(encoded, points, labels, box, previous)
        middle = np.concatenate([points.reshape(-1, 3), box.mean(axis=0, keepdims=True)])
        answer = self._answer(encoded, middle, np.append(labels, 1), box, previous)
        if agreement(answer.fine, box) >= LEAST_AGREEMENT:
            return answer
        return self._answer(encoded, points, labels, box, previous)

    def _answer(
        self,
        encoded: Pyramid,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Segmentation:
        size = 4 * encoded.middle.shape[1]
        told = away_from_faces(points.reshape(-1, 3), labels, size)
        masks = self._masks(
            encoded,
            self._tensor(told[None]),
            self._tensor(labels.reshape(1, -1)),
            None if previous is None else self._tensor(previous)[None, None],
            None if box is None else self._tensor(box)[None],
        )
        return Segmentation(volume_array(masks.low), volume_array(masks.fine), masks.quality.item())

    def _masks(
        self,
        pyramid: Pyramid,
        points: Tensor,
        labels: Tensor,
        previous: Tensor | None,
        box: Tensor | None,
    ) -> Masks:
        size = pyramid.middle.shape[1]
        if points.shape[1] == 0:  # a box alone: one padding point keeps the shapes
            points = torch.zeros(1, 1, 3)
            labels = torch.full((1, 1), -1)
        if previous is None:
            previous = torch.zeros(1, 1, size, size, size)
        if box is None:
            box = torch.full((1, 2, 3), torch.nan)
        prompts = Prompts(
            points.to(self.device, torch.float32),
            labels.to(self.device, torch.long),
            box.to(self.device, torch.float32),
            previous.to(self.device, torch.float32),
        )
        with torch.inference_mode(), self._autocast():
            return self.network.decoder(pyramid, prompts)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16
        )


def away_from_faces(points: Floats, labels: NDArray[np.int64], size: int) -> Floats:
    """Move positive points that lie at a face of the crop `EDGE` voxels away from it.

    Parameters
    ----------
    points : ndarray of float32
        (N, 3), crop index.
    labels : ndarray of int64
        (N,), 1 for a positive point.
    size : int
        Voxels of the crop along each axis.
    """
    inner = np.clip(points, EDGE, size - 1 - EDGE)
    return np.where(labels[:, None] == 1, inner, points)


def agreement(fine: Floats, box: Floats) -> float:
    """Give the IoU of a mask's extent with the box it was asked for.

    Parameters
    ----------
    fine : ndarray of float32
        (F, F, F) logits over a crop of 2 F voxels along each axis.
    box : ndarray of float32
        (2, 3) lowest and highest corner, crop indices, both inside.
    """
    where = [np.flatnonzero((fine > 0).any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if not all(axis.size for axis in where):
        return 0.0
    low = np.array([2 * axis[0] for axis in where])
    high = np.array([2 * axis[-1] + 2 for axis in where])
    first, last = box[0], box[1] + 1
    shared = np.prod(np.clip(np.minimum(high, last) - np.maximum(low, first), 0, None))
    return float(shared / (np.prod(high - low) + np.prod(last - first) - shared))
