import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation
from storage_orders import AXES, FLIPS, ORDERS, stored

from napari_fastsam3d.geometry import Box, Crop, Volume

SIZE = 16
# Of the range of intensities, at most, where three axes are interpolated cubically: one goes over
# by an eighth of it on either side, the next two by as much of what the ones before made.
OVERSHOOT = ((1 + 2 / 8) ** 3 - 1) / 2
relaxed = settings(deadline=None, max_examples=40)


def scan(shape=(30, 26, 12), sizes=(1.0, 1.3, 4.0), degrees=0.0, dtype=np.int16) -> Volume:
    rng = np.random.default_rng(sum(shape))
    voxels = (ndimage.gaussian_filter(rng.normal(size=shape), 1) * 1000).astype(dtype)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("y", degrees, degrees=True).as_matrix() * sizes
    affine[:3, 3] = (-30, 10, 5)
    return Volume.from_array(voxels, affine)


def blob(side: int, seed: int = 0) -> np.ndarray:
    """Smooth logits with one or more blobs above zero."""
    noise = np.random.default_rng(seed).normal(size=(side,) * 3)
    return (ndimage.gaussian_filter(noise, 1.5) * 20 - 0.5).astype(np.float32)


@st.composite
def crops(draw) -> tuple[Volume, Crop]:
    """A crop somewhere on a volume of any order, at any spacing."""
    shape = draw(st.tuples(*[st.integers(1, 20)] * 3))
    sizes = draw(st.tuples(*[st.sampled_from([0.5, 0.84, 1.0, 1.5, 3.0, 17.0])] * 3))
    volume, _ = stored(
        scan(shape, sizes, draw(st.sampled_from([0, 12.5]))),
        draw(st.sampled_from(AXES)),
        draw(st.sampled_from(FLIPS)),
    )
    centre = draw(st.tuples(*[st.floats(0, n - 1) for n in volume.shape]))
    spacing = draw(st.sampled_from([0.5, 1.0, 1.5, 3.1]))
    return volume, Crop.around(volume, centre, spacing, SIZE)


def brute_crop(volume: Volume, crop: Crop) -> np.ndarray:
    """The crop by scipy, voxel by voxel; the right answer where the source is not finer."""
    planes = np.indices((crop.size,) * 3).reshape(3, -1).T
    at = crop.to_source(planes).T
    return ndimage.map_coordinates(
        volume.voxels.astype(float), at, order=1, mode="nearest"
    ).reshape((crop.size,) * 3)


def inside_mask(crop: Crop) -> np.ndarray:
    r, a, s = crop.inside
    return r[:, None, None] & a[None, :, None] & s[None, None, :]


# --- where it lies


@relaxed
@given(crops(), st.lists(st.tuples(*[st.floats(-5, 25)] * 3), max_size=3))
def test_points_there_and_back(case, points):
    _, crop = case
    points = np.array(points).reshape(-1, 3)
    np.testing.assert_allclose(crop.to_source(crop.to_crop(points)), points, atol=1e-9)


