"""`napari-fastsam3d memory`: what is remembered on this machine, and how to forget it."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from napari_fastsam3d.geometry import Volume
    from napari_fastsam3d.geometry.mask import Mask
    from napari_fastsam3d.memory.bank import MemoryBank
    from napari_fastsam3d.memory.case import Entry
    from napari_fastsam3d.memory.kept_scan import KeptScan

memory = typer.Typer(
    name="memory",
    help="List, add, forget and share remembered cases.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_Bank = Annotated[
    Path | None, typer.Option("--bank", help="Folder of the bank; by default your own.")
]
_Name = Annotated[str | None, typer.Option("--name", help="Only cases of this structure.")]
_SHORT = 8


@contextmanager
def _opened(path: Path | None) -> "Generator[MemoryBank]":
    from napari_fastsam3d.memory.bank import MemoryBank

    with MemoryBank(path) as bank:
        yield bank


@memory.command("list")
def list_cases(name: _Name = None, bank: _Bank = None, as_json: _AsJson = False) -> None:
    """List the remembered cases, the oldest first."""
    with _opened(bank) as opened:
        entries = opened.list(name)
    if as_json:
        _print_json([_row(entry) for entry in entries])
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("id", "structure", "date", "predicted IoU", "clicks", "recalled", "model")
    for entry in entries:
        quality = "" if entry.quality is None else f"{entry.quality:.2f}"
        told = (quality, str(entry.clicks), str(entry.recalled), entry.model[:_SHORT])
        table.add_row(entry.id[:_SHORT], escape(entry.name), entry.date, *told)
    Console().print(table)


@memory.command()
def add(
    images: Annotated[Path, typer.Argument(help="A scan, or a folder of *_img.nii.gz.")],
    labels: Annotated[Path, typer.Argument(help="Its labels, or a folder of *_seg.nii.gz.")],
    names: Annotated[
        Path | None, typer.Option(help="JSON of label value to name; else values are names.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only this structure; may be repeated.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model that will recall them.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    bank: _Bank = None,
) -> None:
    """Remember the structures of labelled scans, as if each had been accepted.

    Nothing of the scans is kept but features of the model and coarse masks, unless you agreed to
    more: see keep-scans.
    """
    from rich.progress import track

    from napari_fastsam3d.evaluation.dataset import names_in, paired_cases
    from napari_fastsam3d.geometry import read_labels, read_volume
    from napari_fastsam3d.geometry.mask import masks_of
    from napari_fastsam3d.inference.accepted import accepted_case, keep
    from napari_fastsam3d.inference.crop_policy import CropPolicy
    from napari_fastsam3d.inference.scan_part import kept_scan
    from napari_fastsam3d.model import load_model

    cases = paired_cases(images, labels)
    table = names_in(names) if names else {}
    wanted = {*(only or [])}
    predictor: Any = load_model(model, device=device)

    def part_of(volume: "Volume", mask: "Mask") -> "Callable[[], KeptScan]":
        return lambda: kept_scan(volume, mask, CropPolicy.of(volume, predictor))

    added = gone = 0
    with _opened(bank) as opened:
        for case in track(cases, "remembering", disable=len(cases) == 1):
            volume = read_volume(case.image or case.labels)
            found = read_labels(case.labels, volume)
            for value, mask in masks_of(found.labels):
                name = table.get(value) or found.names.get(value) or str(value)
                if not wanted or name in wanted:
                    looked_at = accepted_case(predictor, volume, mask, name)
                    gone += len(keep(opened, looked_at, volume, part_of(volume, mask)))
                    added += 1
    typer.echo(f"remembered {added} structures of {len(cases)} scans")
    if gone:
        typer.echo(f"{gone} cases had to go for them; see memory stats")


@memory.command()
def forget(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids, or as much of them as tells them apart.")
    ] = None,
    name: _Name = None,
    bank: _Bank = None,
) -> None:
    """Remove cases, by id or all of a structure; nothing of them stays on the disk."""
    if bool(ids) == (name is not None):
        raise typer.BadParameter("Give ids of cases, or a structure by --name.")
    with _opened(bank) as opened:
        gone = (
            [opened.forget(each.id) for each in {opened.entry(one) for one in ids or []}]
            if name is None
            else [*opened.forget_structure(name)]
        )
    typer.echo(f"forgot {len(gone)} cases")


@memory.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to be written, such as livers.zip.")],
    name: _Name = None,
    bank: _Bank = None,
) -> None:
    """Write cases to one file, for a colleague or another machine."""
    with _opened(bank) as opened:
        count = opened.export(file, name)
    typer.echo(f"wrote {count} cases to {file}")


@memory.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that export wrote.")], bank: _Bank = None
) -> None:
    """Add the cases of a file; those that are there already are left as they are."""
    with _opened(bank) as opened:
        added = opened.import_(file)
    typer.echo(f"added {len(added)} cases")


@memory.command("keep-scans")
def keep_scans(
    wanted: Annotated[str, typer.Argument(help="on, off, or forget: remove what was kept.")],
    bank: _Bank = None,
) -> None:
    """Keep parts of the scans of what is remembered from now on, for `adapt`, or don't.

    These are voxels of your patients: what the model sees around each structure. They stay on this
    machine, and leave it with no export.
    """
    if wanted not in ("on", "off", "forget"):
        raise typer.BadParameter("Say on, off or forget.")
    with _opened(bank) as opened:
        if wanted == "forget":
            opened.scans.clear()
        else:
            opened.scans.agree(wanted == "on")
        told = "are" if opened.scans.agreed else "are not"
        kept = f"{opened.scans.size / 1e6:.1f} MB are there"
    typer.echo(f"parts of scans {told} kept from now on; {kept}")


@memory.command()
def stats(bank: _Bank = None, as_json: _AsJson = False) -> None:
    """Tell how full the bank is, where it is, and what happens when it is full."""
    with _opened(bank) as opened:
        told, where = opened.stats(), opened.path
    if as_json:
        _print_json({"folder": str(where), **asdict(told)})
        return
    typer.echo(f"{told.cases} cases in {where}")
    typer.echo(f"{told.size / 1e6:.1f} of {told.limit / 1e6:.0f} MB. {told.policy}")
    for structure, count in told.structures.items():
        typer.echo(f"  {structure}: {count}")
    for model, count in told.models.items():
        typer.echo(f"  of model {model[:_SHORT]}: {count}; other models don't use them")


def _row(entry: "Entry") -> dict[str, Any]:
    hidden = ("salt", "volume")
    return {key: value for key, value in asdict(entry).items() if key not in hidden}


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2))
