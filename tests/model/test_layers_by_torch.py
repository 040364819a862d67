"""Layers against torch's own of the same mathematics, and against loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from napari_fastsam3d.model.default.image_encoder import (
    FRAME,
    AffinityKeys,
    Pyramid,
    TransformerBlock,
    for_samples,
    grid_encoding,
)
from napari_fastsam3d.model.layers.attention import (
    ProjectedAttention,
    SelfAttention,
    attend,
    attend_to_few,
    join_heads,
    padding_bias,
    split_heads,
)
from napari_fastsam3d.model.layers.convolution import (
    Expand,
    Merge,
    ResidualBlock,
    depth_to_space,
    space_to_depth,
)
from napari_fastsam3d.model.layers.fourier_position import FourierPosition
from napari_fastsam3d.model.layers.linear import (
    LowPrecisionLinear,
    OneDnnLinear,
    TiedLinear,
    matrix_of,
    offset_of,
)
from napari_fastsam3d.model.layers.relative_position import (
    RelativePosition,
    padded_logit,
    padding_products,
)
from napari_fastsam3d.model.layers.token_attention import fold_few_tokens
from napari_fastsam3d.model.layers.two_way_transformer import TokenMLP, TwoWayTransformer
from napari_fastsam3d.model.normalisation import foreground_contrast, tensor_foreground_contrast
from napari_fastsam3d.model.sam_med3d.prompt_encoder import ChannelNorm, StridedConvolution

SEEDS = st.integers(0, 2**31 - 1)
few = settings(max_examples=15)
close = {"atol": 1e-9, "rtol": 1e-7}


def drawn(seed, *shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def exact(module, seed=0):
    """A module of random weights, in double precision and without gradients."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    return module.double().eval().requires_grad_(False)


def plain_attention(q, k, v, heads, bias=None):
    """Every head by itself, as in the paper."""
    parts = []
    for head in range(heads):
        one, other, values = (x.chunk(heads, -1)[head] for x in (q, k, v))
        logits = one @ other.transpose(1, 2) / math.sqrt(one.shape[-1])
        logits = logits if bias is None else logits + bias[:, 0]
        parts.append(logits.softmax(-1) @ values)
    return torch.cat(parts, -1)


@few
@given(SEEDS, st.sampled_from([1, 2, 4]), st.integers(1, 6), st.integers(1, 6))
def test_self_attention_is_torch_s_multihead_attention(seed, heads, batch, tokens):
    ours = exact(SelfAttention(8, heads), seed)
    theirs = nn.MultiheadAttention(8, heads, batch_first=True).double()
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight, ours.qkv.bias
    theirs.out_proj.load_state_dict(ours.proj.state_dict())
    x = drawn(seed, batch, tokens, 8)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0].detach(), **close)


@few
@given(SEEDS, st.sampled_from([1, 2]), st.sampled_from([1, 2]))
def test_projected_attention_is_that_of_each_head(seed, heads, downsample):
    layer = exact(ProjectedAttention(8, heads, downsample), seed)
    q, k, v = drawn(seed, 2, 5, 8), drawn(seed + 1, 2, 7, 8), drawn(seed + 2, 2, 7, 8)
    bias = padding_bias(drawn(seed + 3, 2, 7) > -0.5, torch.float64)
    bias[:, :, :, 0] = 0
    mixed = plain_attention(layer.q_proj(q), layer.k_proj(k), layer.v_proj(v), heads, bias)
    torch.testing.assert_close(layer(q, k, v, bias), layer.out_proj(mixed), **close)


@few
@given(SEEDS, st.integers(1, 9), st.integers(1, 4))
def test_both_ways_to_attend_are_one(seed, queries, keys):
    q, k, v = (drawn(seed + n, 2, 3, m, 4) for n, m in enumerate((queries, keys, keys)))
    torch.testing.assert_close(attend_to_few(q, k, v), attend(q, k, v), **close)
    half = attend(q.float(), k.float(), v.to(torch.bfloat16))
    torch.testing.assert_close(half.double(), attend(q, k, v), atol=5e-2, rtol=5e-2)


