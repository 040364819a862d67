"""Running a published network: eagerly anywhere, or as CUDA graphs of fixed shapes, replayed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_fastsam3d.model.cuda_graph import CudaGraph, filled
from napari_fastsam3d.model.sam_med3d.mask_decoder import PrecomputedFeatures
from napari_fastsam3d.model.sam_med3d.network import FILLER, PublishedNetwork

_COUNTS = (2, 4, 8, 16, 32)
"""Numbers of point tokens that decoding is captured for; more are rare and run eagerly."""


@dataclass(frozen=True)
class Encoded:
    """What the image alone says about a crop.

    Attributes
    ----------
    embedding : Tensor
        (1, C, n, n, n) float32.
    precomputed : PrecomputedFeatures
        What the decoder computes of it, once a crop.
    """

    embedding: Tensor
    precomputed: PrecomputedFeatures

    def to(self, device: torch.device) -> "Encoded":
        """Bring it to another device, where it is not there yet."""
        precomputed = PrecomputedFeatures(
            self.precomputed.base.to(device),
            self.precomputed.fold.to(device),
            self.precomputed.encoding.to(device),
        )
        return Encoded(self.embedding.to(device), precomputed)


def z_normalised(raw: Tensor) -> Tensor:
    """Normalise a crop by mean and standard deviation of its positive voxels.

    That is what the published weights expect. Where nothing is positive, as in a window of air in
    Hounsfield units, all voxels are taken. Shapes are static and nothing is read back by the host.

    Parameters
    ----------
    raw : Tensor
        (..., S, S, S) raw intensities, zero outside the volume.

    Returns
    -------
    Tensor
        The same shape, float32.
    """
    positive = raw > 0
    enough = positive.sum() > 1
    counted = torch.where(enough, positive, torch.ones_like(positive))
    number = counted.sum()
    mean = (raw * counted).sum() / number
    centred = raw - mean
    deviation = ((centred * counted).square().sum() / (number - 1)).sqrt()
    # A flat crop has nothing to scale by.
    return centred / torch.where(deviation > 0, deviation, torch.ones_like(deviation))


class EagerRunner:
    """Runs the network as it is written."""

    def __init__(self, network: PublishedNetwork) -> None:
        self.network = network

    def encode(self, image: Tensor) -> Encoded:
        """Encode (1, 1, S, S, S) normalised."""
        embedding = self.network.encode(image).float()
        return Encoded(embedding, self.network.precompute(embedding))

    def precompute(self, embedding: Tensor) -> Encoded:
        """Make ready for prompts what was encoded elsewhere."""
        return Encoded(embedding, self.network.precompute(embedding))

    def decode(
        self,
        precomputed: PrecomputedFeatures,
        points: Tensor,
        labels: Tensor,
        previous: Tensor,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode one step; see `PublishedNetwork.decode`."""
        return self.network.decode(precomputed, points, labels, previous, multimask)


class GraphRunner(EagerRunner):
    """Replays CUDA graphs: of the encoder, and of the decoder for a few numbers of points.

    Points are filled up to one of those numbers with fillers that nothing attends to, so that the
    result is that of the points alone.

    Raises
    ------
    RuntimeError
        When capture fails or memory does not suffice; `torch.OutOfMemoryError` is one.
    """

    def __init__(self, network: PublishedNetwork) -> None:
        super().__init__(network)
        size = network.config.encoder.crop_size
        device = network.image_encoder.pos_embed.device
        self._encode = CudaGraph(
            self._flat_encode, [torch.zeros(1, 1, size, size, size, device=device)]
        )
        self._decode: dict[int, CudaGraph] = {}
        first = self.encode(torch.zeros(1, 1, size, size, size, device=device))
        self._decoder_for(_COUNTS[0], first.precomputed)

    def encode(self, image: Tensor) -> Encoded:
        """Encode (1, 1, S, S, S) normalised."""
        embedding, base, fold, encoding = self._encode(image)
        return Encoded(embedding, PrecomputedFeatures(base, fold, encoding))

    def decode(
        self,
        precomputed: PrecomputedFeatures,
        points: Tensor,
        labels: Tensor,
        previous: Tensor,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode one step; see `PublishedNetwork.decode`."""
        count = next((n for n in _COUNTS if n >= points.shape[1]), None)
        if multimask or count is None:
            return super().decode(precomputed, points, labels, previous, multimask)
        decoder = self._decoder_for(count, precomputed)
        points, labels = filled(points, labels, count, FILLER)
        logits, predicted_iou = decoder(
            precomputed.base, precomputed.fold, precomputed.encoding, points, labels, previous
        )
        return logits, predicted_iou

    def _decoder_for(self, count: int, precomputed: PrecomputedFeatures) -> CudaGraph:
        if count not in self._decode:
            device = precomputed.base.device
            n = 4 * self.network.config.encoder.grid
            examples = (
                precomputed.base,
                precomputed.fold,
                precomputed.encoding,
                torch.zeros(1, count, 3, device=device),
                torch.full((1, count), FILLER, device=device),
                torch.zeros(1, 1, n, n, n, device=device),
            )
            self._decode[count] = CudaGraph(self._flat_decode, examples)
        return self._decode[count]

    def _flat_encode(self, image: Tensor) -> tuple[Tensor, ...]:
        encoded = super().encode(image)
        precomputed = encoded.precomputed
        return encoded.embedding, precomputed.base, precomputed.fold, precomputed.encoding

    def _flat_decode(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        base, fold, encoding, points, labels, previous = inputs
        precomputed = PrecomputedFeatures(base, fold, encoding)
        return self.network.decode(precomputed, points, labels, previous, fillers=True)
