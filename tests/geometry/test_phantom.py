import numpy as np
import pytest
from scipy import ndimage

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import torso_phantom

LITRES = {
    "liver": (1.2, 2.2),
    "spleen": (0.1, 0.35),
    "right kidney": (0.1, 0.25),
    "left kidney": (0.1, 0.25),
    "spine": (0.3, 0.8),
    "aorta": (0.05, 0.2),
    "right lung": (0.7, 2.5),
    "left lung": (0.7, 2.5),
    "stomach": (0.15, 0.5),
    "body": (10, 25),
}


@pytest.fixture(scope="module")
def torso():
    return torso_phantom()


def test_is_a_scan_with_its_labels(torso):
    volume, labels, names = torso
    assert volume.shape == labels.shape == (250, 180, 110)
    assert volume.spacing == (1.5, 1.5, 3.0)
    assert volume.axis_codes == "RAS"
    assert volume.voxels.dtype == np.int16
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, *names}


def test_organs_have_human_sizes(torso):
    _, labels, names = torso
    for label, name in names.items():
        low, high = LITRES[name]
        assert low < (labels == label).sum() * 1.5 * 1.5 * 3 / 1e6 < high, name


def test_organs_lie_on_their_sides(torso):
    volume, labels, names = torso
    middle = {n: volume.to_world(np.argwhere(labels == v).mean(axis=0)) for v, n in names.items()}
    for right, left in (
        ("right kidney", "left kidney"),
        ("right lung", "left lung"),
        ("liver", "spleen"),
        ("liver", "stomach"),
    ):
        assert middle[right][0] > 0 > middle[left][0]
    assert middle["spine"][1] < middle["aorta"][1] < middle["stomach"][1]
    assert middle["left lung"][2] > middle["spleen"][2] > middle["left kidney"][2]


def test_organs_are_whole(torso):
    _, labels, names = torso
    for label, name in names.items():
        pieces, count = ndimage.label(labels == label)
        if name != "body":
            assert np.bincount(pieces.ravel())[1:].max() > 0.97 * (labels == label).sum(), name
        assert count < 40, name


def test_tissues_look_like_tissues(torso):
    volume, labels, names = torso
    mean = {n: volume.voxels[labels == v].mean() for v, n in names.items()}
    assert volume.voxels[labels == 0].mean() < -950
    assert mean["right lung"] < -700
    assert mean["spine"] > 200 > mean["right kidney"] > mean["liver"] > 60
    noise = volume.voxels[120:130, 150:156, 40:44].std()
    assert 5 < noise < 200


def test_same_seed_same_torso():
    one, again, other = (torso_phantom(seed, (5, 5, 5)) for seed in (1, 1, 2))
    assert one[0].content_hash == again[0].content_hash
    assert one[0].content_hash != other[0].content_hash
    assert np.array_equal(one[1], again[1])


def test_spacing_changes_the_grid_not_the_torso(torso):
    volume, labels, _ = torso
    coarse, coarse_labels, _ = torso_phantom(spacing=(3.0, 3.0, 6.0))
    for label in (1, 5, 8):
        here = volume.to_world(np.argwhere(labels == label).mean(axis=0))
        there = coarse.to_world(np.argwhere(coarse_labels == label).mean(axis=0))
        np.testing.assert_allclose(here, there, atol=3)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (-1, 1, 1), (1, 1), (500, 1, 1), (np.nan, 1, 1)])
def test_impossible_spacings_are_refused(spacing):
    with pytest.raises(VolumeError):
        torso_phantom(spacing=spacing)
