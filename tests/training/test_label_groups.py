import numpy as np
import pytest
import torch

from napari_fastsam3d.geometry import Crop, read_volume
from napari_fastsam3d.training.recipe import SamplingOptions
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.targets import group_members, group_name


@pytest.mark.parametrize(
    ("one", "other", "sides"),
    [
        ("lung_upper_lobe_left", "lung_lower_lobe_left", False),
        ("lung_upper_lobe_left", "lung_middle_lobe_right", True),
        ("vertebrae_T12", "vertebrae_L1", False),
        ("hippocampus anterior", "hippocampus posterior", False),
        ("RightParotid", "LeftParotid", True),
        ("kidney_left", "kidney_right", True),
    ],
)
def test_parts_of_one_thing_are_a_group_name(one, other, sides):
    assert group_name(one, sides) == group_name(other, sides)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kidney_left", "kidney_right"),
        ("RightParotid", "LeftParotid"),
        ("kidney_left", "kidney_cyst_left"),
        ("lung_upper_lobe_left", "lung_upper_lobe_right"),
    ],
)
def test_sides_and_other_organs_are_kept_apart(one, other):
    assert group_name(one, sides=False) != group_name(other, sides=False)


def test_a_value_without_a_name_has_no_relatives():
    assert group_members(3, {1: "kidney_left"}, sides=True) == ()
    names = {1: "vertebrae_L1", 2: "vertebrae_L2", 3: "spleen"}
    assert group_members(1, names, sides=False) == (2,)


def test_an_aimed_crop_lies_as_at_a_first_click(data):
    """The balls of the test data have a radius known in mm: their share tells the scale."""
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 3)
    case = sampler.cases["balls"][0]
    truth = read_volume(case.labels).voxels == 1
    spacing = np.prod(read_volume(case.labels).spacing)
    wanted = truth.sum() * spacing / 1.5**3
    counts = [
        sampler.draw(number, 64, SamplingOptions(aimed=1.0)).targets[0].sum() / wanted
        for number in range(12)
    ]
    assert 0.8 < np.median(counts) < 1.25


def test_a_piece_is_connected_and_holds_its_voxel():
    from napari_fastsam3d.geometry import Volume
    from napari_fastsam3d.training.targets import piece_at

    target = torch.zeros((32, 32, 32), dtype=torch.bool)
    target[4:8, 4:8, 4:8] = True
    target[20:28, 20:28, 20:28] = True
    volume = Volume(np.zeros((32, 32, 32), np.float32), np.eye(4))
    crop = Crop.around(volume, (16.0, 16.0, 16.0), spacing=1.0, size=32)
    inside = np.array(crop.to_source((24, 24, 24)), int)
    piece = piece_at(target, crop.to_crop(inside))
    assert piece.sum() == 8**3
    outside = np.array(crop.to_source((14, 14, 14)), int)
    assert not piece_at(target, crop.to_crop(outside)).any()
