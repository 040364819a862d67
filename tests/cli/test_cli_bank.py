"""Commands about what is remembered: what they print, leave on the disk and refuse."""

import json
import zipfile

import nibabel as nib
import numpy as np
import pytest
from feature_model import FeatureModel
from remembered import remembered

from napari_fastsam3d import cli, model
from napari_fastsam3d.memory.bank import MemoryBank


@pytest.fixture
def bank(tmp_path):
    """Two livers and a spleen."""
    folder = tmp_path / "bank"
    with MemoryBank(folder) as opened:
        for seed, name in enumerate(("liver", "Liver", "spleen")):
            opened.add(remembered(name, seed))
    return folder


@pytest.fixture
def told(bank, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words, code=0, where=bank):
        assert cli.run(["memory", *map(str, words), "--bank", str(where)]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    return run


def entries(folder):
    with MemoryBank(folder) as opened:
        return opened.list()


def test_the_list_shows_what_a_user_may_see_and_nothing_of_the_scans(told, bank):
    rows = json.loads(told("list", "--json"))
    assert [row["name"] for row in rows] == ["liver", "Liver", "spleen"]
    for row, entry in zip(rows, entries(bank), strict=True):
        assert row["id"] == entry.id
        assert not {"salt", "volume"} & set(row)
        assert entry.volume not in json.dumps(row)
    table = told("list", "--name", "LIVER")
    assert table.count("2026-11-28") == 2
    assert "spleen" not in table
    assert "0.90" in table


def test_how_full_a_bank_is_adds_up(told, bank):
    stats = json.loads(told("stats", "--json"))
    assert stats["cases"] == 3
    assert stats["folder"] == str(bank)
    assert stats["size"] == sum(entry.size for entry in entries(bank))
    assert stats["size"] == sum(path.stat().st_size for path in (bank / "shards").iterdir())
    assert sum(stats["structures"].values()) == sum(stats["models"].values()) == 3
    text = told("stats")
    assert text.startswith(f"3 cases in {bank}")
    assert "other models don't use them" in text


def test_an_id_is_enough_that_tells_a_case_from_others(told, bank):
    first, *_ = entries(bank)
    assert told("forget", first.id[:12]) == "forgot 1 cases\n"
    assert first.id not in {entry.id for entry in entries(bank)}
    assert first.id not in "".join(path.name for path in bank.rglob("*"))
    assert "No remembered cases have an id" in told("forget", first.id, code=1)
    assert "''" in told("forget", "", code=1)
    assert len(entries(bank)) == 2


def test_several_ids_are_forgotten_together_or_none_of_them(told, bank):
    first, second, _ = entries(bank)
    assert "begins with 'zz'" in told("forget", first.id, "zz", code=1)
    assert len(entries(bank)) == 3
    assert told("forget", first.id, second.id, first.id[:12]) == "forgot 2 cases\n"


def test_a_structure_is_forgotten_whatever_its_capitals(told, bank):
    assert told("forget", "--name", "lIVER") == "forgot 2 cases\n"
    assert "lIVER is not remembered. Remembered are: spleen" in told(
        "forget", "--name", "lIVER", code=1
    )
    assert [entry.name for entry in entries(bank)] == ["spleen"]
    assert "Give ids of cases, or a structure" in told("forget", code=2)
    assert "Give ids of cases, or a structure" in told("forget", "ab", "--name", "spleen", code=2)


def test_an_export_is_a_zip_of_cases_that_another_bank_takes_once(told, bank, tmp_path):
    file, other = tmp_path / "livers.zip", tmp_path / "other"
    assert told("export", file, "--name", "liver") == f"wrote 2 cases to {file}\n"
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 2
        assert archive.testzip() is None
    assert told("import", file, where=other) == "added 2 cases\n"
    assert told("import", file, where=other) == "added 0 cases\n"
    assert {entry.id for entry in entries(other)} == {entry.id for entry in entries(bank)[:2]}
    before = file.read_bytes()
    assert "kidney is not remembered" in told("export", file, "--name", "kidney", code=1)
    assert file.read_bytes() == before, "what was there stays"


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_export_adds_nothing(told, bank, tmp_path, content):
    file = tmp_path / "in.zip"
    file.write_bytes(content)
    said = told("import", file, code=1)
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert len(entries(bank)) == 3


def test_a_bank_in_place_of_a_file_is_one_line(told, tmp_path):
    (tmp_path / "file").write_text("")
    assert "can't be used" in told("list", code=1, where=tmp_path / "file")


@pytest.fixture
def scans(tmp_path, monkeypatch):
    """A scan with two structures, of which the file names one, and a model that is small."""
    monkeypatch.setattr(model, "load_model", lambda *_given, **_named: FeatureModel(size=32))
    home = tmp_path / "scans"
    home.mkdir()
    labels = np.zeros((40, 36, 32), np.uint8)
    labels[8:18, 8:18, 8:18], labels[24:32, 20:30, 12:22] = 1, 2
    image = (100 * labels + np.random.default_rng(0).normal(0, 5, labels.shape)).astype(np.int16)
    for kind, array in (("img", image), ("seg", labels)):
        nib.save(nib.Nifti1Image(array, np.diag([2.0, 2, 2, 1])), home / f"one_{kind}.nii.gz")
    (tmp_path / "names.json").write_text('{"1": "liver"}')
    return home


def test_structures_of_labelled_scans_are_remembered_by_name_or_value(told, scans, tmp_path):
    mine = tmp_path / "mine"
    words = ("add", scans, scans, "--names", tmp_path / "names.json")
    assert told(*words, where=mine) == "remembered 2 structures of 1 scans\n"
    assert [entry.name for entry in entries(mine)] == ["liver", "2"]
    assert told(*words, "--only", "liver", where=mine) == "remembered 1 structures of 1 scans\n"
    assert sorted(entry.name for entry in entries(mine)) == ["2", "liver"], "in place of the first"
    assert told(*words, "--only", "heart", where=mine) == "remembered 0 structures of 1 scans\n"


def test_labelled_scans_that_cannot_be_are_one_line(told, scans, tmp_path):
    (scans / "two_img.nii.gz").write_bytes(b"")
    assert "two has no labels" in told("add", scans, scans, code=1, where=tmp_path / "mine")
    assert "holds no *_img.nii.gz" in told("add", tmp_path, tmp_path, code=1)
