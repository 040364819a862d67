import nibabel as nib
import numpy as np
import pytest
from axis_order import ORDERS as STORED
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from storage_orders import AXES, FLIPS, ORDERS

from napari_fastsam3d.geometry import Box, Orientation, Volume
from napari_fastsam3d.geometry.orientation import axis_codes

SHAPE = (3, 4, 5)
relaxed = settings(deadline=None)
orientations = st.builds(Orientation, st.sampled_from(AXES), st.sampled_from(FLIPS), st.just(SHAPE))
inside = st.tuples(*[st.floats(-2, 6)] * 3)


@st.composite
def affines(draw) -> np.ndarray:
    """Rotated, permuted, flipped and anisotropic grids."""
    turn = Rotation.from_euler("xyz", draw(st.tuples(*[st.floats(-180, 180)] * 3)), degrees=True)
    sizes = draw(st.tuples(*[st.floats(0.3, 17)] * 3))
    affine = np.eye(4)
    affine[:3, :3] = turn.as_matrix() * sizes * draw(st.sampled_from([1, -1]))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-300, 300)] * 3))
    return affine


def a_grid() -> np.ndarray:
    return np.arange(np.prod(SHAPE)).reshape(SHAPE)


@relaxed
@given(affines(), st.sampled_from(["RAS", "IPL", "LPS", "SAR"]))
def test_agrees_with_nibabel(affine, codes):
    wanted = nib.orientations.axcodes2ornt(codes)
    way = nib.orientations.ornt_transform(nib.io_orientation(affine), wanted)
    ours = Orientation.closest(affine, SHAPE, codes)
    # Both are a closest orientation, but not always the same one where two are nearly as close.
    assume(axis_codes(affine) == "".join(nib.aff2axcodes(affine)))
    assert np.array_equal(ours.view(a_grid()), nib.apply_orientation(a_grid(), way))
    theirs = affine @ nib.orientations.inv_ornt_aff(way, SHAPE)
    np.testing.assert_allclose(ours.affine_of(affine), theirs, atol=1e-9)


@relaxed
@given(affines())
def test_canonical_axes_run_towards_right_anterior_and_superior(affine):
    canonical = Orientation.closest(affine, SHAPE, "RAS").affine_of(affine)
    directions = canonical[:3, :3] / np.linalg.norm(canonical[:3, :3], axis=0)
    assert axis_codes(canonical) == "RAS"
    assert np.trace(directions) >= 1 - 1e-9  # no rotation needs more than 70.5 degrees


@relaxed
@given(affines(), st.sampled_from(ORDERS))
def test_the_order_in_the_file_never_changes_the_canonical_grid(affine, order):
    way = Orientation(*order, SHAPE)
    stored_shape, stored_affine = way.target_shape, way.affine_of(affine)
    direct = Orientation.closest(affine, SHAPE, "RAS")
    by_way = Orientation.closest(stored_affine, stored_shape, "RAS")
    assert np.array_equal(direct.view(a_grid()), by_way.view(way.view(a_grid())))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("degrees", [45, 135, -45])
def test_nor_does_it_at_45_degrees_where_two_are_equally_close(order, degrees):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix() * [1, 1, 3]
    way = Orientation(*order, SHAPE)
    direct = Orientation.closest(affine, SHAPE, "RAS")
    by_way = Orientation.closest(way.affine_of(affine), way.target_shape, "RAS")
    assert np.array_equal(direct.view(a_grid()), by_way.view(way.view(a_grid())))


@given(orientations)
def test_view_is_a_view_and_source_view_undoes_it(orientation):
    grid = a_grid()
    there = orientation.view(grid)
    assert np.shares_memory(there, grid)
    assert there.shape == orientation.target_shape
    assert np.array_equal(orientation.source_view(there), grid)


@given(orientations, st.lists(inside, max_size=4))
def test_points_go_there_and_back_exactly(orientation, points):
    points = np.array(points).reshape(-1, 3)
    integers = np.round(points)
    assert np.array_equal(orientation.to_source(orientation.to_target(integers)), integers)
    np.testing.assert_allclose(
        orientation.to_source(orientation.to_target(points)), points, atol=1e-12
    )


@given(orientations)
def test_points_go_where_voxels_go(orientation):
    grid = a_grid()
    indices = np.argwhere(grid >= 0)
    target = orientation.to_target(indices).astype(int)
    assert np.array_equal(orientation.view(grid)[tuple(target.T)], grid[tuple(indices.T)])


@given(orientations, inside, affines())
def test_affine_follows_the_points(orientation, point, affine):
    world = affine @ [*point, 1]
    target = [*orientation.to_target(point), 1]
    np.testing.assert_allclose(orientation.affine_of(affine) @ target, world, atol=1e-9)


@given(
    orientations,
    *[st.tuples(*[st.integers(0, n) for n in SHAPE]) for _ in range(2)],
)
def test_boxes_go_where_their_voxels_go(orientation, a, b):
    box = Box(tuple(map(min, a, b)), tuple(map(max, a, b)))
    target = orientation.box_to_target(box)
    expected = orientation.view(a_grid()[box.slices])
    assert np.array_equal(orientation.view(a_grid())[target.slices], expected)
    assert orientation.box_to_source(target) == box


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PSR", "LIA", "PIR", "LSP", "IPL"])
def test_codes_of_real_orders(codes):
    affine = np.eye(4)
    for column, letter in enumerate(codes):
        unit = [letter in pair for pair in ("LR", "PA", "IS")]
        affine[:3, column] = np.multiply(unit, 1 if letter in "RAS" else -1)
    assert axis_codes(affine) == codes == "".join(nib.aff2axcodes(affine))


def test_display_order_is_that_of_a_radiologist():
    """Slices from the head down, rows from front to back, columns from right to left."""
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    shown = Orientation.closest(affine, SHAPE, "IPL")
    assert shown.target_shape == (5, 4, 3)
    assert np.array_equal(shown.view(a_grid()), a_grid()[::-1, ::-1, ::-1].transpose())


@pytest.mark.parametrize("order", STORED[::5], ids=str)
def test_the_way_between_two_orders_of_one_grid_is_found(order):
    rng = np.random.default_rng(0)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(random_state=3).as_matrix() * (0.7, 1.3, 4.0)
    affine[:3, 3] = rng.normal(size=3) * 50
    volume = Volume.from_array(rng.integers(0, 99, (3, 4, 5)).astype(np.int16), affine)
    stored = order.volume(volume)
    way = Orientation.between(stored.affine, stored.shape, volume.affine)
    assert way is not None
    np.testing.assert_array_equal(way.view(stored.voxels), volume.voxels)
    np.testing.assert_allclose(way.affine_of(stored.affine), affine, atol=1e-9)


def test_between_grids_that_are_no_orders_of_one_another_there_is_no_way():
    for factor in (0.4, 2.0):
        assert Orientation.between(np.diag([factor, 1, 1, 1]), (2, 2, 2), np.eye(4)) is None
    turned = np.eye(4)
    turned[:2, :2] = [[0.7, -0.7], [0.7, 0.7]]
    assert Orientation.between(turned, (2, 2, 2), np.eye(4)) is None
    stored = Orientation.as_stored((2, 3, 4))
    assert stored.target_shape == (2, 3, 4)
    np.testing.assert_array_equal(stored.to_target([1, 2, 3]), [1, 2, 3])
