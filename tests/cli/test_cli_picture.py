"""The picture of three slices: which planes, which way up, and where the contours lie."""

import numpy as np
import pytest

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.picture import Outline, best_planes, draw

RED, BLUE = (255, 0, 0), (0, 0, 255)


def block(shape, low, high):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def coloured(picture, colour):
    """Rows and columns of the pixels of a colour."""
    return np.argwhere((np.asarray(picture) == colour).all(axis=-1))


def test_a_plane_is_chosen_that_shows_both_masks():
    left = block((20, 20, 20), (0, 2, 4), (8, 9, 12))
    right = block((20, 20, 20), (6, 8, 10), (19, 12, 14))

    i, j, k = best_planes([left, right])

    assert left[i].any()
    assert right[i].any()
    assert left[:, j].any()
    assert right[:, j].any()
    assert left[..., k].any()
    assert right[..., k].any()


def test_masks_that_share_no_plane_are_still_drawn_somewhere():
    far = [block((9, 9, 9), (0, 0, 0), (2, 2, 2)), block((9, 9, 9), (6, 6, 6), (9, 9, 9))]

    planes = best_planes(far)

    assert all(
        any(mask.take(at, axis=axis).any() for mask in far) for axis, at in enumerate(planes)
    )


def test_the_patient_s_right_is_on_the_left_and_the_head_is_up():
    shape = (40, 30, 20)  # R, A, S
    volume = Volume.from_array(np.zeros(shape, np.int16), np.diag([1.0, 1.0, 2.0, 1.0]))
    right_top = block(shape, (30, 10, 14), (38, 25, 19))

    picture = draw(volume, [Outline("block", right_top, RED)], (0.0, 1.0))

    pixels = coloured(picture, RED)
    panels = np.split(pixels[np.argsort(pixels[:, 1])], 1)[0]
    height, width = picture.height, picture.width
    axial = panels[panels[:, 1] < width / 3]
    assert axial[:, 1].max() < width / 6  # patient's right: left half of the first panel
    coronal = panels[(panels[:, 1] > 0.4 * width) & (panels[:, 1] < 0.66 * width)]
    assert coronal[:, 0].max() < height / 2  # towards the head: upper half


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_one_patient_gives_one_picture_in_any_order_of_storage(flip):
    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 100, (24, 20, 16)).astype(np.int16)
    mask = block(voxels.shape, (3, 4, 5), (15, 14, 11))
    plain = Volume.from_array(voxels, np.diag([1.5, 1.5, 3.0, 1.0]))
    affine = np.diag([*(1.5 * flip[0], 1.5 * flip[1], 3.0 * flip[2]), 1.0])
    turned = Volume.from_array(voxels[:: flip[0], :: flip[1], :: flip[2]], affine)
    turned_mask = mask[:: flip[0], :: flip[1], :: flip[2]]

    first = draw(plain, [Outline("block", mask, BLUE)], (0.0, 100.0))
    second = draw(turned, [Outline("block", turned_mask, BLUE)], (0.0, 100.0))

    assert first.size == second.size
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_proportions_are_the_patient_s():
    volume = Volume.from_array(np.zeros((10, 10, 10), np.int16), spacing=(2.0, 2.0, 6.0))
    mask = block((10, 10, 10), (2, 2, 2), (8, 8, 8))

    picture = draw(volume, [Outline("cube", mask, RED)], (0.0, 1.0))

    pixels = coloured(picture, RED)
    coronal = pixels[(pixels[:, 1] > 505) & (pixels[:, 1] < 660)]
    rows, columns = np.ptp(coronal, axis=0)
    assert rows / columns == pytest.approx(3.0, rel=0.05)
