"""Shapes, pieces, supervoxels and deformations that are drawn, against ITK, scipy and loops."""

from itertools import product

import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import KDTree

from napari_fastsam3d.training import augmentation, shapes, supervoxels, synthesis, targets
from napari_fastsam3d.training.augmentation import ElasticDeformation, View
from napari_fastsam3d.training.random_generator import RandomGenerator

SIZE = 12
NUMBERS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20)
EVERYWHERE = (np.ones(SIZE, bool),) * 3
MIDDLE = np.full(3, np.nan)


def spots(seed, share=0.4, size=SIZE):
    return np.random.default_rng(seed).random((size,) * 3) < share


def image_of(seed, size=SIZE):
    noise = np.random.default_rng(seed).normal(size=(size,) * 3)
    return torch.from_numpy(ndimage.gaussian_filter(noise, 1).astype(np.float32))


@few
@given(NUMBERS, st.sampled_from([0.1, 0.3, 0.5]))
def test_pieces_are_itk_s_connected_components(seed, share):
    mask = spots(seed, share)
    parts, sizes = shapes.pieces(torch.from_numpy(mask))
    theirs = SimpleITK.GetArrayFromImage(
        SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(mask.astype(np.uint8)))
    )
    pairs = set(zip(parts.numpy().ravel(), theirs.ravel(), strict=True))
    assert len(pairs) == len(sizes) == theirs.max() + 1, "the same pieces by other numbers"
    assert sizes[0] == 0
    assert sizes.sum() == mask.sum()


@few
@given(NUMBERS)
def test_a_piece_is_what_is_connected_to_its_voxel(seed):
    mask = torch.from_numpy(spots(seed, 0.3))
    rng = np.random.default_rng(seed)
    point = rng.uniform(-1, SIZE, 3)
    piece = targets.piece_at(mask, point)
    at = tuple(np.rint(point).astype(int))
    inside = min(at) >= 0 and max(at) < SIZE and bool(mask[at])
    assert targets.holds(mask, point) == inside
    if not inside:
        assert not piece.any()
        return
    parts, _ = ndimage.label(mask.numpy())
    assert np.array_equal(piece.numpy(), parts == parts[at])


@few
@given(NUMBERS, st.sampled_from([0.002, 0.05]))
def test_the_nearest_voxel_is_that_of_a_tree(seed, share):
    mask = spots(seed, share)
    point = np.random.default_rng(seed).uniform(-3, SIZE + 3, 3)
    found = targets.nearest_voxel(torch.from_numpy(mask), point)
    if not mask.any():
        assert np.isnan(found).all()
        return
    away, _ = KDTree(np.argwhere(mask)).query(point)
    assert mask[tuple(found.astype(int))]
    assert np.linalg.norm(found - point) == pytest.approx(away)


@pytest.mark.parametrize("point", [(np.nan, 1, 1), (-0.6, 1, 1), (1, 1, SIZE - 0.4)])
def test_what_lies_nowhere_is_held_by_nothing(point):
    assert not targets.holds(torch.ones((SIZE,) * 3, dtype=torch.bool), np.array(point))


@few
@given(NUMBERS)
def test_a_border_between_basins_makes_them_neighbours(seed):
    basins = np.random.default_rng(seed).integers(0, 9, (4, 5, 3)).astype(np.int32)
    wanted: dict[int, set[int]] = {}
    for at in product(*map(range, basins.shape)):
        for axis in range(3):
            to = tuple(n + (d == axis) for d, n in enumerate(at))
            if to[axis] < basins.shape[axis] and basins[at] != basins[to]:
                wanted.setdefault(int(basins[at]), set()).add(int(basins[to]))
                wanted.setdefault(int(basins[to]), set()).add(int(basins[at]))
    found = supervoxels._neighbours(basins)
    assert {number: set(others) for number, others in found.items()} == wanted


@settings(max_examples=8)
@given(NUMBERS)
def test_supervoxels_are_merged_of_neighbours_that_look_alike(seed):
    pytest.importorskip("skimage", reason="supervoxels need the extra 'train'")
    random = RandomGenerator.seeded(seed)
    basins, means = supervoxels._basins(image_of(seed, 24).numpy(), random)
    assert len(means) == basins.max() + 1
    assert basins.min() == 1, "every voxel belongs to a basin"
    neighbours = supervoxels._neighbours(basins)
    for _ in range(6):
        members = supervoxels._merged(neighbours, means, random)
        assert len(set(members)) == len(members) <= supervoxels.MOST
        assert 0 not in members
        assert ndimage.label(np.isin(basins, members))[1] == 1
        spread = np.ptp(means[members])
        assert spread <= supervoxels._UNLIKE * len(members)


