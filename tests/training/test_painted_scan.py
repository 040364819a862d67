import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from feature_model import FeatureModel

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.evaluation.dataset import label_map_cases, label_names
from napari_fastsam3d.training.painted_scan import paint
from napari_fastsam3d.training.reader_examples import examples_in, prepare_painted

NAMES = {1: "liver", 2: "kidney_left", 3: "kidney_right", 4: "body", 5: "renal_vein"}
SIZE = 48


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A map with names, left and right of it a kidney, and one without."""
    folder = tmp_path_factory.mktemp("data")
    grid = np.indices((90, 90, 90)) - 45
    labels = np.where((grid**2).sum(0) <= 40**2, 4, 0).astype(np.uint8)
    for value, centre, radius in ((1, (0, 14, 0), 10), (2, (-9, -8, 0), 6), (3, (9, -8, 0), 6)):
        ball = ((grid - np.reshape(centre, (3, 1, 1, 1))) ** 2).sum(0) <= radius**2
        labels[ball] = value
    labels[43:47, 37:41, 20:70] = 5
    for name, names in (("named", NAMES), ("unnamed", None)):
        home = folder / "label_maps" / name
        home.mkdir(parents=True)
        nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2.0, 2.0, 1])), home / "one_seg.nii.gz")
        if names:
            (home / "labels.json").write_text(json.dumps({"labels": names}))
    return folder


def _map(data: Path, name: str):
    case = next(case for case in label_map_cases(data) if case.set_name == name)
    return case, label_names(data, name)


def test_only_structures_to_be_learnt_are_asked_for_and_each_lies_whole_in_the_scan(data: Path):
    case, names = _map(data, "named")
    found = set()
    for number in range(8):
        scan = paint(case, names, number, SIZE)
        assert scan.volume.shape == (SIZE,) * 3
        found |= {*scan.structures}
        for mask in scan.structures.values():
            assert min(mask.box.start) > 0
            assert max(mask.box.stop) < SIZE
            assert np.count_nonzero(mask.voxels) >= 300
    assert found == {"liver", "kidney_left", "kidney_right"}


def test_a_number_gives_one_scan_and_another_number_another(data: Path):
    case, names = _map(data, "named")
    one, again, other = (paint(case, names, number, SIZE) for number in (3, 3, 4))
    np.testing.assert_array_equal(one.volume.voxels, again.volume.voxels)
    assert not np.array_equal(one.volume.voxels, other.volume.voxels)


def test_left_stays_left(data: Path):
    case, names = _map(data, "named")
    both = 0
    for number in range(12):
        masks = paint(case, names, number, SIZE).structures
        if {"kidney_left", "kidney_right"} <= {*masks}:
            assert masks["kidney_left"].box.start[0] < masks["kidney_right"].box.start[0]
            both += 1
    assert both


def test_values_without_names_are_told_apart_by_set_and_value(data: Path):
    case, names = _map(data, "unnamed")
    assert names == {}
    found = {name for n in range(6) for name in paint(case, names, n, SIZE).structures}
    assert found
    assert found <= {f"unnamed {value}" for value in (1, 2, 3, 4, 5)}


def test_a_map_with_nothing_to_learn_is_told(data: Path):
    case, _ = _map(data, "named")
    with pytest.raises(TrainingError, match="no structure"):
        paint(case, {1: "something"}, 0, SIZE)


def test_painted_scans_are_patients_of_one_group_for_each_name(data: Path, tmp_path: Path):
    told: list[tuple[int, int]] = []
    model = FeatureModel(size=64)
    prepare_painted(data, tmp_path, model, lambda *at: told.append(at), count=10, size=SIZE)
    assert told == [(n, 10) for n in range(1, 11)]
    examples = examples_in(tmp_path)
    assert {each.set_name for each in examples} == {"painted heads", "painted bodies"}
    bodies = [each for each in examples if each.set_name == "painted bodies"]
    assert {each.structure for each in bodies} <= {"liver", "kidney_left", "kidney_right"}
    assert len({each.case for each in bodies}) > 1
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.example")}
    prepare_painted(data, tmp_path, model, lambda *_: None, count=10, size=SIZE)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.example")} == before
