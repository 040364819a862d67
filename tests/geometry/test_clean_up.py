"""Cleaning up masks, against SimpleITK and by what must hold for every mask."""

import math

import numpy as np
import pytest
import SimpleITK
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry import Mask, Volume
from napari_fastsam3d.geometry.clean_up import OPERATIONS, CleanUp, cleaned_up

SHAPE = (14, 12, 11)
SPACINGS = st.tuples(*[st.sampled_from([0.7, 1.0, 1.6, 3.0])] * 3)
MARGINS = st.sampled_from([0.6, 1.0, 2.0, 3.3, 7.0])


def noise(seed, share=0.5):
    """Blobs of all sizes, at the edges of the volume too."""
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=SHAPE)
    for axis in range(3):
        smooth = smooth + np.roll(smooth, 1, axis)
    return smooth > np.quantile(smooth, 1 - share)


def scan(spacing=(1, 1, 1), shape=SHAPE):
    return Volume.from_array(np.zeros(shape, np.int16), spacing=spacing)


def clean(array, kind, amount=None, spacing=(1, 1, 1), clicks=()):
    volume = scan(spacing, array.shape)
    return cleaned_up(Mask.of_volume(array), CleanUp(kind, amount), volume, clicks).volume(
        array.shape
    )


def itk(array):
    return SimpleITK.GetImageFromArray(array.astype(np.uint8))


@settings(max_examples=25)
@given(st.integers(0, 2**32), SPACINGS, MARGINS)
def test_growing_and_shrinking_are_distances_of_simpleitk(seed, spacing, margin):
    array = noise(seed, 0.2)
    image = itk(array.transpose(2, 1, 0))
    image.SetSpacing([float(size) for size in spacing])
    for inside, kind in ((image, "grow"), (1 - image, "shrink")):
        apart = SimpleITK.SignedMaurerDistanceMap(inside, False, False, True)
        near = SimpleITK.GetArrayFromImage(apart).transpose(2, 1, 0) <= margin + 1e-6
        reached = near | (SimpleITK.GetArrayFromImage(inside).transpose(2, 1, 0) > 0)
        # ITK measures to the voxels at the rim, which is the same as to any voxel.
        expected = reached if kind == "grow" else ~reached
        assert np.array_equal(clean(array, kind, margin, spacing), expected)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_islands_and_the_connected_part_are_components_of_simpleitk(seed, least):
    array = noise(seed, 0.15)
    rng = np.random.default_rng(seed)
    parts = SimpleITK.GetArrayFromImage(SimpleITK.ConnectedComponent(itk(array), True))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    click = tuple(int(x) for x in rng.choice(np.argwhere(array)))

    kept = np.unique(parts[clean(array, "islands", least / 1000, clicks=[click])])
    assert set(kept) == {*np.flatnonzero(sizes >= least), parts[click]} | {int(sizes.argmax())}
    assert np.array_equal(clean(array, "connected", clicks=[click]), parts == parts[click])
    alone = clean(array, "connected", clicks=[])
    assert np.count_nonzero(alone) == sizes.max()


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_holes_are_those_that_simpleitk_fills(seed):
    array = noise(seed, 0.7)
    expected = (
        SimpleITK.GetArrayFromImage(SimpleITK.BinaryFillhole(itk(array), fullyConnected=False)) > 0
    )
    assert np.array_equal(clean(array, "holes"), expected)


@settings(max_examples=15)
@given(st.integers(0, 2**32), SPACINGS, st.sampled_from([1.0, 2.5]))
def test_smoothing_knows_no_more_than_the_mask_and_its_margin(seed, spacing, deviation):
    """Cut out of a larger volume, or with room around it, a mask is smoothed alike."""
    array = np.zeros((30, 28, 27), bool)
    array[8:22, 8:20, 8:19] = noise(seed, 0.4)
    large = clean(array, "smooth", deviation, spacing)
    padded = clean(np.pad(array, 9), "smooth", deviation, spacing)
    if array.any():
        margin = [9, 9, 9]
        cut = tuple(slice(m, -m) for m in margin)
        wide = [int(np.ceil(3 * deviation / size)) <= 8 for size in spacing]
        if all(wide):
            assert np.array_equal(padded[cut], large)


def test_smoothing_rounds_a_corner_and_drops_a_spike_at_any_spacing():
    for spacing in ((1, 1, 1), (1, 1, 4)):
        array = np.zeros((30, 30, 20), bool)
        array[8:22, 8:22, 5:15] = True
        array[22:27, 15, 10] = True
        smooth = clean(array, "smooth", 2.0, spacing)
        assert not smooth[24:, :, :].any()
        assert not smooth[8, 8, 5]
        assert smooth[10:20, 10:20, 7:13].all()


