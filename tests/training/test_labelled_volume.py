"""Labelled volumes in memory, and crops of them, against scipy and numpy."""

import nibabel as nib
import numpy as np
import pytest
import torch
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.evaluation.dataset import LabelledCase
from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.training import placement
from napari_fastsam3d.training.data import (
    SEEDS,
    SMALLEST,
    _structures,
    load_case,
    load_scan,
    marked,
)
from napari_fastsam3d.training.random_generator import RandomGenerator

SHAPE = (22, 19, 16)
SPACING = (1.5, 2.0, 3.0)
NUMBERS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20)


@few
@given(NUMBERS)
def test_the_middle_of_a_structure_is_one_of_its_voxels_far_from_its_ends(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((30, 30, 30), np.int16)
    low = rng.integers(0, 10, 3)
    high = low + rng.integers(9, 20, 3)
    labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 3
    (structure,) = _structures(labels, SPACING)
    assert (structure.middle == structure.seeds).all(axis=1).any()
    away = np.minimum(structure.middle - low, high - 1 - structure.middle) / (high - 1 - low)
    assert away.min() > 0.2, "a fifth of each side at least from its ends"


def blocks(seed, count=4, shape=SHAPE):
    """Labels of some blocks, one over the other; each number as it may be in a file."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int16)
    for value in rng.permutation([1, 2, 7, 104, 300])[:count]:
        low = [int(rng.integers(0, n - 3)) for n in shape]
        high = [int(rng.integers(a + 2, n + 1)) for a, n in zip(low, shape, strict=True)]
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
    return labels


def saved(folder, labels, order=ORDERS[0]):
    """A case of noise and labels, stored in any order of its axes."""
    image = np.random.default_rng(1).normal(0, 100, labels.shape).astype(np.float32)
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-10, 5, 30)
    for kind, voxels in (("img", image), ("seg", labels)):
        volume = order.volume(Volume.from_array(voxels, affine))
        nib.Nifti1Image(volume.voxels, volume.affine).to_filename(folder / f"a_{kind}.nii.gz")
    return LabelledCase("set", "a", folder / "a_img.nii.gz", folder / "a_seg.nii.gz")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_case(saved(tmp_path_factory.mktemp("case"), blocks(5)))


@few
@given(NUMBERS)
def test_structures_are_those_of_scipy(seed):
    labels = blocks(seed)
    found = {s.value: s for s in _structures(labels, SPACING)}
    boxes = ndimage.find_objects(labels)
    for value, where in enumerate(boxes, start=1):
        size = int((labels == value).sum())
        assert (value in found) == (size >= SMALLEST)
        if value in found:
            structure = found[value]
            assert structure.box.slices == where
            edges = [(part.stop - part.start) * s for part, s in zip(where, SPACING, strict=True)]
            assert structure.extent == pytest.approx(max(edges))
            assert (labels[tuple(structure.seeds.T)] == value).all()
            assert min(size, SEEDS) <= len(structure.seeds) < 2 * SEEDS
            assert len(np.unique(structure.seeds, axis=0)) == len(structure.seeds)


@pytest.mark.parametrize("labels", [np.zeros((5, 5, 5), np.int16), np.eye(5, dtype=np.int16)[None]])
def test_what_is_too_small_is_no_structure(labels):
    assert _structures(labels, SPACING) == ()


def crop_of(volume, seed, size=12):
    rng = np.random.default_rng(seed)
    centre = [float(rng.uniform(-2, n + 2)) for n in volume.shape]
    return Crop.around(volume, centre, float(rng.uniform(0.8, 6)), size)


@few
@given(seed=NUMBERS)
def test_labels_of_a_crop_are_those_of_the_nearest_voxels(loaded, seed):
    crop = crop_of(loaded.volume, seed)
    labels = loaded.labels.numpy()
    grid = np.indices((crop.size,) * 3).reshape(3, -1).T
    at = loaded.volume.canonical.to_target(crop.to_source(grid))
    near = np.rint(at).astype(int).clip(0, np.array(labels.shape) - 1)
    wanted = labels[tuple(near.T)].reshape((crop.size,) * 3)
    found = loaded.nearest_labels(crop).numpy()
    inside = np.ix_(*crop.inside)
    halfway = (np.abs(at - np.floor(at) - 0.5) < 1e-6).any(1).reshape(found.shape)
    assert np.array_equal(found[inside][~halfway[inside]], wanted[inside][~halfway[inside]])
    outside = np.ones(found.shape, bool)
    outside[inside] = False
    assert not found[outside].any()


@few
@given(seed=NUMBERS)
def test_occupancy_is_the_crop_of_a_mask_and_adds_up(loaded, seed):
    crop = crop_of(loaded.volume, seed)
    structures = loaded.structures
    one = loaded.occupancy(crop, structures[:1])
    mask = loaded.volume.canonical.source_view(loaded.labels.numpy()) == structures[0].value
    np.testing.assert_allclose(
        one.numpy()[crop.seen],
        crop.extract(mask.astype(np.float32))[crop.seen],
        atol=1e-5,
    )
    apart = sum(loaded.occupancy(crop, (s,)) for s in structures)
    torch.testing.assert_close(loaded.occupancy(crop, structures), apart, atol=1e-5, rtol=0)


@pytest.mark.parametrize("order", ORDERS[::11])
def test_a_case_is_the_same_however_its_file_stores_it(loaded, tmp_path, order):
    other = load_case(saved(tmp_path, blocks(5), order))
    assert torch.equal(other.labels, loaded.labels)
    assert torch.equal(other.image, loaded.image)
    assert [s.value for s in other.structures] == [s.value for s in loaded.structures]
    assert [s.extent for s in other.structures] == pytest.approx(
        [s.extent for s in loaded.structures]
    )


def test_scenery_is_drawn_and_never_asked_for(tmp_path):
    case = saved(tmp_path, blocks(5))
    plain = load_case(case)
    values = [s.value for s in plain.structures]
    without = load_case(case, None, frozenset(values[:1]))
    assert [s.value for s in without.structures] == values[1:]
    assert torch.equal(without.labels, plain.labels)


def test_a_label_map_has_no_intensities_and_a_scan_alone_no_structures(tmp_path):
    case = saved(tmp_path, blocks(5))
    label_map = load_case(LabelledCase("maps", "a", None, case.labels))
    assert label_map.image is None
    assert label_map.structures
    with pytest.raises(TypeError, match="no intensities"):
        label_map.intensities(crop_of(label_map.volume, 0))
    scan = load_scan(case.image)
    assert scan.structures == ()
    assert not scan.labels.any()
    assert torch.equal(scan.image, load_case(case).image)


@few
@given(NUMBERS, st.sets(st.sampled_from([1, 2, 7, 104, 300])))
def test_marked_voxels_are_those_of_the_values(seed, values):
    labels = blocks(seed, 5)
    structures = [s for s in _structures(labels, SPACING) if s.value in values]
    found = marked(torch.from_numpy(labels), tuple(structures)).numpy()
    assert np.array_equal(found, np.isin(labels, [s.value for s in structures]))


@few
@given(seed=NUMBERS)
def test_crops_hold_what_they_are_placed_for(loaded, seed):
    rng = RandomGenerator.seeded(seed).numbers
    structure = loaded.structures[0]
    anchor = structure.seeds[rng.integers(len(structure.seeds))]
    spacings = (0.7, 1.9)
    aimed = placement.at_first_click(loaded, anchor, 24, spacings, rng)
    whole = max(np.array(loaded.volume.shape) * loaded.volume.spacing) / 24
    assert aimed.contains(tuple(int(n) for n in anchor))
    assert min(0.7, whole) - 1e-6 <= aimed.spacing <= 1.9 + 1e-6
    boxed = placement.at_box(loaded, loaded.structures, 24, rng)
    together = loaded.structures[0].box
    for other in loaded.structures[1:]:
        together = together.union(other.box)
    corners = [together.start, [n - 1 for n in together.stop]]
    assert all(boxed.contains(tuple(int(n) for n in corner)) for corner in corners)
    scattered = placement.scattered(loaded, structure, anchor, 24, rng)
    assert scattered.contains(tuple(int(n) for n in anchor))
    assert 0.3 * min(SPACING) <= scattered.spacing <= 4.5


def test_a_box_is_of_the_structure_alone():
    labels = np.zeros(SHAPE, np.int16)
    labels[3:9, 4:10, 2:8] = 2
    (structure,) = _structures(labels, SPACING)
    assert structure.box == Box((3, 4, 2), (9, 10, 8))
    assert structure.extent == 18
