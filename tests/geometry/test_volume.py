from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from storage_orders import ORDERS, stored

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Volume

coordinates = st.tuples(*[st.floats(-500, 500)] * 3)


def oblique(degrees: float = 20.0, sizes=(0.84, 0.84, 17.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix() * sizes
    affine[:3, 3] = (-10, 20, 30)
    return affine


@settings(deadline=None)
@given(st.lists(coordinates, max_size=4), st.floats(-40, 40))
def test_index_to_world_and_back(points, degrees):
    volume = Volume.from_array(np.zeros((3, 4, 5)), oblique(degrees))
    points = np.array(points).reshape(-1, 3)
    np.testing.assert_allclose(volume.to_index(volume.to_world(points)), points, atol=1e-8)


def test_one_point_keeps_its_shape():
    volume = Volume.from_array(np.zeros((3, 4, 5)), oblique())
    assert volume.to_world((0, 0, 0)).tolist() == [-10, 20, 30]
    np.testing.assert_allclose(volume.to_index((-10, 20, 30)), (0, 0, 0), atol=1e-12)


def test_spacing_and_obliquity():
    volume = Volume.from_array(np.zeros((3, 4, 5)), oblique(20))
    np.testing.assert_allclose(volume.spacing, (0.84, 0.84, 17.0))
    assert volume.obliquity_degrees == pytest.approx(20)
    assert volume.axis_codes == "RAS"


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_one_anatomy_has_the_same_canonical_and_display_grids(order):
    rng = np.random.default_rng(0)
    straight = Volume.from_array(rng.integers(0, 99, (3, 4, 5)), oblique(10))
    other, _ = stored(straight, *order)
    for name in ("canonical", "display"):
        a, b = getattr(straight, name), getattr(other, name)
        assert np.array_equal(a.view(straight.voxels), b.view(other.voxels))
        np.testing.assert_allclose(a.affine_of(straight.affine), b.affine_of(other.affine))
    assert other.obliquity_degrees == pytest.approx(10)


@pytest.mark.parametrize(
    ("given_type", "kept"),
    [
        (np.int16, np.int16),
        (np.uint8, np.uint8),
        (np.int32, np.int32),
        (">i2", np.int16),
        (">f4", np.float32),
        (np.float64, np.float32),
        (np.float16, np.float32),
        (bool, np.uint8),
    ],
)
def test_types(given_type, kept):
    voxels = np.arange(24).reshape(2, 3, 4).astype(given_type)
    volume = Volume.from_array(voxels)
    assert volume.voxels.dtype == np.dtype(kept)
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, voxels.astype(kept))


def test_integers_are_neither_copied_nor_writable():
    voxels = np.zeros((2, 3, 4), np.int16)
    volume = Volume.from_array(voxels)
    assert np.shares_memory(volume.voxels, voxels)
    with pytest.raises(ValueError, match="read-only"):
        volume.voxels[0, 0, 0] = 1
    assert voxels.flags.writeable


def test_spacing_instead_of_an_affine():
    volume = Volume.from_array(np.zeros((2, 3, 4)), spacing=(1, 2, 3))
    assert volume.spacing == (1, 2, 3)
    assert np.array_equal(volume.affine, np.diag([1, 2, 3, 1]))


@pytest.mark.parametrize(
    ("voxels", "geometry"),
    [
        (np.zeros((3, 4)), {}),
        (np.zeros((2, 3, 4, 5)), {}),
        (np.zeros((2, 0, 4)), {}),
        (np.zeros((2, 3, 4), complex), {}),
        (np.zeros((2, 3, 4), "U3"), {}),
        (np.zeros((2, 3, 4), object), {}),
        (np.zeros((2, 3, 4)), {"spacing": (1, 0, 1)}),
        (np.zeros((2, 3, 4)), {"spacing": (1, np.nan, 1)}),
        (np.zeros((2, 3, 4)), {"spacing": (1, 1)}),
        (np.zeros((2, 3, 4)), {"affine": np.eye(3)}),
        (np.zeros((2, 3, 4)), {"affine": np.zeros((4, 4))}),
        (np.zeros((2, 3, 4)), {"affine": np.diag([1, 1, np.inf, 1])}),
        (np.zeros((2, 3, 4)), {"affine": np.diag([1, 1, 1, 2])}),
        (np.zeros((2, 3, 4)), {"affine": [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}),
    ],
)
def test_what_is_no_volume_is_refused_with_a_remedy(voxels, geometry):
    with pytest.raises(VolumeError) as caught:
        Volume.from_array(voxels, **geometry)
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy.endswith(".")


def test_not_finite_voxels_are_told_and_count_as_the_lowest_intensity():
    voxels = np.full((2, 3, 4), 7.0)
    voxels[0, 0] = [np.nan, -np.inf, np.inf, -5]
    volume = Volume.from_array(voxels)
    assert any("3 voxels" in note for note in volume.notes)
    assert volume.valid_intensities(volume.voxels)[0, 0].tolist() == [-5, -5, -5, -5]
    nothing = Volume.from_array(np.full((2, 2, 2), np.nan))
    assert not nothing.valid_intensities(nothing.voxels).any()


def a_body(dtype=np.int16, air=-1000.0, noise=15.0) -> np.ndarray:
    """Soft tissue in noisy air, with bone, in Hounsfield units."""
    rng = np.random.default_rng(3)
    body = air + rng.normal(0, noise, (40, 44, 30))
    body[8:30, 9:36] = rng.normal(40, 20, (22, 27, 30))
    body[12:16, 12:20] = rng.normal(700, 90, (4, 8, 30))
    return body.astype(dtype)


def circle(shape=(40, 44, 30)) -> np.ndarray:
    i, j, _ = np.indices(shape)
    return (i - 19.5) ** 2 + (j - 21.5) ** 2 > 20**2


@pytest.mark.parametrize("padding", [-1200, -1500, -2000, -2048, -3024, -8192, -9999, -32768])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32])
@pytest.mark.parametrize("edges", [False, True])
def test_padding_far_below_air_counts_as_air(padding, dtype, edges):
    voxels = a_body(dtype)
    voxels[circle()] = padding
    if edges:  # resampled by another program
        voxels[19, 3, :9] = np.linspace(padding + 30, -1100, 9)
    voxels[0, 0, 0] = min(padding, -4000)  # a streak
    volume = Volume.from_array(voxels)
    floor = volume.intensity_floor
    assert floor == pytest.approx(-1040, abs=25)
    mended = volume.valid_intensities(volume.voxels)
    assert mended.dtype == dtype
    assert (mended[circle()] == floor).all()
    inside = ~circle() & (voxels > floor)
    assert np.array_equal(mended[inside], voxels[inside])
    assert inside.sum() > 0.99 * (~circle()).sum()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("place", [0, 7, 101, 333])
