"""The table and the names of `auto`: no scan loses its mask to another, no row is invented."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d import cli
from napari_fastsam3d.cli.auto import _COLUMNS, _known, _line, _mask_names, _scans, _write
from napari_fastsam3d.errors import DataError, SaveError

few = settings(max_examples=25)
NAMES = st.sampled_from(
    ["ct1.nii.gz", "ct1.nrrd", "CT1.nii", "ct1_img.nii.gz", "ct2.mha", "ct10_img.nii.gz", "a.b.nii"]
)


@few
@given(st.lists(NAMES, unique=True, max_size=7))
def test_every_scan_of_a_folder_has_a_mask_of_its_own(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("scans")
    found = _mask_names([folder / name for name in names])
    assert len({name.lower() for name in found}) == len(names)
    for scan, mask in zip(names, found, strict=True):
        assert mask.endswith("_seg.nii.gz")
        assert mask.lower().startswith(scan.split("_img")[0].split(".")[0].lower())


def test_a_scan_alone_of_its_name_is_called_without_its_ending(tmp_path):
    found = _mask_names([tmp_path / name for name in ("ct1_img.nii.gz", "ct2.nrrd", "ct2.mha")])
    assert found == ["ct1_seg.nii.gz", "ct2.nrrd_seg.nii.gz", "ct2.mha_seg.nii.gz"]


def row(scan: str, **changed) -> dict:
    told = {
        "scan": scan,
        "structure": "liver",
        "label": "1",
        "volume_ml": "12.5",
        "voxels": "125",
        "predicted_iou": "0.9",
        "mask": "liver.nii.gz",
        "error": "",
    }
    return {**told, **changed}


def test_rows_of_a_table_come_back_for_the_scans_that_are_asked_for(tmp_path):
    table = tmp_path / "volumes.csv"
    scans = [tmp_path / name for name in ("one, two.nii", "zwölf.nii", "other.nii")]
    rows = [row(str(path), structure=name) for path in scans for name in ("liver", 'a "b"')]
    _write(table, rows)
    known = _known(table, scans[:2])
    assert list(known) == [str(path) for path in scans[:2]]
    assert [each for of in known.values() for each in of] == rows[:4]
    assert _known(tmp_path / "none.csv", scans) == _known(None, scans) == {}


@pytest.mark.parametrize(
    "changed",
    [
        {"error": "nothing was found"},
        {"volume_ml": ""},
        {"volume_ml": "much"},
        {"volume_ml": "nan"},
        {"volume_ml": "inf"},
    ],
)
def test_a_row_that_says_nothing_is_made_again(tmp_path, changed):
    table, scan = tmp_path / "volumes.csv", tmp_path / "a.nii"
    _write(table, [row(str(scan), **changed)])
    assert _known(table, [scan]) == {}


def test_columns_that_somebody_added_do_no_harm_and_lacking_ones_are_made_again(tmp_path):
    table, scan = tmp_path / "volumes.csv", tmp_path / "a.nii"
    for columns in ([*_COLUMNS, "remark"], [c for c in _COLUMNS if c != "voxels"]):
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerow({**row(str(scan)), "remark": "checked"})
        known = _known(table, [scan])
        if "remark" in columns:
            assert known == {str(scan): [row(str(scan))]}
            _write(table, known[str(scan)])
        else:
            assert known == {}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"scan\n", b"scan,structure\na", b"a" * 9]
)
def test_a_damaged_table_is_begun_anew(tmp_path, content):
    table = tmp_path / "volumes.csv"
    table.write_bytes(content)
    assert _known(table, [tmp_path / "a.nii"]) == {}


def test_a_line_says_the_volume_or_what_went_wrong():
    assert _line(row("a.nii")) == "a.nii: liver, 12.5 ml"
    assert _line(row("a.nii", error="nothing was found")) == "a.nii: liver, nothing was found"
    assert _line({"scan": "a.nii", "error": "No such file."}) == "a.nii: No such file."


def test_a_table_is_written_whole_and_never_into_nowhere(tmp_path):
    with pytest.raises(SaveError, match="There is no folder"):
        _write(tmp_path / "none" / "volumes.csv", [])
    _write(tmp_path / "volumes.csv", [{"scan": "a.nii", "error": "No such file."}])
    with (tmp_path / "volumes.csv").open(newline="") as file:
        (only,) = csv.DictReader(file)
    assert list(only) == list(_COLUMNS)
    assert only["structure"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["volumes.csv"]


def test_scans_are_those_of_a_folder_but_masks_hidden_files_and_slices(tmp_path):
    for name in ("b.nii.gz", "a.NRRD", "c_seg.nii.gz", ".d.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    assert [path.name for path in _scans(tmp_path)] == ["a.NRRD", "b.nii.gz"]
    assert _scans(tmp_path / "b.nii.gz") == [tmp_path / "b.nii.gz"]
    series = tmp_path / "sub"
    for number in range(2):
        (series / f"{number}.dcm").touch()
    assert _scans(series) == [series], "slices are one scan"
    with pytest.raises(DataError, match="Give a scan, or a folder"):
        _scans(tmp_path / "none")


def test_a_folder_that_cannot_be_made_is_told_before_a_model_is_loaded(
    tmp_path, capsys, monkeypatch
):
    def unloaded(*_given):
        raise AssertionError("nothing is to be loaded")

    monkeypatch.setattr("napari_fastsam3d.session.ModelThread", unloaded)
    for name in ("a.nii.gz", "b.nii.gz"):
        (tmp_path / name).touch()
    inside = tmp_path / "a.nii.gz" / "out"
    assert cli.run(["auto", str(tmp_path), "-o", str(inside)]) == 1
    assert capsys.readouterr().err.startswith("error: The folder")
    assert cli.run(["auto", str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "x" / "y.nii")]) == 1
    assert "There is no folder" in capsys.readouterr().err
