"""`napari-fastsam3d doctor`: what this machine has, what it lacks, what fixes it."""

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from napari_fastsam3d.cli.check import Check


def _checks() -> tuple[Callable[[], list[Check]], ...]:
    from napari_fastsam3d.cli import compute, installation, window

    return (
        installation.python,
        installation.package,
        compute.torch_build,
        compute.cuda,
        compute.memory,
        compute.weights,
        compute.faster_model,
        installation.folders,
        window.napari,
        window.qt_binding,
        window.qt_libraries,
        window.display,
        window.opengl,
    )


def examine(checks: tuple[Callable[[], list[Check]], ...]) -> list[Check]:
    """Run every check, in order; one that breaks counts as failed and stops no other.

    Parameters
    ----------
    checks : tuple of callables
        Each returns what it found.

    Returns
    -------
    list of Check
        In the order of the checks.
    """
    found: list[Check] = []
    for check in checks:
        try:
            found += check()
        except Exception as error:
            name = check.__name__.replace("_", " ")
            found.append(Check.fail(name, f"could not be examined: {error!r}"))
    return found


def _print_table(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(check.name) for check in checks)
    colours = {"OK": "green", "warning": "yellow", "fail": "red"}
    for check in checks:
        verdict = f"[{colours[check.verdict]}]{check.verdict:<7}[/]"
        console.print(f"{verdict}  {check.name:<{width}}  {escape(check.text)}")
        if check.remedy:
            console.print(f"{'':<{width + 11}}fix it: [bold]{escape(check.remedy)}[/]")


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Say what is wrong on this machine, and the command that fixes it.

    Exits with 1 when something that segmentation needs is missing.
    """
    checks = examine(_checks())
    healthy = all(check.verdict != "fail" for check in checks)
    if as_json:
        report = {"healthy": healthy, "findings": [check.as_dict() for check in checks]}
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        _print_table(checks)
    raise typer.Exit(0 if healthy else 1)
