"""How the grid of a segmentation lies on its scan: places in mm tell where voxels belong."""

import numpy as np
import pytest
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Box, Mask, Volume
from napari_fastsam3d.geometry.io.segment import Placing

SHAPE = (6, 7, 5)
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None)


def turned(seed: int) -> np.ndarray:
    """An affine turned anyhow, of uneven voxels, far from the origin."""
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.4, 4, 3)
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return affine


def scan(seed: int) -> Volume:
    return Volume.from_array(np.zeros(SHAPE, np.uint8), turned(seed), name="scan")


def part_of(volume: Volume, start, stop, order) -> tuple[Volume, np.ndarray]:
    """A grid of the voxels from start to stop in another order of axes, and where each lies."""
    affine = volume.affine.copy()
    affine[:3, 3] = volume.to_world(start)
    size = np.subtract(stop, start)
    part = order.volume(Volume.from_array(np.zeros(size, np.uint8), affine))
    places = np.moveaxis(np.indices(part.shape), 0, -1).reshape(-1, 3)
    return part, np.rint(volume.to_index(part.to_world(places))).astype(int)


@few
@given(SEEDS, st.sampled_from(ORDERS))
def test_a_part_of_the_scan_lies_where_its_voxels_do(seed, order):
    rng = np.random.default_rng(seed)
    volume = scan(seed)
    ends = [sorted(rng.choice(n + 1, 2, replace=False).tolist()) for n in SHAPE]
    start, stop = zip(*ends, strict=True)
    part, places = part_of(volume, start, stop, order)
    placing = Placing.of(part.affine, part.shape, volume, "a.seg.nrrd")
    assert (placing.box.start, placing.box.stop) == (start, stop)
    inside = rng.random(part.shape) < 0.5
    found = placing.mask(inside, volume).volume(SHAPE)
    wanted = np.zeros(SHAPE, bool)
    for place, belongs in zip(places, inside.ravel(), strict=True):
        wanted[tuple(place)] = belongs
    assert np.array_equal(found, wanted)


@few
@given(SEEDS, st.sampled_from(ORDERS), st.integers(0, 2), st.booleans())
def test_a_grid_may_reach_beyond_the_scan_but_no_segment_of_it(seed, order, axis, before):
    volume = scan(seed)
    start, stop = [0, 0, 0], list(SHAPE)
    if before:
        start[axis] = -2
    else:
        stop[axis] += 2
    part, places = part_of(volume, start, stop, order)
    placing = Placing.of(part.affine, part.shape, volume, "large")
    held = np.array([((p >= 0) & (p < SHAPE)).all() for p in places]).reshape(part.shape)
    assert placing.mask(held, volume).equals(Mask.of_volume(np.ones(SHAPE, bool)))
    assert placing.mask(np.zeros_like(held), volume).is_empty
    outside = held.copy()
    outside[tuple(np.argwhere(~held)[0])] = True
    with pytest.raises(VolumeError, match="large reaches beyond the scan scan"):
        placing.mask(outside, volume)


@pytest.mark.parametrize("fault", ["shifted", "stretched", "turned", "sheared"])
@pytest.mark.parametrize("order", ORDERS[::11])
def test_a_tenth_of_a_voxel_is_rounding_and_more_is_another_grid(fault, order):
    volume = scan(4)
    for amount in (0.08, 0.13):
        affine = volume.affine.copy()
        step = affine[:3, 1] * amount
        if fault == "shifted":
            affine[:3, 3] += step
        elif fault == "stretched":
            affine[:3, 1] += step / (SHAPE[1] - 1)
        elif fault == "sheared":
            affine[:3, 0] += step / (SHAPE[0] - 1)
        else:
            affine[:3, 2] += step / (SHAPE[2] - 1)
            affine[:3, 3] -= step / 2
        stored = order.volume(Volume.from_array(np.zeros(SHAPE, np.uint8), affine))
        if amount < 0.1 or fault == "turned":  # by half of it to either side
            placing = Placing.of(stored.affine, stored.shape, volume, "other")
            assert placing.box == Box.whole(SHAPE)
            continue
        with pytest.raises(VolumeError, match="voxels of other are not those") as told:
            Placing.of(stored.affine, stored.shape, volume, "other")
        assert "0.13" in told.value.problem
        assert "resample" in told.value.remedy


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0, -2.0])
def test_voxels_of_another_size_are_no_voxels_of_the_scan(factor):
    volume = scan(9)
    affine = volume.affine.copy()
    affine[:3, 0] *= factor
    with pytest.raises(VolumeError, match="not those of the scan"):
        Placing.of(affine, SHAPE, volume, "other")
