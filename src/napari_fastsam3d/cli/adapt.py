"""`napari-fastsam3d adapt`: fit the model to a structure."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.segment import BankOption

if TYPE_CHECKING:
    from napari_fastsam3d.training.adaptation.cases import TeachingCase
    from napari_fastsam3d.training.adaptation.outcome import Outcome

ImagesOption = Annotated[
    Path | None, typer.Option(help="A folder of *_img.nii.gz, in place of the memory.")
]
LabelsOption = Annotated[Path | None, typer.Option(help="Its labels, a folder of *_seg.nii.gz.")]
StoreOption = Annotated[
    Path | None, typer.Option("--adapters", help="Folder of adapters; by default your own.")
]

SourceOption = Annotated[
    str | None, typer.Option("--from", help="bank: cases that the memory kept of scans.")
]
NamesOption = Annotated[
    Path | None, typer.Option(help="JSON of label value to name; else values are names.")
]
PatientOption = Annotated[
    str | None,
    typer.Option(help="Regular expression for what in a file's name tells its patient."),
]
ProtocolOption = Annotated[
    str, typer.Option(help="clicks, or samed: SAMed's schedule, losses and report.")
]
KindOption = Annotated[str | None, typer.Option(help="bottleneck, norm or lora; lora for samed.")]
EncoderOption = Annotated[
    bool, typer.Option("--encoder", help="Adapt the image encoder too; much slower.")
]
FoldsOption = Annotated[
    int | None, typer.Option(min=0, help="Folds that decide, at most; 0 decides nothing.")
]


def adapt(
    name: Annotated[str, typer.Argument(help="The structure, as objects will be called.")],
    source: SourceOption = None,
    bank: BankOption = None,
    images: ImagesOption = None,
    labels: LabelsOption = None,
    names: NamesOption = None,
    patient: PatientOption = None,
    protocol: ProtocolOption = "clicks",
    kind: KindOption = None,
    encoder: EncoderOption = False,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each fit.")] = None,
    folds: FoldsOption = None,
    model: Annotated[str, typer.Option(help="A model's name, or a file of weights.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Fit a few weights of the model to a structure, and keep them if they help.

    Cases are left out in turn to see whether masks get better; both numbers are told. What was
    stopped goes on when the same command is given again.
    """
    if (source == "bank") == (images is not None) or (images is None) != (labels is None):
        raise typer.BadParameter("Give either --from bank, or --images and --labels.")
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from napari_fastsam3d.model.adapter_store import AdapterStore
    from napari_fastsam3d.training.adaptation.adapt import adapt as fitted
    from napari_fastsam3d.training.adaptation.protocols import options_of

    options = options_of(protocol, kind, encoder, steps, folds)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("Reading the cases", total=None)
        outcome = fitted(
            name,
            cases=_cases(name, bank, images, labels, names, patient),
            model=model,
            device=device,
            options=options,
            store=AdapterStore(store),
            tell=lambda what, done, of: bar.update(
                task, description=what, completed=done, total=of
            ),
        )
    typer.echo(json.dumps(_told(outcome), indent=2) if as_json else _report(outcome))


def _cases(
    name: str,
    bank: Path | None,
    images: Path | None,
    labels: Path | None,
    names: Path | None,
    patient: str | None,
) -> "list[TeachingCase]":
    from napari_fastsam3d.evaluation.dataset import names_in, paired_cases
    from napari_fastsam3d.memory.bank import MemoryBank
    from napari_fastsam3d.training.adaptation.cases import (
        labelled_teaching_cases,
        remembered_teaching_cases,
    )

    if images is None or labels is None:
        with MemoryBank(bank) as opened:
            return remembered_teaching_cases(opened, name)
    table = names_in(names) if names else {}
    return labelled_teaching_cases(paired_cases(images, labels), name, table, patient)


def _report(outcome: "Outcome") -> str:
    lines = [str(outcome)]
    adapter = outcome.adapter
    if adapter.gain is not None and adapter.gain.adapted_hd95:
        lines.append(f"HD95 in mm: {adapter.gain.of_surfaces}.")
    if outcome.helps:
        lines.append(f"Kept as version {adapter.version} of {adapter.structure}, and in use.")
    return "\n".join(lines)


def _told(outcome: "Outcome") -> dict[str, object]:
    adapter = outcome.adapter
    return {
        "structure": adapter.structure,
        "kept": outcome.helps,
        "version": adapter.version,
        "cases": adapter.cases,
        "config": asdict(adapter.config),
        "gain": None if adapter.gain is None else asdict(adapter.gain),
    }
