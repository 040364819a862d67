"""Pictures of slices: which planes they show, how bright, how large, and where contours lie."""

from itertools import pairwise

import numpy as np
import pytest
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.picture import (
    HEIGHT,
    Dot,
    Outline,
    best_planes,
    draw,
    panel,
    planes_of,
    shades,
    system_font,
)

RED, GREEN = (255, 0, 0), (0, 255, 0)
SHAPE = (6, 5, 4)
SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)


def coloured(image: Image.Image, colour) -> np.ndarray:
    """Which pixels have just this colour."""
    return (np.asarray(image) == colour).all(axis=-1)


@few
@given(SEEDS, st.integers(1, 3))
def test_the_planes_shown_are_those_with_most_of_the_least_shown_mask(seed, count):
    rng = np.random.default_rng(seed)
    masks = [rng.random(SHAPE) < rng.uniform(0.05, 0.6) for _ in range(count)]
    found = best_planes(masks)
    for axis, at in enumerate(found):
        scores = []
        for plane in range(SHAPE[axis]):
            parts = [np.take(m, plane, axis).sum() / max(1, m.sum()) for m in masks]
            scores.append(min(parts) + 1e-3 * sum(parts))
        assert scores[at] == pytest.approx(max(scores))
        assert all(score < scores[at] + 1e-12 for score in scores[:at]), "the first of several"


def test_a_mask_of_nothing_leaves_the_choice_to_the_others():
    mask = np.zeros(SHAPE, bool)
    mask[4, 3, 2] = True
    assert best_planes([mask, np.zeros(SHAPE, bool)]) == (4, 3, 2)
    assert best_planes([np.zeros(SHAPE, bool)]) == (0, 0, 0)


@given(st.floats(-2000, 2000), st.floats(0.1, 3000), st.sampled_from(["i2", "u1", "f4", ">i2"]))
def test_greys_run_evenly_from_black_to_white(low, width, dtype):
    plane = np.linspace(0, 200, 30).astype(dtype)
    found = shades(plane, (low, low + width))
    assert found.dtype == np.uint8
    wanted = np.clip((plane.astype(np.float64) - low) / width, 0, 1) * 255
    assert np.abs(found - wanted).max() <= 1.01
    assert (np.diff(found.astype(int)) >= 0).all()


def test_a_window_without_a_width_is_a_threshold():
    assert shades(np.array([4.0, 5.0, 6.0]), (5, 5)).tolist() == [0, 0, 255]
    assert shades(np.array([4.0, 5.0, 6.0]), (5, 1)).tolist() == [0, 0, 255]


@few
@given(SEEDS, st.sampled_from([2, 5, 8]))
def test_a_contour_is_the_rim_of_the_mask_two_pixels_wide(seed, scale):
    mask = np.random.default_rng(seed).random((7, 9)) < 0.6
    drawn = panel(np.zeros((7, 9), np.uint8), [(mask, RED)], (1, 1), scale)
    assert drawn.size == (9 * scale, 7 * scale)
    large = np.repeat(np.repeat(mask, scale, 0), scale, 1)
    steps = ndimage.distance_transform_cdt(np.pad(large, 1), "taxicab")[1:-1, 1:-1]
    assert np.array_equal(coloured(drawn, RED), large & (steps <= 2))


def test_the_later_of_two_contours_lies_on_top():
    mask = np.ones((4, 4), bool)
    drawn = panel(np.zeros((4, 4), np.uint8), [(mask, RED), (mask, GREEN)], (1, 1), 3)
    assert not coloured(drawn, RED).any()
    assert coloured(drawn, GREEN).sum() == 12 * 12 - 8 * 8


@pytest.mark.parametrize(
    ("shape", "pixel"), [((10, 20), (1.0, 1.0)), ((10, 20), (2.5, 0.5)), ((300, 7), (0.1, 3.0))]
)
def test_a_slice_is_as_high_as_the_picture_and_as_wide_as_its_millimetres(shape, pixel):
    plane = np.full(shape, 77, np.uint8)
    drawn = panel(plane, [], pixel)
    wide = shape[1] * pixel[1] / (shape[0] * pixel[0])
    assert drawn.height == HEIGHT
    assert drawn.width == pytest.approx(HEIGHT * wide, abs=0.5)
    assert (np.asarray(drawn) == 77).all()
    assert panel(plane, [], pixel, 1e-9).size == (1, 1), "never without a pixel"


