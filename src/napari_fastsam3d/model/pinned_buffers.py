"""Bringing arrays to a device and back."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Staging:
    """The way between main memory and a device.

    To a GPU it goes through pinned memory, kept for each shape, so that copies are quick and run
    beside the computation. On a CPU nothing is copied that need not be.

    Parameters
    ----------
    device : torch.device
        Where tensors are wanted.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pinned: dict[tuple[tuple[int, ...], torch.dtype], tuple[Tensor, torch.cuda.Event]]
        self._pinned = {}

    def bring(self, array: NDArray[Any]) -> Tensor:
        """Give an array as a tensor on the device, of the same shape and type."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        buffer, copied = self._buffer(tensor)
        copied.synchronize()  # the last copy out of this buffer
        buffer.copy_(tensor)
        arrived = buffer.to(self.device, non_blocking=True)
        copied.record()
        return arrived

    def fetch(self, *tensors: Tensor) -> list[NDArray[np.float32]]:
        """Give tensors as float32 arrays in main memory, waiting once for all of them."""
        if self.device.type != "cuda":
            return [tensor.float().cpu().numpy() for tensor in tensors]
        staged = [torch.empty(t.shape, dtype=torch.float32, pin_memory=True) for t in tensors]
        for place, tensor in zip(staged, tensors, strict=True):
            place.copy_(tensor, non_blocking=True)
        torch.cuda.current_stream(self.device).synchronize()
        return [place.numpy().copy() for place in staged]

    def _buffer(self, tensor: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        key = (tuple(tensor.shape), tensor.dtype)
        if key not in self._pinned:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._pinned[key] = (buffer, torch.cuda.Event())
        return self._pinned[key]
