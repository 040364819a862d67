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


def test_not_finite_voxels_are_told_and_do_not_count_in_the_floor():
    voxels = np.full((2, 3, 4), 7.0)
    voxels[0, 0] = [np.nan, -np.inf, np.inf, -5]
    volume = Volume.from_array(voxels)
    assert volume.intensity_floor == -5
    assert any("3 voxels" in note for note in volume.notes)


def test_floor_of_nothing_finite_is_zero():
    assert Volume.from_array(np.full((2, 2, 2), np.nan)).intensity_floor == 0


@pytest.mark.parametrize("order", "CF")
def test_floor_is_found_slab_by_slab(order):
    voxels = np.random.default_rng(1).integers(-1000, 1000, (130, 200, 220)).astype(np.int16, order)
    voxels[129, 0, 219] = -2000
    assert Volume.from_array(voxels).intensity_floor == -2000


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
