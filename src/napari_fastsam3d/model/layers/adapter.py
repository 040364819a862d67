"""Layers that adapt a frozen layer to a structure; untrained they change no bit of its output."""

from collections.abc import Sequence
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.model.layers.linear import (
    PreparedLinear,
    matrix_of,
    offset_of,
    working_dtype,
)


class AdapterLayer(nn.Module):
    """A frozen layer, its weights shared with the network it came from, and a few of its own."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def own_parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name; the frozen layer has no part in it."""
        named = self.named_parameters()
        return {name: each for name, each in named if not name.startswith("base.")}


class LowRankLinear(AdapterLayer, PreparedLinear):
    """A linear layer with low-rank updates of some of its outputs (Hu et al. 2022, LoRA).

    Parameters
    ----------
    base : Module
        Maps (..., width) to (..., out), prepared for inference or not.
    rank : int
    parts : sequence of slice, optional
        Outputs that are updated, each by a pair of matrices of its own, such as the queries and
        the values of a fused projection; by default all.
    """

    def __init__(
        self,
        base: nn.Module,
        rank: int,
        parts: Sequence[slice] | None = None,
    ) -> None:
        super().__init__(base)
        self.out, width = matrix_of(base).shape
        self.parts = tuple(parts or (slice(0, self.out),))
        self.dtype = working_dtype(base)
        bound = sqrt(3 / width)  # Kaiming uniform, as SAMed has it
        self.down = nn.ParameterList(
            nn.Parameter(torch.empty(rank, width).uniform_(-bound, bound)) for _ in self.parts
        )
        self.up = nn.ParameterList(
            nn.Parameter(torch.zeros(part.stop - part.start, rank)) for part in self.parts
        )

    @property
    def matrix(self) -> Tensor:
        """The weights (out, in), updated."""
        updated = matrix_of(self.base).clone()
        for part, down, up in zip(self.parts, self.down, self.up, strict=True):
            updated[part] += up @ down
        return updated

    @property
    def offset(self) -> Tensor:
        """The bias (out,), zeros where there is none."""
        return offset_of(self.base)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., out)."""
        y = self.base(x)
        own = x.to(self.down[0].dtype)
        for part, down, up in zip(self.parts, self.down, self.up, strict=True):
            update = F.linear(F.linear(own, down), up).to(y.dtype)
            y = y + F.pad(update, (part.start, self.out - part.stop))
        return y


class ShiftedLayer(AdapterLayer):
    """A layer whose weight and bias are shifted, whatever it does with them."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__(base)
        for name in ("weight", "bias"):
            own = getattr(base, name, None)
            shift = None if own is None else nn.Parameter(torch.zeros(own.shape))
            self.register_parameter(f"{name}_shift", shift)

    @property
    def weight(self) -> Tensor:
        """The weight, shifted."""
        return cast(Tensor, self._shifted("weight"))

    @property
    def bias(self) -> Tensor | None:
        """The bias, shifted; None where there is none."""
        return self._shifted("bias")

    def _shifted(self, name: str) -> Tensor | None:
        own, shift = getattr(self.base, name, None), getattr(self, f"{name}_shift")
        return None if own is None else own + shift


class ShiftedNorm(ShiftedLayer):
    """A layer normalisation whose affine part is shifted."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., C)."""
        base = cast(nn.LayerNorm, self.base)
        return F.layer_norm(x, base.normalized_shape, self.weight, self.bias, base.eps)


class ShiftedLinear(ShiftedLayer):
    """A linear layer whose weight and bias are shifted."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C')."""
        return F.linear(x, self.weight, self.bias)


class ShiftedEmbedding(ShiftedLayer):
    """Learnt tokens (count, width) that are shifted."""

    @property
    def num_embeddings(self) -> int:
        """How many tokens there are."""
        return cast(nn.Embedding, self.base).num_embeddings

    def forward(self, index: Tensor) -> Tensor:
        """Give the tokens of some numbers."""
        return F.embedding(index, self.weight)


class Bottleneck(AdapterLayer):
    """A layer followed by an adapter: down, a depth-wise 3 x 3 x 3 convolution, GELU, up.

    The adapter of Med-SA (Wu et al. 2023) with the convolution by which MA-SAM (Chen et al. 2024)
    lets it see the third dimension. It is added to what the layer gives, which is channels-last:
    (B, D, H, W, C), or the tokens (B, n^3, C) of a cube.

    Parameters
    ----------
    base : Module
    width : int
        Channels C that the layer gives.
    hidden : int
        Channels of the bottleneck.
    """

    def __init__(self, base: nn.Module, width: int, hidden: int) -> None:
        super().__init__(base)
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, hidden)
        self.depthwise = nn.Conv3d(hidden, hidden, 3, padding=1, groups=hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Give what the layer makes of the inputs, adapted."""
        y = self.base(*inputs)
        grid = y
        if y.ndim == 3:
            n = round(y.shape[1] ** (1 / 3))
            grid = y.unflatten(1, (n, n, n))
        hidden = self.down(self.norm(grid.to(self.norm.weight.dtype)))
        seen = hidden + self._neighbours(hidden.movedim(-1, 1)).movedim(1, -1)
        update = self.up(F.gelu(seen, approximate="tanh"))
        return y + update.to(y.dtype).view_as(y)

    def _neighbours(self, hidden: Tensor) -> Tensor:
        if hidden.device.type != "cpu" or not torch.is_grad_enabled():
            return self.depthwise(hidden)
        # Its gradients take a CPU three times longer in bfloat16 than in float32.
        with torch.autocast("cpu", enabled=False):
            return self.depthwise(hidden.float())
