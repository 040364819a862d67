"""`napari-fastsam3d replay`: a file of prompts in, the masks they make out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.segment import (
    BankOption,
    FrameOption,
    ScanArgument,
    SeriesOption,
    ServerOption,
    check_output,
    on_server,
    opened_memory,
)

if TYPE_CHECKING:
    from napari_fastsam3d.session import PromptFile, Session


def _difference(found: "PromptFile", session: "Session") -> str | None:
    """Say so if the masks need not be those of the one who made the file."""
    predictor = session.predictor
    if predictor is None or found.fingerprint in (None, predictor.fingerprint):
        return None
    return f"the prompts were made with another model, {found.model}; the masks may differ"


def replay(
    scan: ScanArgument,
    prompts: Annotated[Path, typer.Argument(help="The file of prompts (.json).")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The masks to write: .nii.gz, .nii, .nrrd or .mha."),
    ],
    each: Annotated[
        bool, typer.Option("--each", help="Also write a file for each object, named after it.")
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="A model's name or file; by default the one of the prompts.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    server: ServerOption = None,
    bank: BankOption = None,
    frame: FrameOption = None,
    series: SeriesOption = None,
) -> None:
    """Make the masks of a saved session again, voxel for voxel on the same machine.

    Where remembered cases helped, they are taken from the memory bank; a note says so where they
    aren't there.
    """
    check_output(output)

    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.session import Session, read_prompts

    found = read_prompts(prompts)
    with progress_line() as show:
        show(f"reading {scan}")
        volume = read_volume(scan, frame=frame, series=series)
        found.check_scan(volume)
        chosen = on_server(server, model or found.model)
        show(f"loading the model {chosen}")
        with (
            opened_memory(bool(found.recalled), bank) as memory,
            Session(volume, chosen, device, memory) as session,
        ):
            session.progress.connect(show.step)
            session.load_prompts(prompts)
            show(f"saving {output}")
            saved = [session.save(output), *(session.save_each(output) if each else [])]
            note = _difference(found, session)
    if note:
        typer.echo(f"note: {note}", err=True)
    for path in saved:
        typer.echo(path)
