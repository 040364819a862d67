"""Adapters put into a copy of a network that shares its weights; the network itself stays as it is.

Where they lie is decided by the kind and the architecture. By default all of them lie in the mask
decoder: the image encoder's features are then those of the unadapted model, so that crops are
encoded once for all structures, and remembered cases can still be compared.
"""

from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast, get_args

from torch import Tensor, nn

from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.layers.adapter import (
    AdapterLayer,
    Bottleneck,
    LowRankLinear,
    ShiftedEmbedding,
    ShiftedLinear,
    ShiftedNorm,
)
from napari_fastsam3d.model.layers.linear import PreparedLinear, matrix_of, unpack_linears

Kind = Literal["lora", "norm", "bottleneck"]
"""What an adapter consists of, beside a shift of the mask token, which every one has.

"lora": low-rank updates of the projections to queries and values, as SAMed.
"norm": shifts of the affine parts of normalisations and of the last layers, as CLoPA.
"bottleneck": small blocks with a depth-wise 3D convolution, as Med-SA and MA-SAM, and, where the
decoder has skip connections, shifts of the projections by which the encoder's features enter it.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class AdapterConfig:
    """What an adapter consists of.

    Attributes
    ----------
    kind : "lora", "norm" or "bottleneck"
    rank : int
        Of low-rank updates.
    hidden : int
        Channels of a bottleneck, at most half of those around it.
    encoder : bool
        Whether the image encoder is adapted too: crops are then encoded for this structure alone.
    """

    kind: Kind = "bottleneck"
    rank: int = 4
    hidden: int = 16
    encoder: bool = False


@dataclass(frozen=True)
class _Architecture:
    """Where adapters lie in a network; names as of its modules, `FullPrecision` left out."""

    encoder: str
    decoder: str
    apart: str
    """What of the decoder is left alone."""
    always: tuple[str, ...]
    """The mask token, and the last layer of what the IoU is predicted by."""
    last: tuple[str, ...]
    """The last layers of the mask."""
    grids: tuple[str, ...]
    """Layers of the decoder that give a grid of features."""
    skips: tuple[str, ...]
    """Projections of the encoder's features to the decoder's."""
    blocks: str
    """The encoder's transformer blocks."""
    in_encoder: tuple[Kind, ...] = ()
    """Kinds that have no place in the decoder."""


_PYRAMID = _Architecture(
    encoder="encoder.",
    decoder="decoder.",
    apart="decoder.candidates.",
    always=("decoder.output_tokens", "decoder.quality.2"),
    last=("decoder.hyper_middle.2", "decoder.hyper_fine.2"),
    grids=("decoder.block_coarse", "decoder.block_middle", "decoder.conv_fine"),
    skips=("decoder.skip_coarse", "decoder.skip_middle", "decoder.skip_fine"),
    blocks="encoder.transformer",
)
_PUBLISHED = _Architecture(
    encoder="image_encoder.",
    decoder="mask_decoder.",
    apart="mask_decoder.iou_prediction_head.",
    always=("mask_decoder.mask_tokens", "mask_decoder.iou_prediction_head.layers.2"),
    last=("mask_decoder.output_hypernetworks_mlps.0.layers.2",),
    grids=(),
    skips=(),
    blocks="image_encoder.blocks",
    in_encoder=("lora", "bottleneck"),
)


