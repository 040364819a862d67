"""A function of tensors as a CUDA graph: captured once, then replayed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Function = Callable[..., tuple[Tensor, ...]]
_WARM_UPS = 3


class CudaGraph:
    """A CUDA graph of a function: on a fast GPU, launching kernels costs more than running them.

    Parameters
    ----------
    function : callable
        Takes tensors and gives a tuple of tensors. It must be static: same kernels for the same
        shapes, nothing read back by the host.
    examples : sequence of Tensor
        Inputs of the shapes and types that every call will have, on the GPU.

    Raises
    ------
    RuntimeError
        When the function cannot be captured, or memory does not suffice.
    """

    def __init__(self, function: Function, examples: Sequence[Tensor]) -> None:
        self._inputs = tuple(example.clone() for example in examples)
        self._graph = torch.cuda.CUDAGraph()
        self._warm_up(function)
        # Other threads, such as a viewer's, may use the GPU meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run it; inputs may lie in pinned memory. The outputs are the caller's own."""
        for slot, value in zip(self._inputs, inputs, strict=True):
            slot.copy_(value, non_blocking=True)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)

    def _warm_up(self, function: Function) -> None:
        """Let libraries choose their kernels and take their workspace, on a side stream."""
        present = torch.cuda.current_stream()
        side = torch.cuda.Stream()
        side.wait_stream(present)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                function(*self._inputs)
        present.wait_stream(side)


def filled(points: Tensor, labels: Tensor, count: int, filler: int) -> tuple[Tensor, Tensor]:
    """Add points labelled `filler` up to `count`: (1, count, 3) and (1, count)."""
    more = count - points.shape[1]
    return F.pad(points, (0, 0, 0, more)), F.pad(labels, (0, more), value=filler)


def note_without(error: RuntimeError) -> str:
    """Say why there are no graphs, by what the capture raised."""
    reason = str(error).splitlines()[0].rstrip(".")
    return f"CUDA graphs cannot be used here ({reason}); kernels are launched singly."
