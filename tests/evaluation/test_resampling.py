import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_folder import SHAPE, block, bright

from napari_fastsam3d.evaluation.resampling import Resampling, thick_slices
from napari_fastsam3d.geometry import Volume


def scaled(volume, zoom):
    i, j, k = (size * zoom for size in volume.spacing)
    return Resampling.to_spacing(volume, (i, j, k))


def test_voxels_twice_as_large_hold_means():
    voxels = np.random.default_rng(0).normal(size=(8, 6, 4)).astype(np.float32)
    volume = Volume.from_array(voxels, spacing=(1, 2, 3))
    shown = scaled(volume, 2).volume(volume)
    assert shown.spacing == (2, 4, 6)
    means = voxels.reshape(4, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    assert shown.voxels == pytest.approx(means, abs=1e-5)


def test_a_short_axis_stays():
    volume = Volume.from_array(np.zeros((8, 8, 2)), spacing=(1, 1, 1))
    assert Resampling.to_spacing(volume, (2, 2, 3)).volume(volume).shape == (4, 4, 2)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([0.5, 0.7, 1.6, 2.0]),
    st.permutations([0, 1, 2]),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
def test_a_structure_stays_where_it_is_in_the_patient(zoom, order, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(signs) * (0.9, 1.1, 1.6))[order]
    affine[:3, 3] = (-40, 12, 7)
    truth = block((6, 8, 4), (20, 24, 18))
    volume = Volume.from_array(200 * truth.astype(np.int16), affine)
    resampling = scaled(volume, zoom)
    shown, mask = resampling.volume(volume), resampling.mask(truth)
    centre = shown.to_world(np.argwhere(mask).mean(axis=0))
    assert centre == pytest.approx(
        volume.to_world(np.argwhere(truth).mean(axis=0)), abs=0.55 * max(shown.spacing)
    )
    volumes = [m.sum() * np.prod(v.spacing) for m, v in ((mask, shown), (truth, volume))]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.25)
    assert shown.voxels[mask].mean() > 5 * shown.voxels[~mask].mean()


def test_thick_slices_lie_across_the_axis_that_stands_apart():
    assert thick_slices(bright(np.zeros(SHAPE), (1, 1, 1.5)), 3) == (1, 1, 3)
    assert thick_slices(bright(np.zeros(SHAPE), (2, 1, 1)), 3) == (3, 1, 1)
    assert thick_slices(bright(np.zeros(SHAPE), (1, 1, 5)), 3) == (1, 1, 5)
    assert thick_slices(bright(np.zeros(SHAPE), (4, 4, 2.5)), 3) == (4, 4, 3)
    towards_head = np.eye(4)[[0, 2, 1, 3]]  # the second axis runs towards the head
    assert thick_slices(Volume.from_array(np.zeros(SHAPE), towards_head), 3) == (1, 3, 1)