@few
@given(NUMBERS)
def test_drawn_supervoxels_are_large_enough_and_lie_in_the_volume(seed):
    pytest.importorskip("skimage", reason="supervoxels need the extra 'train'")
    inside = (np.arange(24) >= 3, np.arange(24) < 20, np.ones(24, bool))
    random = RandomGenerator.seeded(seed)
    found = supervoxels.supervoxel_targets(image_of(seed, 24), inside, 3, 40, random)
    assert len(found) <= 3
    for mask in found:
        assert 40 <= int(mask.sum()) <= 0.4 * 24**3
        assert not mask[~torch.from_numpy(inside[0])].any()
        assert not mask[:, ~torch.from_numpy(inside[1])].any()


@pytest.mark.parametrize("planes", [0, 1, 3])
def test_too_few_planes_are_not_divided(planes):
    inside = (np.arange(SIZE) < planes, *EVERYWHERE[1:])
    random = RandomGenerator.seeded(0)
    assert supervoxels.supervoxel_targets(image_of(0), inside, 3, 10, random) == []


@few
@given(NUMBERS, st.integers(1, 3))
def test_a_rim_lies_within_its_thickness_of_another_label(seed, thickness):
    """The thickness counts voxels from the border, along the diagonals too."""
    labels = np.random.default_rng(seed).integers(0, 2, (3, 3, 3)).repeat(4, 0).repeat(4, 1)
    labels = labels.repeat(4, 2)
    faces = np.zeros(labels.shape, bool)
    for axis in range(3):
        differs = np.diff(labels, axis=axis) != 0
        faces |= np.pad(differs, [(0, d == axis) for d in range(3)])
        faces |= np.pad(differs, [(d == axis, 0) for d in range(3)])
    wanted = ndimage.binary_dilation(faces, np.ones((3,) * 3), iterations=thickness - 1)
    wanted = wanted if thickness > 1 else faces
    found = synthesis._rim(torch.from_numpy(labels), thickness)
    assert np.array_equal(found.numpy(), wanted)


def test_what_goes_takes_the_fat_that_is_nearest_to_it():
    labels = torch.ones((9, 3, 3), dtype=torch.int64)  # fat from end to end
    labels[1], labels[7] = 5, 6
    found = synthesis._without(labels, [6], 1)[:, 1, 1].tolist()
    assert found[:4] == [1, 5, 1, 1]
    assert found[5:] == [0, 0, 0, 0]
    assert torch.equal(synthesis._without(labels, [9], 1), labels)
    assert torch.equal(synthesis._without(labels, [5, 6], 1), labels), "nothing would be left"


@few
@given(NUMBERS)
def test_what_surrounds_a_label_map_has_numbers_of_its_own(seed):
    labels = torch.from_numpy(3 * spots(seed, 0.2).astype(np.int16))
    found = shapes.surrounded(labels, RandomGenerator.seeded(seed))
    assert torch.equal(found[labels > 0], labels[labels > 0].long())
    assert found[labels == 0].min() > labels.max()


@settings(max_examples=8)
@given(NUMBERS, st.integers(1, 5))
def test_random_shapes_are_masks_that_the_image_shows(seed, count):
    image, masks = shapes.random_shapes(SIZE * 2, RandomGenerator.seeded(seed), count)
    assert 1 <= len(masks) <= count
    assert torch.isfinite(image).all()
    assert all(mask.any() and mask.shape == image.shape for mask in masks)
    again, same = shapes.random_shapes(SIZE * 2, RandomGenerator.seeded(seed), count)
    assert torch.equal(again, image)
    assert all(torch.equal(a, b) for a, b in zip(same, masks, strict=True))


@pytest.mark.parametrize("kind", [shapes._blob, shapes._tube, shapes._shell, shapes._lesions])
def test_every_kind_of_shape_is_drawn_inside_the_volume(kind):
    drawn = [kind(SIZE * 2, RandomGenerator.seeded(seed)) for seed in range(12)]
    assert all(mask.shape == (SIZE * 2,) * 3 and mask.dtype == torch.bool for mask in drawn)
    sizes = [int(mask.sum()) for mask in drawn]
    assert sum(size > 0 for size in sizes) >= 8
    assert len(set(sizes)) > 6


@few
@given(NUMBERS)
def test_turns_of_shapes_and_of_crops_are_rotations(seed):
    rng = np.random.default_rng(seed)
    np.testing.assert_allclose((q := shapes._rotation(rng)) @ q.T, np.eye(3), atol=1e-12)
    turn = augmentation._small_rotation(rng, 0.1)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


