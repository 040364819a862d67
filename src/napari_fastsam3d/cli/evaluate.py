"""`napari-fastsam3d evaluate`: Dice after each simulated click."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.errors import VolumeError

if TYPE_CHECKING:
    from napari_fastsam3d.evaluation import Trial
    from napari_fastsam3d.session import ModelThread

_IMAGE, _LABELS = "_img.nii.gz", "_seg.nii.gz"
_COLUMNS = (1, 2, 3, 5, 10)


def _pairs(images: Path, labels: Path) -> list[tuple[str, Path, Path]]:
    """Pair `<case>_img.nii.gz` of one folder with `<case>_seg.nii.gz` of another, or two files."""
    if images.is_file():
        return [(images.name.removesuffix(_IMAGE), images, labels)]
    pairs = [
        (path.name.removesuffix(_IMAGE), path, labels / path.name.replace(_IMAGE, _LABELS))
        for path in sorted(images.glob(f"*{_IMAGE}"))
    ]
    if not pairs:
        raise VolumeError(f"{images} holds no *{_IMAGE}.", "Give a scan, or a folder of such.")
    return pairs


def _names(path: Path | None) -> dict[int, str]:
    if path is None:
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VolumeError(f"{path} cannot be read: {error}.", "Give a JSON file.") from error
    return {int(value): str(name) for value, name in table.get("labels", table).items()}


def _trials(
    pair: tuple[str, Path, Path],
    model: "ModelThread",
    wanted: list[str],
    names: dict[int, str],
    limits: tuple[int, int, int],
) -> "Iterator[Trial]":
    from napari_fastsam3d.evaluation import run_trial, structures_of
    from napari_fastsam3d.geometry import read_volume

    case, image, seg = pair
    clicks, smallest, most = limits
    volume, labels = read_volume(image), read_volume(seg).voxels.astype("int32")
    if labels.shape != volume.shape:
        raise VolumeError(f"{seg.name} is not on the grid of {image.name}.", "Resample it first.")
    for value, truth in structures_of(labels, smallest, 1 << 16 if wanted else most):
        name = names.get(value, str(value))
        if not wanted or name in wanted or str(value) in wanted:
            yield run_trial(volume, truth, model, clicks, (case, name))


def _print_table(trials: "list[Trial]", clicks: int) -> None:
    from statistics import mean

    from rich.console import Console
    from rich.table import Table

    from napari_fastsam3d.evaluation import mean_at

    shown = [n for n in _COLUMNS if n <= clicks]
    table = Table("case", "structure", title="Dice after each click", show_footer=True)
    table.add_column("voxels", justify="right")
    for n in shown:
        table.add_column(str(n), justify="right", footer=f"{mean_at(trials, n):.3f}")
    boxes = [t.box for t in trials if t.box is not None]
    table.add_column("box", justify="right", footer=f"{mean(boxes):.3f}" if boxes else "")
    for t in trials:
        scores = [f"{t.clicks[n - 1]:.3f}" for n in shown]
        box = "" if t.box is None else f"{t.box:.3f}"
        table.add_row(t.case, t.structure, str(t.voxels), *scores, box)
    table.columns[0].footer = "mean"
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def evaluate(
    images: Annotated[Path, typer.Option(help="A scan, or a folder of *_img.nii.gz.")],
    labels: Annotated[Path, typer.Option(help="Its labels, or a folder of *_seg.nii.gz.")],
    structure: Annotated[
        list[str] | None, typer.Option(help="A name or value to evaluate; may be repeated.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="JSON file that names the values of the labels.")
    ] = None,
    clicks: Annotated[int, typer.Option(min=1, help="Simulated clicks a structure.")] = 10,
    most: Annotated[int, typer.Option(min=1, help="Largest structures taken of a case.")] = 6,
    smallest: Annotated[int, typer.Option(min=1, help="Voxels a structure needs.")] = 200,
    model: Annotated[str, typer.Option(help="A model's name, or a file of weights.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Segment known structures by simulated clicks and tell the Dice after each.

    Every click falls in the middle of the largest error, positive or negative; one more column
    tells what a single box does.
    """
    from napari_fastsam3d.cli.progress import telling
    from napari_fastsam3d.session import ModelThread

    table = _names(names)
    trials: list[Trial] = []
    with telling() as tell, ModelThread(model, device) as thread:
        for pair in _pairs(images, labels):
            tell(f"case {pair[0]}")
            for trial in _trials(pair, thread, structure or [], table, (clicks, smallest, most)):
                trials.append(trial)
                tell(f"{trial.case} {trial.structure}: {trial.clicks[-1]:.3f}")
    if not trials:
        raise VolumeError(
            "No structure to evaluate was found.", "Check --structure and --smallest."
        )
    if as_json:
        typer.echo(json.dumps([asdict(trial) for trial in trials], indent=1))
    else:
        _print_table(trials, clicks)
