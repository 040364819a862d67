"""The cases that an adapter is fitted on: found by name in label files, or kept by a bank."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered import remembered
from tiny_data import ball, write

from napari_fastsam3d.errors import AdapterError, MemoryBankError
from napari_fastsam3d.evaluation.dataset import LabelledCase, paired_cases
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.training.adaptation.adapt import finished, work_folder
from napari_fastsam3d.training.adaptation.cases import (
    TeachingCase,
    folds_of,
    labelled_teaching_cases,
    remembered_teaching_cases,
)
from napari_fastsam3d.training.adaptation.outcome import Outcome

NAMES = {1: "Liver", 2: "Left kidney", 3: "spleen"}
SHAPE = (24, 20, 16)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledCase]:
    """Three scans of two patients; the last has a kidney more, and none has a spleen."""
    folder = tmp_path_factory.mktemp("scans")
    for number, name in enumerate(("ann-1", "ann-2", "bob-1")):
        labels = ball(SHAPE, (7, 8, 8), 5)
        if name == "bob-1":
            labels = np.maximum(labels, 2 * ball(SHAPE, (18, 12, 8), 3))
        write(folder / f"{name}_seg.nii.gz", labels)
        write(folder / f"{name}_img.nii.gz", (100 * labels + number).astype(np.int16))
    return paired_cases(folder, folder)


def test_a_structure_is_found_by_its_name_in_any_case_and_by_its_value(cases):
    for told in ("liver", "LIVER", " Liver "):
        assert [c.name for c in labelled_teaching_cases(cases, told, NAMES)] == [
            "ann-1",
            "ann-2",
            "bob-1",
        ]
    assert [c.name for c in labelled_teaching_cases(cases, "left kidney", NAMES)] == ["bob-1"]
    assert [c.name for c in labelled_teaching_cases(cases, "2", {})] == ["bob-1"]


def test_what_a_case_reads_is_the_scan_and_the_voxels_of_the_structure(cases):
    (case,) = labelled_teaching_cases(cases, "left kidney", NAMES)
    volume, mask = case.near()
    stored = np.asanyarray(nib.load(cases[2].labels).dataobj)
    np.testing.assert_array_equal(mask.volume(volume.shape), stored == 2)
    np.testing.assert_array_equal(volume.voxels, nib.load(cases[2].image).get_fdata())
    assert case.far is case.near, "all of the scan is there to be looked at from afar"


def test_values_of_one_name_are_one_structure(cases):
    both = {1: "organ", 2: "ORGAN"}
    *_, last = labelled_teaching_cases(cases, "organ", both)
    volume, mask = last.near()
    stored = np.asanyarray(nib.load(cases[2].labels).dataobj)
    np.testing.assert_array_equal(mask.volume(volume.shape), stored > 0)


def test_a_name_that_no_file_shows_is_told_with_those_that_are_there(cases):
    with pytest.raises(AdapterError, match="They show: Left kidney, Liver"):
        labelled_teaching_cases(cases, "spleen", NAMES)
    with pytest.raises(AdapterError, match="They show: 1, 2"):
        labelled_teaching_cases(cases, "liver", {})
    with pytest.raises(AdapterError, match="Check the label files"):
        labelled_teaching_cases([], "liver", NAMES)


def test_patients_are_told_by_an_expression(cases):
    own = labelled_teaching_cases(cases, "liver", NAMES)
    assert [case.patient for case in own] == ["ann-1", "ann-2", "bob-1"]
    shared = labelled_teaching_cases(cases, "liver", NAMES, patient="^[a-z]+")
    assert [case.patient for case in shared] == ["ann", "ann", "bob"]
    unmatched = labelled_teaching_cases(cases, "liver", NAMES, patient="^ann")
    assert [case.patient for case in unmatched] == ["ann", "ann", "bob-1"]


@pytest.mark.parametrize("patient", ["(", "[a-", "*", "(?P<x"])
def test_an_expression_that_is_none_is_told_before_a_file_is_read(patient):
    absent = LabelledCase("set", "case", None, Path("nowhere_seg.nii.gz"))
    with pytest.raises(AdapterError, match="no regular expression"):
        labelled_teaching_cases([absent], "liver", NAMES, patient)


def test_a_bank_says_what_it_keeps_and_of_what_it_has_no_scan(tmp_path):
    with MemoryBank(tmp_path) as bank:
        with pytest.raises(MemoryBankError, match="nothing is remembered yet"):
            remembered_teaching_cases(bank, "liver")
        for seed, name in enumerate(("liver", "spleen", "Aorta")):
            bank.add(remembered(name, seed))
        with pytest.raises(MemoryBankError, match="Remembered are: Aorta, liver, spleen"):
            remembered_teaching_cases(bank, "kidney")
        with pytest.raises(AdapterError, match="Of the 1 remembered cases of liver no part"):
            remembered_teaching_cases(bank, "liver")


def unread():
    raise AssertionError("folds are made without reading a scan")


@settings(max_examples=25)
@given(st.lists(st.sampled_from("abcdefg"), max_size=14), st.integers(0, 9))
def test_folds_hold_every_case_once_and_no_patient_twice(patients, most):
    cases = [TeachingCase(str(n), who, unread, None) for n, who in enumerate(patients)]
    folds = folds_of(cases, most)
    if min(most, len(set(patients))) < 2:
        assert folds == []
        return
    assert sorted(n for fold in folds for n in fold) == list(range(len(cases)))
    assert len(folds) == min(most, len(set(patients)))
    held = [{patients[n] for n in fold} for fold in folds]
    assert all(held)
    assert sum(map(len, held)) == len(set(patients))
    sizes = sorted(map(len, held))
    assert sizes[-1] - sizes[0] <= 1, "no fold has two patients more than another"


def test_work_has_a_folder_by_structure_and_cases(tmp_path):
    class Store:
        path = tmp_path

    cases = [TeachingCase(name, name, unread, None) for name in ("one", "two", "three")]
    here = work_folder(Store, "liver", cases)
    assert here == work_folder(Store, "liver", list(cases))
    others = {
        work_folder(Store, "spleen", cases),
        work_folder(Store, "liver", cases[:2]),
        work_folder(Store, "liver", cases[::-1]),
    }
    assert len(others | {here}) == 4
    assert all(tmp_path in folder.parents for folder in others)


@pytest.mark.parametrize("helps", [True, False])
def test_what_is_done_is_cleared_away_and_only_what_helps_is_kept(tmp_path, helps):
    class Store:
        def __init__(self):
            self.kept = []

        def add(self, adapter):
            self.kept.append(adapter)
            return f"kept {adapter}"

    work = tmp_path / "work"
    work.mkdir()
    for name in ("teaching.pt", "teaching.partial"):
        (work / name).touch()
    store = Store()
    told = finished(Outcome("adapter", helps), store, work)
    assert told == Outcome("kept adapter" if helps else "adapter", helps)
    assert store.kept == (["adapter"] if helps else [])
    assert not work.exists()


def test_what_another_program_left_in_the_folder_stays(tmp_path):
    (tmp_path / "teaching.pt").touch()
    (tmp_path / "notes.txt").write_text("mine")
    finished(Outcome("adapter", helps=False), None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
