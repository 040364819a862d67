"""`segment` on real files, with a real (small, untrained) network: what it writes and says."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import napari_fastsam3d as fs
from napari_fastsam3d import cli
from napari_fastsam3d.geometry import list_series

TILTED = np.array(
    [[0.0, 0.26, -2.9, 40.0], [-1.5, 0.0, 0.0, 30.0], [0.0, 1.48, 0.51, -70.0], [0, 0, 0, 1]]
)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A small oblique scan with permuted axes and a qform code of its own."""
    rng = np.random.default_rng(1)
    voxels = rng.normal(40, 12, (48, 40, 22)).astype(np.int16)
    voxels[15:30, 12:25, 6:15] += 120
    image = nib.Nifti1Image(voxels, TILTED)
    image.set_sform(TILTED, code=1)
    image.set_qform(TILTED, code=1)
    image.header.set_xyzt_units("mm", "sec")
    path = tmp_path / "scan.nii.gz"
    image.to_filename(path)
    return path


@pytest.fixture
def segment(scan: Path, tiny_weights: Path):
    """Run the command on the scan with the small network; gives its exit code."""

    def run(*arguments: str) -> int:
        mask = str(scan.with_name("mask.nii.gz"))
        fixed = ["segment", str(scan), "-o", mask, "--model", str(tiny_weights), "--device", "cpu"]
        return cli.run([*fixed, *arguments])

    return run


def written(scan: Path) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_filename(scan.with_name("mask.nii.gz"))


def test_the_mask_lies_on_the_scan_and_obeys_every_click(segment, scan: Path, capsys):
    code = segment("--point", "22,18,10", "--point", "5,5,3,-", "--point", "16,14,7,+")

    assert code == 0, capsys.readouterr().err
    image, mask = nib.Nifti1Image.from_filename(scan), written(scan)
    voxels = np.asarray(mask.dataobj)
    assert np.array_equal(mask.affine, image.affine)
    assert mask.shape == image.shape
    assert int(mask.header["sform_code"]) == int(mask.header["qform_code"]) == 1
    assert set(np.unique(voxels)) <= {0, 1}
    assert voxels[22, 18, 10] == 1
    assert voxels[16, 14, 7] == 1
    assert voxels[5, 5, 3] == 0


def test_a_scribble_and_a_lasso_are_obeyed(segment, scan: Path, capsys):
    lasso = "16,12,10,28,12,10,28,24,10,16,24,10"
    code = segment("--lasso", lasso, "--scribble", "2,2,3,9,2,3,9,6,3,-")

    assert code == 0, capsys.readouterr().err
    voxels = np.asarray(written(scan).dataobj)
    assert voxels[22, 18, 10] == 1
    assert not voxels[2:10, 2, 3].any()
    assert not voxels[9, 2:7, 3].any()


def test_the_line_says_how_much_was_found(segment, scan: Path, capsys):
    assert segment("-p", "22,18,10") == 0

    said = capsys.readouterr()
    count = int(np.asarray(written(scan).dataobj).sum())
    millilitres = count * abs(np.linalg.det(TILTED[:3, :3])) / 1000
    assert said.out.count("\n") == 1
    assert f"{count} voxels, {millilitres:.1f} ml, " in said.out
    assert "reading" in said.err


def test_json_is_all_of_the_output_and_tells_everything(segment, scan: Path, capsys):
    assert segment("-p", "22,18,10", "-b", "15,12,6,30,25,15", "-p", "5,5,3,-", "--json") == 0

    report = json.loads(capsys.readouterr().out)
    voxels = np.asarray(written(scan).dataobj)
    assert report["voxels"] == voxels.sum()
    box = tuple(slice(*ends) for ends in zip(*report["box"].values(), strict=True))
    assert voxels[box].sum() == voxels.sum()
    assert report["mask"] == str(scan.with_name("mask.nii.gz"))
    assert 0 <= report["quality"] <= 1
    grown = sum(added - removed for added, removed in report["changed_ml"])
    assert grown == pytest.approx(report["volume_ml"], abs=0.01)
    assert len(report["milliseconds"]) == len(report["prompts"]) == 3
    assert report["model"] == "tiny"


def test_boxes_come_first_and_points_in_their_order(segment, capsys):
    segment("-p", "22,18,10", "-p", "5,5,3,-", "-b", "15,12,6,30,25,15", "--json")

    first, second, third = json.loads(capsys.readouterr().out)["prompts"]
    assert "[15, 12, 6]" in json.dumps(first)
    assert "[22, 18, 10]" in json.dumps(second)
    assert "[5, 5, 3]" in json.dumps(third)


