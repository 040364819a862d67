"""What of the default model computes in bfloat16, for inference on a CPU or a GPU."""

from typing import cast

import torch
from torch import Tensor, nn

from napari_fastsam3d.model.default.judge import MaskJudge
from napari_fastsam3d.model.default.mask_decoder import PyramidDecoder
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.layers.linear import LowPrecisionLinear
from napari_fastsam3d.model.layers.two_way_transformer import TwoWayBlock


class FullPrecision(nn.Module):
    """A module that computes in float32 under autocast too."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Give what the module makes of the inputs."""
        with torch.autocast(inputs[0].device.type, enabled=False):
            return self.module(*(x.float() for x in inputs))


def use_mixed_precision(network: PyramidNetwork, device: torch.device) -> None:
    """Prepare a network for bfloat16 autocast: nothing is cast again at every call.

    The weights of linear layers and convolutions are cast once. On a CPU the layers that see a
    handful of tokens stay in float32: there the casts of autocast cost more than the products.
    """
    if device.type == "cpu":
        for decoder in network.decoders:
            _spare_tokens(decoder)
    _cast(network)


def _spare_tokens(decoder: PyramidDecoder) -> None:
    transformer = decoder.transformer
    for layer in transformer.layers:
        block = cast(TwoWayBlock, layer)
        _round(block.cross_attn_token_to_image, "k_proj", "v_proj")
        _round(block.cross_attn_image_to_token, "q_proj", "out_proj")
    _round(transformer.final_attn_token_to_image, "k_proj", "v_proj")
    _keep_full(decoder, "transformer", "hyper_middle", "hyper_fine", "quality")
    if decoder.candidates is not None:
        _keep_full(decoder.candidates, "hyper_middle", "hyper_fine")


def _keep_full(owner: nn.Module, *names: str) -> None:
    for name in names:
        setattr(owner, name, FullPrecision(owner.get_submodule(name)))


def _round(owner: nn.Module, *names: str) -> None:
    """Let linear layers that see all tokens of the image compute in bfloat16."""
    for name in names:
        layer = cast(nn.Linear, owner.get_submodule(name))
        setattr(owner, name, LowPrecisionLinear(layer.weight, layer.bias, torch.bfloat16))


def _cast(module: nn.Module) -> None:
    for child in module.children():
        if isinstance(child, nn.Linear | nn.Conv3d):
            child.to(torch.bfloat16)
        elif not isinstance(child, FullPrecision | MaskJudge):
            _cast(child)
