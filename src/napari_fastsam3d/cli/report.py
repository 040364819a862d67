"""`napari-fastsam3d report`: a mask and its scan in, a page about them out."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from napari_fastsam3d.cli.segment import FrameOption, SeriesOption, check_output
from napari_fastsam3d.errors import VolumeError


def report(
    mask: Annotated[Path, typer.Argument(help="A mask, .seg.nrrd or DICOM segmentation.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The page to write: .pdf or .png.")
    ],
    scan: Annotated[
        Path, typer.Option("--scan", "-s", help="The scan: a file, or a folder of DICOM slices.")
    ],
    model: Annotated[
        str, typer.Option(help="What the mask was made with, to stand on the page.")
    ] = "not told",
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LOW HIGH", help="Intensities that become black and white."),
    ] = None,
    patient: Annotated[
        bool, typer.Option("--patient", help="Name the scan, and patient and study of DICOM.")
    ] = False,
    frame: FrameOption = None,
    series: SeriesOption = None,
) -> None:
    """Write a page about a mask: three planes with outlines, and the table of measures."""
    check_output(output)

    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.geometry.io.segments import read_segments
    from napari_fastsam3d.geometry.measures import measure_segments
    from napari_fastsam3d.session.colour import free_colour
    from napari_fastsam3d.session.report import Report, patient_lines, save_report

    volume = read_volume(scan, frame=frame, series=series)
    segments = read_segments(mask, volume)
    if not segments:
        raise VolumeError(f"{mask.name} holds no mask.", "Choose one that isn't empty.")
    coloured = []
    for each in segments:
        taken = [other.colour for other in coloured if other.colour is not None]
        coloured.append(replace(each, colour=each.colour or free_colour(each.value, taken)))
    rows = measure_segments(segments, volume)
    about = patient_lines(volume) if patient else ()
    typer.echo(save_report(output, Report(volume, coloured, rows, model, window, about)))
