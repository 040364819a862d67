"""The command line: one command a file, every failure one line, exit codes a script can trust.

0 is success, 1 an error told in one line on standard error, 2 a command line that makes no sense,
130 an interruption by Ctrl-C. Modules of this package import only light things at their top, so
that `napari-fastsam3d --help` answers at once; a command imports what it needs when it runs.
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from napari_fastsam3d import __version__
from napari_fastsam3d.cli.adapt import adapt
from napari_fastsam3d.cli.adapters import adapters
from napari_fastsam3d.cli.auto import auto
from napari_fastsam3d.cli.batch import batch
from napari_fastsam3d.cli.bench import bench
from napari_fastsam3d.cli.clean import clean
from napari_fastsam3d.cli.convert import convert
from napari_fastsam3d.cli.demo import demo
from napari_fastsam3d.cli.distill import distill
from napari_fastsam3d.cli.doctor import doctor
from napari_fastsam3d.cli.evaluate import evaluate
from napari_fastsam3d.cli.measure import measure
from napari_fastsam3d.cli.memory import memory
from napari_fastsam3d.cli.models import models
from napari_fastsam3d.cli.replay import replay
from napari_fastsam3d.cli.report import report
from napari_fastsam3d.cli.segment import segment
from napari_fastsam3d.cli.serve import serve
from napari_fastsam3d.cli.tokens import login, tokens
from napari_fastsam3d.cli.train import train
from napari_fastsam3d.errors import FastSAM3DError

__all__ = ["app", "main", "run"]

_INTERRUPTED = 130

app = typer.Typer(
    name="napari-fastsam3d",
    help="Segment organs in CT and MR volumes by clicking. Not a medical device.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    segment,
    auto,
    replay,
    measure,
    clean,
    convert,
    report,
    demo,
    doctor,
    bench,
    evaluate,
    train,
    distill,
    batch,
    serve,
    login,
    adapt,
):
    app.command()(_command)
app.add_typer(models)
app.add_typer(memory)
app.add_typer(tokens)
app.add_typer(adapters)


class _Notes(logging.Handler):
    """Prints what the package logs as a note on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"note: {record.getMessage()}", file=sys.stderr, flush=True)


_NOTES = _Notes(logging.WARNING)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-fastsam3d {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, not only its line.")
    ] = False,
) -> None:
    # `run` has taken --debug out of the arguments before they come here, wherever it stood;
    # the declaration above is what puts it into --help.
    del version, debug


def _explain(error: Exception) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, FastSAM3DError):
        return message
    return f"{type(error).__name__}: {message} (--debug shows the traceback)"


def _usage(error: Exception) -> str | None:
    """Give the message of an error about the command line itself, which its parser raised."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context else app.info.name
    return f"{message().rstrip('.')}. See {path} --help."


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Parameters
    ----------
    arguments : sequence of str
        What follows the program's name. `--debug` may stand anywhere in it.

    Returns
    -------
    int
        The exit code: 0, 1 (an error), 2 (wrong usage) or 130 (Ctrl-C).
    """
    logging.getLogger("napari_fastsam3d").addHandler(_NOTES)  # one that is there is not added again
    command = typer.main.get_command(app)
    given = [argument for argument in arguments if argument != "--debug"]
    try:
        code = command(given or ["--help"], prog_name=app.info.name, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except Exception as error:
        usage = _usage(error)
        if usage is None and len(given) < len(arguments):
            traceback.print_exc()
        print(f"error: {usage or _explain(error)}", file=sys.stderr)
        return 2 if usage else 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    code = run(sys.argv[1:])
    if code == _INTERRUPTED:
        # The interpreter would wait for the model thread, which may be in the middle of its work
        # or, interrupted while it was started, may never learn that it should end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
