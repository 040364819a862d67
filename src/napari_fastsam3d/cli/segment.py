"""`napari-fastsam3d segment`: prompts in, a mask file out."""

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_fastsam3d.errors import PromptError, SaveError

if TYPE_CHECKING:
    from napari_fastsam3d.cli.parsed_prompts import ParsedBox, ParsedPoint, ParsedScribble
    from napari_fastsam3d.geometry import Volume
    from napari_fastsam3d.memory.bank import MemoryBank
    from napari_fastsam3d.memory.question import Way
    from napari_fastsam3d.session import Result, Session

    _Prompts = tuple[list[ParsedBox], list[ParsedScribble], list[ParsedScribble], list[ParsedPoint]]

ScanArgument = Annotated[
    Path, typer.Argument(help="A NIfTI, NRRD or MHA file, or a folder with a DICOM series.")
]
FrameOption = Annotated[int | None, typer.Option(help="Which volume of a 4D file, counted from 0.")]
SeriesOption = Annotated[
    str | None, typer.Option(help="Which volume of a DICOM folder or file with several.")
]

OutputOption = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="The mask to write: .nii.gz, .nii, .nrrd, .mha, .seg.nrrd or .dcm."
    ),
]
PointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        "-p",
        metavar="I,J,K[,-]",
        help="A voxel inside the object, or with ',-' one outside it. May be repeated.",
    ),
]
BoxOption = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        "-b",
        metavar="I0,J0,K0,I1,J1,K1",
        help="A box around the object, the second corner not included. May be repeated.",
    ),
]
ScribbleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scribble",
        metavar="I,J,K,I,J,K,...[,-]",
        help="A line through voxels of the object, or with ',-' beside it. May be repeated.",
    ),
]
LassoOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lasso",
        metavar="I,J,K,I,J,K,I,J,K,...[,-]",
        help="Corners round a part of the object in one slice, or with ',-' round what is not. "
        "May be repeated.",
    ),
]
WorldOption = Annotated[bool, typer.Option("--world", help="All prompts are in RAS millimetres.")]
ModelOption = Annotated[str, typer.Option(help="A model's name, or a file of weights.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
FindOption = Annotated[
    str | None, typer.Option("--find", help="A remembered structure, to be found without a click.")
]
RecallOption = Annotated[
    str, typer.Option(help="How remembered cases help: off, reader, prior or published.")
]
PromptsOption = Annotated[
    Path | None,
    typer.Option("--prompts", help="Also write the prompts, for `replay`, to this .json."),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of a line.")
]

_WAYS: "dict[str, Way | None]" = {
    "off": None,
    "reader": "reader",
    "prior": "prior",
    "published": "published",
}

BankOption = Annotated[
    Path | None, typer.Option("--bank", help="Folder of the memory bank; by default your own.")
]


ServerOption = Annotated[
    str | None,
    typer.Option("--server", help="A server whose model is used: https://HOST:PORT. See `login`."),
]


def on_server(server: str | None, model: str | None) -> str:
    """Return the model that is meant: of this machine, or of a server."""
    if server is None:
        return model or "default"
    return server if model in (None, "default") else f"{server}#{model}"


def check_output(path: Path) -> None:
    """Refuse what could not be saved before anything is computed."""
    if not path.parent.is_dir():
        raise SaveError(f"There is no folder {path.parent}.", "Make it first, or save elsewhere.")


def listed(names: str) -> list[str]:
    """Return names that are given with commas between them."""
    return [name.strip() for name in names.split(",") if name.strip()]


def make_folder(out: Path) -> None:
    """Make the folder that something is to be written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"The folder {out} cannot be made: {error.strerror}.", "Name another."
        ) from error


@contextmanager
def opened_memory(is_used: bool, folder: Path | None) -> "Generator[MemoryBank | None]":
    """Open the memory where it is used."""
    if not is_used:
        yield None
        return
    from napari_fastsam3d.memory.bank import MemoryBank

    with MemoryBank(folder) as bank:
        yield bank


def _parsed(
    boxes: list[str],
    lassos: list[str],
    scribbles: list[str],
    points: list[str],
    find: str | None,
) -> "_Prompts":
    """Read prompts; with what is to be found, one must say where the object is."""
    from napari_fastsam3d.cli.parsed_prompts import ParsedBox, ParsedPoint, ParsedScribble

    signed = (
        [ParsedScribble.parse(text, "--lasso", 3) for text in lassos],
        [ParsedScribble.parse(text, "--scribble", 1) for text in scribbles],
        [ParsedPoint.parse(text) for text in points],
    )
    found = [ParsedBox.parse(text) for text in boxes], *signed
    if not find and not boxes and not any(each.positive for kind in signed for each in kind):
        raise PromptError(
            "Nothing says where the object is.",
            "Give a --box, a --point, --scribble or --lasso without ',-', or what to --find.",
        )
    return found


def _prompt(
    session: "Session",
    volume: "Volume",
    prompts: "_Prompts",
    world: bool,
    structure: str | None,
) -> list["Result"]:
    """Give the session its prompts, one kind after the other, and wait for each mask."""
    from napari_fastsam3d.geometry.drawing import voxels_along

    boxes, lassos, scribbles, points = prompts
    results = [] if structure is None else [session.find(structure)]
    results += [session.add_box(*box.corners(volume, world)) for box in boxes]
    for lasso in lassos:
        results.append(session.add_lasso(*lasso.in_slice(volume, world), positive=lasso.positive))
    for scribble in scribbles:
        voxels = voxels_along(scribble.places(volume, world))
        results.append(session.add_scribble(voxels, positive=scribble.positive))
    for point in points:
        results.append(session.add_point(point.index(volume, world), positive=point.positive))
    return results


def _report(session: "Session", volume: "Volume", results: list["Result"]) -> dict[str, Any]:
    from napari_fastsam3d.session.codec import prompt_to_json

    region = session.region()
    voxels = int(region.voxels.sum())
    millilitres = voxels * volume.voxel_mm3 / 1000
    (segmented,) = session.state.objects
    return {
        "model": session.predictor.name if session.predictor else None,
        "device": str(session.predictor.device) if session.predictor else None,
        "prompts": [prompt_to_json(prompt) for prompt in segmented.prompts],
        "voxels": voxels,
        "volume_ml": float(f"{millilitres:.6g}"),
        "quality": results[-1].quality,
        "changed_ml": [
            [round(amount, 3) for amount in result.change.millilitres]
            for result in results
            if result.change is not None
        ],
        "recalled": [asdict(case) for case in session.recalled()],
        "milliseconds": [round(result.milliseconds, 1) for result in results],
        "box": {"start": list(region.box.start), "stop": list(region.box.stop)},
        "notes": [*volume.notes, *(note for result in results for note in result.notes)],
    }


def _print_report(report: dict[str, Any], as_json: bool) -> None:
    for note in report["notes"]:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        json.dump(report, sys.stdout, indent=2)
        print()
        return
    millilitres = report["volume_ml"]
    size = f"{millilitres:.1f} ml" if millilitres >= 0.1 else f"{1000 * millilitres:.3g} mm³"
    typer.echo(
        f"{report['mask']}: {report['voxels']} voxels, {size}, {sum(report['milliseconds']):.0f} ms"
    )


def segment(
    scan: ScanArgument,
    output: OutputOption,
    point: PointOption = None,
    box: BoxOption = None,
    scribble: ScribbleOption = None,
    lasso: LassoOption = None,
    world: WorldOption = False,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    server: ServerOption = None,
    frame: FrameOption = None,
    series: SeriesOption = None,
    find: FindOption = None,
    recall: RecallOption = "off",
    bank: BankOption = None,
    prompts: PromptsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Segment one object of a scan and save its mask on the scan's own grid.

    A structure is found first; then boxes are given to the model, then lassos, scribbles and
    points, each kind in the order in which they are written.
    """
    model = on_server(server, model)
    given = _parsed(box or [], lasso or [], scribble or [], point or [], find)
    if recall not in _WAYS:
        raise PromptError(f"There is no way {recall!r}.", f"Choose one of {', '.join(_WAYS)}.")
    check_output(output)
    if prompts is not None:
        check_output(prompts)

    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.session import Session

    with progress_line() as show:
        show(f"reading {scan}")
        volume = read_volume(scan, frame=frame, series=series)
        show(f"loading the model {model}")
        with (
            opened_memory(find is not None or recall != "off", bank) as memory,
            Session(volume, model, device, memory, _WAYS[recall]) as session,
        ):
            session.progress.connect(show.step)
            results = _prompt(session, volume, given, world, find)
            show(f"saving {output}")
            saved = session.save(output)
            if prompts is not None:
                session.save_prompts(prompts)
            report = {
                "scan": str(scan),
                "mask": str(saved),
                **_report(session, volume, results),
            }
    _print_report(report, as_json)
