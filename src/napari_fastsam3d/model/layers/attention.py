"""Attention, in one place: every network of the package comes through `attend`."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""Queries, keys, values and bias to mixed values; see `attend`."""


class AttentionLayer(Protocol):
    """A layer whose way of mixing values may be replaced."""

    attention: Attention


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention.

    Parameters
    ----------
    q, k, v : Tensor
        Queries (B, heads, Nq, c), keys and values (B, heads, Nk, c).
        The values may be of lower precision than the queries and keys.
    bias : Tensor, optional
        Added to the scaled logits, broadcastable to (B, heads, Nq, Nk).

    Returns
    -------
    Tensor
        (B, heads, Nq, c), of the values' dtype.

    Notes
    -----
    It is torch's `scaled_dot_product_attention`, but where the flash-attn package is installed and
    supports the case: on CUDA, in half precision, without a bias. The package is never required.
    """
    if bias is None and q.is_cuda and _half(q.dtype) and (flash := _flash_attn()):
        out = flash.flash_attn_func(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return out.transpose(1, 2)
    if v.dtype != q.dtype:
        return _attend_mixed(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _attend_mixed(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Keep logits and softmax exact, and weigh the values at their own, lower precision."""
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        logits = logits.add_(bias)
    return logits.softmax(dim=-1).to(v.dtype) @ v


def attend_to_few(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Do as `attend` does, where there are many queries and few keys.

    On a CPU the softmax runs along the queries then, which lie side by side in memory: several
    times faster than along a handful of keys. `bias` must be the same for all queries,
    (B, 1, 1, Nk).
    """
    if q.is_cuda:
        return attend(q, k, v, bias)
    logits = (k * k.shape[-1] ** -0.5) @ q.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias.transpose(-2, -1)
    return logits.softmax(dim=-2).transpose(-2, -1) @ v


def _half(dtype: torch.dtype) -> bool:
    return dtype in (torch.float16, torch.bfloat16)


@lru_cache(maxsize=1)
def _flash_attn() -> ModuleType | None:
    try:
        return import_module("flash_attn")
    except (ImportError, OSError, RuntimeError):  # built for another torch, it fails in all ways
        return None


def attention_choice(device: torch.device) -> str:
    """Say in a few words what computes attention on a device, for `doctor` and `bench`."""
    if device.type != "cuda":
        return "torch's scaled_dot_product_attention"
    flash = _flash_attn()
    if flash is None:
        return "torch's scaled_dot_product_attention (flash-attn is not installed)"
    version = getattr(flash, "__version__", "of an unknown version")
    return f"flash-attn {version} in half precision without bias, else torch's"


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Turn (B, N, heads * c) into (B, heads, N, c)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """Turn (B, heads, N, c) into (B, N, heads * c)."""
    return x.transpose(1, 2).flatten(-2)


class ProjectedAttention(nn.Module):
    """Attention with its own projections of queries, keys and values (Kirillov et al. 2023).

    Parameters
    ----------
    width : int
        Channels of all inputs and of the output.
    heads : int
        Number of heads.
    downsample : int
        The inner width is `width // downsample`.

    Attributes
    ----------
    attention : callable
        What mixes the values: `attend`, or another form of it.
    """

    def __init__(self, width: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        inner = width // downsample
        self.heads = heads
        self.attention: Attention = attend
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend from q (B, Nq, width) to k, v (B, Nk, width); gives (B, Nq, width)."""
        return self.mix(self.q_proj(q), self.k_proj(k), self.v_proj(v), bias)

    def mix(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Attend with what is projected already: q, k, v (B, N, inner); gives (B, Nq, width)."""
        q, k, v = (split_heads(x, self.heads) for x in (q, k, v))
        return self.out_proj(join_heads(self.attention(q, k, v, bias)))


class SelfAttention(nn.Module):
    """Self-attention with one fused projection, as in a vision transformer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention: Attention = attend
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among x (B, N, width); gives (B, N, width)."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        return self.proj(join_heads(self.attention(q, k, v, None)))


def padding_bias(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn (B, Nk) bool into an attention bias (B, 1, 1, Nk) that hides what is not valid."""
    bias = torch.zeros(valid.shape, dtype=dtype, device=valid.device)
    return bias.masked_fill(~valid, float("-inf"))[:, None, None, :]
