"""Attention in one place: forms that agree, and what computes it."""

import sys
from types import ModuleType

import pytest
import torch

from napari_fastsam3d.model.layers import attention
from napari_fastsam3d.model.layers.attention import (
    attend,
    attend_to_few,
    attention_choice,
    padding_bias,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def flash_attn(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stands for the package, which needs a GPU to be built."""
    module = ModuleType("flash_attn")
    module.__version__ = "2.9"
    monkeypatch.setitem(sys.modules, "flash_attn", module)
    attention._flash_attn.cache_clear()
    yield module
    attention._flash_attn.cache_clear()


def projections(keys: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(keys)
    q = torch.randn(2, 4, 50, 6, generator=generator)
    k = torch.randn(2, 4, keys, 6, generator=generator)
    return q, k, torch.randn(2, 4, keys, 6, generator=generator)


@pytest.mark.parametrize("keys", [1, 7])
@pytest.mark.parametrize("masked", [False, True])
def test_few_keys_give_what_many_would(keys: int, masked: bool):
    q, k, v = projections(keys)
    valid = torch.ones(2, keys, dtype=torch.bool)
    valid[1, 1:] = False
    bias = padding_bias(valid, torch.float32) if masked else None

    torch.testing.assert_close(attend_to_few(q, k, v, bias), attend(q, k, v, bias))


def test_hidden_keys_count_for_nothing():
    q, k, v = projections(7)
    valid = torch.tensor([[True] * 3 + [False] * 4]).expand(2, -1)

    among = attend(q, k, v, padding_bias(valid, torch.float32))

    torch.testing.assert_close(among, attend(q, k[:, :, :3], v[:, :, :3]))


def test_the_choice_is_told():
    attention._flash_attn.cache_clear()
    assert attention_choice(CPU) == "torch's scaled_dot_product_attention"
    if "flash_attn" not in sys.modules:
        assert "flash-attn is not installed" in attention_choice(GPU)


def test_the_package_is_told_where_it_is_used(flash_attn: ModuleType):
    assert attention_choice(CPU) == "torch's scaled_dot_product_attention"
    assert attention_choice(GPU).startswith("flash-attn 2.9 in half precision")


def test_on_a_cpu_the_package_is_never_called(flash_attn: ModuleType):
    q, k, v = projections(5)

    assert attend(q.half(), k.half(), v.half()).shape == q.shape


def test_a_broken_package_is_as_good_as_none(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "flash_attn.py").write_text("raise OSError('undefined symbol: _ZN3c10')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "flash_attn", raising=False)
    attention._flash_attn.cache_clear()

    assert "not installed" in attention_choice(GPU)
    attention._flash_attn.cache_clear()
