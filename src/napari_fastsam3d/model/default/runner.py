"""Running the default network: eagerly anywhere, or as CUDA graphs of fixed shapes, replayed."""

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor

from napari_fastsam3d.model.cuda_graph import CudaGraph, Function, filled
from napari_fastsam3d.model.default.box_features import BoxFeatures
from napari_fastsam3d.model.default.image_encoder import Pyramid
from napari_fastsam3d.model.default.mask_decoder import PyramidDecoder
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.prompts import Prompts

_COUNTS = (1, 2, 4, 8, 16, 32)
"""Numbers of points that decoding is captured for; more are rare and run eagerly."""

_PADDING = -1
_PARTS = len(fields(Pyramid))
_OF_MASKS = 3


class EagerRunner:
    """Runs the network as it is written."""

    def __init__(self, network: PyramidNetwork) -> None:
        self.network = network

    def encode(self, image: Tensor) -> Pyramid:
        """Encode (1, 1, S, S, S) normalised."""
        return self.network.encoder(image)

    def decode(
        self, decoder: PyramidDecoder, pyramid: Pyramid, prompts: Prompts, box_features: BoxFeatures
    ) -> Masks:
        """Decode one step of one of the network's decoders; see `PyramidDecoder.forward`."""
        return decoder(pyramid, prompts, box_features, local=prompts.points.device.type == "cpu")


class GraphRunner(EagerRunner):
    """Replays CUDA graphs: of the encoder, and of the decoders for a few numbers of points.

    A graph is captured when its shapes are first met, that of the encoder at once. Masks are drawn
    over the whole crop: a region that follows the mask would have no fixed shape, and on a GPU the
    finest grid costs little. Points are filled up with padding, which nothing attends to.

    Parameters
    ----------
    network : PyramidNetwork
    size : int
        Voxels of a crop along each axis.

    Raises
    ------
    RuntimeError
        When capture fails or memory does not suffice; `torch.OutOfMemoryError` is one.
    """

    def __init__(self, network: PyramidNetwork, size: int) -> None:
        super().__init__(network)
        self._encoders: dict[int, CudaGraph] = {}
        self._decoders: dict[tuple[object, ...], CudaGraph] = {}
        device = next(network.parameters()).device
        self.encode(torch.zeros(1, 1, size, size, size, device=device))

    def encode(self, image: Tensor) -> Pyramid:
        """Encode (1, 1, S, S, S) normalised."""
        size = image.shape[-1]
        if size not in self._encoders:
            self._encoders[size] = CudaGraph(self._flat_encode, [image])
        return Pyramid(*self._encoders[size](image))

    def decode(
        self, decoder: PyramidDecoder, pyramid: Pyramid, prompts: Prompts, box_features: BoxFeatures
    ) -> Masks:
        """Decode one step of one of the network's decoders; see `PyramidDecoder.forward`."""
        count = next((n for n in _COUNTS if n >= prompts.points.shape[1]), None)
        if count is None:
            return decoder(pyramid, prompts, box_features)
        read = [name for name, value in box_features._asdict().items() if value is not None]
        inputs = [*_tensors(pyramid), *_tensors(padded(prompts, count))]
        inputs += [getattr(box_features, name) for name in read]
        key = (decoder, pyramid.middle.shape[1], count, *read)
        if key not in self._decoders:
            self._decoders[key] = CudaGraph(_flat(decoder, read), inputs)
        low_res, logits, predicted_iou, *others = self._decoders[key](*inputs)
        candidates, fed = _masks(others[:_OF_MASKS]), _masks(others[_OF_MASKS:])
        return Masks(low_res, logits, predicted_iou, candidates, fed)

    def _flat_encode(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(_tensors(super().encode(image)))


def padded(prompts: Prompts, count: int) -> Prompts:
    """Fill the points of prompts up to `count`; they keep one shape, whatever the clicks are."""
    points, labels = filled(prompts.points, prompts.labels, count, _PADDING)
    return replace(prompts, points=points, labels=labels, static=True)


def _flat(decoder: PyramidDecoder, read: Sequence[str]) -> Function:
    """Make of a decoder a function of tensors that gives tensors."""

    def decode(*inputs: Tensor) -> tuple[Tensor, ...]:
        pyramid = Pyramid(*inputs[:_PARTS])
        points, labels, box, previous, *box_features = inputs[_PARTS:]
        prompts = Prompts(points, labels, box, previous, static=True)
        masks = decoder(pyramid, prompts, BoxFeatures(**dict(zip(read, box_features, strict=True))))
        each = (masks, masks.candidates, masks.fed)
        return tuple(part for one in each if one is not None for part in one[:_OF_MASKS])

    return decode


def _masks(parts: Sequence[Tensor]) -> Masks | None:
    if not parts:
        return None
    low_res, logits, predicted_iou = parts
    return Masks(low_res, logits, predicted_iou)


def _tensors(parts: Pyramid | Prompts) -> list[Tensor]:
    values = (getattr(parts, each.name) for each in fields(parts))
    return [value for value in values if isinstance(value, Tensor)]
