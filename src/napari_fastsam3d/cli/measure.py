"""`napari-fastsam3d measure`: a mask and its scan in, a table of measures out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_fastsam3d.cli.segment import FrameOption, SeriesOption, check_output
from napari_fastsam3d.errors import SaveError

if TYPE_CHECKING:
    from napari_fastsam3d.geometry import Measured

_SUFFIXES = (".csv", ".json")


def measure(
    mask: Annotated[Path, typer.Argument(help="A mask, label map or segmentation of the scan.")],
    scan: Annotated[
        Path, typer.Option("--scan", "-s", help="The scan: a file, or a folder of DICOM slices.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the table to this .csv or .json."),
    ] = None,
    frame: FrameOption = None,
    series: SeriesOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the ends of the diameters, not CSV.")
    ] = False,
) -> None:
    """Measure all labels or segments: volume, diameters, surface, place and the scan's values.

    Long and short axis are the RECIST diameters in the axial slices; places are RAS millimetres.
    """
    if output is not None:
        check_output(output)
        if output.suffix.lower() not in _SUFFIXES:
            raise SaveError(
                f"A table cannot be written as {output.name}.", "Use a name in .csv or .json."
            )

    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.geometry.io.atomic_write import replacing
    from napari_fastsam3d.geometry.io.segments import read_segments
    from napari_fastsam3d.geometry.measures import measure_segments, table_of

    volume = read_volume(scan, frame=frame, series=series)
    rows = measure_segments(read_segments(mask, volume), volume)
    for note in volume.notes:
        typer.echo(f"note: {note}", err=True)
    structured = as_json if output is None else output.suffix.lower() == ".json"
    text = json.dumps([_with_ends(row) for row in rows], indent=2) if structured else table_of(rows)
    if output is None:
        typer.echo(text.rstrip("\n"))
        return
    with replacing(output.expanduser().absolute(), output.suffix) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(output)


def _with_ends(row: "Measured") -> dict[str, Any]:
    """Return a row with where its diameters begin and end, RAS mm."""
    lines = {
        name: getattr(row.measures, name) for name in ("long_axis", "short_axis", "longest_3d")
    }
    ends = {name: line and [line.start, line.end] for name, line in lines.items()}
    return {**row.record, **ends}
