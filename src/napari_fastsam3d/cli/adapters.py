"""`napari-fastsam3d adapters`: what is adapted on this machine, and which version is in use."""

from pathlib import Path
from typing import Annotated

import typer

adapters = typer.Typer(
    name="adapters",
    help="List adapted structures, go back to an earlier version, remove.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_Store = Annotated[
    Path | None, typer.Option("--adapters", help="Folder of adapters; by default your own.")
]
_Name = Annotated[str, typer.Argument(help="The structure.")]


@adapters.command("list")
def list_adapters(
    name: Annotated[str | None, typer.Argument(help="All versions of this structure.")] = None,
    store: _Store = None,
) -> None:
    """List what is in use for each structure, or the versions of one."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from napari_fastsam3d.model.adapter_store import AdapterStore

    opened = AdapterStore(store)
    found = [*opened.in_use()] if name is None else [*opened.versions(name)]
    table = Table("structure", "version", "kind", "cases", "date", "model", "Dice left out")
    for each in found:
        used = " in use" if opened.version_in_use(each.structure) == each.version else ""
        table.add_row(
            escape(each.structure),
            f"{each.version}{used}",
            each.config.kind,
            str(each.cases),
            each.date,
            escape(each.model_name),
            "" if each.gain is None else str(each.gain),
        )
    Console().print(table)


@adapters.command()
def use(
    name: _Name,
    version: Annotated[int, typer.Argument(min=0, help="0 uses none, and keeps all.")],
    store: _Store = None,
) -> None:
    """Go back to a version of a structure, or on to a later one."""
    from napari_fastsam3d.model.adapter_store import AdapterStore

    AdapterStore(store).use(name, version)
    typer.echo(f"{name}: version {version}" if version else f"{name}: no adapter in use")


@adapters.command()
def remove(
    name: _Name,
    version: Annotated[
        int | None, typer.Option(min=1, help="Only this version; by default all.")
    ] = None,
    store: _Store = None,
) -> None:
    """Remove adapters of a structure from the disk."""
    from napari_fastsam3d.model.adapter_store import AdapterStore

    AdapterStore(store).remove(name, version)
    typer.echo(f"removed {name}" if version is None else f"removed version {version} of {name}")
