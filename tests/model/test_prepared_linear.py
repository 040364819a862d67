"""Linear layers made ready for inference give what they gave before."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.linear import (
    LowPrecisionLinear,
    OneDnnLinear,
    TiedLinear,
    gelu_of,
    lower_linears,
    matrix_of,
    offset_of,
    pack_linears,
    times,
    working_dtype,
)

HAS_ONEDNN = torch.backends.mkldnn.is_available()
needs_onednn = pytest.mark.skipif(not HAS_ONEDNN, reason="this torch has no oneDNN")


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(12)
        self.inner = nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 6, bias=False))
        self.tied = TiedLinear(6, 3, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tied(self.inner(self.norm(x)))


@pytest.fixture
def network() -> Nested:
    torch.manual_seed(0)
    made = Nested()
    nn.init.normal_(made.tied.bias)
    return made.requires_grad_(False)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))


@needs_onednn
def test_packed_layers_agree(network: Nested, x: torch.Tensor):
    expected = network(x)

    pack_linears(network)

    assert isinstance(network.inner[0], OneDnnLinear)
    assert isinstance(network.tied, OneDnnLinear)
    assert isinstance(network.norm, nn.LayerNorm)
    torch.testing.assert_close(network(x), expected, rtol=1e-5, atol=1e-6)


def test_lowered_layers_are_close_and_answer_in_kind(network: Nested, x: torch.Tensor):
    expected = network(x)

    lower_linears(network, torch.bfloat16)
    answer = network(x)

    assert isinstance(network.inner[2], LowPrecisionLinear)
    assert answer.dtype == torch.float32
    assert 0 < (answer - expected).norm() < 2e-2 * expected.norm()
    assert network.inner(x.bfloat16()).dtype == torch.bfloat16


def test_lowered_layers_are_left_alone_by_packing(network: Nested):
    lower_linears(network, torch.bfloat16)

    pack_linears(network)

    assert isinstance(network.inner[0], LowPrecisionLinear)


def test_groups_share_a_bias(network: Nested):
    y = torch.randn(4, 6)

    groups = network.tied(y).unflatten(-1, (8, 3))

    weight = network.tied.weight.unflatten(0, (8, 3))
    expected = torch.einsum("nc,goc->ngo", y, weight) + network.tied.bias
    torch.testing.assert_close(groups, expected)


@pytest.mark.parametrize("prepare", ["as it is", "lowered", "packed"])
def test_weights_can_be_asked_for(network: Nested, prepare: str):
    layer, bare = network.inner[0], network.inner[2]
    weight, bias = layer.weight.clone(), layer.bias.clone()
    if prepare == "lowered":
        lower_linears(network, torch.bfloat16)
    elif prepare == "packed":
        pack_linears(network)

    tolerance = 1e-2 if prepare == "lowered" else 0
    for asked, value in ((matrix_of, weight), (offset_of, bias)):
        told = asked(network.inner[0])
        assert told.dtype == torch.float32
        torch.testing.assert_close(told, value, rtol=tolerance, atol=tolerance)
    if prepare != "as it is":
        assert torch.equal(offset_of(network.inner[2]), torch.zeros(6))
    assert matrix_of(bare).shape == (6, 20)
    expected = torch.bfloat16 if prepare == "lowered" else torch.float32
    assert working_dtype(network.inner[0]) == expected


@pytest.mark.parametrize("pack", [False, pytest.param(True, marks=needs_onednn)])
def test_activations_may_stay_with_the_library(network: Nested, pack: bool):
    rows = torch.randn(24, 12)
    matrix = torch.randn(5, 2)
    hidden = F.gelu(network.inner[0](rows))
    expected = network.inner[2](hidden), hidden.reshape(-1, 5) @ matrix
    if pack:
        pack_linears(network)

    inside = gelu_of(network.inner[0], rows)

    assert inside.is_mkldnn == pack
    torch.testing.assert_close(network.inner[2](inside), expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        times(inside.reshape(-1, 5), matrix), expected[1], rtol=1e-5, atol=1e-5
    )


@needs_onednn
def test_odd_inputs_of_a_packed_layer(network: Nested):
    layer = network.inner[0]
    x = torch.randn(12, 7).T  # not contiguous
    packed = OneDnnLinear(layer.weight, layer.bias)

    torch.testing.assert_close(packed(x), layer(x), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(packed(x[0]), layer(x[0]), rtol=1e-5, atol=1e-6)
    assert packed(x.half()).dtype == torch.float16


def test_without_the_library_nothing_changes(
    network: Nested, x: torch.Tensor, monkeypatch: pytest.MonkeyPatch
):
    expected = network(x)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)

    pack_linears(network)

    assert torch.equal(network(x), expected)
