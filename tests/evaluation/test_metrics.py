import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_folder import block

from napari_fastsam3d.evaluation import Surface
from napari_fastsam3d.session import Mask

CUBE = block((8, 8, 8), (16, 16, 16))


def moved(by):
    return Mask.of_volume(np.roll(CUBE, by, (0, 1, 2)))


def test_a_mask_agrees_with_itself_and_not_with_nothing():
    surface = Surface(Mask.of_volume(CUBE), (1, 1, 1))
    assert surface.dice(Mask.of_volume(CUBE)) == 1
    assert surface.dice(Mask.empty()) == 0
    assert surface.dice(moved((0, 14, 0))) == 0


def test_two_millimetres_are_forgiven_and_three_are_not():
    surface = Surface(Mask.of_volume(CUBE), (1, 1, 1))
    assert surface.dice(moved((2, 0, 0))) == 1
    assert surface.dice(moved((3, 0, 0))) < 1
    assert Surface(Mask.of_volume(CUBE), (1, 1, 1), tolerance=3).dice(moved((3, 0, 0))) == 1


def test_one_thick_slice_is_forgiven_but_nothing_more_in_its_plane():
    surface = Surface(Mask.of_volume(CUBE), (1, 1, 5))
    assert surface.dice(moved((0, 0, 1))) == 1
    assert surface.dice(moved((0, 0, 2))) < 1
    assert surface.dice(moved((3, 0, 0))) < 1


def by_pairs(mask, truth, spacing, tolerance):
    """The definition, word by word: every surface voxel against every other one."""

    def rim(voxels):
        padded = np.pad(voxels, 1)
        steps = [(axis, by) for axis in range(3) for by in (-1, 1)]
        core = np.all([np.roll(padded, by, axis) for axis, by in steps], axis=0)
        return np.argwhere(padded & ~core)

    a, b = rim(mask), rim(truth)
    offsets = (a[:, None] - b[None]) * np.array(spacing) / np.maximum(spacing, tolerance)
    close = (offsets**2).sum(-1) <= 1 + 1e-6
    return (close.any(1).sum() + close.any(0).sum()) / (len(a) + len(b))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.tuples(*[st.sampled_from([0.5, 0.9, 2.0, 4.0])] * 3),
    st.sampled_from([0.5, 2.0, 3.0]),
)
def test_it_is_what_the_definition_says(seed, spacing, tolerance):
    rng = np.random.default_rng(seed)
    truth, mask = np.zeros((2, 9, 8, 7), bool)
    for array in (truth, mask):
        low, size = rng.integers(0, 5, 3), rng.integers(1, 5, 3)
        array[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = True
        array &= rng.random(array.shape) > 0.2
    if truth.any() and mask.any():
        found = Surface(Mask.of_volume(truth), spacing, tolerance).dice(Mask.of_volume(mask))
        assert found == pytest.approx(by_pairs(mask, truth, spacing, tolerance))
