"""The commands about adapters: fit, list, go back, segment without a prompt."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from small_pyramid import ball_scan, small_pyramid

import napari_fastsam3d.model
from napari_fastsam3d.cli import run
from napari_fastsam3d.training.adaptation import adapt, objective, teaching


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scans of balls with labels, and a small model in place of the default one."""
    predictor = small_pyramid()
    for module in (napari_fastsam3d.model, adapt):
        monkeypatch.setattr(module, "load_model", lambda *_args, **_options: predictor)
    monkeypatch.setitem(objective.RATES, "bottleneck", 0.03)
    home = tmp_path / "scans"
    home.mkdir()
    for seed in range(3):
        volume, mask = ball_scan(seed)
        labels = np.zeros(volume.shape, np.uint8)
        labels[mask.box.slices] = 2 * mask.voxels
        for name, array in (("img", volume.voxels), ("seg", labels)):
            nibabel.Nifti1Image(array, volume.affine).to_filename(home / f"{seed}_{name}.nii.gz")
    (tmp_path / "names.json").write_text('{"2": "ball"}')
    return home


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_a_structure_is_adapted_and_segmented_in_a_folder_without_a_prompt(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(teaching, "HELPS", -1.0)
    fit = ["adapt", "Ball", "--images", str(folder), "--labels", str(folder), "--json"]
    fit += ["--names", str(tmp_path / "names.json"), "--steps", "30", "--folds", "0"]
    kept = json.loads(told(fit, capsys))
    assert (kept["kept"], kept["version"], kept["cases"], kept["gain"]) == (True, 1, 3, None)
    assert json.loads(told([*fit[:-3], "1", "--folds", "0"], capsys))["version"] == 2
    assert "in use" in told(["adapters", "list", "ball"], capsys)
    told(["adapters", "use", "ball", "1"], capsys)

    (folder / "broken.nii.gz").write_bytes(b"nothing")
    out = tmp_path / "masks"
    lines = told(["auto", str(folder), "-o", str(out)], capsys)
    with (out / "volumes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["structure"] for row in rows] == ["Ball"] * 3 + [""]
    assert rows[-1]["error"]
    assert "broken.nii.gz" in lines
    for row, seed in zip(rows, range(3), strict=False):
        mask = nibabel.loadsave.load(row["mask"])
        voxels = np.asanyarray(mask.dataobj) > 0  # pyright: ignore[reportAttributeAccessIssue]
        _, truth = ball_scan(seed)
        assert 2 * (voxels[truth.box.slices] & truth.voxels).sum() > 0.5 * (
            voxels.sum() + truth.voxels.sum()
        )
        assert float(row["volume_ml"]) == pytest.approx(voxels.sum() * 8 / 1000, rel=1e-4)

    written = {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}
    assert len(written) == 3
    told(["auto", str(folder), "-o", str(out)], capsys)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")} == written
    with (out / "volumes.csv").open() as file:
        assert list(csv.DictReader(file)) == rows

    asked = ["evaluate", "--images", str(folder), "--labels", str(folder), "--clicks", "1"]
    asked += ["--names", str(tmp_path / "names.json"), "--json", "--adapted"]
    automatic, clicked, off = (
        json.loads(told([*asked, way], capsys)) for way in ("automatic", "clicks", "off")
    )
    assert all(trial["unprompted_dice"] > 0.5 for trial in automatic)
    assert {trial["unprompted_dice"] for trial in (*clicked, *off)} == {None}
    assert [trial["dice"] for trial in clicked] != [trial["dice"] for trial in off]

    told(["adapters", "remove", "ball"], capsys)
    assert run(["auto", str(folder / "0_img.nii.gz"), "-o", str(tmp_path / "one.nii.gz")]) == 1
    assert "No structure is adapted" in capsys.readouterr().err


def test_what_cannot_be_adapted_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]):
    for arguments, message in (
        (["adapt", "ball", "--from", "bank"], "not remembered"),
        (["adapt", "ball", "--images", str(folder), "--labels", str(folder)], "They show: 2"),
        (["adapters", "use", "ball", "3"], "no adapter for version 3 of ball"),
        (["auto", str(folder / "none.nii.gz"), "-o", "x.nii.gz"], "There is no"),
    ):
        assert run(arguments) == 1
        assert message in capsys.readouterr().err
    assert run(["adapt", "ball"]) == 2


def test_parts_of_scans_are_kept_once_that_is_agreed(capsys: pytest.CaptureFixture[str]):
    assert "are not kept" in told(["memory", "keep-scans", "off"], capsys)
    assert "are kept" in told(["memory", "keep-scans", "on"], capsys)
    assert "are kept" in told(["memory", "keep-scans", "forget"], capsys)
    assert run(["memory", "keep-scans", "maybe"]) == 2
