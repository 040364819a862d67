import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from feature_model import FeatureModel

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.evaluation.dataset import labelled_cases
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.memory.reading import load_reader
from napari_fastsam3d.training import reader as training
from napari_fastsam3d.training.reader import Episodes, judge, read_episode, train_reader
from napari_fastsam3d.training.reader_examples import examples_in, prepare, several, structures

CASES = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scans of a bright ball in two halves, and one of another set."""
    folder = tmp_path_factory.mktemp("data")
    names = [f"case_{n}" for n in range(CASES)]
    split = {"train": {"balls": names, "single": ["alone"]}, "validation": {}}
    (folder / "split.json").write_text(json.dumps(split))
    for home, cases in (("balls", names), ("single", ["alone"])):
        place = folder / "labelled" / home
        place.mkdir(parents=True)
        table = {"1": "ball left", "2": "ball right"}
        (place / "labels.json").write_text(json.dumps({"labels": table}))
        for seed, name in enumerate(cases):
            rng = np.random.default_rng(seed)
            grid = np.indices((40, 44, 36)) - rng.uniform(16, 22, 3).reshape(3, 1, 1, 1)
            ball = (grid**2).sum(0) <= 49
            labels = np.where(ball, 1 + (grid[0] > 0), 0).astype(np.uint8)
            image = (100 * labels + rng.normal(0, 5, labels.shape)).astype(np.int16)
            for kind, array in (("img", image), ("seg", labels)):
                nib.save(nib.Nifti1Image(array, np.eye(4)), place / f"{name}_{kind}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def cache(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cache")
    told: list[tuple[int, int]] = []
    cases = several(labelled_cases(data, "train"))
    prepare(data, cases, out, FeatureModel(size=64), lambda *at: told.append(at))
    assert told == [(n + 1, CASES) for n in range(CASES)]
    return out


def test_parts_of_one_thing_are_learnt_as_a_whole_too(data: Path):
    case = labelled_cases(data, "train")[0]
    masks = structures(data, case, read_volume(case.image))
    assert {*masks} == {"ball left", "ball right", "ball"}
    sizes = {name: np.count_nonzero(mask.voxels) for name, mask in masks.items()}
    assert sizes["ball"] == sizes["ball left"] + sizes["ball right"]


def test_what_is_kept_of_a_case_is_where_it_was_clicked(cache: Path):
    examples = examples_in(cache)
    assert len(examples) == 3 * CASES
    for example in examples[:6]:
        arrays = example.arrays()
        cells = ((arrays["clicks"] + 0.5) / 2).astype(int) - 2 * arrays["start"]
        filled = arrays["truth"][tuple(cells.T)]
        assert (filled > 0).all()
        assert arrays["truth"].shape == tuple(2 * n for n in arrays["middle"].shape[:3])
        assert arrays["middle"].shape[:3] == tuple(2 * n for n in arrays["coarse"].shape[:3])


def test_episodes_recall_other_patients_of_one_structure(cache: Path):
    episodes = Episodes(examples_in(cache))
    kinds = set()
    for number in range(60):
        episode = episodes.draw(number)
        assert episode == episodes.draw(number)
        assert episode.asked.case not in {each.case for each in episode.remembered}
        names = {each.structure for each in episode.remembered}
        assert len(names) == 1
        assert (names == {episode.asked.structure}) == episode.matches
        kinds.add(episode.matches)
    assert kinds == {True, False}
    held = {episode.asked.case for episode in episodes.judged()}
    drawn = {episodes.draw(n).asked.case for n in range(60)}
    assert held
    assert not held & drawn


def test_a_stopped_run_goes_on_where_it_was(cache: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(training, "_KEPT_EVERY", 2)
    episodes = Episodes(examples_in(cache))

    def stop(step: int, steps: int, iou: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    whole = train_reader(episodes, tmp_path / "whole", "ours", lambda *_: None, steps=4)
    with pytest.raises(KeyboardInterrupt):
        train_reader(episodes, tmp_path / "stopped", "ours", stop, steps=4)
    again = train_reader(episodes, tmp_path / "stopped", "ours", lambda *_: None, steps=4)

    for name, value in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    lines = (tmp_path / "stopped" / "reader.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1, 2, 3]
    loaded = load_reader(tmp_path / "stopped" / "reader.safetensors", "ours")
    assert loaded is not None
    reading, truth, beyond = read_episode(loaded, episodes.draw(0))
    assert reading.logits.shape == truth.shape
    assert beyond >= 0
    found = judge(loaded, episodes)
    assert {*found["dice"]} <= {"ball", "ball left", "ball right"}


def test_too_few_cases_are_told(cache: Path):
    with pytest.raises(TrainingError, match="too few"):
        Episodes(examples_in(cache)[:6])


def test_a_set_of_many_structures_does_not_crowd_out_one_of_few():
    groups = [("few", 100), ("few", 25)] + [("many", 4)] * 50
    shares = training._shares(groups)
    assert shares.sum() == pytest.approx(1)
    few, many = shares[:2], shares[2:]
    assert few.sum() / many.sum() == pytest.approx((125 / 200) ** 0.5)
    assert few[0] / few[1] == pytest.approx(2)
