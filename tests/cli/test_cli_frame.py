"""How the command line ends: exit codes, one line for an error, a traceback only when asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from napari_fastsam3d import __version__, cli
from napari_fastsam3d.errors import VolumeError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Add a command `fail` that raises what it is told to, for the length of a test."""
    commands = list(cli.app.registered_commands)
    monkeypatch.setattr(cli.app, "registered_commands", commands)

    def install(error: BaseException) -> None:
        @cli.app.command()
        def fail() -> None:
            raise error

    return install


def test_an_error_of_ours_is_one_line_with_its_remedy(failing, capsys):
    failing(VolumeError("The scan is\nbroken.", "Get another."))

    assert cli.run(["fail"]) == 1
    said = capsys.readouterr()
    assert said.err == "error: The scan is broken. Get another.\n"
    assert said.out == ""


def test_an_unknown_error_is_named_in_one_line(failing, capsys):
    failing(ZeroDivisionError("by nothing"))

    assert cli.run(["fail"]) == 1
    said = capsys.readouterr().err
    assert said == "error: ZeroDivisionError: by nothing (--debug shows the traceback)\n"


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(failing, capsys, arguments):
    failing(ZeroDivisionError("by nothing"))

    assert cli.run(arguments) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said
    assert "raise error" in said


def test_an_interruption_is_130_and_silent(failing, capsys):
    failing(KeyboardInterrupt())

    assert cli.run(["fail"]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["segmnt"], "No such command"),
        (["segment"], "Missing argument"),
        (["segment", "a.nii", "-o", "b.nii", "--pint", "1,2,3"], "No such option"),
        (["demo", "--clicks", "0"], "--clicks"),
        (["bench", "--runs", "many"], "--runs"),
    ],
)
def test_wrong_usage_is_one_line_and_2(capsys, arguments, told):
    assert cli.run(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert told in said.err
    assert "--help" in said.err


def test_without_a_command_help_is_shown(capsys):
    assert cli.run([]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("segment", "demo", "doctor", "bench", "--debug"))


def test_the_version_is_the_package_s(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"napari-fastsam3d {__version__}\n"


def test_the_installed_command_ends_like_run(tmp_path: Path):
    program = Path(sys.executable).with_name("napari-fastsam3d")
    command = [program, "segment", "nothing.nii", "-o", "mask.nii.gz", "-p", "1,2,3"]

    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)

    assert answer.returncode == 1
    *progress, last = answer.stderr.splitlines()
    assert progress == ["reading nothing.nii ..."]
    assert last.startswith("error: ")
    assert "nothing.nii" in last
    assert answer.stdout == ""