def test_one_plane_of_padding(axis, place):
    voxels = np.repeat(a_body(), 12, axis=2)
    voxels = np.moveaxis(voxels, 2, axis)
    voxels[(slice(None),) * axis + (place,)] = -8192
    assert Volume.from_array(voxels).intensity_floor == pytest.approx(-1040, abs=25)


def test_two_paddings():
    voxels = a_body()
    voxels[circle()] = -2000
    voxels[:, :, :4] = -32768
    assert Volume.from_array(voxels).intensity_floor == pytest.approx(-1040, abs=25)


@pytest.mark.parametrize(
    ("low", "high", "floor"), [(-140, 300, -1000), (0, 1500, 0), (-2.5, 3.0, -2.5)]
)
def test_padding_around_tissue_alone(low, high, floor):
    """A CT without air, an MR, and one scaled to a deviation of 1."""
    voxels = np.random.default_rng(2).uniform(low, high, (40, 44, 30)).astype(np.float32)
    voxels[circle()] = -8192
    span = high - low
    assert Volume.from_array(voxels).intensity_floor == pytest.approx(floor, abs=0.02 * span)


def test_padding_that_is_no_number_beside_a_constant():
    voxels = a_body(np.float32)
    voxels[circle()] = -8192
    voxels[:, :, :4] = np.nan
    volume = Volume.from_array(voxels)
    mended = volume.valid_intensities(volume.voxels)
    assert np.isfinite(mended).all()
    assert (mended[:, :, :4] == volume.intensity_floor).all()


@pytest.mark.parametrize(
    "voxels",
    [
        a_body(),
        a_body().clip(-1024),
        a_body(air=-1024, noise=0),
        a_body().clip(-1000, 200) * 4 - 3000,  # another scale, all of it continuous
        np.where(circle(), 0, a_body() + 2000),
        np.where(circle(), -1000, 40),
        np.where(circle(), -1024, a_body()),
        np.full((5, 6, 7), -2000),
        np.random.default_rng(0).integers(-30000, 30000, (30, 30, 30)),
    ],
)
def test_without_padding_nothing_changes(voxels):
    volume = Volume.from_array(voxels.astype(np.int16))
    assert volume.intensity_floor is None
    assert volume.valid_intensities(volume.voxels) is volume.voxels


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flip", [(), (0,), (1, 2), (0, 1, 2)])
def test_the_floor_is_the_same_in_any_order_of_axes(order, flip):
    rng = np.random.default_rng(5)
    voxels = rng.normal(-1000, 30, (130, 97, 40)).astype(np.float32)
    voxels[20:100, 20:80] = rng.normal(50, 30, (80, 60, 40))
    voxels[:10] = -3024
    floor = Volume.from_array(voxels).intensity_floor
    assert floor is not None
    assert Volume.from_array(np.flip(voxels, flip).transpose(order)).intensity_floor == floor


def test_hash_is_of_content_not_of_memory_order():
    voxels = np.random.default_rng(0).integers(0, 99, (5, 6, 7)).astype(np.int16)
    one = Volume.from_array(voxels)
    assert one.content_hash == Volume.from_array(np.asfortranarray(voxels), name="x").content_hash
    assert len(one.content_hash) == 64


def test_hash_tells_voxels_shapes_types_and_places_apart():
    voxels = np.zeros((5, 6, 7), np.int16)
    changed = voxels.copy()
    changed[4, 5, 6] = 1
    volumes = [
        Volume.from_array(voxels),
        Volume.from_array(changed),
        Volume.from_array(voxels.reshape(6, 5, 7)),
        Volume.from_array(voxels.astype(np.uint16)),
        Volume.from_array(voxels, spacing=(1, 1, 1.5)),
    ]
    assert len({v.content_hash for v in volumes}) == len(volumes)
