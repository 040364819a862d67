import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

from napari_fastsam3d.geometry.drawing import region_inside, voxels_along

SHAPE = (11, 13, 9)
places = st.tuples(*[st.floats(-20, 20).map(lambda x: round(x, 2))] * 3)
corners = st.tuples(*[st.integers(-30, 160).map(lambda n: n / 10 + 0.033)] * 2)


@given(st.lists(places, min_size=1, max_size=6))
@example([(1.5, 0.0, 0.0), (1.5, 0.0, 17.0)])
@example([(5.5, 0.0, 0.0), (0.5, 0.0, 0.0)])
def test_a_line_runs_from_each_place_to_the_next_without_a_gap(path):
    voxels = voxels_along(path)
    steps = np.abs(np.diff(voxels, axis=0))
    assert not len(steps) or (steps.max(axis=1) == 1).all()
    reached = {tuple(voxel) for voxel in voxels}
    assert {tuple(np.floor(np.add(place, 0.5)).astype(int)) for place in path} <= reached
    low, high = np.floor(np.add(path, 0.5)).min(axis=0), np.floor(np.add(path, 0.5)).max(axis=0)
    assert (voxels >= low).all()
    assert (voxels <= high).all()


@given(st.lists(corners, min_size=3, max_size=3), st.integers(0, 2), st.booleans())
def test_a_triangle_holds_the_voxels_whose_centres_lie_on_one_side_of_all_its_sides(
    outline, axis, turned
):
    outline = outline[::-1] if turned else outline
    region = region_inside(outline, axis, 4, SHAPE).volume(SHAPE)
    rows, columns = np.delete(SHAPE, axis)
    centres = np.indices((rows, columns)).reshape(2, -1).T
    ahead = np.roll(outline, -1, axis=0)
    (ax, ay), (bx, by) = np.transpose(outline)[..., None], np.transpose(ahead)[..., None]
    sides = (bx - ax) * (centres[:, 1] - ay) - (by - ay) * (centres[:, 0] - ax)
    assume(np.abs(sides).min() > 1e-9)  # on the outline itself either is right
    inside = (np.ptp(np.sign(sides), axis=0) == 0).reshape(rows, columns)
    expected = np.zeros(SHAPE, bool)
    expected[tuple(4 if each == axis else slice(None) for each in range(3))] = inside
    assert np.array_equal(region, expected)


def test_what_an_outline_runs_round_twice_is_inside_too():
    twice = [(1, 1), (1, 8), (8, 8), (8, 1)] * 2
    once = region_inside(twice[:4], 2, 3, SHAPE)
    assert region_inside(twice, 2, 3, SHAPE).equals(once)
    assert once.box.shape == (7, 7, 1)


def test_nothing_is_inside_beyond_the_volume():
    square = [(1, 1), (1, 8), (8, 8), (8, 1)]
    assert region_inside(square, 2, 9, SHAPE).is_empty
    assert region_inside(square, 2, -1, SHAPE).is_empty
    assert region_inside(np.add(square, 100), 2, 3, SHAPE).is_empty