@few
@given(NUMBERS, st.floats(0.2, 2))
def test_bending_is_scipy_s_interpolation_at_the_places_of_the_grid(seed, strength):
    random = RandomGenerator.seeded(seed)
    bent = ElasticDeformation.drawn(EVERYWHERE, MIDDLE, strength, random)
    image = image_of(seed)
    places = ((bent.grid[0].double() + 1) * SIZE / 2 - 0.5).flip(-1).movedim(-1, 0).numpy()
    wanted = ndimage.map_coordinates(image.numpy(), places, order=1, mode="nearest")
    np.testing.assert_allclose(bent.warp(image).numpy(), wanted, atol=2e-5)
    labels = torch.from_numpy(np.arange(SIZE**3).reshape((SIZE,) * 3))
    near = np.rint(places).clip(0, SIZE - 1).astype(int)
    certain = (np.abs(places - np.floor(places) - 0.5) > 1e-4).all(0)
    found = bent.warp_labels(labels).numpy()
    assert np.array_equal(found[certain], labels.numpy()[tuple(near)][certain])


@few
@given(NUMBERS)
def test_without_strength_nothing_bends_and_the_click_never_moves(seed):
    random = RandomGenerator.seeded(seed)
    click = random.numbers.integers(0, SIZE, 3).astype(np.float64)
    still = ElasticDeformation.drawn(EVERYWHERE, click, 0.0, random)
    torch.testing.assert_close(still.warp(image_of(seed)), image_of(seed), atol=1e-5, rtol=0)
    labels = torch.arange(SIZE**3).reshape((SIZE,) * 3)
    bent = ElasticDeformation.drawn(EVERYWHERE, click, 1.0, random)
    at = tuple(click.astype(int))
    assert bent.warp_labels(labels)[at] == labels[at]


@few
@given(NUMBERS, st.integers(2, 6))
def test_smooth_noise_is_linear_between_its_nodes(seed, cells):
    steps = 4
    side = steps * (cells - 1) + 1
    field = augmentation.smooth_noise((1, side, side, side), cells, RandomGenerator.seeded(seed))
    nodes = field[0, ::steps, ::steps, ::steps].numpy()
    at = np.indices((side,) * 3) / steps
    wanted = ndimage.map_coordinates(nodes, at, order=1)
    np.testing.assert_allclose(field[0].numpy(), wanted, atol=1e-5)


@few
@given(NUMBERS, st.floats(0.01, 100), st.floats(-1000, 1000))
def test_another_scale_of_the_same_image_is_augmented_to_the_same(seed, scale, offset):
    image = image_of(seed)
    one = augmentation.augment_intensities(image, RandomGenerator.seeded(seed))
    other = augmentation.augment_intensities(scale * image + offset, RandomGenerator.seeded(seed))
    precision = 3e-7 * (abs(offset) / scale + 1)
    torch.testing.assert_close(one, other, atol=2e-3 + 40 * precision, rtol=2e-3 + 40 * precision)


@few
@given(NUMBERS)
def test_every_click_stays_on_its_target_in_any_mirror(seed):
    rng = np.random.default_rng(seed)
    masks = torch.zeros((3, *(SIZE,) * 3), dtype=torch.bool)
    clicks = rng.integers(0, SIZE, (3, 3)).astype(np.float64)
    for mask, click in zip(masks, clicks.astype(int), strict=True):
        mask[tuple(click)] = True
    clicks[2] = np.nan
    inside = tuple(np.arange(SIZE) < n for n in rng.integers(1, SIZE + 1, 3))
    image = masks[0].float() + 2 * masks[1].float()
    view = augmentation.flip(View(image, masks, inside, clicks), RandomGenerator.seeded(seed))
    for mask, click in zip(view.targets[:2], view.clicks[:2].astype(int), strict=True):
        assert mask[tuple(click)]
        assert mask.sum() == 1
    assert np.isnan(view.clicks[2]).all()
    assert torch.equal(view.image, view.targets[0].float() + 2 * view.targets[1].float())
    assert sorted(p.sum() for p in view.inside) == sorted(p.sum() for p in inside)


@few
@given(NUMBERS)
def test_grain_has_unit_variance_and_no_mean(seed):
    # Coarse grain has few independent cells, so that the mean of less scatters.
    grain = synthesis._grain(torch.zeros((48,) * 3), RandomGenerator.seeded(seed))
    assert float(grain.std()) == pytest.approx(1, abs=0.03)
    assert float(grain.mean()) == pytest.approx(0, abs=0.1)


@few
@given(NUMBERS)
def test_a_table_lies_behind_the_body_and_touches_it_nowhere(seed):
    labels = torch.zeros((16,) * 3, dtype=torch.long)
    labels[4:12, 6:14, 4:12] = 1
    before = torch.where(labels > 0, 50.0, -1000.0)
    after = synthesis._with_table(before.clone(), labels, RandomGenerator.seeded(seed))
    changed = (after != before).nonzero()
    assert torch.equal(after[labels > 0], before[labels > 0])
    if len(changed):
        assert changed[:, 1].max() < 5, "the axis from back to front"
