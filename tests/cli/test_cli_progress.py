"""What a command says while it works: to standard error only, and nothing twice."""

import io

import pytest
from rich.console import Console

from napari_fastsam3d.cli.progress import ProgressLine, progress_line


def test_where_nobody_looks_each_step_is_one_line(capsys):
    with progress_line() as show:
        show("reading")
        show("reading")
        show.step("encoding", 0, 3)
        show.step("encoding", 1, 3)
        show("saving [1/2]")

    said = capsys.readouterr()
    assert said.err == "reading ...\nencoding ...\nsaving [1/2] ...\n"
    assert said.out == ""


def test_on_a_terminal_the_spinner_says_it_and_is_gone_afterwards():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60)

    with console.status("") as status:
        show = ProgressLine(status)
        show.step("encoding [bold]", 2, 3)
        assert "encoding \\[bold] 2/3" in str(status.status)

    assert screen.getvalue().endswith("\x1b[2K")


def test_an_error_inside_comes_through():
    with pytest.raises(ValueError, match="inside"), progress_line():
        raise ValueError("inside")
