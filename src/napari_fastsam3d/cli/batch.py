"""`napari-fastsam3d batch`: the masks of a whole study, of files of prompts or of structures."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fastsam3d.cli.adapt import StoreOption
from napari_fastsam3d.cli.segment import BankOption, ServerOption, listed, on_server

if TYPE_CHECKING:
    from napari_fastsam3d.serving.batch_scan import BatchModel, BatchRow, BatchScan
    from napari_fastsam3d.serving.cluster import Replicas


def batch(
    folder: Annotated[Path, typer.Argument(help="Scans: files, and folders of DICOM series.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the masks.")],
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help="Folder of files of prompts: ct7.json for ct7.nii.gz."),
    ] = None,
    structures: Annotated[
        str | None,
        typer.Option(help="Adapted structures with commas between them, or: all. No prompts then."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's name or file; by default the one of the prompts.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    server: ServerOption = None,
    bank: BankOption = None,
    store: StoreOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes, each with its model.")] = 1,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs of a worker.")] = 1.0,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of a worker, such as 0.25.")] = 0.0,
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster that runs; by default one is started here.")
    ] = None,
    one_process: Annotated[
        bool, typer.Option("--one-process", help="Without Ray: one scan after the other, here.")
    ] = False,
) -> None:
    """Make the masks of many scans, the same as `replay` or `auto` makes one by one.

    Stopped or killed, it goes on where it was when it is started again: a mask is there whole or
    not at all. What became of each scan stands in results.csv, failures with their reasons; how
    large each object is, in volumes.csv.
    """
    if (prompts is None) == (structures is None):
        raise typer.BadParameter("Give either --prompts or --structures.")
    if structures is not None and server is not None:
        raise typer.BadParameter("Structures are adapted on this machine: leave --server out.")
    from napari_fastsam3d.serving.batch import TABLE
    from napari_fastsam3d.serving.batch_scan import BatchModel, scans_of
    from napari_fastsam3d.serving.cluster import Replicas

    folder, output = (each.expanduser().absolute() for each in (folder, output))
    scans = scans_of(folder, prompts and prompts.expanduser().absolute(), output)
    chosen = BatchModel(model if server is None else on_server(server, model), device, bank)
    if structures is not None:
        names = None if structures == "all" else tuple(listed(structures))
        chosen = replace(chosen, structures=names, adapters=store).with_fitted()
    shares = None if one_process else Replicas(workers, workers, cpus, gpus)
    rows = _gone_through(scans, chosen, output, shares, address)
    failed = sum(row.status == "failed" for row in rows)
    typer.echo(f"{output / TABLE}: {len(rows) - failed} done, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _gone_through(
    scans: "list[BatchScan]",
    chosen: "BatchModel",
    output: Path,
    shares: "Replicas | None",
    address: str | None,
) -> "list[BatchRow]":
    """Go through what is left of a batch, on Ray or in this process, and write its tables."""
    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.serving import batch as running

    with progress_line() as show, running.one_batch_in(output):
        left = running.left_to_do(scans, chosen)
        done = [len(scans) - len(left)]
        show.step("scans", done[0], len(scans))

        def count(row: "BatchRow") -> None:
            done[0] += 1
            show.step("scans", done[0], len(scans))
            if row.status == "failed":
                typer.echo(f"note: {row.scan}: {row.error}", err=True)

        try:
            if shares is None:
                running.run_here(left, chosen, count)
            elif left:
                running.run_on_ray(left, chosen, count, shares, address)
        finally:
            rows = running.write_tables(scans, output)
    return rows
