"""Memory attention as published: recalled keys and values mixed into one encoder block."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.memory.case import Case, key_summary
from napari_fastsam3d.model.layers.attention import AttentionLayer, attend

LOCAL = 0.3
"""Share of a crop's own attention in what a block gives on (Memorizing SAM, r)."""


@dataclass(frozen=True)
class Recollection:
    """Keys and values of one remembered case.

    Attributes
    ----------
    keys, values : Tensor
        (heads, T, c), of any precision.
    weight : float
        Its share among those recalled together, which sum to one.
    """

    keys: Tensor
    values: Tensor
    weight: float

    @classmethod
    def of(cls, case: Case, weight: float) -> "Recollection | None":
        """Return what a case has for the encoder; None for one that was kept without."""
        if case.keys is None or case.values is None:
            return None
        return cls(torch.from_numpy(case.keys), torch.from_numpy(case.values), weight)


Choose = Callable[[NDArray[np.float32]], Sequence[Recollection]]
"""From the unit vector of a crop's keys, see `key_summary`, to the cases to be recalled."""


def memory_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    recalled: Sequence[Recollection],
    local: float = LOCAL,
) -> Tensor:
    """Attend to a crop's own tokens and to remembered ones.

    It is r softmax(q K^T) V + (1 - r) sum_j w_j softmax(q K_j^T) V_j, with the bias of relative
    positions in every softmax: remembered tokens lie on the same grid.

    Parameters
    ----------
    q, k, v, bias
        As in `attend`.
    recalled : sequence of Recollection
        None leaves what `attend` gives, to the last bit, and so do cases of crops of another size.
    local : float
        r.
    """
    out = attend(q, k, v, bias)
    if not recalled or any(each.keys.shape[1] != k.shape[2] for each in recalled):
        return out
    out = local * out
    for each in recalled:
        keys, values = each.keys.to(k)[None], each.values.to(v)[None]
        shape = (len(q), *keys.shape[1:])
        mixed = attend(q, keys.expand(shape), values.expand(shape), bias)
        out = out + (1 - local) * each.weight * mixed
    return out


@contextmanager
def recalling(layer: AttentionLayer, choose: Choose) -> Generator[None]:
    """Let a layer attend to what is chosen by its own keys, until the block is left."""

    def mix(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        return memory_attention(q, k, v, bias, choose(key_summary(k[0].float().cpu().numpy())))

    with _replaced(layer, mix):
        yield


@contextmanager
def recording(layer: AttentionLayer) -> Generator[list[NDArray[np.float16]]]:
    """Give a list that holds the layer's keys and values, (heads, T, c), once it was run."""
    kept: list[NDArray[np.float16]] = []

    def mix(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        kept[:] = [x[0].to(torch.float16).cpu().numpy() for x in (k, v)]
        return attend(q, k, v, bias)

    with _replaced(layer, mix):
        yield kept


@contextmanager
def _replaced(
    layer: AttentionLayer, mix: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
) -> Generator[None]:
    before, layer.attention = layer.attention, mix
    try:
        yield
    finally:
        layer.attention = before
