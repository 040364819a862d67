"""How many threads to compute with."""

import os
from pathlib import Path

import torch

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
    except (OSError, ValueError):
        return None
    return None if limit == "max" else -(-int(limit) // int(period))


def choose_threads() -> int:
    """Lower torch's number of threads to what is allowed; gives the number in use.

    It never raises the number, so that `OMP_NUM_THREADS` and `torch.set_num_threads` are obeyed.
    """
    allowed = allowed_processors()
    if allowed < torch.get_num_threads():
        torch.set_num_threads(allowed)
    return torch.get_num_threads()
