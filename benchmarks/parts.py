"""What each part of the default model is worth: Dice with and without it, as one table.

usage: python benchmarks/parts.py DATA OUT [--weights FILE] [--also NAME=FILE ...] [--clicks 10]
       [--cases-per-set N] [--part validation]

The weights are evaluated as they are, and without the decoder of first clicks and the coarse pass
that feeds it; further files, such as the weights before a phase of training, beside them. Each
evaluation lies in a folder of OUT and goes on where it stopped.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from rich.progress import track

import napari_fastsam3d
from napari_fastsam3d.evaluation import (
    Protocol,
    Score,
    SessionSegmenter,
    Trial,
    run_trial,
    scores_of,
    targets_of,
)
from napari_fastsam3d.evaluation.dataset import (
    LabelledCase,
    evenly_spaced,
    label_names,
    labelled_cases,
    modality,
)
from napari_fastsam3d.evaluation.report import Results
from napari_fastsam3d.model.checkpoint import export_pyramid, read_pyramid
from napari_fastsam3d.session import ModelThread

SHIPPED = Path(napari_fastsam3d.__file__).parent / "model/default/weights/default.safetensors"
SHOWN = (1, 2, 3, 5, 10)


def variants(weights: Path, also: list[str], out: Path) -> Iterator[tuple[str, Path]]:
    """Give what is compared: names, and files of weights."""
    for each in also:
        name, _, file = each.partition("=")
        yield name, Path(file)
    network = read_pyramid(weights)
    if network.first_decoder is not None:
        file = out / "without coarse pass and first decoder.safetensors"
        network.first_decoder, network.config = None, replace(network.config, first_candidates=0)
        export_pyramid(network, file)
        yield file.stem, file
    yield "as it is", weights


def trials(
    data: Path, cases: list[LabelledCase], weights: Path, folder: Path, clicks: int
) -> list[Trial]:
    protocol = Protocol(clicks=clicks)
    found: list[Trial] = []
    with ModelThread(str(weights)) as thread:
        segmenter = SessionSegmenter(weights.name, thread)
        results = Results(folder, {"fingerprint": segmenter.fingerprint, **asdict(protocol)})
        known = {trial.key: trial for trial in results.trials}
        for case in track(cases, folder.name):
            for target in targets_of(case, protocol, label_names(data, case.set_name), frozenset()):
                trial = known.get(target.key)
                if trial is None:
                    trial, _ = run_trial(target, segmenter, protocol)
                    results.add(trial)
                found.append(trial)
    return found


def line(name: str, scores: list[Score], clicks: list[int]) -> str:
    """One row: means over sets, then the first click of each set."""
    mean, sets = scores[-1], [score for score in scores if not score.name.startswith("mean ")]
    cells = [f"{mean.dice[click - 1]:.3f}" for click in clicks]
    cells += ["" if x is None else f"{x:.3f}" for x in (mean.best_candidate, mean.box_dice)]
    cells += [f"{score.dice[0]:.2f}" for score in sets]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--also", nargs="*", default=[])
    parser.add_argument("--clicks", type=int, default=10)
    parser.add_argument("--cases-per-set", type=int)
    parser.add_argument("--part", default="validation")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cases = labelled_cases(given.data, given.part)
    if given.cases_per_set is not None:
        cases = evenly_spaced(cases, given.cases_per_set)
    modalities = {case.set_name: modality(given.data, case.set_name) for case in cases}
    clicks = [click for click in SHOWN if click <= given.clicks]
    lines: list[str] = []
    for name, weights in variants(given.weights, given.also, given.out):
        made = trials(given.data, cases, weights, given.out / name, given.clicks)
        scores = scores_of(made, modalities)
        lines.append(line(name, scores, clicks))
    sets = [score.name for score in scores if not score.name.startswith("mean ")]
    heads = [*map(str, clicks), "best candidate", "box", *(f"{name} 1" for name in sets)]
    print(f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|", *lines, sep="\n")


if __name__ == "__main__":
    main()
