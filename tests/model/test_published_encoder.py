"""The pieces of the image encoder against plain forms of the same mathematics."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.sam_med3d.image_encoder import (
    BlockAttention,
    GlobalAttention,
    GroupedAttention,
    PaddedAttention,
    PatchEmbedding,
    UnfoldedConvolution,
    ViTBlock,
    ViTConfig,
    ViTEncoder,
)

SMALL = ViTConfig(("global",), width=12, heads=2, hidden=24, out_width=6, grid=4, window=7)


def randomised(module: torch.nn.Module, seed: int, scale: float = 0.5) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return module.double().eval().requires_grad_(False)


def published_bias(attention: BlockAttention, q: Tensor) -> Tensor:
    """The bias by the letter of its definition, for queries (heads, n, n, n, c) of a whole grid.

    Gives (heads, n, n, n, n, n, n): query d, h, w, key D, H, W.
    """
    n = q.shape[1]
    tables = {axis: attention.get_parameter(f"rel_pos_{axis}") for axis in "dhw"}
    i = torch.arange(n)
    r = {axis: table[i[:, None] - i + n - 1] for axis, table in tables.items()}
    t_d = torch.einsum("adhwc,dkc->adhwk", q, r["d"])
    t_h = torch.einsum("adhwc,hkc->adhwk", q, r["h"])
    t_w = torch.einsum("adhwc,wkc->adhwk", q, r["w"])
    d, h, w, D, H, W = torch.meshgrid(i, i, i, i, i, i, indexing="ij")
    return t_d[:, d, h, w, W] + t_h[:, d, h, D, W] + t_w[:, d, h, H, W]


def plain_attention(attention: BlockAttention, grid: Tensor) -> Tensor:
    """Attention over a whole grid (n, n, n, width), written out; gives the same shape."""
    n, width = grid.shape[0], grid.shape[-1]
    heads = attention.heads
    qkv = attention.qkv(grid.reshape(n**3, width)).reshape(n**3, 3, heads, width // heads)
    q, k, v = qkv.permute(1, 2, 0, 3)  # (heads, n^3, c)
    bias = published_bias(attention, q.reshape(heads, n, n, n, -1)).reshape(heads, n**3, n**3)
    weights = ((q * (width // heads) ** -0.5) @ k.transpose(1, 2) + bias).softmax(-1)
    return attention.proj((weights @ v).transpose(0, 1).reshape(n, n, n, width))


def padded_attention(attention: PaddedAttention, tokens: Tensor, n: int) -> Tensor:
    """Attention in one window, padded with zeros as the authors' code pads it."""
    m, width = attention.window, tokens.shape[-1]
    grid = torch.zeros(m, m, m, width, dtype=tokens.dtype)
    grid[:n, :n, :n] = tokens.reshape(n, n, n, width)
    return plain_attention(attention, grid)[:n, :n, :n].reshape(1, n**3, width)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    grid=st.integers(2, 4),
    beyond=st.integers(1, 3),
    scale=st.sampled_from([0.05, 0.5, 2.0]),
)
def test_a_padded_window_without_its_padding(seed: int, grid: int, beyond: int, scale: float):
    config = replace(SMALL, grid=grid, window=grid + beyond)
    attention = randomised(PaddedAttention(config), seed, scale)
    x = torch.randn(1, grid**3, config.width, dtype=torch.float64)

    assert isinstance(attention, PaddedAttention)
    expected = padded_attention(attention, x, grid)
    torch.testing.assert_close(attention(x), expected, rtol=1e-9, atol=1e-9)


def test_a_padded_window_at_its_real_size():
    config = ViTConfig(("padded",), width=24, heads=3)
    attention = randomised(PaddedAttention(config), 3).float()
    x = torch.randn(1, 512, 24, generator=torch.Generator().manual_seed(4))

    assert isinstance(attention, PaddedAttention)
    expected = padded_attention(attention, x, 8)
    error = (attention(x) - expected).norm() / expected.norm()
    assert error < 2e-6


