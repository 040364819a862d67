"""Which layers an adapter of each kind lies at, and that everything else is shared untouched."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from small_pyramid import small_pyramid
from torch import nn

from napari_fastsam3d.model.adaptation import KINDS, AdaptedNetwork, AdapterConfig, is_of_encoder
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.layers.adapter import (
    AdapterLayer,
    Bottleneck,
    LowRankLinear,
    ShiftedEmbedding,
    ShiftedLinear,
    ShiftedNorm,
)
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def predictors(small_network: Callable[..., PublishedNetwork]) -> dict[str, BasePredictor]:
    published = PublishedPredictor(small_network(), "small", CPU, torch.float32, "def")
    return {"default": small_pyramid(), "published": published}


def plain_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Layers by name, wherever a wrapper of precision stands around them."""
    named = network.named_modules()
    return {".".join(p for p in name.split(".") if p != "module"): m for name, m in named}


TOKEN_PROJECTIONS = ("q_proj", "v_proj")
DECODERS = {"default": "decoder.", "published": "mask_decoder."}
ENCODERS = {"default": "encoder.", "published": "image_encoder."}
ALWAYS = {
    "default": {"decoder.output_tokens": ShiftedEmbedding, "decoder.quality.2": ShiftedLinear},
    "published": {
        "mask_decoder.mask_tokens": ShiftedEmbedding,
        "mask_decoder.iou_prediction_head.layers.2": ShiftedLinear,
    },
}
LAST = {
    "default": {"decoder.hyper_middle.2", "decoder.hyper_fine.2"},
    "published": {"mask_decoder.output_hypernetworks_mlps.0.layers.2"},
}
GRIDS = {"decoder.block_coarse", "decoder.block_middle", "decoder.conv_fine"}
SKIPS = {"decoder.skip_coarse", "decoder.skip_middle", "decoder.skip_fine"}


def expected(name: str, kind: str, encoder: bool, network: nn.Module) -> dict[str, type]:
    """What the descriptions of the kinds say, layer by layer."""
    encoder = encoder or (name == "published" and kind in ("lora", "bottleneck"))
    apart = ("decoder.candidates.", "mask_decoder.iou_prediction_head.")
    places = dict(ALWAYS[name])
    for path, layer in plain_layers(network).items():
        inside = path.startswith(ENCODERS[name])
        if path in places or path.startswith(apart):
            continue
        if not (path.startswith(DECODERS[name]) or (encoder and inside)):
            continue
        leaf = path.rpartition(".")[2]
        if kind == "norm" and isinstance(layer, nn.LayerNorm):
            places[path] = ShiftedNorm
        elif kind == "norm" and path in LAST[name]:
            places[path] = ShiftedLinear
        elif kind == "lora" and leaf in (*TOKEN_PROJECTIONS, "qkv"):
            if not isinstance(layer, nn.Identity):
                places[path] = LowRankLinear
        elif kind == "bottleneck" and path in SKIPS:
            places[path] = ShiftedLinear
        elif kind == "bottleneck" and (path in GRIDS or _is_block(path, name)):
            places[path] = Bottleneck
    return places


def _is_block(path: str, name: str) -> bool:
    owner, _, leaf = path.rpartition(".")
    blocks = {"default": "encoder.transformer", "published": "image_encoder.blocks"}
    return owner == blocks[name] and leaf.isdigit()


CASES = [*product(("default", "published"), KINDS, (False, True))]


@pytest.mark.parametrize(("name", "kind", "encoder"), CASES)
def test_adapters_lie_where_their_kind_says(name, kind, encoder, predictors):
    predictor = predictors[name]
    adapted = AdaptedNetwork(predictor, AdapterConfig(kind, encoder=encoder))
    found = {path: type(layer) for path, layer in adapted.layers.items()}
    assert found == expected(name, kind, encoder, predictor.network)
    assert adapted.adapts_encoder == any(path.startswith(ENCODERS[name]) for path in found)
    layers = plain_layers(adapted.network)
    assert all(layers[path] is layer for path, layer in adapted.layers.items())
    assert adapted.adapts_encoder == any(map(is_of_encoder, adapted.parameters))


@pytest.mark.parametrize(("name", "kind", "encoder"), CASES)
def test_all_but_the_adapters_is_shared_and_the_network_stays_as_it_was(
    name, kind, encoder, predictors
):
    predictor = predictors[name]
    before = {key: value.clone() for key, value in predictor.network.state_dict().items()}
    adapted = AdaptedNetwork(predictor, AdapterConfig(kind, encoder=encoder))
    own = {id(parameter) for parameter in adapted.parameters.values()}
    shared = {id(parameter) for parameter in predictor.network.parameters()}
    for key, parameter in adapted.network.named_parameters():
        assert (id(parameter) in own) != (id(parameter) in shared), key
    for parameter in adapted.parameters.values():
        parameter.data += 1
    after = predictor.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], value) for key, value in after.items())
    assert not any(isinstance(module, AdapterLayer) for module in predictor.network.modules())


@pytest.mark.parametrize("rank", [1, 3])
def test_a_low_rank_adapter_has_as_many_weights_as_its_rank_says(rank, predictors):
    adapted = AdaptedNetwork(predictors["published"], AdapterConfig("lora", rank=rank))
    for path, layer in adapted.layers.items():
        if isinstance(layer, LowRankLinear):
            out, width = layer.matrix.shape
            fused = path.endswith("qkv")
            updated = 2 * out // 3 if fused else out
            count = sum(parameter.numel() for parameter in layer.own_parameters().values())
            assert count == rank * (width * (2 if fused else 1) + updated)
            if fused:
                third = out // 3
                parts = [(part.start, part.stop) for part in layer.parts]
                assert parts == [(0, third), (2 * third, out)], "queries and values"


@pytest.mark.parametrize("hidden", [2, 16])
def test_a_bottleneck_is_no_wider_than_half_of_what_is_around_it(hidden, predictors):
    adapted = AdaptedNetwork(predictors["default"], AdapterConfig(hidden=hidden, encoder=True))
    widths = {
        path: (layer.down.in_features, layer.down.out_features)
        for path, layer in adapted.layers.items()
        if isinstance(layer, Bottleneck)
    }
    assert len(widths) == 5
    assert widths["decoder.block_coarse"][0] == 16
    assert widths["decoder.conv_fine"][0] == 8
    assert widths["encoder.transformer.0"][0] == 32
    assert all(inner == min(hidden, width // 2) for width, inner in widths.values())


def test_gradients_reach_adapters_and_no_weights_of_the_model(predictors):
    predictor = predictors["published"]
    adapted = AdaptedNetwork(predictor, AdapterConfig("lora"), learns=True)
    embedding = adapted.network.encode(torch.randn(1, 1, 128, 128, 128))
    embedding.square().mean().backward()
    reached = [name for name, each in adapted.parameters.items() if each.grad is not None]
    assert reached
    assert all(is_of_encoder(name) and (".up." in name or ".down." in name) for name in reached)
    assert all(parameter.grad is None for parameter in predictor.network.parameters())
