"""The log of a training run, a line of JSON a step, and its picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def append_entry(log: Path, entry: dict[str, Any]) -> None:
    """Add what there is to tell of a step."""
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def forget_steps_from(step: int, log: Path) -> None:
    """Drop what a log says of a step and those after it, and lines that a stop tore."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    kept = [line for line in lines if (of := _step_of(line)) is not None and of < step]
    partial = log.with_suffix(".partial")
    partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    partial.replace(log)


def draw_log(log: Path, picture: Path) -> None:
    """Draw loss and IoU, or the errors of a distillation's layers, each as a running mean.

    Parameters
    ----------
    log : Path
        Lines of JSON, as the trainer writes them.
    picture : Path
        The PNG file to write.

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [entry["step"] for entry in entries]
    width = max(1, len(entries) // 40)
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*_running_mean(steps, [entry["loss"] for entry in entries], width))
    left.set(xlabel="step", ylabel="loss", yscale="log")
    if "iou" in entries[0]:
        clicks = min(len(entry["iou"]) for entry in entries)
        for click in range(clicks):
            values = [entry["iou"][click] for entry in entries]
            right.plot(*_running_mean(steps, values, width), label=f"after prompt {click + 1}")
        right.set(xlabel="step", ylabel="IoU on training samples", ylim=(0, 1))
    else:
        for name in dict.fromkeys(name for entry in entries for name in entry["errors"]):
            matched = [entry for entry in entries if name in entry["errors"]]
            when = [entry["step"] for entry in matched]
            errors = [entry["errors"][name] for entry in matched]
            right.plot(*_running_mean(when, errors, min(width, len(when))), label=name)
        right.set(xlabel="step", ylabel="squared error / variance", yscale="log")
    right.legend()
    figure.savefig(picture, dpi=110)


def _step_of(line: str) -> int | None:
    """Return the step that a line is about; None for one that is torn."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None


def _running_mean(
    steps: list[int], values: list[float], width: int
) -> tuple[list[int], list[float]]:
    mean = np.convolve(values, np.ones(width) / width, mode="valid")
    return steps[width - 1 :], [float(value) for value in mean]
