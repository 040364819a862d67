"""The default model as a predictor."""

from dataclasses import replace
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import expit
from torch import Tensor

from napari_fastsam3d.geometry.mask import dice
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.checkpoint import fingerprint_of
from napari_fastsam3d.model.cuda_graph import note_without
from napari_fastsam3d.model.default.box_features import BoxFeatures
from napari_fastsam3d.model.default.image_encoder import Pyramid, TransformerBlock
from napari_fastsam3d.model.default.mask_decoder import PyramidDecoder
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.model.default.mixed_precision import use_mixed_precision
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.default.runner import EagerRunner, GraphRunner
from napari_fastsam3d.model.device import PinnedBuffers
from napari_fastsam3d.model.layers.attention import AttentionLayer
from napari_fastsam3d.model.normalisation import (
    Inside,
    foreground_contrast,
    tensor_foreground_contrast,
)
from napari_fastsam3d.model.predictor import Floats, Segmentation

TRUSTED = 0.4
"""Dice of a box read with a point and without it, under which the point is not trusted."""

_AROUND = 18
"""Crop voxels, along an edge, over which the surest place of a prediction is looked for."""


class _ReadBox(NamedTuple):
    """What a box told of a scan."""

    pyramid: Pyramid
    box: Tensor
    features: BoxFeatures


