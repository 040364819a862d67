"""Several processes that train one network together, as `torchrun` starts them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from napari_fastsam3d.errors import TrainingError


@dataclass(frozen=True)
class Ranks:
    """Where a process stands among those of a run, which draw their own samples and step together.

    Attributes
    ----------
    rank, world : int
        The number of this process, from 0, and how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over all processes, in place."""
        if self.world == 1:
            return
        together = list(tensors)
        flat = torch.cat([t.flatten() for t in together])
        distributed.all_reduce(flat)
        flat /= self.world
        parts = flat.split([t.numel() for t in together])
        for tensor, part in zip(together, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def agree(self, wish: bool) -> bool:
        """Tell all processes alike whether any of them wishes it."""
        if self.world == 1:
            return wish
        votes = torch.tensor([float(wish)], device=_device())
        distributed.all_reduce(votes)
        return bool(votes.item() > 0)


def join(device: str) -> tuple[Ranks, str]:
    """Join the processes that `torchrun` started, or be the only one.

    Parameters
    ----------
    device : str
        "cpu", or "cuda" for one GPU a process.

    Returns
    -------
    tuple of Ranks and str
        The place of this process, and the device that it is to compute on.

    Raises
    ------
    TrainingError
        Where there are fewer GPUs than processes on this machine.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks(), device
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise TrainingError(
                f"There are {torch.cuda.device_count()} GPUs here, too few for these processes.",
                "Start as many processes a machine as it has GPUs: torchrun --nproc-per-node.",
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return Ranks(distributed.get_rank(), world), device


def leave() -> None:
    """Leave the processes that were joined; does nothing for a lone one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _device() -> torch.device:
    cuda = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
