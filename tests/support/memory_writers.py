"""Processes that add cases to a bank and are cut off, or write at once, or have no room.

usage: python memory_writers.py killed|together|full FOLDER

Prints the ids of the cases whose adding was acknowledged, a line each.
"""

import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

from remembered import remembered

from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.memory.bank import MemoryBank

MOMENTS = 100
EACH = 20


def add_and_tell(folder: Path, pipe: int, count: int) -> None:
    with MemoryBank(folder) as bank:
        for seed in range(count):
            case = remembered(seed=seed)
            bank.add(case)
            os.write(pipe, f"{case.entry.id}\n".encode())


def started(folder: Path, pipe: int, count: int) -> int:
    child = os.fork()
    if child == 0:
        add_and_tell(folder, pipe, count)
        os._exit(0)
    return child


def told(read: int, write: int) -> list[str]:
    os.close(write)
    with os.fdopen(read) as lines:
        return lines.read().split()


def killed(folder: Path) -> list[str]:
    """Kill a process in its first, second or third adding, at any moment of it."""
    rng = random.Random(0)
    acknowledged: list[str] = []
    takes = 0.02
    for _ in range(MOMENTS):
        read, write = os.pipe()
        child = started(folder, write, 1000)
        for _ in range(rng.randrange(3)):
            begun = time.perf_counter()
            acknowledged.append(os.read(read, 33).decode().strip())
            takes = time.perf_counter() - begun
        time.sleep(rng.uniform(0, takes))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        acknowledged += told(read, write)
    return acknowledged


def together(folder: Path) -> list[str]:
    read, write = os.pipe()
    children = [started(folder, write, EACH) for _ in range(2)]
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0
    return told(read, write)


def full(folder: Path) -> list[str]:
    """Add until a file of the bank may not grow any more, twice: a shard, and then the index."""
    acknowledged: list[str] = []
    with MemoryBank(folder) as bank:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        try:
            bank.add(remembered(cells=12))
        except FastSAM3DError as error:
            print(error, file=sys.stderr)
        try:
            for seed in range(1000):
                case = remembered(seed=seed)
                bank.add(case)
                acknowledged.append(case.entry.id)
        except FastSAM3DError as error:
            print(error, file=sys.stderr)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        case = remembered(seed=1000)
        bank.add(case)
        acknowledged.append(case.entry.id)
    return acknowledged


if __name__ == "__main__":
    way, where = sys.argv[1:]
    print(*globals()[way](Path(where)), sep="\n")
