"""Running a published network: eagerly anywhere, or as CUDA graphs of fixed shapes, replayed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.sam_med3d.mask_decoder import PrecomputedFeatures
from napari_fastsam3d.model.sam_med3d.network import FILLER, PublishedNetwork

_COUNTS = (2, 4, 8, 16, 32)
"""Numbers of point tokens that decoding is captured for; more are rare and run eagerly."""

Function = Callable[..., tuple[Tensor, ...]]
_WARM_UPS = 3


class CudaGraph:
    """A CUDA graph of a function: on a fast GPU, launching kernels costs more than running them.

    Parameters
    ----------
    function : callable
        Takes tensors and gives a tuple of tensors. It must be static: same kernels for the same
        shapes, nothing read back by the host.
    examples : sequence of Tensor
        Inputs of the shapes and types that every call will have, on the GPU.

    Raises
    ------
    RuntimeError
        When the function cannot be captured, or memory does not suffice.
    """

    def __init__(self, function: Function, examples: Sequence[Tensor]) -> None:
        self._inputs = tuple(example.clone() for example in examples)
        self._graph = torch.cuda.CUDAGraph()
        self._warm_up(function)
        # Other threads, such as a viewer's, may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run it; inputs may lie in pinned memory. The outputs are the caller's own."""
        for slot, value in zip(self._inputs, inputs, strict=True):
            slot.copy_(value, non_blocking=True)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)

    def _warm_up(self, function: Function) -> None:
        """Let libraries choose their kernels and take their workspace, on a stream aside."""
        present = torch.cuda.current_stream()
        aside = torch.cuda.Stream()
        aside.wait_stream(present)
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                function(*self._inputs)
        present.wait_stream(aside)


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
        points, labels = filled(points, labels, count)
        logits, quality = decoder(
            precomputed.base, precomputed.fold, precomputed.encoding, points, labels, previous
        )
        return logits, quality

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


def filled(points: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Add fillers up to `count` points: (1, count, 3) and (1, count)."""
    more = count - points.shape[1]
    return F.pad(points, (0, 0, 0, more)), F.pad(labels, (0, more), value=FILLER)
