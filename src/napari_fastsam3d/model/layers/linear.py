"""Linear layers made ready for inference: cast once, or handed to the faster library."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Make = Callable[[Tensor, Tensor | None], "PreparedLinear"]


class TiedLinear(nn.Module):
    """A linear layer whose outputs come in groups that share one bias.

    Parameters
    ----------
    width, out_width, groups : int
        Inputs, outputs of a group, number of groups.
    """

    def __init__(self, width: int, out_width: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(groups * out_width, width))
        self.bias = nn.Parameter(torch.zeros(out_width))
        nn.init.trunc_normal_(self.weight, std=width**-0.5)

    def full_bias(self) -> Tensor:
        """Give the bias of every output."""
        return self.bias.repeat(self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., groups * C')."""
        return F.linear(x, self.weight, self.full_bias())


class PreparedLinear(nn.Module, ABC):
    """A linear layer for inference alone; it answers in the precision that it is asked in.

    Attributes
    ----------
    dtype : torch.dtype
        The precision that it computes in; inputs of that precision are not cast.
    """

    dtype: torch.dtype

    @property
    @abstractmethod
    def matrix(self) -> Tensor:
        """The weights (out, in)."""

    @property
    @abstractmethod
    def offset(self) -> Tensor:
        """The bias (out,), zeros where there is none."""


class LowPrecisionLinear(PreparedLinear):
    """A linear layer whose weights were cast once, and whose input is cast at each call.

    The answer comes in the input's precision, so that all that stands between linear layers
    (residuals, normalisation, softmax) stays as exact as it was.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.weight = nn.Buffer(weight.detach().to(dtype))
        self.bias = None if bias is None else nn.Buffer(bias.detach().to(dtype))

    @property
    def matrix(self) -> Tensor:
        """The weights (out, in)."""
        return self.weight

    @property
    def offset(self) -> Tensor:
        """The bias (out,), zeros where there is none."""
        return self.weight.new_zeros(len(self.weight)) if self.bias is None else self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C'), in the precision of x."""
        return F.linear(x.to(self.dtype), self.weight, self.bias).to(x.dtype)


class OneDnnLinear(PreparedLinear):
    """A linear layer in float32 on the CPU, computed by oneDNN.

    torch's own way goes through MKL, which on processors of other makers takes a slow path: on an
    EPYC it reaches 93 GFLOP/s a core where oneDNN, which torch brings too, reaches 215.
    """

    dtype = torch.float32

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self._weight = weight.detach().contiguous().to_mkldnn()
        self._bias = None if bias is None else bias.detach().to_mkldnn()
        self._outputs = len(weight)

    @property
    def matrix(self) -> Tensor:
        """The weights (out, in)."""
        return self._weight.to_dense()

    @property
    def offset(self) -> Tensor:
        """The bias (out,), zeros where there is none."""
        return torch.zeros(self._outputs) if self._bias is None else self._bias.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C'), in the precision of x."""
        return self.inside(x).to_dense().view(*x.shape[:-1], -1).to(x.dtype)

    def inside(self, x: Tensor) -> Tensor:
        """Map (..., C) to rows (N, C') that oneDNN keeps; x may be such rows too."""
        rows = x if x.is_mkldnn else x.float().reshape(-1, x.shape[-1]).to_mkldnn()
        return F.linear(rows, self._weight, self._bias)


def lower_linears(network: nn.Module, dtype: torch.dtype) -> None:
    """Replace every linear layer of a network by one with weights of lower precision.

    On a CPU with bfloat16 instructions linear layers run several times faster so, while a network
    that is cast as a whole runs slower than in float32. For inference only.
    """
    _replace(network, lambda weight, bias: LowPrecisionLinear(weight, bias, dtype))


def pack_linears(network: nn.Module) -> None:
    """Replace every linear layer of a network on the CPU by one that oneDNN computes.

    Where this torch has no oneDNN, nothing changes. For inference in float32 only.
    """
    if torch.backends.mkldnn.is_available():
        _replace(network, OneDnnLinear)


def unpack_linears(network: nn.Module) -> None:
    """Take linear layers back from oneDNN, through which no gradients pass."""
    for name, child in network.named_children():
        if isinstance(child, OneDnnLinear):
            weight, bias = child.matrix, child.offset
            plain = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device)
            plain.weight.data, plain.bias.data = weight, bias
            setattr(network, name, plain.requires_grad_(False))
        else:
            unpack_linears(child)


def _replace(network: nn.Module, make: Make) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.Linear):
            bias = dict(child.named_parameters()).get("bias")
            setattr(network, name, make(child.weight, bias))
        elif isinstance(child, TiedLinear):
            setattr(network, name, make(child.weight, child.full_bias()))
        else:
            _replace(child, make)


def gelu_of(linear: nn.Module, x: Tensor) -> Tensor:
    """Map rows (N, C) through a linear layer and a GELU, at the precision of the layer.

    What comes out may be oneDNN's own, which `forward` of a prepared layer and `times` take: such
    activations are the largest there are, and copying them costs as much as computing them.
    """
    if isinstance(linear, OneDnnLinear):
        return F.gelu(linear.inside(x))
    return F.gelu(linear(x.to(working_dtype(linear))))


def times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Multiply rows (N, C), which may be oneDNN's own, with a matrix (C, M)."""
    if rows.is_mkldnn:
        return F.linear(rows, matrix.T.contiguous().to_mkldnn()).to_dense()
    return rows @ matrix.to(rows.dtype)


def working_dtype(linear: nn.Module) -> torch.dtype:
    """Give the precision that a linear layer computes in, prepared or not."""
    return linear.dtype if isinstance(linear, PreparedLinear) else _weight(linear).dtype


def matrix_of(linear: nn.Module) -> Tensor:
    """Give the weights (out, in) of a linear layer, prepared or not, in float32 at least."""
    return _exact(linear.matrix if isinstance(linear, PreparedLinear) else _weight(linear))


def offset_of(linear: nn.Module) -> Tensor:
    """Give the bias (out,) of a linear layer, prepared or not, in float32 at least."""
    if isinstance(linear, PreparedLinear):
        return _exact(linear.offset)
    return _exact(linear.get_parameter("bias"))


def _weight(linear: nn.Module) -> Tensor:
    return linear.get_parameter("weight")


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
