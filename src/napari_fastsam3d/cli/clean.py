"""`napari-fastsam3d clean`: a mask in, the same mask cleaned up out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.segment import FrameOption, SeriesOption, check_output
from napari_fastsam3d.errors import PromptError

if TYPE_CHECKING:
    from napari_fastsam3d.geometry import Mask, Volume
    from napari_fastsam3d.geometry.clean_up import CleanUp


def clean(
    mask: Annotated[Path, typer.Argument(help="A mask, label map or segmentation.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The mask to write: .nii.gz, .nii, .nrrd, .mha, .seg.nrrd or .dcm.",
        ),
    ],
    steps: Annotated[
        list[str],
        typer.Option(
            "--do",
            metavar="KIND[=AMOUNT]",
            help="islands=ML, connected, holes, smooth=MM, grow=MM, shrink=MM or interpolate. "
            "May be repeated; done in this order.",
        ),
    ],
    label: Annotated[
        list[int] | None,
        typer.Option("--label", "-l", help="Only this label; may be repeated. All by default."),
    ] = None,
    scan: Annotated[
        Path | None,
        typer.Option(
            "--scan",
            "-s",
            help="Its scan, for segmentations that cover a part of it, and for .dcm.",
        ),
    ] = None,
    frame: FrameOption = None,
    series: SeriesOption = None,
) -> None:
    """Clean up a mask: islands, holes, margins, smoothing, slices between drawn ones.

    Labels that were there keep their voxels when others grow. Amounts are millilitres and
    millimetres.
    """
    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.geometry.io.segments import read_segments, save_segments

    check_output(output)
    wanted = [_parsed(step) for step in steps]
    volume = _grid_of(mask) if scan is None else read_volume(scan, frame=frame, series=series)
    segments = read_segments(mask, volume)
    values = [each.value for each in segments]
    missing = sorted(set(label or ()) - set(values))
    if missing:
        raise PromptError(
            f"{mask.name} has no label {missing[0]}.",
            f"It has {', '.join(map(str, values)) or 'none'}.",
        )
    for number, each in enumerate(segments):
        if not label or each.value in label:
            others = [other.mask for other in segments if other is not each]
            segments[number] = replace(each, mask=_cleaned(each.mask, wanted, others, volume))
    typer.echo(save_segments(output, segments, volume))


def _grid_of(mask: Path) -> "Volume":
    """Return the voxels of a mask, to be cleaned up without its scan."""
    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.geometry.io.dicom.segmentation_reader import is_dicom_segmentation
    from napari_fastsam3d.geometry.io.nrrd import count_nrrd_frames
    from napari_fastsam3d.geometry.io.slicer_segmentation import SUFFIX

    if is_dicom_segmentation(mask):
        raise PromptError(
            f"{mask.name} lies in the images of its scan.", "Name them by --scan FOLDER."
        )
    segmented = mask.name.lower().endswith(SUFFIX) and mask.is_file()
    return read_volume(mask, frame=0 if segmented and count_nrrd_frames(mask) > 1 else None)


def _cleaned(
    mask: "Mask", steps: "Sequence[CleanUp]", others: "Sequence[Mask]", volume: "Volume"
) -> "Mask":
    """Clean up a mask; what it had in common with others stays, and nothing more is taken."""
    from napari_fastsam3d.geometry.clean_up import cleaned_up

    cleaned = mask
    for how in steps:
        cleaned = cleaned_up(cleaned, how, volume)
    for other in others:
        cleaned = cleaned.without(other.without(mask))
    return cleaned


def _parsed(step: str) -> "CleanUp":
    from napari_fastsam3d.geometry.clean_up import CleanUp

    kind, _, amount = step.partition("=")
    try:
        return CleanUp.of(kind.strip(), float(amount) if amount else None)
    except ValueError:
        raise PromptError(f"{amount!r} in {step!r} is no amount.", "Write it as 2.5.") from None
