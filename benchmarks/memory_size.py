"""How a memory bank grows: time of a search, of opening it, of adding and of forgetting a case.

usage: python benchmarks/memory_size.py [--cases 100 1000 10000] [--dimensions 144]

Cases are of random features; their descriptors are as long as the default model's, and what is
read only when a case is recalled is small. Times are processor time of one thread, in ms, median.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import date
from statistics import median

import numpy as np
import torch
from rich.progress import track

from napari_fastsam3d import MemoryBank
from napari_fastsam3d.memory.bank import new_identity
from napari_fastsam3d.memory.case import Case, Entry, Tokens, scan_digest

MODEL = "0" * 64
STRUCTURES = 40


def case(number: int, dimensions: int) -> Case:
    """Make a case of one of so many structures, from random numbers."""
    rng = np.random.default_rng(number)
    identity, salt = new_identity()
    name = f"structure {number % STRUCTURES}"
    scan = scan_digest(f"scan {number}", salt)
    today = date.today().isoformat()
    descriptor = rng.normal(size=dimensions)
    vectors = rng.normal(size=(2, 4, 8)).astype(np.float16)
    tokens = Tokens(
        rng.normal(size=(2, 2, 2, 8)).astype(np.float16),
        rng.random((2, 2, 2)).astype(np.float16),
        (0.0, 0.0, 0.0),
        6.0,
    )
    return Case(
        Entry(identity, name, MODEL, 1.5, 0.9, 3, today, salt, scan),
        (descriptor / np.linalg.norm(descriptor)).astype(np.float32),
        (tokens,),
        vectors[0],
        vectors[1],
    )


def milliseconds(do: Callable[[int], object], times: int) -> float:
    spent: list[float] = []
    for number in range(times):
        start = time.process_time()
        do(number)
        spent.append(1000 * (time.process_time() - start))
    return median(spent)


def row(count: int, dimensions: int, folder: str) -> str:
    bank = MemoryBank(folder, limit=1 << 40)
    for number in track(range(len(bank.list()), count), f"{count} cases"):
        bank.add(case(number, dimensions))
    asked = [case(10**6 + number, dimensions).descriptor for number in range(20)]

    def search(number: int, name: str | None = None) -> object:
        return bank.recall(asked[number % len(asked)], MODEL, name=name, volume="scan 3", count=5)

    def reopen(_: int) -> None:
        with MemoryBank(folder, limit=1 << 40) as again:
            again.list()

    search(0)
    cells = [
        milliseconds(search, 40),
        milliseconds(lambda n: search(n, f"structure {n % STRUCTURES}"), 40),
        milliseconds(reopen, 5),
        milliseconds(lambda n: bank.add(case(10**7 + n, dimensions)), 10),
        milliseconds(lambda _: bank.forget(bank.list()[-1].id), 10),
    ]
    size = sum(entry.size for entry in bank.list()) / count
    bank.close()
    return f"| {count} | {' | '.join(f'{cell:.2f}' for cell in cells)} | {size:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--dimensions", type=int, default=144)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for count in sorted(given.cases):
            lines.append(row(count, given.dimensions, folder))
    heads = ["cases", "search", "by name", "open", "add", "forget", "bytes a case"]
    print(f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", sep="\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