def scene() -> tuple[Volume, np.ndarray]:
    """A scan of 12 x 10 x 8 uneven voxels, and a mask in a corner of it."""
    voxels = np.random.default_rng(4).integers(0, 100, (12, 10, 8)).astype(np.int16)
    mask = np.zeros(voxels.shape, bool)
    mask[8:11, 1:3, 5:7] = True
    return Volume.from_array(voxels, spacing=(1.5, 2, 3)), mask


@pytest.mark.parametrize("order", ORDERS[::7])
def test_the_order_in_which_a_file_stores_its_axes_changes_no_pixel(order):
    volume, mask = scene()
    dot = (9, 2, 5)
    plain = draw(volume, [Outline("liver", mask, RED)], (0, 100), [Dot(dot, GREEN)])
    stored = order.volume(volume)
    outline = Outline("liver", order.array(mask), RED)
    again = draw(stored, [outline], (0, 100), [Dot(order.index(dot, mask.shape), GREEN)])
    assert np.array_equal(np.asarray(plain), np.asarray(again))
    assert planes_of(stored, [outline]) == planes_of(volume, [Outline("", mask, RED)])


def test_three_slices_stand_side_by_side_as_radiologists_hold_them():
    volume, mask = scene()
    sheet = draw(volume, [Outline("liver", mask, RED)], (0, 100))
    # In mm: axial R by A, coronal R by S, sagittal A by S, each as high as the picture.
    widths = [round(HEIGHT * wide / high) for wide, high in ((18, 20), (18, 24), (20, 24))]
    assert sheet.width == sum(widths) + 4 * 12
    red = coloured(sheet, RED)[12 + 24 : 12 + 24 + HEIGHT]
    edges = np.cumsum([12, *(width + 12 for width in widths)])
    # The patient's right is on the left, the front and the head above; the mask's middle is at
    # voxel 9 of 12 towards R, 1.5 of 10 towards A, 5.5 of 8 towards S.
    across = [(1 - 9.5 / 12, 1 - 2 / 10), (1 - 9.5 / 12, 1 - 6 / 8), (1 - 2 / 10, 1 - 6 / 8)]
    for (left, right), (x, y) in zip(pairwise(edges), across, strict=True):
        at = np.argwhere(red[:, left : right - 12])
        middle = (at.min(axis=0) + at.max(axis=0) + 1) / 2
        assert middle == pytest.approx([y * HEIGHT, x * (right - 12 - left)], abs=2)
    assert not red[:, : edges[0]].any()


def test_a_dot_is_filled_on_slices_that_it_lies_in_and_hollow_on_the_others():
    volume, mask = scene()
    plain = np.asarray(draw(volume, [Outline("", mask, RED)], (0, 100)))
    dotted = draw(volume, [Outline("", mask, RED)], (0, 100), [Dot((10, 2, 0), GREEN)])
    changed = (np.asarray(dotted) != plain).any(axis=-1)
    green = coloured(dotted, GREEN)
    assert np.array_equal(changed, green)
    pieces, count = ndimage.label(green, np.ones((3, 3)))
    assert count == 3
    inner = [ndimage.binary_fill_holes(pieces == n).sum() - (pieces == n).sum() for n in (1, 2, 3)]
    wide = [np.ptp(np.argwhere(pieces == n), axis=0).tolist() for n in (1, 2, 3)]
    assert wide == [[10, 10]] * 3
    assert sorted(n > 0 for n in inner) == [False, False, True], "hollow in the axial slice alone"


def test_names_stand_below_in_their_colours_one_after_the_other():
    volume, mask = scene()
    outlines = [Outline("liver", mask, RED), Outline("spleen", mask, GREEN)]
    sheet = np.asarray(draw(volume, outlines, (0, 100)))[HEIGHT + 2 * 12 + 24 :].astype(int)
    red = np.argwhere(sheet[..., 0] > sheet[..., 1] + 100)[:, 1]
    green = np.argwhere(sheet[..., 1] > sheet[..., 0] + 100)[:, 1]
    assert red.size
    assert green.size
    assert red.min() >= 12
    assert red.max() + 2 * 12 <= green.min() + 2


def test_there_is_a_font_of_any_size_and_a_larger_one_is_larger():
    small, large = (system_font(size).getbbox("liver") for size in (10, 30))
    assert large[2] > 2 * small[2]
    assert system_font(10) is system_font(10)
