import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.evaluation.dataset import LabelledCase, label_map_cases, labelled_cases
from napari_fastsam3d.geometry import Crop, read_volume
from napari_fastsam3d.model.normalisation import foreground_contrast, tensor_foreground_contrast
from napari_fastsam3d.training import shapes
from napari_fastsam3d.training.augmentation import (
    ElasticDeformation,
    View,
    augment_intensities,
    blur,
    flip,
)
from napari_fastsam3d.training.axis_matrices import thick_slices
from napari_fastsam3d.training.data import load_case
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.recipe import SamplingOptions
from napari_fastsam3d.training.sample import Sampler


def test_the_same_number_gives_the_same_sample(data, recipe):
    first = Sampler.of_folder(data, recipe.sources, recipe.seed)
    again = Sampler.of_folder(data, recipe.sources, recipe.seed)
    for number in range(6):
        one, two = first.draw(number, 32), again.draw(number, 32)
        assert torch.equal(one.image, two.image)
        assert torch.equal(one.targets, two.targets)


def test_samples_are_finite_and_hold_their_target(data, recipe):
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    for number in range(20):
        sample = sampler.draw(number, 32)
        assert sample.image.shape == (32, 32, 32)
        assert sample.targets.shape == (1, 32, 32, 32)
        assert sample.image.dtype == torch.float32
        assert sample.image.isfinite().all()
        assert sample.image.abs().max() < 20
        assert sample.targets[0].any()


def test_the_target_is_where_the_image_shows_it(data):
    """Balls are bright: image and target must not have come apart on their way."""
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 5)
    told = 0
    for number in range(12):
        sample = sampler.draw(number, 32)
        (target,) = sample.targets
        if 0.02 < target.float().mean() < 0.9:
            inside = sample.image[target].mean()
            outside = sample.image[~target].mean()
            told += abs(inside - outside) > 0.5
    assert told >= 9


def test_a_crop_aimed_at_a_click_tells_where_it_fell(data, recipe):
    sampler = Sampler.of_folder(data, {"balls": 1.0, "shapes": 0.3}, 5)
    told = 0
    for number in range(16):
        sample = sampler.draw(number, 64, SamplingOptions(aimed=1.0, large=0.5))
        (click,) = sample.clicks
        if not np.isnan(click).any():
            i, j, k = np.rint(click).astype(int)
            assert sample.targets[0, i, j, k]
            told += 1
    assert 5 < told < 16
    assert all(np.isnan(sampler.draw(number, 32).clicks).all() for number in range(6))


def test_a_crop_placed_as_at_a_box_shows_the_whole_structure(data):
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 5)
    for number in range(8):
        target = sampler.draw(number, 64, SamplingOptions(boxed=1.0)).targets[0].numpy()
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
    case = label_map_cases(data)[0]
    loaded = load_case(case)
    (structure,) = loaded.structures
    labels = read_volume(case.labels).voxels
    assert structure.value == 1
    assert structure.extent == pytest.approx(25 * 1.5)
    assert all(labels[tuple(seed)] == 1 for seed in structure.seeds)


def oriented(path, array, affine, codes):
    image = nib.Nifti1Image(array, affine)
    wanted = nib.orientations.axcodes2ornt(codes)
    way = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
    image.as_reoriented(way).to_filename(path)


def test_labels_stored_in_another_order_are_brought_to_the_scan(tmp_path):
    rng = np.random.default_rng(4)
    image = rng.normal(size=(20, 24, 30)).astype(np.float32)
    labels = (ndimage.gaussian_filter(image, 3) > 0).astype(np.uint8)
    affine = np.diag([1.0, 1.1, 2.5, 1.0])
    oriented(tmp_path / "img.nii.gz", image, affine, "RAS")
    found = []
    for codes in ("RAS", "SPL", "LAI"):
        oriented(tmp_path / f"{codes}.nii.gz", labels, affine, codes)
        case = LabelledCase("odd", codes, tmp_path / "img.nii.gz", tmp_path / f"{codes}.nii.gz")
        found.append(load_case(case).labels.numpy())
    assert all(np.array_equal(found[0], each) for each in found[1:])
    mirrored = nib.Nifti1Image(labels, np.diag([-1, 1, 1, 1]) @ affine)
    mirrored.to_filename(tmp_path / "mirrored.nii.gz")
    case = LabelledCase("odd", "m", tmp_path / "img.nii.gz", tmp_path / "mirrored.nii.gz")
    with pytest.raises(VolumeError, match="lies elsewhere"):
        load_case(case)


@pytest.mark.parametrize("hole", [-8192, -32768, np.nan])
def test_padding_is_no_tissue(tmp_path, hole):
    rng = np.random.default_rng(4)
    image = rng.normal(-1000, 5, (40, 40, 30)).astype(np.float32)
    image[10:30, 10:30] = rng.normal(50, 20, (20, 20, 30))
    labels = (image > -500).astype(np.uint8)
    image[:9] = hole
    for name, array in (("img", image), ("seg", labels)):
        nib.Nifti1Image(array, np.eye(4)).to_filename(tmp_path / f"{name}.nii.gz")
    case = load_case(LabelledCase("odd", "p", tmp_path / "img.nii.gz", tmp_path / "seg.nii.gz"))
    volume = case.volume
    crop = Crop.around(volume, (12, 20, 15), 1.2, size=32)
    wanted = crop.extract(volume.voxels, floor=volume.intensity_floor)
    assert wanted.min() > -1030
    assert np.allclose(case.intensities(crop).numpy(), wanted, atol=12)