@relaxed
@given(crops())
def test_crop_indices_count_mm_from_the_middle(case):
    volume, crop = case
    middle, right = np.array([SIZE // 2] * 3), np.array([SIZE // 2 + 1, SIZE // 2, SIZE // 2])
    step = volume.to_world(crop.to_source(right)) - volume.to_world(crop.to_source(middle))
    assert np.linalg.norm(step) == pytest.approx(crop.spacing, rel=1e-4)
    assert step[0] > 0.9 * crop.spacing  # the first axis runs to the right
    np.testing.assert_allclose(crop.to_source(middle), crop.orientation.to_source(crop.centre))


@relaxed
@given(crops())
def test_box_holds_exactly_the_voxels_whose_centres_are_in_the_crop(case):
    volume, crop = case
    indices = np.indices(volume.shape).reshape(3, -1).T
    at = crop.to_crop(indices)
    covered = ((at >= -0.5) & (at < SIZE - 0.5)).all(axis=1).reshape(volume.shape)
    expected = np.zeros(volume.shape, bool)
    expected[crop.box.slices] = True
    assert np.array_equal(covered, expected)
    assert all(
        crop.contains(i) == c for i, c in zip(indices[::7], covered.ravel()[::7], strict=True)
    )


@relaxed
@given(crops())
def test_inside_tells_the_planes_in_the_volume(case):
    _, crop = case
    planes = np.indices((SIZE,) * 3).reshape(3, -1).T
    at = crop.orientation.to_target(crop.to_source(planes))
    low, high = -0.5 - 1e-9, np.array(crop.orientation.target_shape) - 0.5 - 1e-9
    expected = ((at >= low) & (at < high)).all(axis=1).reshape((SIZE,) * 3)
    assert np.array_equal(inside_mask(crop), expected)
    assert inside_mask(crop)[(SIZE // 2,) * 3]


@relaxed
@given(crops())
def test_half_as_many_voxels_show_the_same(case):
    _, crop = case
    half = crop.halved()
    assert (half.size, half.spacing) == (crop.size // 2, 2 * crop.spacing)
    ends, corners = ((-0.5,) * 3, (SIZE - 0.5,) * 3), ((-0.5,) * 3, (SIZE / 2 - 0.5,) * 3)
    np.testing.assert_allclose(half.to_source(corners), crop.to_source(ends), atol=1e-4)
    inner = crop.to_source([(4.5, 4.5, 4.5)])
    np.testing.assert_allclose(half.to_crop(inner), [(2, 2, 2)], atol=1e-4)


def test_margin():
    crop = Crop.around(scan((40, 40, 40), (1, 1, 1)), (20, 20, 20), 1.0, 16)
    assert crop.contains((12, 20, 20))
    assert not crop.contains((11, 20, 20))
    assert crop.contains((27, 20, 20))
    assert not crop.contains((28, 20, 20))
    assert crop.contains((14, 20, 20), margin=2)
    assert not crop.contains((13, 20, 20), margin=2)


def test_a_crop_beside_the_volume_is_empty():
    volume = scan()
    crop = Crop.around(volume, (500, 0, 0), 1.0, SIZE)
    assert crop.box.is_empty
    assert np.array_equal(crop.extract(volume.voxels), np.zeros((SIZE,) * 3))
    assert crop.paste_mask(np.ones((4, 4, 4), np.float32))[0].is_empty
    assert crop.paste(np.ones((4, 4, 4), np.float32))[1].size == 0


def test_a_crop_between_two_voxel_centres():
    slices = np.broadcast_to(np.float32([3, 5, 7, 9]), (9, 9, 4))
    volume = Volume.from_array(slices, spacing=(1, 1, 17.0))
    crop = Crop.around(volume, (4, 4, 1.5), 0.5, SIZE)
    assert crop.box.is_empty
    assert all(plane.any() for plane in crop.inside)
    assert crop.extract(volume.voxels)[8, 8, 8] == pytest.approx(6)
    box, mask = crop.paste_mask(np.ones((4, 4, 4), np.float32))
    assert box.is_empty
    assert mask.size == 0


@pytest.mark.parametrize(("thickness", "smooth"), [(4.0, False), (4.5, True)])
def test_slices_far_apart_are_interpolated_without_kinks(thickness, smooth):
    hill = np.broadcast_to(np.float32([0, 0, 0, 1, 0, 0, 0]), (9, 9, 7))
    volume = Volume.from_array(hill, spacing=(1, 1, thickness))
    line = Crop.around(volume, (4, 4, 3), 1.0, SIZE).extract(volume.voxels)[8, 8]
    assert line[8] == line.max() == 1
    drop = 1 - line[9]
    assert (drop < 0.5 / thickness) == smooth
    assert (line.min() < 0) == smooth


def test_a_crop_is_a_value():
    volume = scan()
    one, other = (Crop.around(volume, (5, 6, 7)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Crop.around(volume, (5, 6, 8))


# --- there


@relaxed
@given(crops())
def test_extract_agrees_with_scipy_where_the_source_is_not_finer(case):
    volume, crop = case
    least, most = min(crop.voxel_size), max(crop.voxel_size)
    assume(most <= 4 * least)
    spacing = max(min(crop.spacing, least), most / 4)
    coarse = Crop(crop.orientation, crop.voxel_size, crop.centre, spacing, SIZE)
    got, inside = coarse.extract(volume.voxels), inside_mask(coarse)
    np.testing.assert_allclose(got[inside], brute_crop(volume, coarse)[inside], atol=0.05)


@relaxed
@given(crops())
def test_extract_is_a_mean_of_what_lies_around(case):
    volume, crop = case
    got = crop.extract(volume.voxels)
    assert got.dtype == np.float32
    assert got.flags.c_contiguous
    cubic = 4 * crop.spacing < max(crop.voxel_size)
    overshoot = OVERSHOOT * np.ptp(volume.voxels.astype(float)) if cubic else 0
    assert got.min() >= volume.voxels.min() - overshoot - 0.01
    assert got.max() <= volume.voxels.max() + overshoot + 0.01
    ones = crop.extract(np.ones(volume.shape), fill=0.0)
    np.testing.assert_allclose(ones, inside_mask(crop), rtol=1e-6)


@pytest.mark.parametrize(("size", "spacing"), [(0.5, 1.0), (0.5, 1.5), (0.4, 3.0), (0.7, 1.5)])
def test_a_finer_source_is_averaged_by_a_triangle(size, spacing):
    volume = scan((60, 60, 60), (size,) * 3)
    crop = Crop.around(volume, (30, 29, 31), spacing, 8)
    got = crop.extract(volume.voxels)
    half = spacing / size
    for plane in [(3, 4, 5), (4, 4, 4), (7, 1, 2)]:
        centre = crop.to_source(plane)
        w = [np.maximum(0, 1 - np.abs(np.arange(60) - c) / half) for c in centre]
        expected = np.einsum("i,j,k,ijk", *(v / v.sum() for v in w), volume.voxels.astype(float))
        assert got[plane] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("sizes", [(1.5, 1.5, 1.5), np.float32([1.4999999, 1.5, 1.5000001])])
def test_equal_grids_give_the_voxels_themselves(sizes):
    volume = scan((40, 40, 40), sizes)
    got = Crop.around(volume, (20, 21, 19), 1.5, SIZE).extract(volume.voxels)
    assert np.array_equal(got, volume.voxels[12:28, 13:29, 11:27])


def test_outside_is_filled():
    volume = scan()
    crop = Crop.around(volume, (0, 0, 0), 1.5, SIZE)
    outside = ~inside_mask(crop)
    assert outside.any()
    assert (crop.extract(volume.voxels, fill=-7)[outside] == -7).all()
    by_default = crop.extract(volume.voxels)
    assert (by_default[outside] == by_default[~outside].min()).all()


def test_not_finite_voxels_count_as_the_lowest():
    volume = scan(dtype=np.float32)
    spoilt = volume.voxels.copy()
    spoilt[10:14, 5:9, 3:6] = np.nan
    spoilt[20, 20, 5], spoilt[21, 21, 5] = np.inf, -np.inf
    mended = np.where(np.isfinite(spoilt), spoilt, spoilt[np.isfinite(spoilt)].min())
    crop = Crop.around(volume, (15, 13, 6), 3.0, SIZE)
    assert np.array_equal(crop.extract(spoilt), crop.extract(mended))
    assert np.isfinite(crop.extract(np.full(volume.shape, np.nan, np.float32))).all()


def test_one_slice():
    volume = scan((40, 40, 1), (1, 1, 5.0))
    crop = Crop.around(volume, (20, 20, 0), 1.0, SIZE)
    got = crop.extract(volume.voxels)
    assert crop.inside[2].sum() == 5
    assert np.array_equal(got[:, :, SIZE // 2], volume.voxels[12:28, 12:28, 0])


def test_a_crop_is_cut_without_a_float_copy_of_the_volume():
    volume = scan((256, 256, 256), (0.75, 0.75, 0.75))
    crop = Crop.around(volume, (128, 128, 128), 3.0, 64)
    tracemalloc.start()
    crop.extract(volume.voxels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < volume.voxels.nbytes / 2


# --- back


def brute_logits(volume: Volume, crop: Crop, grid: np.ndarray) -> np.ndarray:
    """Logits at every voxel of the volume by scipy."""
    factor = crop.size / len(grid)
    indices = np.indices(volume.shape).reshape(3, -1).T
    cells = (crop.to_crop(indices) + 0.5) / factor - 0.5
    return ndimage.map_coordinates(grid.astype(float), cells.T, order=1, mode="nearest").reshape(
        volume.shape
    )


@relaxed
@given(crops(), st.sampled_from([1, 2, 4]), st.integers(0, 5))
def test_paste_agrees_with_scipy(case, factor, seed):
    volume, crop = case
    grid = blob(SIZE // factor, seed)
    box, logits = crop.paste(grid)
    assert box == crop.box
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, brute_logits(volume, crop, grid)[box.slices], atol=1e-4)


@relaxed
@given(crops(), st.sampled_from([1, 2, 4]), st.integers(0, 5), st.sampled_from([0.0, -1.0, 2.0]))
def test_paste_mask_is_paste_cut_at_the_threshold(case, factor, seed, threshold):
    volume, crop = case
    grid = blob(SIZE // factor, seed)
    whole, logits = crop.paste(grid)
    expected = np.zeros(volume.shape, bool)
    expected[whole.slices] = logits > threshold
    box, mask = crop.paste_mask(grid, threshold)
    assert mask.shape == box.shape
    assert box.intersection(whole) == box or box.is_empty
    got = np.zeros(volume.shape, bool)
    got[box.slices] = mask
    assert np.array_equal(got, expected)


def test_paste_mask_in_slabs(monkeypatch):
    volume = scan((60, 50, 40), (1, 1, 1))
    crop = Crop.around(volume, (30, 25, 20), 1.0, 32)
    whole = crop.paste_mask(blob(16))
    monkeypatch.setattr("napari_fastsam3d.geometry.crop._SLAB_VOXELS", 50)
    slabs = crop.paste_mask(blob(16))
    assert whole[0] == slabs[0]
    assert np.array_equal(whole[1], slabs[1])


def test_paste_mask_looks_only_where_the_object_is():
    volume = scan((200, 200, 200), (1, 1, 1))
    crop = Crop.around(volume, (100, 100, 100), 1.5, 128)
    grid = np.full((64, 64, 64), -5, np.float32)
    grid[30:34, 30:34, 30:34] = 5
    box, mask = crop.paste_mask(grid)
    assert mask.any()
    assert box.size < 20**3


def test_nothing_above_the_threshold():
    volume = scan()
    crop = Crop.around(volume, (10, 10, 5), 1.5, SIZE)
    box, mask = crop.paste_mask(np.full((8, 8, 8), -1, np.float32))
    assert box.is_empty
    assert mask.shape == box.shape


def test_everything_above_the_threshold_is_the_crop():
    volume = scan()
    crop = Crop.around(volume, (3, 10, 5), 1.5, SIZE)
    box, mask = crop.paste_mask(np.full((8, 8, 8), 1, np.float32))
    assert box == crop.box
    assert mask.all()


@relaxed
@given(crops(), st.integers(0, 9))
def test_a_mask_on_the_coarse_grid_keeps_its_volume(case, seed):
    volume, crop = case
    mask = np.random.default_rng(seed).random(volume.shape) < 0.5
    occupancy = crop.resample_mask(Box.whole(volume.shape), mask, factor=4)
    assert occupancy.shape == (SIZE // 4,) * 3
    assert occupancy.flags.c_contiguous
    assert occupancy.min() >= 0
    assert occupancy.max() <= 1 + 1e-5
    full = crop.resample_mask(Box.whole(volume.shape), np.ones_like(mask), factor=4)
    assert (occupancy <= full + 1e-5).all()
    cell = (crop.spacing * 4) ** 3
    voxel = np.prod(volume.spacing)
    if crop.resample_mask(crop.box, mask[crop.box.slices], 4).sum() * cell < 1e-6:
        return
    # A box that the crop covers whole loses nothing.
    inner = Box.around_points(crop.orientation.to_source(np.array(crop.centre)).round())
    at = crop.to_crop([np.subtract(inner.start, 0.5), np.subtract(inner.stop, 0.5)])
    if ((at > -0.5) & (at < SIZE - 0.5)).all():
        one = crop.resample_mask(inner, np.ones(inner.shape, bool), 4)
        assert one.sum() * cell == pytest.approx(voxel * inner.size, rel=1e-3)


def test_a_mask_on_the_coarse_grid_lies_where_it_was():
    volume = scan((40, 40, 40), (1, 1, 1))
    crop = Crop.around(volume, (20, 20, 20), 1.0, SIZE)
    box = Box((12, 16, 24), (16, 20, 28))
    occupancy = crop.resample_mask(box, np.ones(box.shape, bool), 4)
    expected = np.zeros((4, 4, 4))
    expected[0, 1, 3] = 1
    np.testing.assert_allclose(occupancy, expected, atol=1e-6)
    assert not crop.resample_mask(Box((0, 0, 0), (0, 0, 0)), np.ones((0, 0, 0), bool)).any()


# --- one anatomy


@pytest.mark.parametrize("order", ORDERS)
def test_one_anatomy_in_every_order_gives_the_same_bits(order):
    """All 48 orders of axes: the same crop, the same mask in patient space, bit for bit."""
    straight = scan((31, 26, 12), (0.84, 1.3, 5.0), degrees=17.0)
    click = np.array([12, 9, 4])
    other, way = stored(straight, *order)
    here = Crop.around(straight, click, 1.5, 32)
    there = Crop.around(other, way.to_target(click), 1.5, 32)
    assert np.array_equal(here.extract(straight.voxels), there.extract(other.voxels))

    grid = blob(16)
    box, mask = here.paste_mask(grid)
    other_box, other_mask = there.paste_mask(grid)
    assert other_box == way.box_to_target(box)
    assert np.array_equal(way.view(mask), other_mask)
    assert np.array_equal(way.view(here.paste(grid)[1]), there.paste(grid)[1])
    assert np.array_equal(here.resample_mask(box, mask), there.resample_mask(other_box, other_mask))


@pytest.mark.parametrize("degrees", [0.0, 25.0])
def test_the_mask_lies_where_the_click_was_in_thick_and_oblique_slices(degrees):
    volume = scan((40, 40, 5), (0.84, 0.84, 17.0), degrees)
    click = (22, 18, 3)
    crop = Crop.around(volume, click, 1.5, 64)
    near = np.indices((32,) * 3).transpose(1, 2, 3, 0) * 2 + 0.5 - crop.to_crop(click)
    grid = (6 - np.linalg.norm(near, axis=-1)).astype(np.float32)  # 9 mm around the click
    box, mask = crop.paste_mask(grid)
    inside = np.argwhere(mask) + box.start
    mm = np.linalg.norm(volume.to_world(inside) - volume.to_world(click), axis=1)
    assert [*click] in inside.tolist()
    assert mm.max() < 11
    centre = volume.to_world(inside[inside[:, 2] == 3]).mean(axis=0)
    np.testing.assert_allclose(centre, volume.to_world(click), atol=0.5)


@relaxed
@given(crops(), st.sampled_from([-1500, -2000, -8192, -32768]), st.booleans())
def test_padding_counts_as_air(case, padding, real):
    """By a scan of the same patient whose scanner wrote the value of air outside of its circle."""
    volume, crop = case
    i, j, _ = np.indices(volume.shape)
    middle = (np.array(volume.shape[:2]) - 1) / 2
    outside = (i - middle[0]) ** 2 + (j - middle[1]) ** 2 > (0.45 * min(volume.shape[:2])) ** 2
    body = np.where(volume.voxels > np.median(volume.voxels), 40, -1000)
    assume(outside.sum() >= 2 and (body[~outside] == -1000).any())
    dtype = np.float32 if real else np.int16
    air, padded = (
        Volume.from_array(np.where(outside, value, body).astype(dtype), volume.affine)
        for value in (-1000, padding)
    )
    assert air.intensity_floor is None
    assert padded.intensity_floor == -1000
    wanted = crop.extract(air.voxels, floor=air.intensity_floor)
    assert np.array_equal(crop.extract(padded.voxels, floor=padded.intensity_floor), wanted)
