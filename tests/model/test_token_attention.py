"""Folded projections give what projecting gives."""

import pytest
import torch

from napari_fastsam3d.model.layers.attention import ProjectedAttention, padding_bias
from napari_fastsam3d.model.layers.token_attention import (
    FewKeysAttention,
    FewQueriesAttention,
    fold_few_tokens,
)
from napari_fastsam3d.model.layers.two_way_transformer import TwoWayTransformer

WIDTH = 24


@pytest.fixture
def attention() -> ProjectedAttention:
    torch.manual_seed(0)
    return ProjectedAttention(WIDTH, 4, downsample=2).double().requires_grad_(False)


def tokens(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, count, WIDTH, generator=generator, dtype=torch.float64)


def hidden(count: int) -> torch.Tensor:
    valid = torch.ones(2, count, dtype=torch.bool)
    valid[0, count // 2 :] = False
    return padding_bias(valid, torch.float64)


@pytest.mark.parametrize("masked", [False, True])
def test_few_queries(attention: ProjectedAttention, masked: bool):
    q, k, v = tokens(3, 1), tokens(40, 2), tokens(40, 3)
    bias = hidden(40) if masked else None

    folded = FewQueriesAttention(attention)(q, k, v, bias)

    torch.testing.assert_close(folded, attention(q, k, v, bias))


@pytest.mark.parametrize("masked", [False, True])
def test_few_keys(attention: ProjectedAttention, masked: bool):
    q, k, v = tokens(40, 1), tokens(4, 2), tokens(4, 3)
    bias = hidden(4) if masked else None
    folded = FewKeysAttention(attention)

    mixed = folded.mix(q, folded.k_proj(k), folded.v_proj(v), bias)

    torch.testing.assert_close(mixed, attention(q, k, v, bias))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_whole_transformer(depth: int):
    torch.manual_seed(1)
    transformer = TwoWayTransformer(WIDTH, depth, heads=4, hidden=32).double()
    transformer.requires_grad_(False)
    given = tokens(5, 4), tokens(64, 5), tokens(64, 6)[:1], hidden(5)
    expected = transformer(*given)

    fold_few_tokens(transformer)

    for ours, theirs in zip(transformer(*given), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