@few
@given(SEEDS, st.sampled_from([1, 2, 3]))
def test_heads_split_and_join(seed, heads):
    x = drawn(seed, 2, 5, 6)
    apart = split_heads(x, heads)
    assert apart.shape == (2, heads, 5, 6 // heads)
    assert torch.equal(join_heads(apart), x)
    assert torch.equal(apart[:, 0], x[..., : 6 // heads])


@pytest.mark.parametrize("valid", [[True, False, True], [True] * 3, [False] * 3])
def test_a_padding_bias_hides_what_is_not_valid(valid):
    bias = padding_bias(torch.tensor([valid]), torch.float32)
    assert bias.shape == (1, 1, 1, 3)
    assert bias.flatten().tolist() == [0.0 if v else -math.inf for v in valid]


@few
@given(SEEDS)
def test_a_transformer_block_is_torch_s_with_the_norm_first(seed):
    ours = exact(TransformerBlock(8, 2), seed)
    theirs = nn.TransformerEncoderLayer(
        8,
        2,
        32,
        dropout=0,
        activation=lambda x: F.gelu(x, approximate="tanh"),
        batch_first=True,
        norm_first=True,
    ).double()
    theirs.self_attn.in_proj_weight.data = ours.attn.qkv.weight
    theirs.self_attn.in_proj_bias.data = ours.attn.qkv.bias
    theirs.self_attn.out_proj.load_state_dict(ours.attn.proj.state_dict())
    theirs.norm1.load_state_dict(ours.norm1.state_dict())
    theirs.norm2.load_state_dict(ours.norm2.state_dict())
    theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
    theirs.linear2.load_state_dict(ours.mlp[2].state_dict())
    x = drawn(seed, 2, 5, 8)
    torch.testing.assert_close(ours(x), theirs(x).detach(), **close)


@few
@given(SEEDS, st.integers(1, 3))
def test_the_two_way_transformer_by_the_letter_of_its_paper(seed, depth):
    """Kirillov et al. 2023, appendix A: self-attention, to the image, an MLP, back from it."""
    network = exact(TwoWayTransformer(8, depth, 2, 12), seed)
    tokens, image, place = drawn(seed, 2, 3, 8), drawn(seed + 1, 2, 6, 8), drawn(seed + 2, 2, 6, 8)
    found = network(tokens, image, place)

    def attended(layer, q, k, v):
        mixed = plain_attention(layer.q_proj(q), layer.k_proj(k), layer.v_proj(v), layer.heads)
        return layer.out_proj(mixed)

    x, y = tokens, image
    for number, block in enumerate(network.layers):
        if number == 0:
            x = attended(block.self_attn, x, x, x)
        else:
            x = x + attended(block.self_attn, x + tokens, x + tokens, x)
        x = block.norm1(x)
        x = block.norm2(x + attended(block.cross_attn_token_to_image, x + tokens, y + place, y))
        x = block.norm3(x + block.mlp.lin2(F.relu(block.mlp.lin1(x))))
        y = block.norm4(y + attended(block.cross_attn_image_to_token, y + place, x + tokens, x))
    x = x + attended(network.final_attn_token_to_image, x + tokens, y + place, y)
    torch.testing.assert_close(found[0], network.norm_final_attn(x), **close)
    torch.testing.assert_close(found[1], y, **close)


@few
@given(SEEDS, st.integers(1, 4))
def test_padding_tokens_and_folding_change_no_transformer(seed, fillers):
    network = exact(TwoWayTransformer(8, 2, 2, 12), seed)
    tokens, image, place = drawn(seed, 1, 3, 8), drawn(seed + 1, 1, 6, 8), drawn(seed + 2, 1, 6, 8)
    wanted = network(tokens, image, place)
    filled = torch.cat([tokens, drawn(seed + 3, 1, fillers, 8)], 1)
    bias = padding_bias(torch.arange(3 + fillers)[None] < 3, torch.float64)
    for fold in (False, True):
        if fold:
            fold_few_tokens(network)
        found = network(filled, image, place, bias)
        torch.testing.assert_close(found[0][:, :3], wanted[0], **close)
        torch.testing.assert_close(found[1], wanted[1], **close)


@few
@given(SEEDS)
def test_a_token_mlp_has_one_relu(seed):
    layer = exact(TokenMLP(4, 6), seed)
    x = drawn(seed, 2, 3, 4)
    hidden = (x @ layer.lin1.weight.T + layer.lin1.bias).clamp(min=0)
    torch.testing.assert_close(layer(x), hidden @ layer.lin2.weight.T + layer.lin2.bias, **close)


@few
@given(SEEDS, st.integers(1, 3), st.integers(1, 4))
def test_merging_is_a_strided_convolution_and_expanding_its_transpose(seed, width, out):
    x = drawn(seed, 2, 4, 6, 2, width)
    merge, expand = exact(Merge(width, out), seed), exact(Expand(width, out), seed)
    kernel = merge.linear.weight.view(out, 2, 2, 2, width).permute(0, 4, 1, 2, 3)
    wanted = F.conv3d(x.movedim(-1, 1), kernel, merge.linear.bias, stride=2).movedim(1, -1)
    torch.testing.assert_close(merge(x), wanted, **close)
    kernel = expand.linear.weight.view(2, 2, 2, out, width).permute(4, 3, 0, 1, 2)
    wide = F.conv_transpose3d(x.movedim(-1, 1), kernel, stride=2).movedim(1, -1)
    offset = expand.linear.bias.view(2, 2, 2, out)
    wide = wide + offset.repeat(4, 6, 2, 1)
    torch.testing.assert_close(expand(x), wide, **close)


@few
@given(SEEDS)
def test_depth_and_space_are_exchanged_and_back(seed):
    x = drawn(seed, 2, 4, 2, 6, 3)
    assert torch.equal(depth_to_space(space_to_depth(x)), x)
    assert torch.equal(space_to_depth(x)[0, 1, 0, 2, :3], x[0, 2, 0, 4])
    assert torch.equal(space_to_depth(x)[0, 1, 0, 2, -3:], x[0, 3, 1, 5])


def test_a_residual_block_begins_as_the_identity_and_is_torch_s_convolutions():
    x = drawn(0, 1, 4, 5, 3, 2)
    block = ResidualBlock(2).double()
    block.conv2.conv.bias.data.zero_()
    assert torch.equal(block(x).detach(), x)
    exact(block, 1)
    y = F.layer_norm(x, (2,), block.norm.weight, block.norm.bias).movedim(-1, 1)
    for number, conv in enumerate((block.conv1.conv, block.conv2.conv)):
        y = F.conv3d(
            y if number == 0 else F.gelu(y, approximate="tanh"), conv.weight, conv.bias, padding=1
        )
    torch.testing.assert_close(block(x), x + y.movedim(1, -1), **close)


@few
@given(SEEDS, st.sampled_from([("sin", "cos"), ("sin", "cos", "sin")]))
def test_fourier_positions_are_waves_of_random_frequencies(seed, waves):
    layer = FourierPosition(6 * len(waves), waves=waves).double()
    at = torch.rand(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = layer(at).numpy()
    for place, encoded in zip(at.numpy(), found, strict=True):
        phase = 2 * np.pi * ((2 * place - 1) @ layer.frequencies.numpy())
        wanted = np.concatenate([getattr(np, wave)(phase) for wave in waves])
        np.testing.assert_allclose(encoded, wanted, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_a_smaller_crop_sees_the_same_frequencies_per_voxel(size):
    position = FourierPosition(8)
    found = grid_encoding(position, size).view(size, size, size, 8)
    whole = grid_encoding(position, size + 2).view(size + 2, size + 2, size + 2, 8)
    torch.testing.assert_close(found, whole[1:-1, 1:-1, 1:-1], atol=1e-5, rtol=1e-5)
    middle = position(torch.full((1, 3), 0.5))
    nearest = position(torch.tensor([[0.5 + (8 * (1 - size % 2)) / FRAME] * 3]))
    torch.testing.assert_close(found[(size // 2,) * 3], (middle if size % 2 else nearest)[0])


@few
@given(SEEDS, st.integers(1, 3))
def test_affinity_keys_are_unit_vectors_of_a_projection(seed, heads):
    layer = exact(AffinityKeys(4, heads, 5), seed)
    x = drawn(seed, 2, 2, 3, 2, 4)
    found = layer(x)
    assert found.shape == (2, heads, 5, 12)
    raw = layer.linear(layer.norm(x)).view(2, 12, heads, 5).permute(0, 2, 3, 1)
    torch.testing.assert_close(found, F.normalize(raw, dim=2), atol=1e-6, rtol=1e-5)


@few
@given(SEEDS, st.integers(1, 3), st.integers(1, 4))
def test_samples_of_a_crop_follow_one_another(seed, crops, times):
    x = drawn(seed, crops, 2, 3)
    found = for_samples(x, crops * times)
    assert all(torch.equal(found[n], x[n // times]) for n in range(crops * times))
    pyramid = Pyramid(*(drawn(seed + n, crops, 2) for n in range(8)))
    many = pyramid.for_samples(crops * times)
    assert torch.equal(many.coarse, pyramid.coarse.repeat_interleave(times, 0))


@few
@given(SEEDS, st.integers(2, 3), st.integers(0, 2))
def test_relative_positions_are_those_that_the_definition_names(seed, n, beyond):
    m = n + beyond
    layer = exact(RelativePosition(4, n, m), seed)
    q = drawn(seed, 1, 2, n**3, 4)
    tables = layer.tables(q)
    grid = q.view(2, n, n, n, 4)
    for axis, table in zip("dhw", (tables.d, tables.h, tables.w), strict=True):
        offsets = layer.get_parameter(f"rel_pos_{axis}")
        for d, h, w, k in np.ndindex(n, n, n, m):
            place = {"d": d, "h": h, "w": w}[axis]
            wanted = grid[:, d, h, w] @ offsets[place - k + m - 1]
            torch.testing.assert_close(table[0, :, d * n + h, w, k], wanted, **close)
    bias = tables.bias().view(2, n, n, n, n, n, n)
    t = {
        a: x[0].view(2, n, n, n, m)
        for a, x in zip("dhw", (tables.d, tables.h, tables.w), strict=True)
    }
    for d, h, w, D, H, W in np.ndindex(*(n,) * 6):
        wanted = t["d"][:, d, h, w, W] + t["h"][:, d, h, D, W] + t["w"][:, d, h, H, W]
        torch.testing.assert_close(bias[:, d, h, w, D, H, W], wanted, **close)


@few
@given(SEEDS)
def test_all_padded_places_weigh_as_one_with_the_sum_of_their_exponentials(seed):
    n, m = 2, 4
    layer = exact(RelativePosition(3, n, m), seed)
    q, query = drawn(seed, 1, 2, n**3, 3), drawn(seed + 1, 2, 3)
    tables = layer.tables(q)
    products = padding_products(query, layer.offsets)
    window = torch.zeros(2, m, m, m, 3, dtype=torch.float64) + query[:, None, None, None]
    window[:, :n, :n, :n] = q[0].view(2, n, n, n, 3)
    full = RelativePosition(3, m, m).double()
    full.load_state_dict(layer.state_dict())
    bias = full.tables(window.view(1, 2, m**3, 3)).bias().view(2, m, m, m, m, m, m)
    real = torch.zeros(m, m, m, dtype=torch.bool)
    real[:n, :n, :n] = True
    wanted = bias[:, :n, :n, :n][..., ~real].logsumexp(-1).reshape(2, n**3)
    found = padded_logit(tables, products)[0, ..., 0]
    torch.testing.assert_close(found, wanted.detach(), atol=1e-5, rtol=1e-5)


@few
@given(SEEDS, st.integers(1, 4), st.sampled_from([True, False]))
def test_prepared_linear_layers_give_what_torch_s_gives(seed, rows, bias):
    linear = exact(nn.Linear(6, 5, bias=bias), seed).float()
    x = drawn(seed, 2, rows, 6, dtype=torch.float32)
    wanted = F.linear(x, linear.weight, linear.bias)
    one_dnn = OneDnnLinear(linear.weight, linear.bias)
    torch.testing.assert_close(one_dnn(x), wanted, atol=1e-5, rtol=1e-5)
    lower = LowPrecisionLinear(linear.weight, linear.bias, torch.bfloat16)
    torch.testing.assert_close(lower(x), wanted, atol=0.15, rtol=0.05)
    for prepared in (one_dnn, lower):
        torch.testing.assert_close(matrix_of(prepared), linear.weight, atol=1e-2, rtol=1e-2)
        offset = torch.zeros(5) if linear.bias is None else linear.bias
        torch.testing.assert_close(offset_of(prepared), offset, atol=1e-2, rtol=1e-2)


def test_tied_groups_are_a_linear_layer_with_a_bias_again_and_again():
    tied = exact(TiedLinear(4, 3, 2))
    x = drawn(1, 5, 4)
    first, second = (x @ part.T + tied.bias for part in tied.weight.chunk(2))
    torch.testing.assert_close(tied(x), torch.cat([first, second], -1), **close)


@few
@given(SEEDS, st.integers(1, 3), st.integers(1, 3))
def test_the_mask_prompt_s_layers_are_torch_s(seed, width, out):
    layer = exact(StridedConvolution(width, out), seed)
    x = drawn(seed, 2, width, 4, 2, 6)
    kernel = layer.weight.view(out, 2, 2, 2, width).permute(0, 4, 1, 2, 3)
    torch.testing.assert_close(layer(x), F.conv3d(x, kernel, layer.bias, stride=2), **close)
    norm = exact(ChannelNorm(width), seed)
    wanted = F.layer_norm(x.movedim(1, -1), (width,), norm.weight, norm.bias, 1e-6).movedim(-1, 1)
    torch.testing.assert_close(norm(x), wanted, **close)


@few
@given(SEEDS, st.floats(0.01, 1000), st.floats(-2000, 2000))
def test_a_gpu_normalises_as_a_cpu_does(seed, scale, offset):
    rng = np.random.default_rng(seed)
    crop = (scale * rng.normal(size=(9, 9, 9)) + offset).astype(np.float32)
    inside = tuple(np.arange(9) < n for n in rng.integers(0, 10, 3))
    found = tensor_foreground_contrast(torch.from_numpy(crop), inside).numpy()
    slack = 1e-3 + 2e-6 * abs(offset) / scale
    np.testing.assert_allclose(found, foreground_contrast(crop, inside), atol=slack, rtol=slack)
