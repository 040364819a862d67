"""What a smaller image encoder costs and spares: time ratio, and Dice a set, against another model.

usage: python benchmarks/lite.py [--model lite] [--against default] [--rounds 12] [--threads 2 1]
       [--data DATA --out OUT [--part train] [--sets NAME ...] [--last N] [--cases-per-set N]
       [--clicks 5]]

Both encode the same crop in one process by turns, in float32 as on a processor without bfloat16
instructions; printed are least and median time and their ratios. With DATA both are evaluated by
the same clicks, `--last` on the last N cases of each set, which recipes hold out of training.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from parts import trials

from napari_fastsam3d.evaluation import scores_of
from napari_fastsam3d.evaluation.dataset import by_set, evenly_spaced, labelled_cases, modality
from napari_fastsam3d.evaluation.report import table_of_changes, table_of_scores
from napari_fastsam3d.model import load_model


def time_by_turns(names: list[str], rounds: int, threads: int) -> list[list[float]]:
    """Give the milliseconds of each encoding of each model."""
    torch.set_num_threads(threads)
    models = [load_model(name, device="cpu", dtype="float32") for name in names]
    torch.set_num_threads(threads)  # loading lowers it to what this process may use
    image = torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))
    times: list[list[float]] = [[] for _ in models]
    for turn in range(rounds + 1):
        for model, taken in zip(models, times, strict=True):
            begun = time.perf_counter()
            model.encode(image)
            if turn:  # the first one of each prepares
                taken.append(1000 * (time.perf_counter() - begun))
    return times


def print_times(names: list[str], rounds: int, threads: int) -> None:
    times = time_by_turns(names, rounds, threads)
    for name, taken in zip(names, times, strict=True):
        print(
            f"{threads} threads  {name:<24} least {min(taken):5.0f} ms, "
            f"median {statistics.median(taken):5.0f} ms an encoding"
        )
    one, other = times
    ratio = statistics.median(one) / statistics.median(other)
    print(f"{threads} threads  ratio {min(one) / min(other):.2f} (least), {ratio:.2f} (median)")


def print_dice(names: list[str], given: argparse.Namespace) -> None:
    cases = labelled_cases(given.data, given.part)
    if given.sets:
        cases = [case for case in cases if case.set_name in given.sets]
    if given.last is not None:
        cases = [case for each in by_set(cases).values() for case in each[-given.last :]]
    if given.cases_per_set is not None:
        cases = evenly_spaced(cases, given.cases_per_set)
    modalities = {case.set_name: modality(given.data, case.set_name) for case in cases}
    one, other = (
        scores_of(
            trials(given.data, cases, Path(name), given.out / Path(name).stem, given.clicks),
            modalities,
        )
        for name in names
    )
    print(table_of_scores(one), table_of_scores(other), sep="\n")
    print(f"{names[0]} against {names[1]}, in points:\n\n{table_of_changes(one, other)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="lite")
    parser.add_argument("--against", default="default")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, nargs="*", default=[2, 1])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", default="train")
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--last", type=int)
    parser.add_argument("--cases-per-set", type=int)
    parser.add_argument("--clicks", type=int, default=5)
    given = parser.parse_args()
    names = [given.model, given.against]
    for threads in given.threads:
        print_times(names, given.rounds, threads)
    if given.data is not None:
        if given.out is None:
            parser.error("--data needs --out")
        given.out.mkdir(parents=True, exist_ok=True)
        print_dice(names, given)


if __name__ == "__main__":
    main()
