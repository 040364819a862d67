"""Scans of any voxel size: what counts far from a millimetre is how many voxels a thing has."""

from itertools import product
from math import ceil, prod

import numpy as np
import pytest
from brightness_model import BrightnessModel
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.edge_refinement import edge_aware_mask
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.inference.spacing_levels import scale_of
from napari_fastsam3d.session import ModelThread, Session

SPACINGS = (0.53, 0.75, 1.06, 1.5, 2.12, 3.0)
# As many as a crop of the coarsest spacing level spans in voxels of half a millimetre.
MOST_VOXELS = (128 * 3.0 / 0.5) ** 3
CENTRE, RADIUS = (32, 32, 32), 12.8
logarithms = st.floats(-3, 2)


def ball(size: float, shape=(64, 64, 64), centre=CENTRE, radius=RADIUS) -> tuple[Volume, Mask]:
    """A bright ball in noise, the same voxels whatever their size in mm."""
    voxels = np.random.default_rng(0).normal(40, 10, shape).astype(np.float32)
    away = sum((x - c) ** 2 for x, c in zip(np.indices(shape), centre, strict=True))
    voxels[away < radius**2] += 110
    return Volume.from_array(voxels, spacing=(size,) * 3), Mask.of_volume(away < radius**2)


def model(**settings) -> BrightnessModel:
    made = BrightnessModel(size=128, spacings=SPACINGS, start_spacing=1.5, **settings)
    made.edge_aware = True
    return made


@pytest.fixture(scope="module")
def default_model():
    with ModelThread() as thread:
        yield thread


@pytest.mark.parametrize("size", [0.001, 0.02, 0.1, 0.4, 1.0, 7.0, 100.0])
def test_the_default_model_finds_a_ball_of_voxels_of_any_size(default_model, size):
    volume, truth = ball(size)
    with Session(volume, model=default_model) as session:
        session.add_point(CENTRE)
        assert session.region().agreement(truth) > 0.98


@given(logarithms)
@settings(max_examples=15)
def test_a_ball_is_found_as_well_at_any_size_of_its_voxels(logarithm):
    volume, truth = ball(10**logarithm)
    found = Replay(volume, model(tolerance=60.0)).step([Point(1, CENTRE)])
    assert found.mask.agreement(truth) > 0.9


@given(st.tuples(logarithms, logarithms, logarithms), st.lists(st.integers(0, 19), max_size=9))
@settings(max_examples=30)
def test_a_click_answers_with_bounded_work_whatever_the_voxels(logarithms, indices):
    """Three clicks are obeyed, and no crop that was looked at spans more voxels than it may."""
    spacing = tuple(10**each for each in logarithms)
    volume = Volume.from_array(np.random.default_rng(1).normal(size=(20, 20, 20)), spacing=spacing)
    clicks = [
        Point(number + 1, tuple(indices[3 * number : 3 * number + 3]), number % 2 == 0)
        for number in range(len(indices) // 3)
    ]
    replay = Replay(volume, model())
    step = replay.step(clicks)
    newest = {click.index: click.positive for click in clicks}
    assert all(step.mask.contains(at) == positive for at, positive in newest.items())


@given(st.tuples(logarithms, logarithms, logarithms))
def test_no_crop_spans_more_voxels_than_one_of_the_finest_ordinary_scan(logarithms):
    spacing = tuple(10**each for each in logarithms)
    endless = np.broadcast_to(np.zeros((), np.uint8), (1 << 20,) * 3)
    volume = Volume.from_array(endless, spacing=spacing)
    policy = CropPolicy.of(volume, model())
    for level in policy.spacings:
        crop = Crop.around(volume, (1 << 19,) * 3, level, policy.size)
        exact = prod(policy.size * level / size for size in spacing)
        assert exact <= MOST_VOXELS * 1.01
        assert crop.box.size <= prod(ceil(policy.size * level / size) + 1 for size in spacing)
    assert policy.start in policy.spacings
    assert list(policy.spacings) == sorted(policy.spacings)


@given(st.tuples(*[st.floats(0.5, 4.0)] * 3))
def test_ordinary_scans_are_looked_at_as_ever(spacing):
    volume = Volume.from_array(np.zeros((2, 2, 2)), spacing=spacing)
    policy = CropPolicy.of(volume, model())
    assert scale_of(spacing) == 1
    assert (policy.spacings, policy.start) == (SPACINGS, 1.5)


@pytest.mark.parametrize("size", [2.0**-4, 2.0**-9, 2.0**7])
def test_far_from_a_millimetre_masks_are_those_of_voxels_of_one(size):
    clicks = [Point(1, (30, 33, 31)), Point(2, (32, 50, 32), False), Point(3, (32, 24, 32))]
    masks = [Replay(ball(s)[0], model()).step(clicks).mask for s in (1.0, size)]
    assert masks[0].equals(masks[1])


@given(st.tuples(*[st.floats(-3, 1)] * 3))
@settings(max_examples=20)
def test_the_edge_step_reads_no_farther_than_its_windows_may(logarithms):
    """Far from the mask nothing counts, however many voxels a cell of the model spans."""
    spacing = tuple(10**each for each in logarithms)
    rng = np.random.default_rng(2)
    voxels = rng.normal(size=(160, 8, 8)).astype(np.float32)
    volume = Volume.from_array(voxels, spacing=spacing)
    crop = Crop.around(volume, (80, 4, 4), 3.0 * scale_of(spacing), 32)
    logits = np.full((16, 16, 16), -4, np.float32)
    logits[7:9, 7:9, 7:9] = 4
    covered = crop.covered(logits > 0)
    far = np.ones(voxels.shape, bool)
    near = covered.padded(25).clipped(voxels.shape)
    far[near.slices] = False
    changed = np.where(far, 1000, voxels).astype(np.float32)
    (box, mask), (again, same) = (edge_aware_mask(crop, logits, v) for v in (voxels, changed))
    assert box == again
    assert np.array_equal(mask, same)
    assert box.intersection(near) == box


def test_a_box_around_much_of_a_fine_scan_is_seen_whole():
    """Dental CBCT at 0.1 mm: a jaw of five centimetres."""
    voxels = np.broadcast_to(np.zeros((), np.uint8), (800, 800, 800))
    policy = CropPolicy.of(Volume.from_array(voxels, spacing=(0.1,) * 3), model())
    jaw = Box((200, 200, 200), (600, 500, 400))
    crop = policy.around_box(jaw)
    assert crop.box.intersection(jaw) == jaw
    assert all(crop.contains(corner) for corner in product((200, 599), (200, 499), (200, 399)))


def test_what_is_said_of_how_far_the_model_sees_fits_the_scan():
    voxels = np.full((200, 200, 200), 7, np.int16)
    volume = Volume.from_array(voxels, spacing=(0.001,) * 3)
    small = BrightnessModel(size=32, spacings=(1.0,), start_spacing=1.0)
    step = Replay(volume, small).step([Point(1, (100, 100, 100))])
    assert "beyond the 0.032 mm" in step.notes[0]