def test_millimetres_give_the_mask_of_their_voxel(segment, scan: Path):
    assert segment("-p", "22,18,10") == 0
    by_index = np.asarray(written(scan).dataobj)
    millimetres = (TILTED @ [22, 18, 10, 1])[:3]

    assert segment("--world", "-p", ",".join(f"{mm:.4f}" for mm in millimetres)) == 0

    assert np.array_equal(np.asarray(written(scan).dataobj), by_index)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Nothing says where the object is."),
        (["-p", "22,18,10,-"], "Nothing says where the object is."),
        (["-p", "22,18"], "not 3 numbers"),
        (["-p", "22,18,10.5"], "not a voxel index"),
        (["-p", "22,18,99"], "outside"),
        (["-p", "22,18,10", "-b", "15,12,6,15,25,15"], "box"),
        (["-p", "22,18,10", "--model", "nonesuch"], "nonesuch"),
        (["-p", "22,18,10", "--device", "abacus"], "abacus"),
        (["-p", "22,18,10", "-o", "no/such/folder/mask.nii.gz"], "no folder"),
        (["-p", "22,18,10", "-o", "mask.docx"], ".docx"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(
    segment, scan: Path, capsys, monkeypatch, arguments, told
):
    monkeypatch.chdir(scan.parent)
    before = sorted(scan.parent.iterdir())

    assert segment(*arguments) == 1

    said = capsys.readouterr()
    (error,) = [line for line in said.err.splitlines() if not line.endswith(" ...")]
    assert error.startswith("error: ")
    assert told in error
    assert said.out == ""
    assert sorted(scan.parent.iterdir()) == before


def test_a_4d_file_needs_a_frame(tmp_path: Path, tiny_weights: Path, capsys):
    rng = np.random.default_rng(0)
    series = tmp_path / "fmri.nii.gz"
    voxels = rng.normal(100, 9, (20, 20, 12, 3)).astype(np.float32)
    nib.Nifti1Image(voxels, np.diag([3.0, 3.0, 4.0, 1.0])).to_filename(series)
    mask = tmp_path / "mask.nii.gz"
    command = ["segment", str(series), "-o", str(mask), "-p", "9,9,6", "--model", str(tiny_weights)]

    assert cli.run(command) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert cli.run([*command, "--frame", "2"]) == 0
    assert nib.Nifti1Image.from_filename(mask).shape == (20, 20, 12)


def test_a_scan_s_oddities_are_told_as_notes(tmp_path: Path, tiny_weights: Path, capsys):
    voxels = np.random.default_rng(0).normal(0, 1, (16, 16, 16)).astype(np.float32)
    voxels[0, 0, 0] = np.nan
    scan = tmp_path / "holes.nii"
    nib.Nifti1Image(voxels, np.eye(4)).to_filename(scan)
    mask = tmp_path / "mask.nii"

    code = cli.run(
        ["segment", str(scan), "-o", str(mask), "-p", "8,8,8", "--model", str(tiny_weights)]
    )

    assert code == 0
    assert any(line.startswith("note: ") for line in capsys.readouterr().err.splitlines())


def heed_ctrl_c() -> None:
    # A shell lets what it starts with `&` ignore Ctrl-C, and every child inherits that, also of a
    # test run.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a child alone")
def test_ctrl_c_ends_it_cleanly(scan: Path, tiny_weights: Path):
    program = Path(sys.executable).with_name("napari-fastsam3d")
    command = [program, "segment", scan, "-o", "m.nii.gz", "-p", "22,18,10"]
    process = subprocess.Popen(
        [*command, "--model", tiny_weights],
        stderr=subprocess.PIPE,
        text=True,
        cwd=scan.parent,
        preexec_fn=heed_ctrl_c,
    )
    assert process.stderr is not None
    assert any("loading the model" in line for line in process.stderr)

    process.send_signal(signal.SIGINT)

    rest = process.communicate(timeout=120)[1]
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    assert not (scan.parent / "m.nii.gz").exists()


AWKWARD = Path(__file__).resolve().parents[3] / "shared" / "data" / "awkward"
NAMES = sorted(path.name for path in AWKWARD.iterdir()) if AWKWARD.is_dir() else []


def opened(scan: Path) -> tuple["fs.Volume | None", list[str]]:
    """Open a scan, its first part if it has several; None where it is refused."""
    parts = [{"frame": 0}, *({"series": each} for each in series_in(scan))]
    for part in ({}, *parts):
        try:
            volume = fs.read_volume(scan, **part)
        except fs.FastSAM3DError:
            continue
        return volume, [word for key, value in part.items() for word in (f"--{key}", str(value))]
    return None, []


def series_in(scan: Path) -> list[str]:
    return [each.id for each in list_series(scan)] if scan.is_dir() else []


@pytest.mark.parametrize("name", NAMES)
def test_every_awkward_file_is_segmented_or_refused_in_one_line(
    name: str, tmp_path: Path, tiny_weights: Path, capsys
):
    scan, mask = AWKWARD / name, tmp_path / "mask.nii.gz"
    volume, choice = opened(scan)
    point = ",".join(str(n // 2) for n in volume.shape) if volume else "1,1,1"
    fixed = ["segment", str(scan), "-o", str(mask), "-p", point, "--model", str(tiny_weights)]

    code = cli.run([*fixed, *choice])

    said = [line for line in capsys.readouterr().err.splitlines() if not line.endswith(" ...")]
    assert code == (1 if volume is None else 0), said
    if volume is None:
        (line,) = said
        assert line.startswith("error: ")
        assert "--debug" not in line  # an error that we foresaw
        assert not mask.exists()
        return
    assert all(line.startswith("note: ") for line in said)
    saved = fs.read_volume(mask)
    assert saved.shape == volume.shape
    assert np.allclose(saved.affine, volume.affine, atol=1e-3)
    assert saved.voxels[tuple(n // 2 for n in volume.shape)] == 1
