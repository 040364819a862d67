"""`napari-fastsam3d clean`: a mask in, the same mask cleaned up out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.segment import check_output
from napari_fastsam3d.errors import PromptError

if TYPE_CHECKING:
    from napari_fastsam3d.geometry.clean_up import CleanUp


def clean(
    mask: Annotated[Path, typer.Argument(help="A mask or label map.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The mask to write: .nii.gz, .nii, .nrrd or .mha."),
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
) -> None:
    """Clean up a mask: islands, holes, margins, smoothing, slices between drawn ones.

    Labels that were there keep their voxels when others grow. Amounts are millilitres and
    millimetres.
    """
    from napari_fastsam3d.geometry import Mask, read_volume, save_mask
    from napari_fastsam3d.geometry.clean_up import cleaned_up
    from napari_fastsam3d.geometry.io.mask_reader import read_labels
    from napari_fastsam3d.geometry.mask import masks_of

    check_output(output)
    wanted = [_parsed(step) for step in steps]
    volume = read_volume(mask)
    found = read_labels(mask, volume)
    labels = found.labels.copy()
    masks = dict(masks_of(found.labels))
    missing = sorted(set(label or ()) - set(masks))
    if missing:
        raise PromptError(
            f"{mask.name} has no label {missing[0]}.",
            f"It has {', '.join(map(str, masks)) or 'none'}.",
        )
    for value in label or masks:
        cleaned = masks[value]
        for how in wanted:
            cleaned = cleaned_up(cleaned, how, volume)
        box = cleaned.box.union(masks[value].box)
        here = labels[box.slices]
        others = Mask.of(box, (here != 0) & (here != value))
        here[here == value] = 0
        cleaned.without(others).write(here, box, value)
    typer.echo(save_mask(output, labels, volume, label_names=found.names))


def _parsed(step: str) -> "CleanUp":
    from napari_fastsam3d.geometry.clean_up import CleanUp

    kind, _, amount = step.partition("=")
    try:
        return CleanUp.of(kind.strip(), float(amount) if amount else None)
    except ValueError:
        raise PromptError(f"{amount!r} in {step!r} is no amount.", "Write it as 2.5.") from None
