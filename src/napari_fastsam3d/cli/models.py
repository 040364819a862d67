"""`napari-fastsam3d models`: which models there are, and how more of them get here."""

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from napari_fastsam3d.model.registry import ModelEntry
    from napari_fastsam3d.model.store import Record

models = typer.Typer(
    name="models",
    help="List, fetch, import and remove models.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def _rows() -> list[dict[str, Any]]:
    """Describe every model that is here or can be fetched."""
    from napari_fastsam3d.model.registry import catalogue

    return [_row(entry) for entry in catalogue()]


def _row(entry: "ModelEntry") -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": entry.name,
        "state": entry.state,
        "size": entry.size,
        "licence": entry.licence,
        "origin": entry.origin,
    }
    if entry.card is not None:
        row |= {"summary": entry.summary, "url": entry.card.url}
        row |= {"architecture": entry.card.architecture}
    if entry.record is not None:
        parts = [str(origin) for origin in entry.record.provenance]
        row |= {**asdict(entry.record), "provenance": parts}
    return row


@models.command("list")
def list_models(as_json: _AsJson = False) -> None:
    """List the models that are on this machine, and those that can be fetched."""
    rows = _rows()
    if as_json:
        _print_json(rows)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from napari_fastsam3d.model.registry import faster_here, megabytes

    table = Table("model", "state", "licence", "what it is")
    table.add_column("size", justify="right")
    for row in rows:
        size = "" if row["state"] == "part of the package" else megabytes(row["size"])
        what = row.get("summary") or f"{row['architecture']}, {row['origin']}"
        cells = (row["name"], row["state"], row["licence"], what, size)
        table.add_row(*map(escape, cells))
    Console().print(table)
    if advice := faster_here():
        typer.echo(advice)


@models.command()
def info(
    name: Annotated[str, typer.Argument(help="A model's name.")], as_json: _AsJson = False
) -> None:
    """Tell what is known of a model: licence, origin, size, and which part came from which file."""
    from napari_fastsam3d.errors import CheckpointError
    from napari_fastsam3d.model.registry import megabytes

    rows = {row["name"]: row for row in _rows()}
    if name not in rows:
        raise CheckpointError(
            f"There is no model {name!r}.", f"There are {', '.join(rows)}; see models list."
        )
    if as_json:
        _print_json(rows[name])
        return
    for key, value in rows[name].items():
        if value is None or value == "":
            continue
        lines = value if isinstance(value, list) else [value]
        for line in lines:
            typer.echo(f"{key:<13}{megabytes(line) if key == 'size' else line}")


@models.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A model that can be fetched; see models list.")],
    url: Annotated[
        str | None, typer.Option(help="A mirror to take the file from, instead of its origin.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Download a model and keep it in your data folder.

    Ctrl-C stops it; the same command goes on where it stopped.
    """
    from napari_fastsam3d.errors import CheckpointError
    from napari_fastsam3d.model import MODELS, fetch_model
    from napari_fastsam3d.model.download import look
    from napari_fastsam3d.model.fetch import whole_record
    from napari_fastsam3d.model.registry import megabytes
    from napari_fastsam3d.model.store import ModelStore

    card = MODELS.get(name)
    if card is None or card.url is None:
        can = ", ".join(card.name for card in MODELS.values() if card.url)
        raise CheckpointError(f"{name!r} cannot be fetched.", f"Choose one of {can}.")
    there = whole_record(ModelStore(), name)
    if there is not None:
        typer.echo(f"{name} is here already; remove it first to fetch it anew")
        _report(there)
        return
    offer = look(url or card.url)
    typer.echo(f"{card.name}: {card.summary}")
    typer.echo(f"licence {card.licence}, from {card.origin}")
    typer.echo(f"{megabytes(offer.size)} from {url or card.url}")
    if not yes and sys.stdin.isatty():
        typer.confirm("Download it?", abort=True)
    with _progress(f"fetching {name}") as progress:
        record = fetch_model(name, url=url, progress=progress)
    _report(record)


@models.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt or .safetensors.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; by default as the file.")
    ] = None,
    rest: Annotated[
        str | None,
        typer.Option(help="File or model with the other parts, if this is an encoder alone."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help="What the file cannot tell, such as fastsam3d-sparse."),
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
) -> None:
    """Convert a checkpoint of yours and keep it under a name; nothing in the file is executed."""
    from napari_fastsam3d.model import import_model

    record = import_model(file, name=name, rest=rest, architecture=architecture, licence=licence)
    _report(record)


@models.command()
def remove(name: Annotated[str, typer.Argument(help="A model on this machine.")]) -> None:
    """Delete a model that was fetched or imported."""
    from napari_fastsam3d.errors import CheckpointError
    from napari_fastsam3d.model.registry import BUNDLED, megabytes
    from napari_fastsam3d.model.store import ModelStore

    if name in BUNDLED:
        raise CheckpointError(
            f"The model {name} is part of the package.", "Only fetched ones can be removed."
        )
    freed = ModelStore().remove(name)
    typer.echo(f"removed {name}, {megabytes(freed)} freed")


def _report(record: "Record") -> None:
    from napari_fastsam3d.model.registry import megabytes

    typer.echo(f"{record.name} is ready ({record.architecture}, {megabytes(record.size)})")
    for origin in record.provenance:
        typer.echo(f"  {origin}")
    typer.echo(f"  {record.trust}")


def _print_json(content: Any) -> None:
    json.dump(content, sys.stdout, indent=2)
    print()


@contextmanager
def _progress(text: str) -> Generator[Callable[[int, int | None], None], None, None]:
    """Show how much has arrived, on standard error: a bar, or a line for each tenth."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Tenths(text)
        return
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Tenths:
    """Prints a line whenever another tenth is there."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._told = -1

    def __call__(self, done: int, total: int | None) -> None:
        tenth = 10 * done // total if total else done // 100_000_000
        if tenth > self._told:
            self._told = tenth
            there = f"{done / 1e6:.0f}" + (f" of {total / 1e6:.0f}" if total else "")
            print(f"{self._text}: {there} MB", file=sys.stderr, flush=True)
