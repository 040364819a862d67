"""Whatever is wrong with a file that a command is given: one line, exit code 1, nothing written."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from brightness_model import BrightnessModel

from napari_fastsam3d.cli import run
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.session import Session

Words = Callable[[str, Path], list[str]]


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """A folder with a scan, its mask, and a file of prompts."""
    folder = tmp_path_factory.mktemp("good")
    voxels = np.random.default_rng(0).normal(0, 50, (12, 10, 8)).astype(np.int16)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[3:6, 3:6, 3:6] = 1
    nib.Nifti1Image(voxels, np.eye(4)).to_filename(folder / "scan.nii.gz")
    nib.Nifti1Image(labels, np.eye(4)).to_filename(folder / "mask.nii.gz")
    return folder


def spoilt(place: Path, suffix: str, whole: bytes) -> list[Path]:
    """Files of that ending that are none: absent, a folder, empty, noise, text, torn, and zeros."""
    contents = {
        "empty": b"",
        "noise": np.random.default_rng(1).bytes(3000),
        "text": b"hello\nthis is no file\n",
        "letters": b"\xff\xfe\xfa",
        "torn": whole[: len(whole) // 2],
        "zeros": bytes(2000),
        "packed": gzip.compress(bytes(400)),
        "nested": b"[" * 10**5,
        "table": b"[1, 2]",
    }
    (place / f"folder{suffix}").mkdir()
    for name, content in contents.items():
        (place / f"{name}{suffix}").write_bytes(content)
    return [place / f"absent{suffix}", *sorted(place.glob(f"*{suffix}"))]


COMMANDS: list[tuple[str, str, Words]] = [
    ("measure", ".nii.gz", lambda bad, out: [bad, "-s", "scan.nii.gz"]),
    ("measure", ".nrrd", lambda bad, out: ["mask.nii.gz", "-s", bad]),
    ("clean", ".seg.nrrd", lambda bad, out: [bad, "-o", f"{out}/c.nii.gz", "--do", "holes"]),
    ("clean", ".mha", lambda bad, out: [bad, "-o", f"{out}/c.nii.gz", "--do", "holes"]),
    ("convert", ".dcm", lambda bad, out: [bad, "-o", f"{out}/c.nrrd", "-s", "scan.nii.gz"]),
    ("report", ".nii", lambda bad, out: [bad, "-o", f"{out}/c.pdf", "-s", "scan.nii.gz"]),
    ("segment", ".nrrd", lambda bad, out: [bad, "-o", f"{out}/s.nii.gz", "-p", "1,1,1"]),
    ("segment", ".safetensors", lambda bad, out: ["scan.nii.gz", *at(out), "--model", bad]),
    ("replay", ".json", lambda bad, out: ["scan.nii.gz", bad, "-o", f"{out}/r.nii.gz"]),
    ("memory import", ".zip", lambda bad, out: [bad, "--bank", f"{out}/bank"]),
    ("models import", ".pth", lambda bad, out: [bad]),
    ("train", ".toml", lambda bad, out: [".", "--out", f"{out}/run", "--config", bad]),
    ("distill", ".toml", lambda bad, out: [".", "--out", f"{out}/run", "--student", bad]),
    ("evaluate", ".nii.gz", lambda bad, out: ["--images", "scan.nii.gz", "--labels", bad, *GROWN]),
    ("evaluate", ".json", lambda bad, out: [*PAIR, "--names", bad, *GROWN]),
]
GROWN = ["--model", "region-growing"]
PAIR = ["--images", "scan.nii.gz", "--labels", "mask.nii.gz"]


def at(out: Path) -> list[str]:
    return ["-o", f"{out}/s.nii.gz", "-p", "1,1,1"]


@pytest.mark.parametrize(
    ("command", "suffix", "words"),
    COMMANDS,
    ids=[f"{command} {suffix}" for command, suffix, _ in COMMANDS],
)
def test_a_file_that_is_none_is_one_line(
    good, tmp_path, monkeypatch, capsys, command, suffix, words
):
    monkeypatch.chdir(good)
    place, out = tmp_path / "bad", tmp_path / "out"
    place.mkdir()
    for bad in spoilt(place, suffix, (good / "scan.nii.gz").read_bytes()):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        code = run([*command.split(), *words(str(bad), out)])
        said = capsys.readouterr()
        errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
        assert (code, len(errors)) == (1, 1), f"{bad.name}: {said.err}"
        assert "--debug" not in errors[0], f"{bad.name}: {errors[0]}"
        assert not said.out
        assert [p.name for p in out.iterdir() if p.name != "bank"] == []
    assert sorted(p.name for p in good.iterdir()) == ["mask.nii.gz", "scan.nii.gz"]


@pytest.mark.parametrize(
    "words",
    [
        ["measure", "mask.nii.gz", "-s", "scan.nii.gz", "-o", "nowhere/t.csv"],
        ["clean", "mask.nii.gz", "--do", "holes", "-o", "nowhere/c.nii.gz"],
        ["convert", "mask.nii.gz", "-s", "scan.nii.gz", "-o", "nowhere/c.nrrd"],
        ["report", "mask.nii.gz", "-s", "scan.nii.gz", "-o", "nowhere/c.pdf"],
        ["segment", "scan.nii.gz", "-p", "1,1,1", "-o", "nowhere/s.nii.gz"],
        ["segment", "scan.nii.gz", "-p", "1,1,1", "-o", "s.nii.gz", "--prompts", "nowhere/p.json"],
        ["replay", "scan.nii.gz", "prompts.json", "-o", "nowhere/r.nii.gz"],
        ["auto", "scan.nii.gz", "-o", "nowhere/a.nii.gz"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_that_is_not_there_is_told_before_anything_is_made(
    good, monkeypatch, capsys, words
):
    monkeypatch.chdir(good)
    before = sorted(good.rglob("*"))
    assert run(words) == 1
    assert "error: There is no folder nowhere. " in capsys.readouterr().err
    assert sorted(good.rglob("*")) == before


def test_prompts_outside_their_scan_are_one_line(good, tmp_path, capsys):
    scan, prompts = good / "scan.nii.gz", tmp_path / "prompts.json"
    with Session(read_volume(scan), model=BrightnessModel()) as session:
        session.new_object("liver")
        session.save_prompts(prompts)
    text = prompts.read_text(encoding="utf-8")
    outside = '"prompts": [{"id": 1, "point": [12, 0, 0], "positive": true}]'
    prompts.write_text(text.replace('"prompts": []', outside), encoding="utf-8")
    assert run(["replay", str(scan), str(prompts), "-o", str(tmp_path / "mask.nii.gz")]) == 1
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("error: A prompt or a mask of prompts.json lies outside the scan.")
    assert not (tmp_path / "mask.nii.gz").exists()
