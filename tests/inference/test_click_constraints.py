import numpy as np
import pytest
from axis_order import ORDERS
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.click_constraints import enforce_clicks, reach_mm
from napari_fastsam3d.inference.prompt import Point

SHAPE = (14, 12, 10)
VOLUME = Volume.from_array(np.zeros(SHAPE, np.uint8), spacing=(1.0, 1.5, 3.0))

voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])
clicks = st.lists(st.tuples(voxels, st.booleans()), max_size=8).map(
    lambda drawn: [Point(n, index, positive) for n, (index, positive) in enumerate(drawn)]
)
reaches = st.sampled_from([0.1, 1.0, 2.0, 4.5])
fills = st.sampled_from([0.0, 0.3, 1.0])


def some_mask(fill: float) -> Mask:
    return Mask.of_volume(np.random.default_rng(0).random(SHAPE) < fill)


def distance_mm(index) -> np.ndarray:
    offsets = np.moveaxis(np.indices(SHAPE), 0, -1) - index
    return np.sqrt(((offsets * VOLUME.spacing) ** 2).sum(axis=-1))


@given(clicks, reaches, fills)
def test_every_click_is_obeyed_and_the_last_on_a_voxel_wins(points, reach, fill):
    mask = enforce_clicks(some_mask(fill), points, VOLUME, reach)
    for index, last in {p.index: p for p in points}.items():
        assert mask.contains(index) == last.positive


@given(clicks, reaches, fills)
def test_each_voxel_near_clicks_obeys_the_nearest_and_others_stay(points, reach, fill):
    before = some_mask(fill)
    after = enforce_clicks(before, points, VOLUME, reach).volume(SHAPE)
    if not points:
        assert np.array_equal(after, before.volume(SHAPE))
        return
    distances = np.stack([distance_mm(p.index) for p in points])
    nearest = len(points) - 1 - np.argmin(distances[::-1], axis=0)
    obeys = (distances <= reach + 1e-9).any(axis=0) | (distances == 0).any(axis=0)
    wanted = np.array([p.positive for p in points])[nearest]
    assert np.array_equal(after, np.where(obeys, wanted, before.volume(SHAPE)))


def test_a_ball_grows_an_empty_mask_and_its_box():
    mask = enforce_clicks(Mask.empty(), [Point(1, (5, 5, 5))], VOLUME, 3.0)
    assert mask.box == Box((2, 3, 4), (9, 8, 7))
    assert mask.contains((8, 5, 5))
    assert not mask.contains((8, 6, 5))


def test_a_ball_ends_at_the_border_of_the_volume():
    mask = enforce_clicks(Mask.empty(), [Point(1, (0, 0, 9))], VOLUME, 3.0)
    assert mask.box == Box((0, 0, 8), (4, 3, 10))


def test_only_negative_clicks_leave_an_empty_mask_empty():
    assert enforce_clicks(Mask.empty(), [Point(1, (5, 5, 5), False)], VOLUME, 3.0).is_empty


def test_thick_slices_do_not_make_the_ball_reach_into_the_next():
    thick = Volume.from_array(np.zeros((40, 40, 10), np.uint8), spacing=(0.84, 0.84, 17.0))
    reach = reach_mm(thick, cell=3.0)
    mask = enforce_clicks(Mask.empty(), [Point(1, (20, 20, 5))], thick, reach)
    assert mask.box.shape[2] == 1
    assert mask.box.shape[0] > 1


@pytest.mark.parametrize(("cell", "expected"), [(3.0, 2.25), (1.0, 1.0), (6.0, 4.5)])
def test_the_reach_follows_the_coarser_of_voxel_and_cell(cell, expected):
    assert reach_mm(VOLUME, cell) == expected


@given(clicks.filter(bool), st.sampled_from(ORDERS))
def test_all_orders_of_axes_give_the_same_voxels_of_the_patient(points, order):
    volume = order.volume(VOLUME)
    stored = [Point(p.id, order.index(p.index, SHAPE), p.positive) for p in points]
    there = enforce_clicks(Mask.empty(), stored, volume, 4.5).volume(volume.shape)
    here = enforce_clicks(Mask.empty(), points, VOLUME, 4.5).volume(SHAPE)
    assert np.array_equal(there, order.array(here))
