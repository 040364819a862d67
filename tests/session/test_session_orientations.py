"""One anatomy, stored in every order of axes: one mask in the patient."""

import numpy as np
import pytest
from axis_order import ORDERS, AxisOrder
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import Session

SHAPE = (70, 52, 33)
SPACING = (1.0, 1.37, 2.5)
CLICKS = (((22, 25, 16), True), ((60, 26, 30), True), ((22, 26, 19), False))
BOX = Box((10, 12, 6), (35, 39, 27))
FLAT = Box((46, 20, 15), (70, 45, 20))


def anatomy() -> Volume:
    """Blurred noise with a ball and a slab in it; no two directions look alike."""
    rng = np.random.default_rng(5)
    place = np.indices(SHAPE)
    offsets = [
        (x - c) * s / r
        for x, c, s, r in zip(place, (22, 25, 16), SPACING, (10, 13, 11), strict=True)
    ]
    voxels = np.where(sum(d**2 for d in offsets) < 1, 100, 0) + rng.integers(-9, 10, SHAPE)
    voxels[50:65] += 120
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = -30, 12, 7
    return Volume.from_array(voxels.astype(np.int16), affine=affine)


def label_maps(volume: Volume, order: AxisOrder, model) -> list[np.ndarray]:
    """Label maps after each of the same clicks and boxes of the patient, stored in an order."""
    maps = []
    with Session(order.volume(volume), model=model) as session:
        for index, positive in CLICKS:
            session.add_point(order.index(index, SHAPE), positive)
            maps.append(session.label_map())
        session.new_object()
        box = order.box(BOX, SHAPE)
        session.add_box(box.start, box.stop)
        maps.append(session.label_map())
    with Session(order.volume(volume), model=model) as session:
        flat = order.box(FLAT, SHAPE)
        session.add_box(flat.start, flat.stop, guessed_axis=order.axes.index(2))
        maps.append(session.label_map())
    return maps


@pytest.fixture(scope="module")
def stored_once():
    return label_maps(anatomy(), ORDERS[0], BrightnessModel())


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_every_order_of_axes_gives_the_same_voxels_of_the_patient(order, stored_once):
    there = label_maps(anatomy(), order, BrightnessModel())
    for mask, reference in zip(there, stored_once, strict=True):
        assert np.array_equal(mask, order.array(reference))


def test_the_anatomy_puts_the_session_to_the_test(stored_once):
    first, moved, corrected, boxed, guessed = stored_once
    assert guessed.any(axis=(0, 1)).sum() > FLAT.shape[2]
    assert 1000 < (first == 1).sum() < (moved == 1).sum()
    assert not np.array_equal(moved, corrected)
    assert (boxed == 2).any()


@pytest.mark.parametrize("angle", [10.0, 30.0, 44.0])
def test_in_an_oblique_volume_the_mask_lies_where_the_click_was(angle):
    upright = anatomy()
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = np.array([[c, -s, 0, 3], [s, c, 0, -8], [0, 0, 1, 40], [0, 0, 0, 1]])
    oblique = Volume.from_array(upright.voxels, affine=turn @ upright.affine)
    masks = []
    for volume in (upright, oblique):
        with Session(volume, model=BrightnessModel()) as session:
            session.add_point((22, 25, 16))
            masks.append(session.mask())
    assert np.array_equal(*masks)


def test_in_thick_slices_the_mask_lies_where_the_click_was():
    voxels = np.zeros((90, 80, 9), dtype=np.int16)
    voxels[30:60, 25:55, 3:6] = 100
    volume = Volume.from_array(voxels, spacing=(0.84, 0.84, 17.0))
    with Session(volume, model=BrightnessModel()) as session:
        session.add_point((45, 40, 4))
        assert session.mask()[35:55, 30:50, 3:6].all()
        assert not session.mask()[..., (0, 1, 7, 8)].any()
        session.add_point((40, 35, 4), positive=False)
        assert session.mask()[40, 35, 3:6].tolist() == [True, False, True]