class AdaptedNetwork:
    """A copy of a network that shares its weights, with adapters in it.

    Parameters
    ----------
    predictor : BasePredictor
        Whose network it is; it stays as it is.
    config : AdapterConfig
    learns : bool
        Whether gradients are to pass: through layers that oneDNN computes they don't, so plain
        ones take their places.

    Attributes
    ----------
    network : Module
        The copy.
    layers : dict of str to AdapterLayer
        By the name of the layer that each adapts.
    """

    def __init__(
        self, predictor: BasePredictor, config: AdapterConfig, learns: bool = False
    ) -> None:
        base = cast(Any, predictor).network
        self.network = _sharing(base, predictor)
        if isinstance(self.network, PyramidNetwork):
            # One decoder is adapted, which so answers first clicks too.
            self.network.first_decoder = None
        if learns:
            unpack_linears(self.network)
        self.layers: dict[str, AdapterLayer] = {}
        places = [*_places(self.network, config)]
        for path, make in places:
            owner, _, name = path.rpartition(".")
            layer = make(self.network.get_submodule(path))
            setattr(self.network.get_submodule(owner), name, layer)
            self.layers[_plain(path)] = layer
        device = next(base.parameters()).device
        for layer in self.layers.values():
            for parameter in layer.own_parameters().values():
                parameter.data = parameter.data.to(device)

    @property
    def adapts_encoder(self) -> bool:
        """Whether the image encoder is adapted too."""
        return any(is_of_encoder(name) for name in self.layers)

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name."""
        return {
            f"{name}.{own}": parameter
            for name, layer in self.layers.items()
            for own, parameter in layer.own_parameters().items()
        }


def is_of_encoder(name: str) -> bool:
    """Whether a layer lies in the image encoder of a network, by its name."""
    return name.startswith((_PYRAMID.encoder, _PUBLISHED.encoder))


def _places(network: nn.Module, config: AdapterConfig) -> Iterator[tuple[str, Any]]:
    """Give the paths of layers that are adapted, each with what makes an adapter of it."""
    of = _PYRAMID if hasattr(network, "encoder") else _PUBLISHED
    encoder = config.encoder or config.kind in of.in_encoder
    for path, module in network.named_modules():
        name = _plain(path)
        if name in of.always:
            yield path, ShiftedEmbedding if isinstance(module, nn.Embedding) else ShiftedLinear
        elif name.startswith(of.apart):
            continue
        elif name.startswith(of.decoder) or (encoder and name.startswith(of.encoder)):
            make = _adapter_of(name, module, config, of)
            if make is not None:
                yield path, make


def _adapter_of(name: str, module: nn.Module, config: AdapterConfig, of: _Architecture) -> Any:
    """Return what makes an adapter of a kind of a layer; None where it has none there."""
    owner, _, leaf = name.rpartition(".")
    if config.kind == "norm":
        if isinstance(module, nn.LayerNorm):
            return ShiftedNorm
        return ShiftedLinear if name in of.last else None
    if config.kind == "lora":
        if not isinstance(module, nn.Linear | PreparedLinear):
            return None
        if leaf == "qkv":
            third = matrix_of(module).shape[0] // 3
            parts = slice(0, third), slice(2 * third, 3 * third)
            return partial(LowRankLinear, rank=config.rank, parts=parts)
        if leaf in ("q_proj", "v_proj"):
            return partial(LowRankLinear, rank=config.rank)
        return None
    if name in of.skips:
        return ShiftedLinear
    if name in of.grids or owner == of.blocks:
        width = _width_of(module)
        return partial(Bottleneck, width=width, hidden=min(config.hidden, width // 2))
    return None


def _width_of(module: nn.Module) -> int:
    """Return the channels that a block or a convolution gives."""
    for each in module.modules():
        if isinstance(each, nn.LayerNorm):
            return each.normalized_shape[0]
        if isinstance(each, nn.Conv3d):
            return each.out_channels
    raise ValueError("nothing tells the width of such a layer")


def _plain(path: str) -> str:
    """Return the name of a layer, whatever precision it computes in (see `FullPrecision`)."""
    return ".".join(part for part in path.split(".") if part != "module")


def _sharing(network: nn.Module, predictor: BasePredictor) -> nn.Module:
    """Return a copy of a tree of modules, the tensors and hooks of which are the same ones."""
    shared: list[Any] = [*network.parameters(), *network.buffers(), predictor.blocks]
    for module in network.modules():
        shared += [value for value in vars(module).values() if isinstance(value, Tensor)]
    return deepcopy(network, {id(each): each for each in shared})


def with_adapter(
    predictor: BasePredictor, adapted: AdaptedNetwork, encoder: str | None = None
) -> BasePredictor:
    """Return a predictor that runs an adapted network; the one given stays as it is.

    Parameters
    ----------
    predictor : BasePredictor
    adapted : AdaptedNetwork
    encoder : str, optional
        What tells its image encoder from that of the predictor, where that is adapted too.
    """
    other = copy(predictor)
    cast(Any, other).use_network(adapted.network)
    if encoder is not None:
        other.encoder_fingerprint = encoder
    return other
