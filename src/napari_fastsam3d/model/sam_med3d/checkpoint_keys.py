"""How the published files name and shape what a `PublishedNetwork` holds.

Keys are the authors' with two exceptions; shapes differ where a convolution is computed as a matrix
product. The weights of a convolution (out, in, k, k, k) become (out, k^3 * in), those of a
transposed convolution (in, out, 2, 2, 2) become (8 * out, in): positions first, channels last.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


class Layout(ABC):
    """A way to lay out the numbers of one tensor."""

    @abstractmethod
    def ours(self, tensor: Tensor) -> Tensor:
        """Turn a published tensor into one of the network."""

    @abstractmethod
    def theirs(self, tensor: Tensor) -> Tensor:
        """Turn a tensor of the network into a published one."""


class _Same(Layout):
    def ours(self, tensor: Tensor) -> Tensor:
        return tensor

    def theirs(self, tensor: Tensor) -> Tensor:
        return tensor


@dataclass(frozen=True)
class _Convolution(Layout):
    kernel: int

    def ours(self, tensor: Tensor) -> Tensor:
        return tensor.permute(0, 2, 3, 4, 1).flatten(1)

    def theirs(self, tensor: Tensor) -> Tensor:
        k = self.kernel
        return tensor.reshape(tensor.shape[0], k, k, k, -1).permute(0, 4, 1, 2, 3)


class _Patches(Layout):
    def ours(self, tensor: Tensor) -> Tensor:
        return tensor.flatten(1)

    def theirs(self, tensor: Tensor) -> Tensor:
        edge = round(tensor.shape[1] ** (1 / 3))
        return tensor.unflatten(1, (1, edge, edge, edge))


class _Transposed(Layout):
    def ours(self, tensor: Tensor) -> Tensor:
        return tensor.permute(2, 3, 4, 1, 0).flatten(0, 3)

    def theirs(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(0, (2, 2, 2, -1)).permute(4, 3, 0, 1, 2)


_LAYOUTS: Mapping[str, Layout] = {
    "image_encoder.patch_embed.proj.weight": _Patches(),
    "image_encoder.neck.0.weight": _Convolution(1),
    "image_encoder.neck.2.weight": _Convolution(3),
    "prompt_encoder.mask_downscaling.0.weight": _Convolution(2),
    "prompt_encoder.mask_downscaling.3.weight": _Convolution(2),
    "prompt_encoder.mask_downscaling.6.weight": _Convolution(1),
    "mask_decoder.output_upscaling.0.weight": _Transposed(),
    "mask_decoder.output_upscaling.3.weight": _Transposed(),
}
_FREQUENCIES = "pe_layer.frequencies", "pe_layer.positional_encoding_gaussian_matrix"


def published_key(key: str) -> str:
    """Give the authors' name of a key of a `PublishedNetwork`."""
    return key.replace(".linear.", ".").replace(*_FREQUENCIES)


def published_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Give the weights of a network under the authors' names and in their shapes."""
    return {
        name: _LAYOUTS.get(name, _Same()).theirs(tensor)
        for key, tensor in network.state_dict().items()
        for name in [published_key(key)]
    }


def network_tensors(network: nn.Module, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give published weights under the keys and in the shapes of a network.

    `published` must have every key of the network in the authors' shapes.
    """
    return {
        key: _LAYOUTS.get(name, _Same()).ours(published[name])
        for key in network.state_dict()
        for name in [published_key(key)]
    }
