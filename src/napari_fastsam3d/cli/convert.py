"""`napari-fastsam3d convert`: a mask in one format in, the same in others out."""

from pathlib import Path
from typing import Annotated

import typer

from napari_fastsam3d.cli.segment import FrameOption, SeriesOption, check_output


def convert(
    mask: Annotated[
        Path, typer.Argument(help="A mask or label map, a .seg.nrrd, or a DICOM segmentation.")
    ],
    outputs: Annotated[
        list[Path],
        typer.Option(
            "--output",
            "-o",
            help=".nii.gz, .nii, .nrrd or .mha; .seg.nrrd (3D Slicer); .dcm (DICOM segmentation); "
            ".obj or .stl (meshes, LPS mm); .txt (label table for ITK-SNAP). May be repeated.",
        ),
    ],
    scan: Annotated[
        Path, typer.Option("--scan", "-s", help="The scan: a file, or a folder of DICOM slices.")
    ],
    frame: FrameOption = None,
    series: SeriesOption = None,
) -> None:
    """Write a mask in other formats, on the grid of its scan, with its names and colours."""
    for output in outputs:
        check_output(output)

    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.geometry.io.label_table import save_label_table
    from napari_fastsam3d.geometry.io.meshes import MESH_SUFFIXES, save_meshes
    from napari_fastsam3d.geometry.io.segments import read_segments, save_segments

    volume = read_volume(scan, frame=frame, series=series)
    segments = read_segments(mask, volume)
    for output in outputs:
        suffix = output.suffix.lower()
        if suffix in MESH_SUFFIXES:
            saved = save_meshes(output, segments, volume)
        elif suffix in (".txt", ".label"):
            saved = [save_label_table(output, segments)]
        else:
            saved = [save_segments(output, segments, volume)]
        for path in saved:
            typer.echo(path)
