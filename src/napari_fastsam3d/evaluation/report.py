"""What trials came to: kept while they run, and told as tables."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import EvaluationError
from napari_fastsam3d.evaluation.score import Score
from napari_fastsam3d.evaluation.trial import Trial
from napari_fastsam3d.geometry.io.json_text import parse_json

RunSettings = dict[str, Any]
"""What decides the numbers: the model, its weights, the protocol, the data."""


class Results:
    """The folder that an evaluation writes to.

    Parameters
    ----------
    folder : Path
        Made if need be; holds `settings.json` and `results.jsonl`.
    settings : dict
        Of this evaluation.

    Attributes
    ----------
    folder : Path
    trials : list of Trial
        Those found in the folder and those added.

    Raises
    ------
    EvaluationError
        When the folder cannot be written to, or holds an evaluation with other settings.
    """

    def __init__(self, folder: Path, settings: RunSettings) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim(settings)
            self.trials = read_trials(folder)
            self._write_whole_lines()
        except (OSError, UnicodeDecodeError) as error:
            raise EvaluationError(
                f"{folder} cannot be written to: {error}.", "Choose another folder with --out."
            ) from error

    def add(self, trial: Trial) -> None:
        """Keep a trial; it is on disk when this returns."""
        self.trials.append(trial)
        with (self.folder / "results.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _claim(self, settings: RunSettings) -> None:
        path = self.folder / "settings.json"
        text = json.dumps(settings, indent=1)
        if not path.exists():
            path.write_text(text + "\n", encoding="utf-8")
        elif path.read_text(encoding="utf-8").strip() != text:
            raise EvaluationError(
                f"{self.folder} holds an evaluation with other settings or weights.",
                "Choose another folder with --out.",
            )

    def _write_whole_lines(self) -> None:
        """Leave out what was being written when an earlier evaluation was stopped."""
        lines = [json.dumps(asdict(trial)) + "\n" for trial in self.trials]
        new = self.folder / "results.jsonl.new"
        new.write_text("".join(lines), encoding="utf-8")
        new.replace(self.folder / "results.jsonl")


def read_trials(folder: Path) -> list[Trial]:
    """Read the trials that a folder holds; a last line that is not whole is passed over.

    Raises
    ------
    EvaluationError
        When another line cannot be read.
    """
    path = folder / "results.jsonl"
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    lines = text.splitlines()
    trials: list[Trial] = []
    for number, line in enumerate(lines, start=1):
        try:
            trials.append(Trial.of_row(parse_json(line)))
        except (ValueError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise EvaluationError(
                f"Line {number} of {path} is not a trial.", "Choose another folder with --out."
            ) from error
    return trials


SHOWN = (1, 2, 3, 5, 10)
"""The clicks of which tables tell."""


def write_summary(path: Path, settings: RunSettings, scores: Sequence[Score]) -> None:
    """Write settings and scores as JSON."""
    content = {"settings": settings, "scores": [asdict(score) for score in scores]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def columns(clicks: int) -> list[int]:
    """Give the clicks to be shown of so many."""
    return [n for n in SHOWN if n <= clicks]


def table_of_scores(scores: Sequence[Score]) -> str:
    """Write scores as a table in Markdown; "best of 1" is the best candidate of a first click.

    Parameters
    ----------
    scores : sequence of Score
        At least one.
    """
    shown = columns(len(scores[0].dice))
    head = ["set", "", "structures", *(f"Dice {n}" for n in shown), "box", "best of 1", "area"]
    head += [*(f"NSD {n}" for n in shown), "box", "failed", "worse", "ms"]
    rows = [
        [
            score.name,
            score.modality,
            str(score.trials),
            *(f"{score.dice[n - 1]:.3f}" for n in shown),
            _number(score.box_dice),
            _number(score.best_candidate),
            f"{score.area:.3f}",
            *(f"{score.nsd[n - 1]:.3f}" for n in shown),
            _number(score.box_nsd),
            str(score.failures),
            f"{100 * score.worse:.0f} %",
            f"{score.milliseconds:.0f}",
        ]
        for score in scores
    ]
    return _markdown(head, rows)


def table_of_changes(scores: Sequence[Score], others: Sequence[Score]) -> str:
    """Write by how much Dice differs from another evaluation, in points of a hundred.

    Parameters
    ----------
    scores, others : sequence of Score
        Of the same sets in the same order.
    """
    shown = columns(min(len(scores[0].dice), len(others[0].dice)))
    rows = [
        [
            score.name,
            str(score.trials),
            *(f"{100 * (score.dice[n - 1] - other.dice[n - 1]):+.1f}" for n in shown),
            f"{100 * (score.area - other.area):+.1f}",
        ]
        for score, other in zip(scores, others, strict=True)
    ]
    return _markdown(["set", "structures", *(f"Dice {n}" for n in shown), "area"], rows)


def table_of_trials(trials: Sequence[Trial]) -> str:
    """Write Dice after each click for every trial, as a table in Markdown."""
    shown = columns(len(trials[0].dice))
    rows = [
        [
            t.case,
            t.structure,
            str(t.voxels),
            *(f"{t.dice[n - 1]:.3f}" for n in shown),
            _number(t.box_dice),
        ]
        for t in trials
    ]
    return _markdown(["case", "structure", "voxels", *(f"Dice {n}" for n in shown), "box"], rows)


def table_of_failures(trials: Sequence[Trial]) -> str:
    """Write trials, such as those that failed, as a table in Markdown, the worst first."""
    rows = [
        [t.set_name, t.case, t.structure, str(t.voxels), f"{t.dice[-1]:.3f}", f"{t.nsd[-1]:.3f}"]
        for t in sorted(trials, key=lambda t: t.dice[-1])
    ]
    return _markdown(["set", "case", "structure", "voxels", "last Dice", "last NSD"], rows)


def draw_curves(path: Path, scores: Sequence[Score]) -> None:
    """Draw Dice and normalised surface Dice by click, a line a score.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for score in scores:
        clicks = range(1, len(score.dice) + 1)
        style = {"linewidth": 2.5, "color": "black"} if score is scores[-1] else {"alpha": 0.8}
        left.plot(clicks, score.dice, marker=".", label=score.name, **style)
        right.plot(clicks, score.nsd, marker=".", **style)
    left.set(xlabel="click", ylabel="Dice", ylim=(0, 1))
    right.set(xlabel="click", ylabel="normalised surface Dice")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right center")
    figure.savefig(path, dpi=110)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    cells = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
