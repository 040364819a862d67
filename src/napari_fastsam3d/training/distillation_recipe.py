"""The settings of a distillation, read from a TOML file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.training.recipe import Recipe
from napari_fastsam3d.training.recipe_file import read_table, recipe_of


@dataclass(frozen=True)
class DistillationRecipe:
    """Everything that decides the outcome of a distillation, besides teacher and data.

    Attributes
    ----------
    student : dict
        Sizes of the student's image encoder where they are others than the teacher's.
    stages : tuple of tuple of str
        For each phase, patterns of the names of the layers that it matches.
    run : Recipe
        As of a training run: sources of samples, phases, rates.
    """

    student: dict[str, Any]
    stages: tuple[tuple[str, ...], ...]
    run: Recipe

    def stage_at(self, step: int) -> tuple[str, ...]:
        """Give the patterns of the layers that are matched at a step."""
        for stage, phase in zip(self.stages, self.run.phases, strict=True):
            if step < phase.steps:
                return stage
            step -= phase.steps
        return self.stages[-1]


def read_distillation(path: str | Path) -> DistillationRecipe:
    """Read a recipe of a distillation: that of a training run with [student] and `matches`.

    Raises
    ------
    TrainingError
        When the file is absent, is not TOML, or has a key that such a recipe does not have.
    """
    table = read_table(path)
    student = table.pop("student", None)
    if not isinstance(student, dict):
        raise TrainingError(
            f"{path} has no table [student].",
            "It is a recipe of `train`; give one of `distill`.",
        )
    phases: Any = table.get("phases")
    listed: list[Any] = phases if isinstance(phases, list) else []
    stages = tuple(_patterns(phase) for phase in listed if isinstance(phase, dict))
    return DistillationRecipe(student, stages, recipe_of(table))


def _patterns(phase: dict[str, Any]) -> tuple[str, ...]:
    """Take out of a phase the patterns of the layers that it matches; all where it names none."""
    found = phase.pop("matches", ["*"])
    if not (found and isinstance(found, list) and all(isinstance(each, str) for each in found)):
        raise TrainingError(
            f"matches can't be {found!r}.", 'Write a list of layers, such as ["down_*", "neck"].'
        )
    return tuple(found)
