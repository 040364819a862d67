import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from remembered import remembered

from napari_fastsam3d.cli import run
from napari_fastsam3d.memory.bank import MemoryBank, memory_folder


@pytest.fixture
def bank() -> Path:
    folder = memory_folder()
    with MemoryBank(folder) as bank:
        for name in ("liver", "liver", "spleen"):
            bank.add(remembered(name))
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(["memory", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def names(folder: Path) -> list[str]:
    with MemoryBank(folder) as bank:
        return [entry.name for entry in bank.list()]


def test_the_users_own_bank_is_listed(bank: Path, capsys: pytest.CaptureFixture[str]):
    rows = json.loads(told(capsys, "list", "--json"))
    assert [row["name"] for row in rows] == ["liver", "liver", "spleen"]
    assert not {"salt", "volume"} & rows[0].keys()
    assert "spleen" in told(capsys, "list", "--name", "Spleen")


def test_a_structure_is_forgotten(bank: Path, capsys: pytest.CaptureFixture[str]):
    assert "forgot 2 cases" in told(capsys, "forget", "--name", "liver")
    assert names(bank) == ["spleen"]


def test_a_case_is_forgotten_by_its_id(bank: Path, capsys: pytest.CaptureFixture[str]):
    row = json.loads(told(capsys, "list", "--json"))[0]
    told(capsys, "forget", row["id"][:8])
    assert names(bank) == ["liver", "spleen"]


@pytest.mark.parametrize("arguments", [[], ["abc", "--name", "liver"]])
def test_what_is_to_be_forgotten_has_to_be_said(bank: Path, arguments: list[str]):
    assert run(["memory", "forget", *arguments]) == 2
    assert len(names(bank)) == 3


def test_an_unknown_id_is_one_line(bank: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["memory", "forget", "zzzz"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_cases_go_to_another_bank(bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told(capsys, "export", tmp_path / "livers.zip", "--name", "liver")
    other = tmp_path / "other"
    assert "added 2" in told(capsys, "import", tmp_path / "livers.zip", "--bank", other)
    assert "added 0" in told(capsys, "import", tmp_path / "livers.zip", "--bank", other)
    assert names(other) == ["liver", "liver"]


def test_stats_tell_the_policy(bank: Path, capsys: pytest.CaptureFixture[str]):
    text = told(capsys, "stats")
    assert "3 cases" in text
    assert "the least recalled" in text
    assert json.loads(told(capsys, "stats", "--json"))["structures"] == {"liver": 2, "spleen": 1}


@pytest.fixture
def labelled(tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A folder of three scans, of which the blocks of two are remembered in `bank`."""
    for case, shift in (("a", 0), ("b", 1), ("c", 2)):
        labels = np.zeros((40, 40, 30), np.uint8)
        labels[10 + shift : 20 + shift, 12:25, 8:20] = 1
        labels[28:34, 12:25, 8:20] = 2
        noise = np.random.default_rng(shift).integers(0, 20, labels.shape)
        for array, suffix in (((100 * labels + noise).astype(np.int16), "img"), (labels, "seg")):
            image = nibabel.Nifti1Image(array, np.diag([2, 2, 2, 1]))
            nibabel.save(image, tmp_path / f"{case}_{suffix}.nii.gz")
    (tmp_path / "c_seg.nii.gz").unlink()
    (tmp_path / "c_img.nii.gz").rename(tmp_path / "c.nii.gz")
    (tmp_path / "names.json").write_text('{"1": "block", "2": "plate"}')
    given = [tmp_path, tmp_path, "--names", tmp_path / "names.json", "--device", "cpu"]
    given += ["--only", "block", "--bank", tmp_path / "bank", "--model", tiny_weights]
    assert "remembered 2 structures of 2 scans" in told(capsys, "add", *given)
    return tmp_path


def test_a_labelled_folder_is_remembered(labelled: Path):
    assert names(labelled / "bank") == ["block", "block"]


def test_a_remembered_structure_is_found_and_replayed(
    labelled: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
):
    scan, prompts = labelled / "c.nii.gz", labelled / "prompts.json"
    first, again = labelled / "first.nii.gz", labelled / "again.nii.gz"
    common = ["--bank", labelled / "bank", "--model", tiny_weights, "--device", "cpu"]

    def done(*arguments: object) -> int:
        return run([str(each) for each in (*arguments, *common)])

    assert done("segment", scan, "--find", "Block", "-o", first, "--prompts", prompts) == 0
    assert done("replay", scan, prompts, "-o", again) == 0
    assert "note" not in capsys.readouterr().err
    masks = [np.asarray(nibabel.load(path).dataobj) for path in (first, again)]
    assert masks[0].any()
    np.testing.assert_array_equal(*masks)

    with MemoryBank(labelled / "bank") as bank:
        bank.forget_structure("block")
    assert done("replay", scan, prompts, "-o", again) == 1  # for there is no mask to save
    assert "2 of 2 are not in this memory" in capsys.readouterr().err
    assert done("segment", scan, "--find", "Block", "-o", first) == 1
    assert "Block is not remembered" in capsys.readouterr().err
