"""`demo` and `bench`, from beginning to end, without a display, with a small untrained network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_fastsam3d import cli
from napari_fastsam3d.cli import window
from napari_fastsam3d.cli.demo import _click, napari_command
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Mask, Session


def test_the_demonstration_needs_no_display_and_no_gui(tmp_path: Path, tiny_weights: Path):
    """In a process where Qt and napari cannot be imported at all."""
    blocked = ("qtpy", "napari", "magicgui", "superqt", "vispy", "PySide6", "PyQt6")
    arguments = ["demo", "--out", "out", "--clicks", "2", "--model", str(tiny_weights)]
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from napari_fastsam3d import cli\n"
        f"sys.exit(cli.run({arguments!r}))"
    )
    plain = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}

    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        cwd=tmp_path,
        env=plain,
    )

    assert answer.returncode == 0, answer.stderr
    scan = nib.Nifti1Image.from_filename(tmp_path / "out" / "phantom.nii.gz")
    mask = nib.Nifti1Image.from_filename(tmp_path / "out" / "mask.nii.gz")
    assert np.array_equal(mask.affine, scan.affine)
    assert mask.shape == scan.shape
    assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1, 2}
    with Image.open(tmp_path / "out" / "picture.png") as picture:
        assert picture.width > picture.height > 400
    assert "liver" in answer.stdout
    assert "right kidney" in answer.stdout
    assert answer.stdout.count("0.") >= 4  # a Dice for each prompt
    assert "wrote out/mask.nii.gz" in answer.stdout
    if sys.platform.startswith("linux"):
        assert "No window" in answer.stdout


def test_the_demonstration_clicks_nowhere_twice_and_not_in_what_another_object_holds(
    tiny_predictor,
):
    voxels = np.random.default_rng(0).normal(0, 100, (24, 24, 12)).astype(np.float32)
    wanted = np.zeros(voxels.shape, dtype=bool)
    wanted[4:20, 4:20, 3:9] = True
    held = Mask.of_indices(np.argwhere(wanted & (np.arange(24)[:, None, None] < 14)))
    with Session(Volume.from_array(voxels), model=tiny_predictor) as session:
        session.add_mask(held)
        session.new_object()
        steps = list(_click(session, "rest", wanted, 4))
        clicks = [prompt.index for prompt in session.state.object(2).prompts]
        assert len(steps) == len(set(clicks)) == 4
        assert not any(session.mask(1)[index] for index in clicks)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")

    assert cli.run(["demo", "--out", str(tmp_path / "file" / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: The folder")
    assert said.count("\n") == 1


@pytest.mark.gl
@pytest.mark.skipif(
    not (window.has_display() and window.has_napari()), reason="needs a display and napari"
)
def test_napari_opens_and_stays_with_the_prompts_given_again(tmp_path: Path):
    """The command that the demonstration ends with really opens a window that stays."""
    scan = tmp_path / "scan.nii.gz"
    voxels = np.random.default_rng(0).normal(0, 100, (24, 24, 12)).astype(np.int16)
    nib.Nifti1Image(voxels, np.eye(4)).to_filename(scan)
    objects = {
        "one": [("add_point", [(5, 6, 7), True]), ("add_point", [(1, 1, 1), False])],
        "two": [("add_box", [(2, 2, 2), (9, 9, 9)])],
    }

    process = subprocess.Popen(
        napari_command(scan, 6, objects),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        assert "napari is open" in process.stdout.readline(), process.communicate()[1]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
    finally:
        process.terminate()
    assert "Traceback" not in process.communicate()[1]


def test_bench_measures_a_model(tiny_weights: Path, capsys):
    code = cli.run(["bench", "--model", str(tiny_weights), "--runs", "1", "--json"])

    (cost,) = json.loads(capsys.readouterr().out)
    assert code == 0
    assert cost["model"] == "tiny"
    assert cost["device"] in ("cpu", "cuda")
    assert all(cost[name] > 0 for name in ("encode", "first_click", "next_click"))
    if sys.platform.startswith("linux"):
        assert 50 < cost["peak_memory"] < 20_000


def test_bench_prints_a_table(tiny_weights: Path, capsys):
    assert cli.run(["bench", "--model", str(tiny_weights), "--runs", "1"]) == 0

    said = capsys.readouterr().out
    assert "first" in said
    assert "tiny" in said
