"""Where, in which precision and with how many threads to compute; arrays on their way there."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fastsam3d.errors import DeviceError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def choose_device(name: str = "auto") -> torch.device:
    """Give the device of a name; "auto" takes a CUDA GPU where there is one.

    Raises
    ------
    DeviceError
        When the device is unknown or not usable here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # one that holds no numbers, as "meta", fails here
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(
            f"The device {name!r} cannot be used here.",
            'Choose "cpu", or "auto" to take what there is; `napari-fastsam3d doctor` tells why.',
        ) from error
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Give the precision of matrix products.

    "auto" takes bfloat16 where the hardware multiplies it natively (AVX-512 BF16, AMX, or a GPU of
    the Ampere generation or later), else float32.

    Raises
    ------
    DeviceError
        When the name is neither "auto" nor a known precision.
    """
    if name in PRECISIONS:
        return PRECISIONS[name]
    if name != "auto":
        raise DeviceError(
            f"There is no precision {name!r}.", f"Choose auto, {' or '.join(PRECISIONS)}."
        )
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float32
    return torch.bfloat16 if _cpu_multiplies_bfloat16() else torch.float32


def _cpu_multiplies_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def allowed_processors(quota: Path = _QUOTA) -> int:
    """Give how many processors this process may use at once.

    That is fewer than the machine has where it is bound to some of them, or where a container
    limits its time; torch counts the machine's, and threads that take turns wait for each other.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(bound or 1, _quota(quota) or bound or 1))


def _quota(path: Path) -> int | None:
    try:
        limit, period = path.read_text(encoding="ascii").split()
        return None if limit == "max" else -(-int(limit) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def choose_threads() -> int:
    """Lower torch's number of threads to what is allowed; gives the number in use.

    It never raises the number, so that `OMP_NUM_THREADS` and `torch.set_num_threads` still hold.
    """
    allowed = allowed_processors()
    if allowed < torch.get_num_threads():
        torch.set_num_threads(allowed)
    return torch.get_num_threads()


class PinnedBuffers:
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