@pytest.fixture
def odd_case(tmp_path):
    """A scan whose axes run towards P, L and S, with voxels of three sizes."""
    rng = np.random.default_rng(4)
    image = ndimage.gaussian_filter(rng.normal(size=(50, 44, 30)), 2).astype(np.float32)
    affine = np.array([[0, -1.1, 0, 9], [-0.8, 0, 0, 5], [0, 0, 2.5, 1], [0, 0, 0, 1.0]])
    labels = np.digitize(image, np.quantile(image, (0.6, 0.85))).astype(np.uint8)
    for name, array in (("img", image), ("seg", labels)):
        nib.Nifti1Image(array, affine).to_filename(tmp_path / f"{name}.nii.gz")
    return load_case(LabelledCase("odd", "one", tmp_path / "img.nii.gz", tmp_path / "seg.nii.gz"))


@pytest.mark.parametrize(
    ("centre", "spacing"), [((25.13, 20.21, 15.3), 1.5), ((3.1, 40.3, 28.2), 0.7)]
)
def test_crops_are_those_of_inference(odd_case, centre, spacing):
    volume = odd_case.volume
    labels = odd_case.labels.numpy()
    crop = Crop.around(volume, centre, spacing, size=48)
    wanted = crop.extract(volume.voxels)
    assert np.allclose(odd_case.intensities(crop).numpy(), wanted, atol=1e-6)
    source = volume.canonical.source_view(labels)
    mask = crop.extract((source == 2).astype(np.float32), fill=0.0)
    two = next(s for s in odd_case.structures if s.value == 2)
    assert np.allclose(odd_case.occupancy(crop, (two,)).numpy(), mask, atol=1e-6)
    nearest = odd_case.nearest_labels(crop).numpy()
    for i, j, k in np.random.default_rng(0).integers(0, 48, (50, 3)):
        at = np.rint(crop.to_source((i, j, k))).astype(int)
        held = (at >= 0).all() and (at < volume.shape).all()
        assert nearest[i, j, k] == (source[tuple(at)] if held else 0)
    normal = tensor_foreground_contrast(odd_case.intensities(crop), crop.inside)
    assert np.allclose(normal.numpy(), foreground_contrast(wanted, crop.inside), atol=1e-3)


def test_random_shapes_mostly_have_one_connected_target():
    parts: list[int] = []
    for seed in range(40):
        image, (target,) = shapes.random_shapes(32, RandomGenerator.seeded(seed))
        assert image.isfinite().all()
        parts.append(int(ndimage.label(target.numpy())[1]))
    assert min(parts) == 1
    assert 0.7 < parts.count(1) / len(parts) < 1  # the rest are lesions that are asked for together


def test_a_flip_moves_image_target_and_borders_alike():
    image = RandomGenerator.seeded(1).normal(8, 8, 8)
    inside = (np.arange(8) > 1, np.arange(8) > 2, np.ones(8, bool))
    targets = torch.stack([image > 0, image > 1])
    view = View(image, targets, inside, np.array([[6.0, 3.0, 5.0], [1.0, 2.0, 4.0]]))
    for seed in range(20):
        flipped = flip(view, RandomGenerator.seeded(seed))
        for click, place in zip(flipped.clicks, ((6, 3, 5), (1, 2, 4)), strict=True):
            assert flipped.image[tuple(click.astype(int))] == image[place]
        assert torch.equal(torch.stack([flipped.image > 0, flipped.image > 1]), flipped.targets)
        assert sorted(int(p.sum()) for p in flipped.inside) == [5, 6, 8]


@pytest.mark.parametrize("level", [None, 7.0])
def test_degrading_keeps_the_shape_and_stays_finite(level):
    image = 400 * RandomGenerator.seeded(2).normal(24, 24, 24) - 300
    for seed in range(40):
        out = augment_intensities(
            image if level is None else torch.full_like(image, level), RandomGenerator.seeded(seed)
        )
        assert out.shape == image.shape
        assert out.isfinite().all()


def test_blurring_and_thick_slices_keep_what_is_flat():
    flat = torch.full((24, 24, 24), 3.0)
    assert torch.allclose(blur(flat, 0.8), flat)
    matrix = thick_slices(24, 5)
    assert np.allclose(matrix.sum(1), 1)
    ramp = np.arange(24, dtype=np.float32)
    assert np.allclose((matrix @ ramp)[4:17], ramp[4:17], atol=0.5)


def test_bending_moves_labels_and_mask_alike_and_leaves_the_click_in_place():
    labels = torch.zeros(32, 32, 32, dtype=torch.int16)
    labels[8:20, 10:24, 12:22] = 3
    whole = np.ones(32, bool)
    click = np.array([9.0, 11.0, 13.0])
    for seed in range(10):
        deformation = ElasticDeformation.drawn(
            (whole, whole, whole), click, 1.0, RandomGenerator.seeded(seed)
        )
        bent = deformation.warp_labels(labels) == 3
        smooth = deformation.warp((labels == 3).float()) >= 0.5
        assert bent[9, 11, 13]
        assert (bent ^ smooth).sum() < 0.03 * bent.sum()
        assert 0.01 < (bent ^ (labels == 3)).sum() / bent.sum() < 1


def test_nothing_is_bent_in_from_outside_the_volume():
    inside = (np.arange(24) >= 6, np.arange(24) < 20, np.ones(24, bool))
    image = torch.ones(24, 24, 24)
    image[:6] = image[:, 20:] = -50
    for seed in range(10):
        deformation = ElasticDeformation.drawn(
            inside, np.full(3, np.nan), 1.0, RandomGenerator.seeded(seed)
        )
        assert (deformation.warp(image) > 0.99).all()
