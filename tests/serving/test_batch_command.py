"""`batch` makes the masks that `replay` and `auto` make one by one, and says what is amiss."""

import csv
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from small_pyramid import ball_scan, made, small_pyramid

import napari_fastsam3d.model
from napari_fastsam3d.cli import run
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.automatic import AutomaticMask
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.session import Session, automatic_commands

SCANS = ("a", "b")


@pytest.fixture(scope="module")
def predictor() -> PyramidPredictor:
    return small_pyramid()


@pytest.fixture
def home(tmp_path: Path, predictor: PyramidPredictor, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two scans, one with a label file beside it, and a small model in place of any other."""
    monkeypatch.setattr(napari_fastsam3d.model, "load_model", lambda *_a, **_o: predictor)
    monkeypatch.chdir(tmp_path)
    for folder in ("scans", "prompts"):
        (tmp_path / folder).mkdir()
    for seed, name in enumerate(SCANS):
        volume, _ = ball_scan(seed)
        nib.save(
            nib.Nifti1Image(np.asarray(volume.voxels), volume.affine),
            tmp_path / "scans" / f"{name}.nii.gz",
        )
    (tmp_path / "scans" / "a_seg.nii.gz").write_bytes(b"no scan")
    return tmp_path


def told(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """Run a command, and return what it wrote, both ways."""
    found = run(arguments)
    written = "".join(capsys.readouterr())
    assert found == code, written
    return written


def voxels(path: Path) -> np.ndarray:
    return nib.load(path).get_fdata()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}


def test_structures_make_the_masks_of_auto(
    home: Path,
    predictor: PyramidPredictor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """A scan is done anew for other structures or another adapter, and not otherwise."""
    store = AdapterStore(home / "adapters")
    store.add(made(predictor, "ball", 0.5))
    store.add(made(predictor, "rim", -0.2))
    (home / "scans" / "a_seg.nii.gz").unlink()
    told(["auto", "scans", "-o", "auto", "--adapters", "adapters"], capsys)
    (home / "scans" / "a_seg.nii.gz").write_bytes(b"no scan")
    batch = ["batch", "scans", "-o", "masks", "--one-process", "--adapters", "adapters"]
    assert "2 done, 0 failed" in told([*batch, "--structures", "all"], capsys)

    for name in SCANS:
        expected = voxels(home / "auto" / f"{name}_seg.nii.gz")
        assert expected.any()
        assert np.array_equal(voxels(home / "masks" / f"{name}.nii.gz"), expected)
    for row in rows(home / "masks" / "volumes.csv"):
        mask = voxels(home / "masks" / f"{row['scan']}.nii.gz")
        assert int(row["voxels"]) == np.count_nonzero(mask == int(row["label"])) > 0
        assert float(row["volume_ml"]) == pytest.approx(int(row["voxels"]) * 8 / 1000, rel=1e-5)

    before = times(home / "masks")
    told([*batch, "--structures", "all"], capsys)
    assert times(home / "masks") == before
    told([*batch, "--structures", "rim"], capsys)
    one = times(home / "masks")
    assert all(one[name] > before[name] for name in before)
    assert {row["object"] for row in rows(home / "masks/volumes.csv")} == {"rim"}

    def nothing(_volume: object, _predictor: object, structures: list, *_: object) -> list:
        return [AutomaticMask(each.name, Mask.empty(), 0.0) for each in structures]

    monkeypatch.setattr(automatic_commands, "segment_automatically", nothing)
    store.add(made(predictor, "rim", 0.1))
    told([*batch, "--structures", " rim "], capsys)
    assert times(home / "masks") == {}
    assert [(r["status"], r["objects"]) for r in rows(home / "masks/results.csv")] == [
        ("done", "0")
    ] * 2


def test_prompts_make_the_masks_of_replay(
    home: Path, predictor: PyramidPredictor, capsys: pytest.CaptureFixture[str]
):
    for name in SCANS:
        with Session(read_volume(home / "scans" / f"{name}.nii.gz"), predictor) as session:
            session.add_point((15, 15, 15))
            session.new_object("corner")
            session.add_box((4, 4, 4), (20, 20, 20))
            session.save_prompts(home / "prompts" / f"{name}.json")
        scan, prompts = f"scans/{name}.nii.gz", f"prompts/{name}.json"
        told(["replay", scan, prompts, "-o", f"{name}.nii.gz"], capsys)
    (home / "prompts" / "b.json").write_text("{}")
    batch = ["batch", "scans", "--prompts", "prompts", "-o", "masks", "--one-process"]
    failed = told(batch, capsys, code=1)

    assert "1 done, 1 failed" in failed
    assert "note: b: " in failed
    assert np.array_equal(voxels(home / "masks" / "a.nii.gz"), voxels(home / "a.nii.gz"))
    assert [row["status"] for row in rows(home / "masks/results.csv")] == ["done", "failed"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "either --prompts or --structures"),
        (["--prompts", "prompts", "--structures", "all"], 2, "either --prompts or --structures"),
        (["--structures", "all", "--server", "http://127.0.0.1:1"], 2, "leave --server out"),
        (["--structures", "liver"], 1, "no adapter for liver"),
        (["--structures", "all"], 1, "No structure is adapted"),
        (["--prompts", "prompts"], 1, "No prompts in"),
        (["--prompts", "nowhere"], 1, "There is no folder"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
):
    batch = ["batch", "scans", "-o", "masks", "--one-process", "--adapters", "adapters"]
    written = told([*batch, *arguments], capsys, code)

    assert message in written
    assert "Traceback" not in written
    assert not os.path.exists(home / "masks" / "results.csv")


def test_a_folder_without_scans_is_told(home: Path, capsys: pytest.CaptureFixture[str]):
    (home / "empty").mkdir()
    batch = ["batch", "empty", "-o", "masks", "--structures", "all", "--one-process"]

    assert "There is no scan in" in told(batch, capsys, 1)


def test_scans_whose_names_differ_in_capitals_alone_are_told(
    home: Path, capsys: pytest.CaptureFixture[str]
):
    (home / "scans" / "A.nrrd").touch()
    batch = ["batch", "scans", "-o", "masks", "--prompts", "prompts", "--one-process"]

    assert "A.nrrd and a.nii.gz have one name. Rename one of them." in told(batch, capsys, 1)
