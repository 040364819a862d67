"""`napari-fastsam3d train`: make the weights of the default model."""

import os
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from napari_fastsam3d.training.recipe import Recipe
    from napari_fastsam3d.training.run import TrainingRun


DataArgument = Annotated[
    Path, typer.Argument(help="Folder with split.json, labelled/ and label_maps/.")
]
ConfigOption = Annotated[
    Path | None, typer.Option(help="Recipe (TOML); by default that of the shipped weights.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that make samples; by default 1, with a GPU more."),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option(help="Weights (.safetensors) to begin the recipe's last cycle with."),
]
MinutesOption = Annotated[
    float | None, typer.Option(help="Stop after so long; the same command goes on.")
]
ReaderOption = Annotated[
    bool, typer.Option("--reader", help="Train what reads remembered cases instead.")
]


def _recipe(path: Path | None) -> "Recipe":
    from napari_fastsam3d.training.recipe_file import read_recipe

    if path is not None:
        return read_recipe(path)
    with as_file(files("napari_fastsam3d.training") / "recipes" / "default.toml") as shipped:
        return read_recipe(shipped)


def training_bar(shown: bool, value: str = "IoU") -> "Bar":
    """Show steps, the time that is left, and a value of the tasks' field `value`."""
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn(value + " {task.fields[value]:.3f}"),
        disable=not shown,
    )


def task_of(bar: "Bar", what: str) -> Callable[..., None]:
    """Show a task in a bar of training.

    Returns
    -------
    callable
        To be told how much is done, of how much, and the value that is shown.
    """
    task = bar.add_task(what, value=0.0)

    def tell(done: int, of: int, value: float = 0.0) -> None:
        bar.update(task, completed=done, total=of, value=value)

    return tell


def train(
    data: DataArgument,
    out: Annotated[Path, typer.Option(help="Folder of the run; a run found there goes on.")],
    config: ConfigOption = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    workers: WorkersOption = None,
    weights: WeightsOption = None,
    minutes: MinutesOption = None,
    reader: ReaderOption = False,
) -> None:
    """Train the default model, or its memory's reader; stops and goes on at any step.

    For several GPUs: `torchrun --nproc-per-node N --no-python napari-fastsam3d train ...`, each of
    which takes the recipe's batch of crops a step.

    With `--reader` a small network learns to read remembered cases: from the sets of which there
    are several cases, and from label maps that are painted as several patients, seen by the encoder
    of the default model, or of the weights given. Writes `reader.safetensors`.

    Writes `weights.safetensors` and `weights.sha256` when the recipe is done, and draws the log
    as `log.png` where matplotlib is installed.
    """
    from napari_fastsam3d.training import ranks
    from napari_fastsam3d.training.sample import Sampler
    from napari_fastsam3d.training.trainer import Trainer

    if reader:
        _train_reader(data, out, weights)
        return
    recipe = _recipe(config)
    place, device = ranks.join(device)
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed, device, recipe.held_out)
    workers = usual_workers(device, place.world) if workers is None else workers
    trainer = Trainer(recipe, sampler, out, device, place, workers, weights)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    with training_bar(place.first) as bar:
        trainer.run(task_of(bar, "training"), until=until)
    ranks.leave()
    if place.first:
        report(trainer)


def usual_workers(device: str, processes: int) -> int:
    """Return how many processes make samples: one, or beside a GPU as many as keep it busy."""
    return 1 if device == "cpu" else min(4, max(1, (os.cpu_count() or 2) // processes - 1))


def _train_reader(data: Path, out: Path, weights: Path | None) -> None:
    from napari_fastsam3d.evaluation.dataset import labelled_cases
    from napari_fastsam3d.model import load_model
    from napari_fastsam3d.training.reader import Episodes, judge, train_reader
    from napari_fastsam3d.training.reader_examples import (
        examples_in,
        prepare,
        prepare_painted,
        several,
    )

    predictor = load_model(weights or "default", device="cpu")
    cases = several(labelled_cases(data, "train"))
    with training_bar(True) as bar:
        seen = out / "cases"
        prepare(data, cases, seen, predictor, task_of(bar, "looking"))
        prepare_painted(data, seen, predictor, task_of(bar, "painting"))
        episodes = Episodes(examples_in(seen))
        tell = task_of(bar, "training")
        trained = train_reader(episodes, out, predictor.encoder_fingerprint, tell)
    found = judge(trained, episodes)
    typer.echo(f"patients that it did not learn from, with five cases remembered: {found}")
    typer.echo(f"wrote {out / 'reader.safetensors'}")


def report(run: "TrainingRun[Any]") -> None:
    """Say how far a run got, and what it wrote."""
    if run.step < run.recipe.steps:
        typer.echo(f"stopped at step {run.step} of {run.recipe.steps}; the same command goes on")
        return
    typer.echo(f"wrote {run.export()}")
    if run.draw_log():
        typer.echo(f"wrote {run.folder / 'log.png'}")
