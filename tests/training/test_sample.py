import numpy as np
import pytest

from napari_fastsam3d.evaluation.data_folder import label_map_cases, labelled_cases
from napari_fastsam3d.training import shapes
from napari_fastsam3d.training.augmentation import deform, degrade, flip
from napari_fastsam3d.training.cases import load_case
from napari_fastsam3d.training.sample import SMALLEST, Choice, Sampler


def test_the_same_number_gives_the_same_sample(data, recipe):
    first = Sampler.of_folder(data, recipe.sources, recipe.seed)
    again = Sampler.of_folder(data, recipe.sources, recipe.seed)
    for number in range(6):
        one, two = first.draw(number, 32), again.draw(number, 32)
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.target, two.target)


def test_samples_are_finite_and_hold_their_target(data, recipe):
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    for number in range(20):
        sample = sampler.draw(number, 32)
        assert sample.image.shape == sample.target.shape == (32, 32, 32)
        assert sample.image.dtype == np.float32
        assert np.isfinite(sample.image).all()
        assert np.abs(sample.image).max() < 20
        assert sample.target.any()


def test_the_target_is_where_the_image_shows_it(data):
    """Balls are bright: image and target must not have come apart on their way."""
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 5)
    told = 0
    for number in range(12):
        sample = sampler.draw(number, 32)
        if 0.02 < sample.target.mean() < 0.9:
            inside = sample.image[sample.target].mean()
            outside = sample.image[~sample.target].mean()
            told += abs(inside - outside) > 0.5
    assert told >= 9


def test_a_crop_aimed_at_a_click_tells_where_it_fell(data, recipe):
    sampler = Sampler.of_folder(data, {"balls": 1.0, "shapes": 0.3}, 5)
    told = 0
    for number in range(16):
        sample = sampler.draw(number, 64, Choice(aimed=1.0, large=0.5))
        if not np.isnan(sample.click).any():
            i, j, k = np.rint(sample.click).astype(int)
            assert sample.target[i, j, k]
            told += 1
    assert 5 < told < 16
    assert all(np.isnan(sampler.draw(number, 32).click).all() for number in range(6))


def test_a_crop_placed_as_at_a_box_shows_the_whole_structure(data):
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 5)
    for number in range(8):
        target = sampler.draw(number, 64, Choice(boxed=1.0)).target
        where = np.argwhere(target)
        assert (where.min(0) > 0).all()
        assert (where.max(0) < 63).all()
        assert 16 < np.ptp(where, axis=0).max() < 48


def test_validation_is_never_drawn(data):
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 0)
    assert [case.name for case in sampler.cases["balls"]] == ["a", "b"]


def test_the_shipped_recipe_draws_from_no_patient_of_validation(shared):
    train = {(c.set_name, c.name) for c in labelled_cases(shared / "data", "train")}
    validation = {(c.set_name, c.name) for c in labelled_cases(shared / "data", "validation")}
    assert train
    assert validation
    assert not train & validation


def test_structures_know_their_extent(data):
    loaded = load_case(label_map_cases(data)[0])
    (structure,) = loaded.structures
    assert structure.value == 1
    assert structure.extent == pytest.approx(25 * 1.5)
    assert all(loaded.labels[tuple(seed)] == 1 for seed in structure.seeds)


def test_random_shapes_mostly_have_one_connected_target():
    from scipy import ndimage

    parts: list[int] = []
    for seed in range(40):
        image, _, target = shapes.random_shapes(32, np.random.default_rng(seed))
        assert np.isfinite(image).all()
        parts.append(int(ndimage.label(target)[1]))
    assert min(parts) == 1
    assert 0.7 < parts.count(1) / len(parts) < 1  # the rest are lesions that are asked for together


def test_a_flip_moves_image_target_and_borders_alike():
    rng = np.random.default_rng(1)
    image = rng.standard_normal((8, 8, 8)).astype(np.float32)
    target = image > 0
    inside = (np.arange(8) > 1, np.arange(8) > 2, np.ones(8, bool))
    for seed in range(20):
        new_image, new_target, new_inside, (i, j, k) = flip(
            image, target, inside, np.array([6.0, 3.0, 5.0]), np.random.default_rng(seed)
        )
        assert new_image[int(i), int(j), int(k)] == image[6, 3, 5]
        assert np.array_equal(new_image > 0, new_target)
        assert sorted(int(p.sum()) for p in new_inside) == [5, 6, 8]


def test_degrading_keeps_the_shape_and_stays_finite():
    rng = np.random.default_rng(2)
    image = rng.normal(-300, 400, (24, 24, 24)).astype(np.float32)
    for seed in range(40):
        out = degrade(image, np.random.default_rng(seed))
        assert out.shape == image.shape
        assert np.isfinite(out).all()


def test_a_constant_image_survives_degrading():
    for seed in range(20):
        out = degrade(np.full((24, 24, 24), 7, np.float32), np.random.default_rng(seed))
        assert np.isfinite(out).all()


def test_deforming_moves_labels_and_mask_alike():
    labels = np.zeros((32, 32, 32), np.int16)
    labels[8:20, 10:24, 12:22] = 3
    bent, mask = deform(labels, labels == 3, np.random.default_rng(0))
    assert np.array_equal(bent == 3, mask)
    assert mask.sum() > SMALLEST
    assert not np.array_equal(mask, labels == 3)
