import numpy as np
import pytest
from brightness_model import BrightnessModel
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.model_input import ModelInput, box_constraint, fed_back, last_box
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Edit, Point

SHAPE = (100, 100, 100)
VOLUME = Volume.from_array(
    np.zeros(SHAPE, np.uint8), affine=np.diag([-1.0, 1.0, 2.0, 1.0]), name="flipped"
)
CROP = Crop.around(VOLUME, (50, 50, 50), spacing=1.0, size=32)
LOW = np.ones((8, 8, 8), dtype=np.float32)
NEAR, NEGATIVE, FAR = Point(1, (48, 50, 50)), Point(2, (50, 55, 52), False), Point(3, (9, 9, 9))
NOTHING = PackedMask.of(Mask.empty())
BOX = BoxPrompt(4, Box((45, 46, 48), (55, 56, 52)))


def test_a_model_that_feeds_on_all_points_gets_those_in_the_crop_in_order():
    given = ModelInput.of([NEAR, FAR, NEGATIVE], CROP, LOW, BrightnessModel())
    assert np.allclose(given.points, CROP.to_crop([NEAR.index, NEGATIVE.index]))
    assert np.allclose(given.points[0], [18, 16, 16])  # the first axis runs to the left
    assert given.labels.tolist() == [1, 0]
    assert (given.points.dtype, given.labels.dtype) == (np.float32, np.int64)
    assert given.previous is LOW
    assert given.box is None


def test_a_model_that_feeds_on_the_newest_gets_it_alone_once_something_is_fed_back():
    model = BrightnessModel(feeds="single")
    assert ModelInput.of([NEAR, NEGATIVE], CROP, LOW, model).labels.tolist() == [0]
    assert ModelInput.of([NEAR, NEGATIVE], CROP, None, model).labels.tolist() == [1, 0]
    assert ModelInput.of([BOX, NEGATIVE], CROP, LOW, model).box is None


def test_a_box_is_given_by_its_first_and_last_crop_voxels():
    given = ModelInput.of([BOX], CROP, None, BrightnessModel())
    assert given.points.shape == (0, 3)
    # Along the last axis 4 voxels of 2 mm, whose borders fall on the middle of crop voxels.
    assert np.allclose(given.box, [[12, 12, 11.5], [21, 21, 18.5]])


def test_the_last_box_counts_and_points_with_it():
    other = BoxPrompt(5, Box((48, 48, 48), (50, 50, 50)))
    given = ModelInput.of([BOX, NEAR, other], CROP, LOW, BrightnessModel())
    assert np.allclose(given.box, ModelInput.of([other], CROP, None, BrightnessModel()).box)
    assert given.labels.tolist() == [1]


@given(st.tuples(*[st.integers(0, 99)] * 3), st.tuples(*[st.integers(1, 60)] * 3))
def test_corners_are_in_order_and_in_the_crop_or_there_are_none(start, shape):
    box = Box(start, tuple(a + n for a, n in zip(start, shape, strict=True))).clipped(SHAPE)
    corners = ModelInput.of([BoxPrompt(1, box)], CROP, None, BrightnessModel()).box
    if box.intersection(CROP.box).is_empty:
        assert corners is None or np.ptp(corners, axis=0).min() < 1
    else:
        assert corners is not None
        assert (corners[0] <= corners[1]).all()
        assert corners.min() >= 0
        assert corners.max() <= CROP.size - 1


def test_a_model_without_boxes_gets_a_point_at_the_centre_and_a_fence():
    model = BrightnessModel(accepts_boxes=False)
    given = ModelInput.of([BOX, NEGATIVE], CROP, LOW, model)
    assert given.box is None
    assert given.labels.tolist() == [1, 0]
    assert np.allclose(CROP.to_source(given.points[0]), [49.5, 50.5, 49.5])
    assert box_constraint([BOX], model) == Box((44, 45, 47), (56, 57, 53))


@pytest.mark.parametrize(
    ("later", "constrained"),
    [([], True), ([NEAR], True), ([Point(9, (9, 9, 9), False)], True), ([NEAR, FAR], False)],
)
def test_the_box_constraint_holds_until_a_positive_click_outside_it(later, constrained):
    model = BrightnessModel(accepts_boxes=False)
    assert (box_constraint([FAR, BOX, *later], model) is not None) == constrained
    assert box_constraint([FAR, BOX, *later], BrightnessModel()) is None
    assert box_constraint(later, model) is None


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ([NEAR], BOX.box),
        ([Point(9, (9, 9, 9), False)], BOX.box),
        ([Point(9, (44, 50, 50))], Box((44, 46, 48), (55, 56, 52))),
        ([Point(9, (43, 50, 50))], None),
        ([Edit(9, PackedMask.of(Mask.of_indices([(9, 9, 9)])), NOTHING)], None),
        ([Edit(9, NOTHING, PackedMask.of(Mask.of_indices([(9, 9, 9)])))], BOX.box),
        ([FAR, BoxPrompt(9, BOX.box)], BOX.box),
    ],
)
def test_a_box_is_told_until_the_object_is_said_to_go_on_beyond_it(later, told):
    assert last_box([FAR, BOX, *later]) == told
    given = ModelInput.of([FAR, BOX, *later], CROP, LOW, BrightnessModel())
    assert (given.box is None) == (told is None)


def test_a_mask_is_fed_back_as_sure_logits_where_it_fills_cells():
    mask = Mask.of(Box((50, 50, 50), (54, 54, 52)), np.ones((4, 4, 2), bool))
    logits = fed_back(mask, CROP)
    assert logits is not None
    assert logits.shape == (8, 8, 8)
    assert logits.dtype == np.float32
    filled = (logits / 8 + 1) / 2
    assert np.isclose(filled.sum() * 64, 4 * 4 * 4)  # mm3, in cells of 64
    assert logits.max() <= 8
    assert logits.min() == -8


def test_a_mask_outside_the_crop_is_not_fed_back():
    mask = Mask.of(Box((1, 1, 1), (4, 4, 4)), np.ones((3, 3, 3), bool))
    assert fed_back(mask, CROP) is None
    assert fed_back(Mask.empty(), CROP) is None


class WaryModel(BrightnessModel):
    margin = 5


def test_positive_points_are_told_a_little_away_from_the_ends_of_the_scan():
    """The first axis runs to the left, the last has four slices of 2 mm: eight crop voxels."""
    thin = Volume.from_array(
        np.zeros((100, 100, 4), np.uint8), affine=np.diag([-1.0, 1.0, 2.0, 1.0]), name="thin"
    )
    crop = Crop.around(thin, (96, 50, 2), spacing=1.0, size=32)
    prompts = [Point(1, (99, 50, 0)), Point(2, (99, 50, 3), positive=False), Point(3, (90, 35, 2))]
    told = ModelInput.of(prompts, crop, None, WaryModel()).points
    meant = crop.to_crop([p.index for p in prompts])
    ends = [np.flatnonzero(planes)[[0, -1]] for planes in crop.inside]
    middle = np.mean(ends[2])
    assert np.allclose(told[1], meant[1])
    assert np.allclose(told[0], [ends[0][0] + 5, meant[0][1], middle])
    assert np.allclose(told[2], [meant[2][0], 5, middle])
    assert np.allclose(ModelInput.of(prompts, crop, None, BrightnessModel()).points, meant)
    assert ModelInput.of([BOX], CROP, None, WaryModel()).points.shape == (0, 3)
