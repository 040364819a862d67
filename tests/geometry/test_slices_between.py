"""Empty slices of a mask that are filled between drawn ones: what must hold for any mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.geometry.slice_interpolation import between_slices
from napari_fastsam3d.geometry.surface_area import surface_area

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)
SPACING = (0.8, 1.1, 3.0)


def discs(centres, radii, shape=(40, 36), slices=9):
    """A mask of discs in some slices across its last axis."""
    mask = np.zeros((*shape, slices), bool)
    grid = np.indices(shape)
    for k, centre, radius in zip(range(0, slices, 4), centres, radii, strict=False):
        away = sum(((x - c) * s) ** 2 for x, c, s in zip(grid, centre, SPACING, strict=False))
        mask[..., k] = away <= radius**2
    return mask


@few
@given(SEEDS)
def test_drawn_slices_stay_and_all_between_are_filled(seed):
    rng = np.random.default_rng(seed)
    drawn = discs(rng.uniform(14, 22, (3, 2)), rng.uniform(4, 8, 3))
    found = between_slices(drawn, SPACING)
    for k in (0, 4, 8):
        assert np.array_equal(found[..., k], drawn[..., k])
    assert found.any((0, 1)).all()
    areas = found.sum((0, 1))
    for a in (0, 4):
        low, high = sorted((areas[a], areas[a + 4]))
        assert (areas[a : a + 5] >= 0.85 * low - 4).all()
        assert (areas[a : a + 5] <= 1.15 * high + 4).all()
        middles = [ndimage.center_of_mass(found[..., k]) for k in range(a, a + 5)]
        for share in range(5):
            line = np.array(middles[0]) + share / 4 * np.subtract(middles[4], middles[0])
            assert np.abs(line - middles[share]).max() < 1.5


@few
@given(SEEDS, st.integers(0, 2), st.booleans())
def test_neither_the_order_of_axes_nor_their_direction_matters(seed, axis, reverse):
    rng = np.random.default_rng(seed)
    drawn = discs(rng.uniform(14, 22, (3, 2)), rng.uniform(4, 8, 3))
    order = np.roll([0, 1, 2], axis)
    other = drawn.transpose(order)[:: -1 if reverse else 1]
    found = between_slices(other, tuple(SPACING[a] for a in order))
    wanted = between_slices(drawn, SPACING).transpose(order)[:: -1 if reverse else 1]
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("slices", [[], [3], [3, 4, 5]])
def test_without_an_empty_slice_between_nothing_changes(slices):
    mask = np.zeros((8, 8, 8), bool)
    for k in slices:
        mask[2:6, 2:6, k] = True
    found = between_slices(mask, SPACING)
    assert np.array_equal(found, mask)
    assert found is not mask


@few
@given(st.tuples(*[st.integers(2, 6)] * 3), st.tuples(*[st.sampled_from([0.7, 1.0, 2.5])] * 3))
def test_a_surface_grows_with_the_square_of_its_scale(size, spacing):
    mask = np.ones(size, bool)
    area = surface_area(mask, np.diag(spacing))
    assert surface_area(mask, np.diag(spacing) * 2) == pytest.approx(4 * area)
    turned = surface_area(mask.transpose(2, 0, 1), np.diag(spacing)[:, [2, 0, 1]])
    assert turned == pytest.approx(area)
    edges = np.array(size) * spacing
    box = 2 * (edges[0] * edges[1] + edges[1] * edges[2] + edges[0] * edges[2])
    assert 0.55 * box < area < 1.05 * box
    assert surface_area(np.zeros(size, bool), np.diag(spacing)) == 0
