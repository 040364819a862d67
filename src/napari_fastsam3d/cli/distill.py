"""`napari-fastsam3d distill`: make a smaller image encoder that does what a larger one does."""

import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.train import DataArgument, MinutesOption, WorkersOption, usual_workers

if TYPE_CHECKING:
    from napari_fastsam3d.training.distillation_recipe import DistillationRecipe

TeacherOption = Annotated[
    str, typer.Option(help="Whose image encoder is learnt from: a model's name or its file.")
]
StudentOption = Annotated[
    str, typer.Option(help="Recipe (TOML), or the name of a shipped one: lite, fastsam3d.")
]


def student_recipe(student: str) -> "DistillationRecipe":
    """Read a recipe: one of the package by its name, else a file."""
    from napari_fastsam3d.training.distillation_recipe import read_distillation

    with as_file(files("napari_fastsam3d.training") / "recipes" / f"{student}.toml") as shipped:
        return read_distillation(shipped if shipped.is_file() else student)


def distill(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder of the run; a run found there goes on.")],
    teacher: TeacherOption = "default",
    student: StudentOption = "lite",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: WorkersOption = None,
    minutes: MinutesOption = None,
) -> None:
    """Distil a model's image encoder into a smaller one, stage by stage; goes on at any step.

    The student learns to give what layers of its teacher give, by their mean squared error, from
    the samples of `train`. The teacher's prompt encoder and mask decoder are kept.

    Writes `weights.safetensors` at every checkpoint: a whole model, which `--model` takes
    everywhere, and draws the log as `log.png` where matplotlib is installed.
    """
    from napari_fastsam3d.cli.train import report, task_of, training_bar
    from napari_fastsam3d.model.load import load_network
    from napari_fastsam3d.training import ranks
    from napari_fastsam3d.training.distillation import Distiller
    from napari_fastsam3d.training.sample import Sampler
    from napari_fastsam3d.training.students import student_of

    recipe = student_recipe(student)
    pair = student_of(load_network(teacher), recipe.student)
    place, device = ranks.join(device)
    run = recipe.run
    sampler = Sampler.of_folder(data, run.sources, run.seed, device, run.held_out)
    workers = usual_workers(device, place.world) if workers is None else workers
    distiller = Distiller(recipe, pair, sampler, out, device, place, workers)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    with training_bar(place.first, "relative error") as bar:
        distiller.run(task_of(bar, "distilling"), until=until)
    ranks.leave()
    if place.first:
        report(distiller)
