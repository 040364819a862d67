"""`replay` on real files: the same voxels again, and clear refusals."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import napari_fastsam3d as fs
from napari_fastsam3d import cli
from napari_fastsam3d.session import Mask


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(1).normal(40, 12, (48, 40, 22)).astype(np.int16)
    voxels[15:30, 12:25, 6:15] += 120
    path = tmp_path / "scan.nii.gz"
    nib.Nifti1Image(voxels, np.diag([-1.5, 1.5, 3.0, 1.0])).to_filename(path)
    return path


@pytest.fixture
def replay(scan: Path, tiny_weights: Path):
    """Run the command with the small network; gives its exit code."""

    def run(prompts: Path, *arguments: str, of: Path = scan) -> int:
        out = str(scan.with_name("again.nii.gz"))
        model = ["--model", str(tiny_weights), "--device", "cpu"]
        return cli.run(["replay", str(of), str(prompts), "-o", out, *model, *arguments])

    return run


@pytest.fixture
def work(scan: Path, tiny_weights: Path) -> Path:
    """The prompts of a session in which a bit of everything was done; its mask is mask.nii.gz."""
    with fs.Session(fs.read_volume(scan), model=tiny_weights, device="cpu") as session:
        session.add_point((22, 18, 10))
        session.add_point((5, 5, 3), positive=False)
        session.rename_object(1, "liver")
        session.accept_object()
        session.new_object("left kidney", value=7)
        session.add_box((10, 10, 4), (26, 24, 12))
        session.edit_mask(Mask.of_indices([(40, 30, 20)]), Mask.of_indices([(12, 12, 6)]))
        session.add_point((41, 30, 20))
        session.set_overlap("overwrite")
        session.save(scan.with_name("mask.nii.gz"))
        return session.save_prompts(scan.with_name("prompts.json"))


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj)


def test_the_masks_are_the_same_to_the_voxel(work: Path, replay, capsys):
    assert replay(work) == 0, capsys.readouterr().err

    assert capsys.readouterr().out.strip() == str(work.with_name("again.nii.gz"))
    again = voxels(work.with_name("again.nii.gz"))
    assert set(np.unique(again)) == {0, 1, 7}
    assert np.array_equal(again, voxels(work.with_name("mask.nii.gz")))


def test_each_object_gets_a_file_of_its_own(work: Path, replay):
    assert replay(work, "--each") == 0

    both = voxels(work.with_name("mask.nii.gz"))
    for name, value in (("liver", 1), ("left_kidney", 7)):
        own = voxels(work.with_name(f"again_{name}.nii.gz"))
        assert np.array_equal(own.astype(bool), both == value)


def test_segment_writes_what_replay_reads(scan: Path, tiny_weights: Path, replay):
    prompts = scan.with_name("clicks.json")
    mask = scan.with_name("mask.nii.gz")
    options = ["-o", str(mask), "--model", str(tiny_weights), "--prompts", str(prompts)]
    assert cli.run(["segment", str(scan), "-p", "22,18,10", "-p", "5,5,3,-", *options]) == 0
    assert replay(prompts) == 0
    assert np.array_equal(voxels(scan.with_name("again.nii.gz")), voxels(mask))


def test_another_scan_is_refused(work: Path, scan: Path, replay, capsys):
    image = nib.Nifti1Image.from_filename(scan)
    other = np.asarray(image.dataobj).copy()
    other[0, 0, 0] += 1
    nib.Nifti1Image(other, image.affine).to_filename(scan.with_name("other.nii.gz"))

    assert replay(work, of=scan.with_name("other.nii.gz")) == 1

    said = capsys.readouterr().err.splitlines()[-1]
    assert "was made on another scan, scan" in said
    assert not work.with_name("again.nii.gz").exists()


def test_a_file_of_something_else_is_refused(work: Path, replay, capsys):
    for text in ("", "{}", work.read_text()[:-9], work.read_text().replace('"box"', '"bix"')):
        work.write_text(text)
        assert replay(work) == 1
        assert "no whole file of prompts" in capsys.readouterr().err.splitlines()[-1]


def test_another_model_is_told(work: Path, replay, capsys):
    said = json.loads(work.read_text())
    said["model"]["fingerprint"] = "0123"
    work.write_text(json.dumps(said))

    assert replay(work) == 0

    assert "made with another model" in capsys.readouterr().err


def test_it_says_which_objects_are_empty(tmp_path: Path, capsys, tiny_weights: Path):
    scan, prompts = tmp_path / "scan.nii.gz", tmp_path / "prompts.json"
    voxels = np.random.default_rng(0).normal(40, 9, (20, 20, 20)).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.diag([2, 2, 2, 1])), scan)
    with fs.Session(fs.read_volume(scan), model=tiny_weights, device="cpu") as session:
        session.add_point((10, 10, 10))
        session.new_object("empty one")
        session.save_prompts(prompts)
    mask = str(tmp_path / "mask.nii.gz")
    arguments = [str(scan), str(prompts), "-o", mask, "--model", str(tiny_weights)]
    assert cli.run(["replay", *arguments]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: 1 ob")]
    assert notes == ["note: 1 object is empty and not in what was saved: empty one."]
