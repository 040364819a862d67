"""`napari-fastsam3d doctor`: what this machine has, what it lacks, what mends it."""

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from napari_fastsam3d.cli.finding import Finding


def _checks() -> tuple[Callable[[], list[Finding]], ...]:
    from napari_fastsam3d.cli import engine, installation, window

    return (
        installation.python,
        installation.package,
        engine.torch_build,
        engine.cuda,
        engine.memory,
        engine.weights,
        installation.folders,
        window.napari,
        window.qt_binding,
        window.qt_libraries,
        window.display,
        window.opengl,
    )


def examine(checks: tuple[Callable[[], list[Finding]], ...]) -> list[Finding]:
    """Run every check, in order; one that breaks is itself a finding and stops no other.

    Parameters
    ----------
    checks : tuple of callables
        Each returns what it found.

    Returns
    -------
    list of Finding
        In the order of the checks.
    """
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except Exception as error:
            name = check.__name__.replace("_", " ")
            found.append(Finding.fail(name, f"could not be examined: {error!r}"))
    return found


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    colours = {"OK": "green", "warning": "yellow", "fail": "red"}
    for finding in findings:
        verdict = f"[{colours[finding.verdict]}]{finding.verdict:<7}[/]"
        console.print(f"{verdict}  {finding.name:<{width}}  {escape(finding.text)}")
        if finding.remedy:
            console.print(f"{'':<{width + 11}}mend it: [bold]{escape(finding.remedy)}[/]")


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of the table.")
    ] = False,
) -> None:
    """Say what is wrong on this machine, and the command that mends it.

    Exits with 1 when something that segmentation needs is missing.
    """
    findings = examine(_checks())
    healthy = all(finding.verdict != "fail" for finding in findings)
    if as_json:
        report = {"healthy": healthy, "findings": [finding.as_dict() for finding in findings]}
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        _print_table(findings)
    raise typer.Exit(0 if healthy else 1)
