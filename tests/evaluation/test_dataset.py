import json

import pytest

from napari_fastsam3d.errors import DataError
from napari_fastsam3d.evaluation.dataset import (
    LabelledCase,
    evenly_spaced,
    label_names,
    labelled_cases,
    modality,
    paired_cases,
)


def test_the_parts_of_a_split_are_told_apart(data):
    assert [case.name for case in labelled_cases(data, "train")] == ["t"]
    assert [case.name for case in labelled_cases(data, "validation")] == ["a", "b", "c"]


def test_a_case_that_is_absent_is_named(data):
    (data / "labelled" / "balls" / "b_seg.nii.gz").unlink()
    with pytest.raises(DataError, match="b_seg"):
        labelled_cases(data, "validation")


def test_a_folder_without_split_is_told(tmp_path):
    with pytest.raises(DataError, match=r"split\.json"):
        labelled_cases(tmp_path, "train")


def test_a_subset_is_evenly_spaced_and_always_the_same():
    cases = [LabelledCase("x", str(n), None, None) for n in range(10)] + [
        LabelledCase("y", "only", None, None)
    ]
    assert [case.name for case in evenly_spaced(cases, 3)] == ["0", "3", "6", "only"]
    assert evenly_spaced(cases, 99) == cases


def test_scans_are_paired_with_their_labels(data):
    home = data / "labelled" / "balls"
    assert [case.name for case in paired_cases(home, home)] == ["a", "b", "t"]
    (home / "b_seg.nii.gz").unlink()
    with pytest.raises(DataError, match="b has no labels"):
        paired_cases(home, home)
    with pytest.raises(DataError, match="holds no"):
        paired_cases(data, data)


def test_the_modality_is_what_the_folder_says(data):
    (data / "INDEX.md").write_text(
        "| set | n | what |\n|---|---|---|\n| bars, balls | 2 | MR of |\n"
    )
    assert modality(data, "balls") == "MR"
    assert modality(data, "ball") == "unknown"
    stored = {"labels": {"1": "ball"}, "modality": "CT"}
    (data / "labelled" / "balls" / "labels.json").write_text(json.dumps(stored))
    assert modality(data, "balls") == "CT"
    assert label_names(data, "balls") == {1: "ball"}


def test_every_set_of_the_real_folder_has_a_modality(shared):
    sets = {case.set_name for case in labelled_cases(shared / "data", "validation")}
    assert {name for name in sets if modality(shared / "data", name) == "CT"} == {
        "openkbp_hn",
        "totalseg_ct",
        "medsam2_ct_lesion",
    }
    assert "unknown" not in {modality(shared / "data", name) for name in sets}