@pytest.mark.parametrize("level", [-60.0, 60.0])
def test_padding_that_weighs_nothing_or_all(level: float):
    config = replace(SMALL, grid=2, window=4)
    attention = randomised(PaddedAttention(config), 5)
    assert isinstance(attention, PaddedAttention)
    # Keys beyond the grid are reached by the far entries of the tables.
    attention.rel_pos_w[:2] = level * attention.qkv.bias[:6].reshape(1, 6).sign()
    attention.qkv.bias[:12] = attention.qkv.bias[:6].abs().repeat(2)
    x = torch.randn(1, 8, 12, dtype=torch.float64)

    ours = attention(x)

    assert ours.isfinite().all()
    torch.testing.assert_close(ours, padded_attention(attention, x, 2), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**16), grid=st.integers(1, 4))
def test_global_attention_with_the_published_bias(seed: int, grid: int):
    config = replace(SMALL, grid=grid)
    attention = randomised(GlobalAttention(config), seed)
    x = torch.randn(2, grid**3, config.width, dtype=torch.float64)

    assert isinstance(attention, GlobalAttention)
    expected = [plain_attention(attention, one.reshape(grid, grid, grid, -1)) for one in x]
    torch.testing.assert_close(
        attention(x), torch.stack(expected).reshape(x.shape), rtol=1e-9, atol=1e-9
    )


def test_groups_are_strided_and_stay_in_group_order():
    config = replace(SMALL, groups=8)
    attention = randomised(GroupedAttention(config), 6)
    assert isinstance(attention, GroupedAttention)
    attention = attention.float()
    x = torch.randn(2, 64, 12)

    q, k, v = attention.qkv(x).reshape(2, 64, 3, 2, 6).permute(2, 0, 3, 1, 4)
    parts = []
    for i in range(8):
        weights = (q[:, :, i::8] @ k[:, :, i::8].transpose(-1, -2) / 6**0.5).softmax(-1)
        parts.append(weights @ v[:, :, i::8])
    expected = attention.proj(torch.cat(parts, dim=2).transpose(1, 2).flatten(2))

    assert (attention(x) - expected).norm() < 2e-3 * expected.norm()


@pytest.mark.parametrize("residual", ["standard", "normalised"])
def test_what_the_skip_carries(residual):
    block = randomised(ViTBlock(replace(SMALL, residual=residual), "none"), 7)
    assert isinstance(block, ViTBlock)
    x = torch.randn(1, 64, 12, dtype=torch.float64)
    normalised = block.norm2(x)

    carried = block(x) - block.mlp(normalised)

    torch.testing.assert_close(carried, normalised if residual == "normalised" else x)


def test_patches_are_a_strided_convolution():
    embed = randomised(PatchEmbedding(4, 5), 8)
    assert isinstance(embed, PatchEmbedding)
    image = torch.randn(2, 1, 12, 12, 12, dtype=torch.float64)

    kernel = embed.proj.weight.reshape(5, 1, 4, 4, 4)
    expected = F.conv3d(image, kernel, embed.proj.bias, stride=4)

    torch.testing.assert_close(embed(image), expected.flatten(2).transpose(1, 2))


def test_the_unfolded_convolution_is_a_convolution():
    unfolded = randomised(UnfoldedConvolution(3), 9)
    assert isinstance(unfolded, UnfoldedConvolution)
    x = torch.randn(2, 4, 5, 6, 3, dtype=torch.float64)

    kernel = unfolded.linear.weight.reshape(3, 3, 3, 3, 3).permute(0, 4, 1, 2, 3)
    expected = F.conv3d(x.movedim(-1, 1), kernel, padding=1).movedim(1, -1)

    torch.testing.assert_close(unfolded(x), expected)


@pytest.mark.parametrize("mixing", ["none", "global", "padded", "grouped"])
def test_every_kind_of_block_encodes_and_learns(mixing):
    config = replace(SMALL, mixing=(mixing, mixing), patch=4, groups=8)
    encoder = ViTEncoder(config)
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)

    embedding = encoder(torch.randn(2, 1, 16, 16, 16))
    embedding.square().sum().backward()

    assert embedding.shape == (2, 6, 4, 4, 4)
    assert encoder.pos_embed.grad is not None
    assert encoder.pos_embed.grad.abs().sum() > 0
    if mixing in ("global", "padded"):
        table = encoder.get_parameter("blocks.0.attn.rel_pos_h")
        assert table.grad is not None
        assert table.grad.abs().sum() > 0
