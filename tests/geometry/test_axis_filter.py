import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.geometry.resample import AxisFilter, resample

relaxed = settings(deadline=None)


def lines(length: int) -> np.ndarray:
    return np.random.default_rng(length).normal(size=(length, 2, 3)).astype(np.float32)


@relaxed
@given(
    st.integers(1, 12),
    st.floats(0.05, 6),
    st.floats(-1, 12),
    st.integers(1, 20),
)
def test_weights_of_a_triangle_add_up_to_one(length, step, start, count):
    positions = start + np.arange(count) * step
    made = AxisFilter.triangle(positions, max(1.0, step), length)
    np.testing.assert_allclose(made.weights.sum(axis=1), 1, rtol=1e-6)
    assert (made.weights >= 0).all()
    assert made.first.min() >= 0
    assert made.first.max() + made.weights.shape[1] <= length


@relaxed
@given(st.integers(1, 12), st.lists(st.floats(-3, 15), min_size=1, max_size=9))
def test_half_width_one_is_linear_interpolation(length, positions):
    positions = np.sort(positions)
    line = lines(length)
    made = AxisFilter.triangle(positions, 1.0, length).apply(line)
    expected = np.apply_along_axis(lambda v: np.interp(positions, np.arange(length), v), 0, line)
    np.testing.assert_allclose(made, expected, atol=1e-5)


@relaxed
@given(st.integers(1, 12), st.lists(st.floats(-3, 15), min_size=1, max_size=9))
def test_cubic_weights_add_up_to_one(length, positions):
    made = AxisFilter.cubic(np.sort(positions), length)
    np.testing.assert_allclose(made.weights.sum(axis=1), 1, rtol=1e-6)
    assert made.first.min() >= 0
    assert made.first.max() + made.weights.shape[1] <= length


@relaxed
@given(st.lists(st.floats(2, 9), min_size=1, max_size=9))
def test_cubic_interpolation_keeps_parabolas_and_inputs(positions):
    positions = np.sort(positions)
    parabola = np.float32([(i - 4) ** 2 / 10 for i in range(12)])[:, None, None]
    made = AxisFilter.cubic(positions, 12).apply(parabola)[:, 0, 0]
    np.testing.assert_allclose(made, (positions - 4) ** 2 / 10, atol=1e-5)
    line = lines(12)
    at_inputs = AxisFilter.cubic(np.arange(12.0), 12).apply(line)
    np.testing.assert_allclose(at_inputs, line, atol=1e-6)


@pytest.mark.parametrize("step", [1.5, 2.0, 3.7])
def test_a_wide_triangle_is_a_weighted_mean(step):
    line = lines(40)
    positions = 10 + np.arange(5) * step
    made = AxisFilter.triangle(positions, step, 40).apply(line)
    for out, at in zip(made, positions, strict=True):
        weights = np.maximum(0, 1 - np.abs(np.arange(40) - at) / step)
        expected = np.tensordot(weights / weights.sum(), line, 1)
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_a_wide_triangle_keeps_out_what_the_coarse_grid_cannot_show():
    line = np.tile([1, -1], 64).astype(np.float32)[:, None, None]
    made = AxisFilter.triangle(np.arange(8, 120, 4.0), 4.0, 128).apply(line)
    assert np.abs(made).max() < 1e-6


def test_equal_grids_copy():
    line = lines(9)
    made = AxisFilter.triangle(np.arange(2.0, 7), 1.0, 9)
    assert made.is_shift
    assert np.array_equal(made.apply(line), line[2:7])


@relaxed
@given(
    st.integers(1, 12),
    st.floats(-6, 6),
    st.floats(0.1, 5),
    st.integers(1, 9),
    st.integers(0, 2**12 - 1),
)
def test_overlap_is_the_covered_part_of_each_cell(length, start, step, count, bits):
    mask = np.array([bits >> i & 1 for i in range(length)], np.float32)
    edges = start + np.arange(count + 1) * step
    made = AxisFilter.overlap(edges, length).apply(mask[:, None, None]).ravel()
    # What lies below x is covered up to, by voxels that reach half a voxel around their index.
    covered = np.interp(edges, np.arange(length + 1) - 0.5, np.r_[0, mask.cumsum()])
    np.testing.assert_allclose(made, np.diff(covered) / step, atol=1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
def test_three_filters_in_any_order_and_chunks(order, monkeypatch):
    rng = np.random.default_rng(5)
    source = rng.normal(size=(14, 11, 9)).astype(np.float32)
    filters = [
        AxisFilter.triangle(np.arange(1, 12, 1.3), 1.3, 14),
        AxisFilter.triangle(np.arange(0, 10, 0.4), 1.0, 11),
        AxisFilter.triangle(np.arange(2, 6, 1.0), 1.0, 9),
    ]
    dense = [f.matrix.toarray() for f in filters]
    expected = np.einsum("ai,bj,ck,ijk->abc", *dense, source)
    whole = resample(source, filters, order)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    monkeypatch.setattr("napari_fastsam3d.geometry.resample._CHUNK_VOXELS", 100)
    assert np.array_equal(resample(source, filters, order), whole)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, bool, np.float64, ">i2"])
def test_any_type_and_any_strides_give_the_same_bits(dtype):
    rng = np.random.default_rng(5)
    source = (rng.random((14, 11, 9)) * 100).astype(dtype)
    filters = [AxisFilter.triangle(np.arange(1, n - 1, 1.3), 1.3, n) for n in source.shape]
    straight = resample(source.astype(np.float32), filters, (1, 0, 2))
    strange = np.zeros((9, 22, 14), dtype)[::-1, ::2].transpose(2, 1, 0)
    strange[...] = source
    assert np.array_equal(resample(strange, filters, (1, 0, 2)), straight)
