"""The trials of an evaluation on disk, one a line, so that a stopped evaluation goes on."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import EvaluationError
from napari_fastsam3d.evaluation.trial import Trial

Settings = dict[str, Any]
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

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._claim(settings)
            self.trials = read_trials(folder)
            self._write_whole_lines()
        except OSError as error:
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

    def _claim(self, settings: Settings) -> None:
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
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    trials: list[Trial] = []
    for number, line in enumerate(lines, start=1):
        try:
            trials.append(Trial.of_row(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                break
            raise EvaluationError(
                f"Line {number} of {path} is not a trial.", "Choose another folder with --out."
            ) from error
    return trials
