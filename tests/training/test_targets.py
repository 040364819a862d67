"""Several targets of one crop, from labels and from the image alone."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.recipe import SamplingOptions
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.supervoxels import supervoxel_targets

WHOLE = (np.ones(32, bool),) * 3


def two_halves():
    """Give an image whose left half is dark and whose right half holds a bright ball."""
    image = torch.zeros(32, 32, 32)
    image[16:] = 1.0
    grid = np.indices((32, 32, 32)) - np.reshape((24, 16, 16), (3, 1, 1, 1))
    ball = torch.from_numpy((grid**2).sum(0) < 36)
    image[ball] = 3.0
    return image + 0.02 * RandomGenerator.seeded(0).normal(32, 32, 32), ball


def test_supervoxels_keep_to_the_edges_of_the_image():
    image, ball = two_halves()
    overlaps = []
    for seed in range(12):
        for target in supervoxel_targets(image, WHOLE, 3, 30, RandomGenerator.seeded(seed)):
            share = (target & ball).sum() / target.sum()
            overlaps.append(float(share))
    assert len(overlaps) > 20
    pure = [share < 0.15 or share > 0.85 for share in overlaps]
    assert np.mean(pure) > 0.85


def test_supervoxels_are_connected_and_of_several_sizes():
    image, _ = two_halves()
    sizes = []
    for seed in range(12):
        for target in supervoxel_targets(image, WHOLE, 3, 30, RandomGenerator.seeded(seed)):
            assert ndimage.label(target.numpy())[1] == 1
            assert 30 <= target.sum() <= 0.4 * target.numel()
            sizes.append(int(target.sum()))
    assert max(sizes) > 5 * min(sizes)


def test_supervoxels_stay_inside_the_volume():
    image, _ = two_halves()
    inside = (np.arange(32) >= 9, np.arange(32) < 20, np.ones(32, bool))
    for seed in range(6):
        for target in supervoxel_targets(image, inside, 3, 30, RandomGenerator.seeded(seed)):
            assert not target[:9].any()
            assert not target[:, 20:].any()
    flat = (np.arange(32) < 2, np.ones(32, bool), np.ones(32, bool))
    assert supervoxel_targets(image, flat, 3, 30, RandomGenerator.seeded(0)) == []


@pytest.fixture
def many(tmp_path):
    """A data folder with a scan of six named blocks, one scan without labels, and a label map."""
    labels = np.zeros((40, 40, 40), np.uint8)
    for value in range(1, 7):
        i, j = divmod(value - 1, 3)
        labels[4 + 18 * i : 18 + 18 * i, 2 + 13 * j : 12 + 13 * j, 8:30] = value
    rng = np.random.default_rng(0)
    image = (100 * labels + rng.normal(0, 5, labels.shape)).astype(np.int16)
    names = {"1": "rib_left", "2": "rib_right", "3": "liver", "4": "a", "5": "b", "6": "body"}
    for home, arrays in {
        "labelled/blocks": {"one_img": image, "one_seg": labels},
        "label_maps/map": {"two_seg": labels},
        "unlabelled/plain": {"three_img": image},
    }.items():
        folder = tmp_path / home
        folder.mkdir(parents=True)
        for name, array in arrays.items():
            nib.Nifti1Image(array, np.eye(4)).to_filename(folder / f"{name}.nii.gz")
        (folder / "labels.json").write_text(json.dumps(names))
    (tmp_path / "split.json").write_text(json.dumps({"train": {"blocks": ["one"]}}))
    return tmp_path


CHOICE = SamplingOptions(aimed=1.0, targets=5, finest=1.0, coarsest=1.5)


@pytest.mark.parametrize("source", ["blocks", "map", "unlabelled", "shapes"])
def test_a_crop_has_as_many_targets_as_were_asked_for(many, source):
    sampler = Sampler.of_folder(many, {source: 1.0}, 3)
    distinct = []
    for number in range(5):
        sample = sampler.draw(number, 48, CHOICE)
        assert sample.targets.shape == (5, 48, 48, 48)
        assert sample.clicks.shape == (5, 3)
        assert all(target.sum() >= 30 for target in sample.targets)
        for target, click in zip(sample.targets, sample.clicks, strict=True):
            if not np.isnan(click).any():
                assert target[tuple(np.rint(click).astype(int))]
        distinct.append(len({target.numpy().tobytes() for target in sample.targets}))
    assert np.mean(distinct) > 3


def test_one_target_of_several_is_the_one_that_would_have_come_alone(many):
    sampler = Sampler.of_folder(many, {"blocks": 1.0}, 3)
    for number in range(6):
        lone = sampler.draw(number, 48, SamplingOptions(aimed=1.0, finest=1.0, coarsest=1.5))
        several = sampler.draw(number, 48, CHOICE)
        assert lone.targets[0].sum() == several.targets[0].sum()


def test_a_click_that_may_mean_several_things_is_given_for_each(many):
    """The first target's group holds the same voxel, and so the same click."""
    sampler = Sampler.of_folder(many, {"blocks": 1.0}, 3)
    nested = 0
    for number in range(16):
        sample = sampler.draw(number, 48, CHOICE)
        first = sample.targets[0]
        for target, click in zip(sample.targets[1:], sample.clicks[1:], strict=True):
            if (target & first).sum() == first.sum() < target.sum():
                assert np.array_equal(click, sample.clicks[0], equal_nan=True)
                nested += 1
    assert nested > 0


def test_without_supervoxels_labels_come_again_and_are_clicked_elsewhere(many):
    choice = replace(CHOICE, targets=40, supervoxels=0.0)
    sample = Sampler.of_folder(many, {"blocks": 1.0}, 3).draw(3, 48, choice)
    different = {target.numpy().tobytes() for target in sample.targets}
    assert len(different) < 40, "there are not as many structures"
    clicked = ~np.isnan(sample.clicks).any(axis=1)
    assert clicked[0]
    assert clicked.sum() <= len(different)


def test_scenery_of_a_label_map_is_painted_and_never_asked_for(many):
    sampler = Sampler.of_folder(many, {"map": 1.0}, 3)
    assert sampler.names["map"][6] == "body"
    asked = set()
    for number in range(20):
        sampler.draw(number, 48, CHOICE)
    from napari_fastsam3d.training.data import load_case

    loaded = load_case(sampler.cases["map"][0], torch.device("cpu"), frozenset({6}))
    asked = {structure.value for structure in loaded.structures}
    assert asked == {1, 2, 3, 4, 5}
    assert (loaded.labels == 6).any()


def test_cases_that_are_held_out_are_never_drawn(many, data):
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 3, held_out={"balls": 1})
    assert [case.name for case in sampler.cases["balls"]] == ["a"]