class PyramidPredictor(BasePredictor):
    """Runs a `PyramidNetwork`: all prompts so far at each step, boxes too, masks at half size."""

    spacings = (0.53, 0.75, 1.06, 1.5, 2.12, 3.0)
    start_spacing = 1.5
    feeds: Literal["cumulative", "single"] = "cumulative"
    accepts_boxes = True
    edge_aware = True
    blends_locally = True
    # Close to the end of a scan the network paints little more than a ball around a click. Told of
    # one a little farther in, it does as well there as elsewhere: in the end slices of training
    # scans Dice of a click is 0.45 instead of 0.20.
    margin = 5

    def __init__(
        self,
        network: PyramidNetwork,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        fingerprint: str,
    ) -> None:
        super().__init__(name, device, dtype, fingerprint)
        self.encoder_fingerprint = fingerprint_of(network.encoder)
        self.network = network.eval().requires_grad_(False).to(device)
        self.rounds_activations = dtype == torch.bfloat16
        if self.rounds_activations:
            use_mixed_precision(network, device)
        self.sees_from_afar = None not in (network.coarse_decoder, network.first_decoder)
        self.notes: tuple[str, ...] = ()
        self._last_box: _ReadBox | None = None
        self._buffers = PinnedBuffers(device)
        self._runner = EagerRunner(self.network)
        if device.type == "cuda":
            self._record_graphs()
        self._ask_before_blocks(self.network)

    def use_network(self, network: PyramidNetwork) -> None:
        """Run another network of the same architecture, ready for this device; see `adapted`."""
        self.network, self._last_box = network, None
        self._runner = EagerRunner(network)
        if self.device.type == "cuda":
            self._record_graphs()

    @property
    def memory_layer(self) -> AttentionLayer | None:
        """See `BasePredictor.memory_layer`; a captured graph can't be given other keys."""
        if isinstance(self._runner, GraphRunner):
            return None
        blocks = self.network.encoder.transformer
        return cast(TransformerBlock, blocks[2 * len(blocks) // 3]).attn

    def normalise(self, crop: Floats, inside: Inside) -> Tensor:
        """Scale by the crop's own tissue; see `foreground_contrast`."""
        if self.device.type == "cuda":
            return tensor_foreground_contrast(self._tensor(crop), inside)[None, None]
        return self._tensor(foreground_contrast(crop, inside))[None, None]

    def encode(self, image: Tensor) -> Pyramid:
        """Encode (1, 1, S, S, S) normalised intensities."""
        with torch.inference_mode(), self._autocast():
            return self._runner.encode(image.to(self.device))

    def features(self, encoded: Pyramid) -> tuple[Floats, Floats]:
        """Give the features at S/4 and S/8; see `BasePredictor.features`."""
        middle, coarse = (x[0].float().cpu().numpy() for x in (encoded.middle, encoded.coarse))
        return middle, coarse

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
        return masks.low_res_logits, masks.predicted_iou

    def segment(
        self,
        encoded: Pyramid,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Segmentation:
        """Answer one step of interaction; see `Predictor.segment`.

        A box without a positive point is read with one as well, and the logits are averaged: first
        with a point in its middle, which lies in most structures, then with one where that
        average is surest; then the mask is fed back once. Where a mask is fed back from the start,
        the point lies where that is surest, and the reading with it is taken by itself. A point
        with which the model finds something else than without it is not trusted: it may lie beside
        the structure. On training cases each of this was better than to leave it out.
        """
        if box is None or (labels == 1).any():
            return self._answer(encoded, points, labels, box, previous)
        size = 4 * encoded.middle.shape[1]
        without = self._answer(encoded, points, labels, box, previous)

        def pointed(place: Floats, fed: Floats | None) -> Segmentation:
            places = np.concatenate([points.reshape(-1, 3), place[None]])
            return self._answer(encoded, places, np.append(labels, 1), box, fed)

        if previous is not None and (_in_box(previous, box, size) & (previous > 0)).any():
            guided = pointed(surest_place(previous, box, size), previous)
            return guided if _agreement(guided, without) >= TRUSTED else without
        middle = _mean(pointed(box.mean(axis=0), previous), without)
        place = surest_place(middle.mask_logits, box, size)
        surest = pointed(place, previous)
        if _agreement(surest, without) < TRUSTED:
            return self._answer(encoded, points, labels, box, without.low_res_logits)
        fed = _mean(surest, without).low_res_logits
        return _mean(pointed(place, fed), self._answer(encoded, points, labels, box, fed))

    def first_click(self, encoded: Pyramid, point: Floats, afar: Floats | None) -> Segmentation:
        """Answer by the decoder of first clicks, or by what it is fed if it trusts that more."""
        return self._answer(encoded, point, np.ones(1, dtype=np.int64), None, afar, first=True)

    def _answer(
        self,
        encoded: Pyramid,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
        first: bool = False,
    ) -> Segmentation:
        masks = self._masks(
            encoded,
            self._tensor(points.reshape(1, -1, 3)),
            self._tensor(labels.reshape(1, -1)),
            None if previous is None else self._tensor(previous)[None, None],
            None if box is None else self._tensor(box)[None],
            first,
        )
        main, *each = self._fetched(masks)
        fed = None if masks.fed is None else replace(each.pop(), is_fed=True)
        if fed is not None and previous is not None:
            main, other = sorted((main, fed), key=lambda one: -one.predicted_iou)
            each.append(other)
        if not each:
            return main
        if encoded.middle.shape[1] != self.crop_size // 4:
            # From afar it is the choice between meanings that counts.
            main, *each = sorted((main, *each), key=lambda one: -one.predicted_iou)
        return replace(main, candidates=tuple(each))

    def _masks(
        self,
        pyramid: Pyramid,
        points: Tensor,
        labels: Tensor,
        previous: Tensor | None,
        box: Tensor | None,
        first: bool = False,
    ) -> Masks:
        size = pyramid.middle.shape[1]
        if points.shape[1] == 0:  # a box alone: one padding point keeps the shapes
            points = torch.zeros(1, 1, 3)
            labels = torch.full((1, 1), -1)
        if previous is None:
            previous = torch.zeros(1, 1, size, size, size)
        coarse = size != self.crop_size // 4
        decoder = self.network.decoder_of(box is not None, coarse, first)
        if box is None:
            box = torch.full((1, 2, 3), torch.nan)
        prompts = Prompts(
            points.to(self.device, torch.float32),
            labels.to(self.device, torch.long),
            box.to(self.device, torch.float32),
            previous.to(self.device, torch.float32),
        )
        with torch.inference_mode(), self._autocast():
            box_features = self._read(decoder, pyramid, prompts.box)
            return self._runner.decode(decoder, pyramid, prompts, box_features)

    def _fetched(self, masks: Masks) -> list[Segmentation]:
        """Bring masks to main memory, waiting once for all of them: the one fed comes last."""
        together = [each for each in (masks, masks.candidates, masks.fed) if each is not None]
        arrays = self._buffers.fetch(*(part[0] for each in together for part in each[:3]))
        return [
            Segmentation(low_res, logits, float(predicted_iou))
            for place in range(0, len(arrays), 3)
            for low_res, logits, predicted_iou in zip(*arrays[place : place + 3], strict=True)
        ]

    def _record_graphs(self) -> None:
        try:
            with torch.inference_mode(), self._autocast(), torch.cuda.device(self.device):
                self._runner = GraphRunner(self.network, self.crop_size)
        except RuntimeError as error:
            self.notes = (note_without(error),)

    def _read(self, decoder: PyramidDecoder, pyramid: Pyramid, box: Tensor) -> BoxFeatures:
        """Read a box, or remember it: a lone one asks seven times, and each click after it."""
        if decoder.box_cues is None:
            return BoxFeatures()
        last = self._last_box
        if last is None or last.pyramid is not pyramid or not torch.equal(last.box, box):
            last = self._last_box = _ReadBox(pyramid, box, decoder.read_box(pyramid, box))
        return last.features

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.rounds_activations)


def _mean(one: Segmentation, other: Segmentation) -> Segmentation:
    half = np.float32(0.5)
    return Segmentation(
        half * (one.low_res_logits + other.low_res_logits),
        half * (one.mask_logits + other.mask_logits),
        (one.predicted_iou + other.predicted_iou) / 2,
    )


def surest_place(logits: Floats, box: Floats, size: int) -> Floats:
    """Give the place in a box around which a prediction is surest, a crop index (3,).

    Parameters
    ----------
    logits : ndarray of float32
        (F, F, F), over the crop.
    box : ndarray of float32
        (2, 3), inclusive corners in crop indices; the middle of it is given where it holds no cell
        of the prediction.
    size : int
        Voxels of the crop along each axis.
    """
    cell = size / logits.shape[0]
    inside = _in_box(logits, box, size)
    if not inside.any():
        return box.mean(axis=0)
    around = 2 * int(_AROUND / (2 * cell)) + 1  # odd, so that it has a middle
    sure = uniform_filter(inside * expit(logits), around)
    cells = np.unravel_index(int(sure.argmax()), sure.shape)
    return ((np.array(cells) + 0.5) * cell - 0.5).astype(np.float32)


def _in_box(logits: Floats, box: Floats, size: int) -> NDArray[np.bool_]:
    """Tell which cells of a prediction over a crop have their centres in a box."""
    cells = logits.shape[0]
    centres = (np.arange(cells) + 0.5) * size / cells - 0.5
    x, y, z = ((centres >= low) & (centres <= high) for low, high in box.T)
    return x[:, None, None] & y[:, None] & z


def _agreement(one: Segmentation, other: Segmentation) -> float:
    return dice(one.mask_logits > 0, other.mask_logits > 0)
