"""Commands by their parts: how trials are chosen and told, and what a model's row says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from napari_fastsam3d.cli import app, run
from napari_fastsam3d.cli.chosen_segmenter import chosen_segmenter
from napari_fastsam3d.cli.evaluate import _data_of_folder, _data_of_pairs
from napari_fastsam3d.cli.models import _row
from napari_fastsam3d.cli.segment import check_output
from napari_fastsam3d.errors import DataError, SaveError
from napari_fastsam3d.model.registry import MODELS, ModelEntry
from napari_fastsam3d.model.store import Record

RECORD = Record("mine", "fastsam3d", "0" * 64, 12_345_678, "CC0", "a file", "imported")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    split = {"train": {"a": ["1"]}, "validation": {"a": ["2", "3", "4"], "b": ["5"]}}
    (tmp_path / "split.json").write_text(json.dumps(split))
    for set_name, names in (("a", "1234"), ("b", "5")):
        home = tmp_path / "labelled" / set_name
        home.mkdir(parents=True)
        for name in names:
            for kind in ("img", "seg"):
                (home / f"{name}_{kind}.nii.gz").write_bytes(b"")
    (home / "labels.json").write_text('{"labels": {"1": "liver"}, "modality": "MR"}')
    return tmp_path


@pytest.mark.parametrize(
    ("part", "number", "names"),
    [
        ("train", None, "1"),
        ("validation", None, "2345"),
        ("validation", 1, "25"),
        ("validation", 2, "235"),
    ],
)
def test_cases_of_a_part_are_taken_evenly_of_each_set(folder, part, number, names):
    data = _data_of_folder(folder, part, number)
    assert "".join(case.name for case in data.cases) == names
    assert data.part == part
    assert data.modality("b") == "MR"
    assert data.modality("a") == "unknown"
    assert data.names("b") == {1: "liver"}
    assert data.names("a") == {}


def test_pairs_have_one_table_of_names_and_no_modality(folder):
    home = folder / "labelled" / "a"
    table = folder / "names.json"
    table.write_text('{"3": "spleen"}')
    data = _data_of_pairs(home, home, table)
    assert [case.name for case in data.cases] == list("1234")
    assert data.names("whatever") == {3: "spleen"}
    assert data.modality("whatever") == "unknown"
    assert _data_of_pairs(home, home, None).names("a") == {}
    with pytest.raises(DataError, match="absent"):
        _data_of_pairs(home, home, folder / "absent.json")


@pytest.mark.parametrize("name", ["random-walker", "region-growing"])
def test_a_baseline_needs_no_model_and_takes_no_shift(name):
    if name == "random-walker":
        pytest.importorskip("skimage", reason="the random walker needs the extra 'train'")
    with chosen_segmenter(name, "cpu", 0.0) as segmenter:
        assert segmenter.name == name
        assert segmenter.fingerprint
    with pytest.raises(typer.BadParameter, match="baseline"), chosen_segmenter(name, "cpu", 4.0):
        pass


def test_a_model_is_called_as_its_file(tiny_weights):
    with chosen_segmenter(str(tiny_weights), "cpu", 0.0) as plain:
        assert plain.name == "tiny.safetensors"
        fingerprint = plain.fingerprint
    with chosen_segmenter(str(tiny_weights), "cpu", 8.0) as shifted:
        assert shifted.fingerprint == fingerprint
        assert type(shifted) is not type(plain)


@pytest.mark.parametrize("name", MODELS)
def test_a_row_says_what_the_card_says(name):
    row = _row(ModelEntry(name, MODELS[name]))
    assert row["name"] == name
    assert row["licence"] == MODELS[name].licence
    assert row["url"] == MODELS[name].url
    assert json.loads(json.dumps(row)) == row


def test_a_row_of_a_model_that_is_here_says_what_was_recorded():
    row = _row(ModelEntry("mine", None, RECORD))
    assert row["sha256"] == RECORD.sha256
    assert row["size"] == RECORD.size
    assert "url" not in row
    fetched = _row(ModelEntry("fastsam3d", MODELS["fastsam3d"], replace(RECORD, name="fastsam3d")))
    assert fetched["state"] == "on this machine"
    assert fetched["licence"] == "CC0", "of the file that is here, not of the card"


@pytest.mark.parametrize("name", ["mask.nii.gz", "deep/mask.nii.gz"])
def test_where_a_mask_would_go_is_looked_at_before(tmp_path, name):
    if "/" in name:
        with pytest.raises(SaveError, match="no folder"):
            check_output(tmp_path / name)
    else:
        check_output(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [command.callback.__name__ for command in app.registered_commands]
)
def test_every_command_has_help_that_says_what_it_does(command, capsys):
    assert run([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert command in told
    assert "--help" in told
    assert len(told.splitlines()) > 5


@pytest.mark.parametrize("group", ["models", "memory"])
def test_every_group_lists_its_commands(group, capsys):
    assert run([group]) in (0, 2)
    told = capsys.readouterr()
    assert "list" in told.out + told.err


def test_trials_of_an_empty_folder_are_told(folder, capsys):
    volume = folder / "labelled" / "a"
    np.save(volume / "not_a_scan.npy", np.zeros(3))
    code = run(["evaluate", str(folder), "--part", "train", "--model", "region-growing"])
    assert code == 1
    assert "1_img.nii.gz" in capsys.readouterr().err