def test_a_mask_at_the_edge_of_the_scan_is_not_shrunk_from_there():
    array = np.zeros(SHAPE, bool)
    array[:, :, :6] = True
    assert np.array_equal(clean(array, "shrink", 2.0)[:, :, :4], array[:, :, :4])
    assert np.array_equal(clean(array, "smooth", 1.0), array)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(0, 2))
def test_interpolation_keeps_what_was_drawn_and_fills_what_was_not(seed, axis):
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(30), np.arange(26), indexing="ij"), -1)
    slices = np.zeros((21, 30, 26), bool)
    drawn = sorted(rng.choice(21, 4, replace=False).tolist())
    for number in drawn:
        centre = rng.uniform(8, 17, 2)
        slices[number] = ((grid - centre) ** 2).sum(-1) < rng.uniform(9, 40)
    array = np.moveaxis(slices, 0, axis)
    sizes = tuple(np.roll([2.0, 0.8, 0.8], axis))
    filled = np.moveaxis(clean(array, "interpolate", spacing=sizes), axis, 0)
    assert np.array_equal(filled[drawn], slices[drawn])
    assert filled[drawn[0] : drawn[-1] + 1].any(axis=(1, 2)).all()
    assert not filled[: drawn[0]].any()
    assert not filled[drawn[-1] + 1 :].any()


def test_a_slanted_cylinder_comes_back_from_its_drawn_slices():
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (21, 40, 30)], indexing="ij"), -1)
    along = grid[..., 0] * 1.3 + 6
    whole = (grid[..., 1] - along) ** 2 + (grid[..., 2] - 14) ** 2 < 16
    drawn = np.zeros_like(whole)
    drawn[::5] = whole[::5]
    filled = clean(drawn, "interpolate", spacing=(5, 1, 1))
    both = 2 * np.count_nonzero(filled & whole) / (filled.sum() + whole.sum())
    assert both > 0.95


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(ORDERS), st.sampled_from(sorted(OPERATIONS)))
def test_the_order_of_axes_in_a_file_changes_no_voxel(seed, order, kind):
    """Not even where several parts are as large, or a voxel is just half inside."""
    rng = np.random.default_rng(seed)
    array = rng.random(SHAPE) < 0.06 if seed % 2 else noise(seed, 0.3)
    volume = scan((1, 1.5, 1) if seed % 3 else (1, 1, 1))
    click = tuple(int(x) for x in rng.choice(np.argwhere(array))) if seed % 5 == 0 else None
    how = CleanUp.of(kind)
    plain = cleaned_up(Mask.of_volume(array), how, volume, [click] if click else ())
    clicks = [order.index(click, SHAPE)] if click else ()
    stored = cleaned_up(Mask.of_volume(order.array(array)), how, order.volume(volume), clicks)
    wanted = order.array(plain.volume(SHAPE))
    assert np.array_equal(stored.volume(wanted.shape), wanted)


@pytest.mark.parametrize("kind", ["connected", "islands", "interpolate"])
def test_where_parts_or_gaps_are_equal_the_patient_decides_and_not_the_file(kind):
    array = np.zeros((9, 9, 5), bool)
    array[0:2, 4, 1] = array[4:6, 0:2, 0:2] = True  # two empty slices along either axis
    if kind != "interpolate":
        array[4:6, 0:2, 0:2] = False
        array[5:7, 1, 3] = True
    volume = scan(shape=array.shape)
    plain = cleaned_up(Mask.of_volume(array), CleanUp.of(kind), volume).volume(array.shape)
    assert plain.any()
    for order in ORDERS:
        stored = cleaned_up(
            Mask.of_volume(order.array(array)), CleanUp.of(kind), order.volume(volume)
        )
        wanted = order.array(plain)
        assert np.array_equal(stored.volume(wanted.shape), wanted)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_empty_mask_stays_empty(kind):
    how = CleanUp.of(kind)
    assert cleaned_up(Mask.empty(), how, scan()).is_empty


def test_a_large_mask_is_grown_in_slabs_as_in_one_piece(monkeypatch):
    array = noise(3, 0.1)
    whole = clean(array, "grow", 2.0, (0.7, 1, 2))
    monkeypatch.setattr("napari_fastsam3d.geometry.clean_up._SLAB", 1)
    assert np.array_equal(clean(array, "grow", 2.0, (0.7, 1, 2)), whole)


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        ("polish", None),
        ("smooth", None),
        ("smooth", 0.0),
        ("grow", -1.0),
        ("holes", 2.0),
        ("shrink", math.nan),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_remedy(kind, amount):
    with pytest.raises(PromptError):
        CleanUp(kind, amount)
