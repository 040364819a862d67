"""`train`, `distill` and `batch` as commands: what is decided, refused and said without a run."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_fastsam3d import training
from napari_fastsam3d.cli import run
from napari_fastsam3d.cli.distill import student_recipe
from napari_fastsam3d.cli.train import _recipe, report
from napari_fastsam3d.errors import TrainingError


class Run:
    """A run that got so far: what a command reads of one."""

    def __init__(self, folder: Path, step: int, draws: bool):
        self.folder, self.step, self.draws = folder, step, draws
        self.recipe = SimpleNamespace(steps=10)
        self.exported = False

    def export(self) -> Path:
        self.exported = True
        return self.folder / "weights.safetensors"

    def draw_log(self) -> bool:
        return self.draws


def test_a_run_that_is_not_done_is_told_to_go_on_and_writes_nothing(tmp_path, capsys):
    stopped = Run(tmp_path, 9, True)
    report(stopped)
    assert capsys.readouterr().out == "stopped at step 9 of 10; the same command goes on\n"
    assert not stopped.exported
    for draws in (True, False):
        done = Run(tmp_path, 10, draws)
        report(done)
        assert done.exported
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"wrote {tmp_path / 'weights.safetensors'}"
        assert lines[1:] == ([f"wrote {tmp_path / 'log.png'}"] if draws else [])


def test_recipes_are_those_of_the_package_or_files(tmp_path):
    shipped = _recipe(None)
    text = Path(training.__file__).parent / "recipes" / "default.toml"
    own = tmp_path / "own.toml"
    own.write_text(text.read_text("utf-8").replace(f"seed = {shipped.seed}", "seed = 99"), "utf-8")
    assert _recipe(own).seed == 99
    assert _recipe(text) == shipped
    lite, other = student_recipe("lite"), student_recipe("fastsam3d")
    assert lite.student != other.student
    assert len(lite.stages) == len(lite.run.phases)
    assert student_recipe(str(text.with_name("lite.toml"))) == lite
    with pytest.raises(TrainingError, match="cannot be read"):
        student_recipe("heavy")
    with pytest.raises(TrainingError, match="no table"):
        student_recipe(str(own))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["batch", "ct", "-o", "out"], "Give either --prompts or --structures"),
        (
            ["batch", "ct", "-o", "out", "--prompts", "p", "--structures", "liver"],
            "Give either --prompts or --structures",
        ),
        (
            ["batch", "ct", "-o", "out", "--structures", "liver", "--server", "https://a:1"],
            "leave --server out",
        ),
        (["batch", "ct", "-o", "out", "--prompts", "p", "--workers", "0"], "workers"),
        (["train", "data", "--out", "run", "--workers", "0"], "workers"),
        (["train", "data", "--out", "run", "--judge", "-1"], "judge"),
        (["train", "data", "--out", "run", "--minutes", "soon"], "minutes"),
        (["train", "data"], "--out"),
        (["distill", "--out", "run"], "DATA"),
        (["memory", "keep-scans", "maybe"], "Say on, off or forget"),
        (["adapters", "use", "liver", "none"], "VERSION"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_read(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    said = capsys.readouterr()
    line = said.err.splitlines()[-1]
    assert line.startswith("error: ")
    assert told.lower() in line.lower()
    assert line.endswith(" --help.")
    assert list(tmp_path.iterdir()) == []
