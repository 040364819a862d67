"""Layers that adapt, beside the plain layers whose weights they stand for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.adapter import (
    Bottleneck,
    LowRankLinear,
    ShiftedEmbedding,
    ShiftedLinear,
    ShiftedNorm,
)
from napari_fastsam3d.model.layers.convolution import SeparableBlock
from napari_fastsam3d.model.layers.linear import (
    LowPrecisionLinear,
    OneDnnLinear,
    matrix_of,
    offset_of,
    unpack_linears,
)

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=15)


def drawn(layer: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.own_parameters().values():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return layer


@few
@given(SEEDS, st.integers(1, 4), st.booleans())
def test_a_low_rank_update_is_a_linear_layer_of_the_summed_weights(seed, rank, prepared):
    torch.manual_seed(seed)
    plain = nn.Linear(5, 9)
    base = OneDnnLinear(plain.weight, plain.bias) if prepared else plain
    layer = drawn(LowRankLinear(base, rank, (slice(0, 3), slice(6, 9))), seed)
    wanted = plain.weight.detach().double().numpy().copy()
    for part, down, up in zip(layer.parts, layer.down, layer.up, strict=True):
        for row in range(part.start, part.stop):
            for column in range(5):
                terms = up[row - part.start].double() * down[:, column].double()
                wanted[row, column] += float(terms.sum())
    np.testing.assert_allclose(layer.matrix.detach().numpy(), wanted, rtol=1e-4, atol=1e-4)
    x = torch.randn(2, 4, 5)
    alone = F.linear(x.double(), torch.from_numpy(wanted), plain.bias.double())
    torch.testing.assert_close(layer(x).double(), alone, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer(x)[..., 3:6], base(x)[..., 3:6]), "keys are left as they were"
    torch.testing.assert_close(layer.offset, plain.bias.detach())
    assert torch.equal(matrix_of(layer), layer.matrix)
    assert torch.equal(offset_of(layer), layer.offset)


def test_a_low_rank_update_answers_in_the_precision_of_its_layer():
    base = LowPrecisionLinear(torch.randn(4, 3), None, torch.bfloat16)
    layer = drawn(LowRankLinear(base, 2), 0)
    assert layer.dtype == torch.bfloat16
    assert layer(torch.randn(5, 3)).dtype == torch.float32
    assert layer(torch.randn(5, 3).bfloat16()).dtype == torch.bfloat16
    assert not layer.offset.any()


@few
@given(SEEDS)
def test_shifts_are_added_to_weights_and_biases(seed):
    torch.manual_seed(seed)
    norm, linear, tokens = nn.LayerNorm(6), nn.Linear(6, 4, bias=False), nn.Embedding(3, 6)
    nn.init.normal_(norm.weight)
    x = torch.randn(2, 5, 6)
    shifted = drawn(ShiftedNorm(norm), seed)
    centred = x.double() - x.double().mean(-1, keepdim=True)
    standard = centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    gain = norm.weight + shifted.weight_shift
    offset = norm.bias + shifted.bias_shift
    torch.testing.assert_close(shifted(x).double(), standard * gain + offset, rtol=1e-4, atol=1e-4)

    other = drawn(ShiftedLinear(linear), seed)
    assert other.bias is None
    assert list(other.own_parameters()) == ["weight_shift"]
    torch.testing.assert_close(other(x), x @ (linear.weight + other.weight_shift).T)

    learnt = drawn(ShiftedEmbedding(tokens), seed)
    assert learnt.num_embeddings == 3
    places = torch.tensor([2, 0])
    wanted = tokens.weight[places] + learnt.weight_shift[places]
    torch.testing.assert_close(learnt(places), wanted)
    torch.testing.assert_close(learnt.weight, tokens.weight + learnt.weight_shift)


def bottleneck_by_loops(layer: Bottleneck, y: np.ndarray) -> np.ndarray:
    """What is added to channels-last y (B, D, H, W, C), voxel by voxel in float64."""
    own = {name: p.detach().double().numpy() for name, p in layer.own_parameters().items()}
    mean, variance = y.mean(-1, keepdims=True), y.var(-1, keepdims=True)
    normed = (y - mean) / np.sqrt(variance + layer.norm.eps)
    normed = normed * own["norm.weight"] + own["norm.bias"]
    hidden = normed @ own["down.weight"].T + own["down.bias"]
    padded = np.pad(hidden, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    seen = hidden + own["depthwise.bias"]
    d, h, w = hidden.shape[1:4]
    for i, j, k in np.ndindex(3, 3, 3):
        kernel = own["depthwise.weight"][:, 0, i, j, k]
        seen = seen + padded[:, i : i + d, j : j + h, k : k + w] * kernel
    cubed = seen + 0.044715 * seen**3
    active = 0.5 * seen * (1 + np.tanh(np.sqrt(2 / np.pi) * cubed))
    return active @ own["up.weight"].T + own["up.bias"]


@settings(max_examples=8)
@given(SEEDS, st.booleans())
def test_a_bottleneck_adds_what_each_voxel_and_its_neighbours_say(seed, as_tokens):
    torch.manual_seed(seed)
    layer = drawn(Bottleneck(nn.Linear(4, 6), 6, 2), seed)
    x = torch.randn(2, 27, 4) if as_tokens else torch.randn(2, 2, 3, 4, 4)
    base = layer.base(x)
    grid = base.unflatten(1, (3, 3, 3)) if as_tokens else base
    y = grid.detach().double().numpy()
    wanted = (y + bottleneck_by_loops(layer, y)).reshape(base.shape)
    for learning in (True, False):
        with torch.set_grad_enabled(learning):
            got = layer(x)
        np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda: LowRankLinear(nn.Linear(4, 6), 2), torch.randn(3, 4)),
        (lambda: ShiftedNorm(nn.LayerNorm(4)), torch.randn(3, 4)),
        (lambda: ShiftedLinear(nn.Linear(4, 6)), torch.randn(3, 4)),
        (lambda: ShiftedEmbedding(nn.Embedding(3, 4)), torch.tensor([0, 2])),
        (lambda: Bottleneck(nn.Linear(4, 6), 6, 2), torch.randn(1, 2, 2, 2, 4)),
    ],
    ids=["low rank", "norm", "linear", "tokens", "bottleneck"],
)
def test_untrained_layers_change_no_bit_and_learn_without_their_base(make, x):
    layer = make()
    layer.base.requires_grad_(False)
    assert torch.equal(layer(x), layer.base(x))
    layer(x).square().sum().backward()
    assert all(parameter.grad is None for parameter in layer.base.parameters())
    grads = {name: p.grad for name, p in layer.own_parameters().items() if p.grad is not None}
    assert any(grad.any() for grad in grads.values())
    assert not any(name.startswith("base.") for name in layer.own_parameters())


def test_plain_layers_take_the_place_of_those_that_gradients_do_not_pass():
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))
    packed = nn.Sequential(
        OneDnnLinear(plain[0].weight, plain[0].bias),
        nn.ReLU(),
        nn.Sequential(OneDnnLinear(plain[2][0].weight, None)),
    )
    unpack_linears(packed)
    x = torch.randn(5, 3, requires_grad=True)
    packed(x).sum().backward()
    assert x.grad.any()
    torch.testing.assert_close(packed[0](x), plain[0](x))
    torch.testing.assert_close(packed[2][0].bias, torch.zeros(2))
    assert not any(parameter.requires_grad for parameter in packed.parameters())


@few
@given(SEEDS)
def test_a_separable_block_is_a_depthwise_convolution_and_an_mlp(seed):
    torch.manual_seed(seed)
    block = SeparableBlock(3)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, 4, 2, 3)
    seen = F.conv3d(
        x.permute(0, 4, 1, 2, 3), block.conv.weight, block.conv.bias, padding=1, groups=3
    )
    normed = F.layer_norm(seen.permute(0, 2, 3, 4, 1), (3,), block.norm.weight, block.norm.bias)
    first, _, last = block.mlp
    wanted = x + F.linear(F.linear(normed, first.weight, first.bias).relu(), last.weight, last.bias)
    for learning in (True, False):
        with torch.set_grad_enabled(learning):
            torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-4)
