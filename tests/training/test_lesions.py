import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.recipe import SamplingOptions
from napari_fastsam3d.training.rendering import lesions_in, show_lesions
from napari_fastsam3d.training.sample import Sampler


@pytest.fixture
def organ():
    cells = np.indices((48, 48, 48)) - 24
    return torch.from_numpy((cells**2).sum(0) < 18**2)


def test_lesions_are_a_small_part_of_their_organ_here_and_there(organ):
    pieces, shares = [], []
    for seed in range(30):
        lesions = lesions_in(organ, RandomGenerator.seeded(seed))
        assert not (lesions & ~organ).any()
        shares.append(float(lesions.sum() / organ.sum()))
        pieces.append(ndimage.label(lesions.numpy())[1])
    assert 0 < min(shares) < 0.02
    assert 0.05 < max(shares) <= 0.16
    assert min(pieces) < 6
    assert max(pieces) > 20


def test_lesions_differ_from_their_organ(organ):
    signs = set()
    for seed in range(12):
        random = RandomGenerator.seeded(seed)
        image = 50 + 5 * random.normal(*organ.shape)
        lesions = ndimage.binary_opening(organ, iterations=9)
        shown = show_lesions(image, organ, torch.from_numpy(lesions), random) - image
        middle = float(shown[24, 24, 24])
        assert 7 < abs(middle) < 26
        assert shown[~organ].abs().max() < 0.5 * abs(middle)
        signs.add(middle > 0)
    assert signs == {True, False}


@pytest.mark.filterwarnings("error")
def test_where_there_is_no_organ_there_are_no_lesions(organ):
    for nothing in (torch.zeros_like(organ), one_voxel(organ)):
        random = RandomGenerator.seeded(1)
        image = random.normal(*organ.shape)
        lesions = lesions_in(nothing, random)
        assert lesions.sum() <= 1
        assert show_lesions(image, nothing, lesions, random).equal(image)


def one_voxel(organ):
    point = torch.zeros_like(organ)
    point[3, 4, 5] = True
    return point


def test_a_click_asks_for_one_lesion_or_for_all(data):
    sampler = Sampler.of_folder(data, {"balls": 0.5, "maps": 0.5}, 5)
    pieces, clicked = [], 0
    for number in range(24):
        sample = sampler.draw(number, 64, SamplingOptions(aimed=0.7, lesioned=1.0))
        (target,), (click,) = sample.targets, sample.clicks
        if target.sum() > 4000:  # random shapes, where no organ had room
            continue
        pieces.append(ndimage.label(target)[1])
        if not np.isnan(click).any():
            assert target[tuple(np.rint(click).astype(int))]
            clicked += 1
    assert pieces.count(1) > 2
    assert max(pieces) > 5
    assert clicked > 5
