"""`napari-fastsam3d demo`: a phantom, scripted clicks, a mask, a picture, and napari if it can."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_fastsam3d.cli.segment import make_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from napari_fastsam3d.geometry import Volume
    from napari_fastsam3d.geometry.picture import Outline
    from napari_fastsam3d.session import Prompt, Session, SessionState

Call = tuple[str, list[Any]]

_WINDOW = """
import json, sys
import napari

scan, plane, objects = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
viewer = napari.Viewer()
viewer.open(scan, plugin="napari-fastsam3d")
_, widget = viewer.window.add_plugin_dock_widget("napari-fastsam3d")
for name, calls in objects.items():
    widget.view.run(lambda session: session.new_object(name))
    for command, arguments in calls:
        widget.view.run(lambda session: getattr(session, command)(*arguments))
viewer.dims.set_current_step(0, plane)
print("napari is open; close its window to end", flush=True)
napari.run()
"""

_SOFT_TISSUE = (-160.0, 240.0)  # the radiologist's window for the abdomen, in Hounsfield units
_COLOURS = {"liver": (255, 170, 60), "right kidney": (80, 200, 255)}


@dataclass(frozen=True)
class DemoStep:
    """One prompt of the demonstration and what it achieved.

    Parameters
    ----------
    structure : str
        Name of the object.
    prompt : str
        What was given, such as "box" or "+ (40, 50, 60)".
    dice : float
        Overlap of the mask with the phantom's truth afterwards, 0 to 1.
    milliseconds : float
        From the prompt to the mask.
    """

    structure: str
    prompt: str
    dice: float
    milliseconds: float


@dataclass(frozen=True)
class Performance:
    """What the demonstration did, and what of it can be shown in a window.

    Parameters
    ----------
    steps : list of DemoStep
        In the order of the prompts.
    written : list of Path
        The scan, the masks in one file, and the picture.
    plane : int
        The axial plane that shows most, counted from the head.
    objects : dict of str to list
        For each object's name, commands of a session with their arguments.
    """

    steps: list[DemoStep]
    written: list[Path]
    plane: int
    objects: dict[str, list[Call]]


def _click(
    session: "Session", name: str, truth: "NDArray[np.bool_]", clicks: int
) -> Iterator[DemoStep]:
    """Click where a user would: first in the middle, then in the middle of the largest error.

    What another object holds can't be won by clicks, so none is made there.
    """
    from napari_fastsam3d.evaluation import dice, next_click

    for _ in range(clicks):
        mask = session.mask()
        free = mask | (session.label_map() == 0)
        index, positive = next_click(mask, truth & free, session.volume.spacing)
        result = session.add_point(index, positive=positive)
        prompt = f"{'+' if positive else '-'} {index}"
        yield DemoStep(name, prompt, dice(session.mask(), truth), result.milliseconds)


def _box(session: "Session", name: str, truth: "NDArray[np.bool_]") -> DemoStep:
    """Draw a box two voxels wider than the structure, as a hand would."""
    from napari_fastsam3d.evaluation import dice
    from napari_fastsam3d.geometry import Box

    tight = Box.of_mask(truth)
    assert tight is not None  # the phantom has every structure that it names
    box = tight.padded(2).clipped(truth.shape)
    result = session.add_box(box.start, box.stop)
    return DemoStep(name, "box", dice(session.mask(), truth), result.milliseconds)


def _perform(
    session: "Session", truths: "dict[str, NDArray[np.bool_]]", clicks: int
) -> Iterator[DemoStep]:
    """Segment the liver by clicks and the right kidney by a box and then clicks."""
    session.new_object("liver")
    yield from _click(session, "liver", truths["liver"], clicks)
    session.new_object("right kidney")
    yield _box(session, "right kidney", truths["right kidney"])
    yield from _click(session, "right kidney", truths["right kidney"], clicks - 1)


def _print_table(steps: list[DemoStep]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("structure", "prompt", title="after each prompt")
    table.add_column("Dice", justify="right")
    table.add_column("ms", justify="right")
    for before, step in zip([None, *steps], steps, strict=False):
        if before is not None and before.structure != step.structure:
            table.add_section()
        table.add_row(step.structure, step.prompt, f"{step.dice:.3f}", f"{step.milliseconds:.0f}")
    Console().print(table)


def _outlines(session: "Session") -> "list[Outline]":
    from napari_fastsam3d.geometry.picture import Outline

    return [
        Outline(entry.name, session.mask(entry.id), _COLOURS[entry.name])
        for entry in session.state.objects
    ]


def _write(session: "Session", picture: "Image", out: Path) -> list[Path]:
    """Save the scan, both masks in one file, and the picture; give their paths in that order."""
    written = [out / name for name in ("phantom.nii.gz", "mask.nii.gz", "picture.png")]
    _write_scan(session.volume, written[0])
    session.save(written[1])
    picture.save(written[2])
    return written


def _write_scan(volume: "Volume", path: Path) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(volume.voxels, volume.affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(path)


def _calls(state: "SessionState") -> "dict[str, list[Call]]":
    """Write down what was done to each object, as commands of a session with their arguments."""
    return {entry.name: [_call(prompt) for prompt in entry.prompts] for entry in state.objects}


def _call(prompt: "Prompt") -> "Call":
    from napari_fastsam3d.session import BoxPrompt, Point

    if isinstance(prompt, Point):
        return "add_point", [prompt.index, prompt.positive]
    assert isinstance(prompt, BoxPrompt)  # the script of the demonstration has nothing else
    return "add_box", [prompt.box.start, prompt.box.stop]


def napari_command(scan: Path, plane: int, objects: "dict[str, list[Call]]") -> list[str]:
    """Give the command that opens napari with a scan and the widget, and prompts given again.

    The command line may not import napari, for it has to work where there is none; and Qt ends
    its process when it finds no display. So napari gets a process of its own.

    Parameters
    ----------
    scan : Path
        The file to open.
    plane : int
        The axial plane to show, counted from the head.
    objects : dict of str to list
        For each object's name, commands of a session with their arguments.
    """
    return [sys.executable, "-c", _WINDOW, str(scan), str(plane), json.dumps(objects)]


def _segment(out: Path, clicks: int, model: str, device: str) -> Performance:
    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.geometry import torso_phantom
    from napari_fastsam3d.geometry.picture import draw, planes_of
    from napari_fastsam3d.session import Session

    with progress_line() as show:
        show("making the phantom")
        volume, labels, names = torso_phantom()
        truths = {name: labels == value for value, name in names.items()}
        show(f"loading the model {model}")
        with Session(volume, model=model, device=device) as session:
            show("clicking")
            steps = list(_perform(session, truths, clicks))
            show(f"writing to {out}")
            outlines = _outlines(session)
            written = _write(session, draw(volume, outlines, _SOFT_TISSUE), out)
            plane = planes_of(volume, outlines)[0]
            return Performance(steps, written, plane, _calls(session.state))


def _show(performance: Performance) -> None:
    from napari_fastsam3d.cli.window import has_display, has_napari

    if not (has_display() and has_napari()):
        typer.echo("No window: that needs a display, and napari (see `napari-fastsam3d doctor`).")
        return
    typer.echo("opening napari")
    command = napari_command(performance.written[0], performance.plane, performance.objects)
    if subprocess.run(command).returncode:
        typer.echo("napari could not open: `napari-fastsam3d doctor` says why.", err=True)


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the scan, the mask and the picture.")
    ] = Path("napari-fastsam3d-demo"),
    window: Annotated[
        bool, typer.Option("--window/--no-window", help="Open napari afterwards, if it can.")
    ] = True,
    clicks: Annotated[int, typer.Option(min=1, help="How many prompts a structure gets.")] = 5,
    model: Annotated[str, typer.Option(help="A model's name, or a file of weights.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Segment the liver and a kidney of an artificial torso by scripted clicks.

    Works without a display and without Qt; with both, it leaves napari open with the result.
    """
    make_folder(out)
    shown = _segment(out, clicks, model, device)
    _print_table(shown.steps)
    for path in shown.written:
        typer.echo(f"wrote {path}")
    if window:
        _show(shown)
