"""From a prediction to a mask: what of it counts, what stays elsewhere, and what is told of it."""

from types import SimpleNamespace

import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SLAB, truth
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.postprocessing import Postprocessing
from napari_fastsam3d.inference.prompt import BoxPrompt, Freeze, Point
from napari_fastsam3d.inference.step import Prediction, Step

AIR = "The click lies in the air around the patient."
FROZEN = "The click lies in a frozen region, of which it changes no more than its own voxel."
MISSED = "The model found nothing there; only the clicks themselves are marked."


def prediction(volume: Volume, mask: np.ndarray, at=BALL, spacing=2.0) -> Prediction:
    """What a model would say that sees just a mask, in the cells of a crop of 32 voxels."""
    policy = CropPolicy.of(volume, BrightnessModel())
    crop = policy.at(at, spacing)
    filled = crop.resample_mask(Box.whole(volume.shape), mask, 2)
    logits = (8 * (2 * filled - 1)).astype(np.float32)
    return Prediction(crop, logits[::2, ::2, ::2], logits, 0.75, None)


def made(volume: Volume, model: BrightnessModel | None = None) -> Postprocessing:
    model = model or BrightnessModel()
    search = SimpleNamespace(policy=CropPolicy.of(volume, model), predictor=model)
    return Postprocessing(volume, search)


def test_a_step_holds_what_was_predicted_and_what_was_before(volume):
    found = prediction(volume, truth(100))
    frozen = (Mask.empty(),)
    before = Step(Mask.of_indices([(3, 3, 3)]), frozen=frozen, box=Box((0, 0, 0), (1, 1, 1)))
    step = made(volume).step(
        before, found, [Freeze(1, Box((9, 9, 9), (10, 10, 10))), Point(2, BALL)]
    )
    assert step.crop is found.crop
    assert step.low_res_logits is found.low_res_logits
    assert step.predicted_iou == 0.75
    assert step.frozen is frozen
    assert step.box == before.box
    assert step.notes == ()
    assert not step.in_air
    assert step.mask.agreement(Mask.of_volume(truth(100))) > 0.95


def test_beyond_the_crop_the_mask_before_stays_and_in_it_the_new_one_counts(volume):
    found = prediction(volume, truth(100))
    inside, beyond = BALL, (58, 48, 38)
    assert not found.crop.box.contains(beyond)
    kept, gone = Mask.of_indices([beyond]), Mask.of_indices([(20, 12, 20)])
    assert found.crop.box.contains((20, 12, 20))
    step = made(volume).step(Step(kept.union(gone)), found, [Point(1, inside)])
    assert step.mask.contains(beyond)
    assert not step.mask.contains((20, 12, 20))
    assert step.mask.without(kept).equals(found.mask)


def test_a_box_that_the_model_can_not_be_told_of_keeps_the_mask_in_it(volume):
    found = prediction(volume, truth(100))
    box = Box((12, 17, 12), (20, 34, 29))
    model = BrightnessModel(accepts_boxes=False)
    step = made(volume, model).step(Step(), found, [BoxPrompt(1, box)])
    grown = Box((11, 15, 10), (21, 36, 31))  # by a tenth of each side, a voxel at least
    assert step.mask.equals(found.mask.inside(grown))
    assert step.notes == (
        "brightness knows no boxes: it was given a point at the centre, and the mask was kept to "
        "the box.",
    )
    free = made(volume).step(Step(), found, [BoxPrompt(1, box)])
    assert free.mask.equals(found.mask)
    assert free.notes == ()
    later = made(volume, model).step(Step(), found, [BoxPrompt(1, box), Point(2, (16, 25, 20))])
    assert later.mask.inside(grown).equals(later.mask)
    assert later.notes == (), "told with the box, not with each click after it"


def test_nothing_found_leaves_the_clicks_and_says_so(volume):
    nothing = prediction(volume, np.zeros(volume.shape, bool))
    step = made(volume).step(Step(), nothing, [Point(1, BALL)])
    assert step.notes == (MISSED,)
    assert step.mask.contains(BALL)
    assert np.count_nonzero(step.mask.voxels) < 30


@pytest.mark.parametrize(
    ("spacing", "told"), [(2.0, "beyond the 64 mm"), (0.25, "beyond the 8 mm"), (0.3, "the 9.6 mm")]
)
def test_what_goes_on_beyond_the_crop_is_told_with_how_far_the_model_sees(volume, spacing, told):
    found = prediction(volume, truth(200), SLAB, spacing)
    (note,) = made(volume).step(Step(), found, [Point(1, SLAB)]).notes
    assert told in note
    assert "click where it goes on" in note
    assert made(volume).step(Step(), prediction(volume, truth(100)), [Point(1, BALL)]).notes == ()


@pytest.fixture(scope="module")
def patient() -> Volume:
    """A cylinder of tissue in air that is darker by far."""
    i, j, _ = np.indices((40, 40, 12))
    body = np.hypot(i - 20, j - 20) < 13
    return Volume.from_array(np.where(body, 40, -1000).astype(np.int16), spacing=(2, 2, 4))


@pytest.mark.parametrize(
    ("newest", "in_air"),
    [
        (Point(1, (2, 2, 5)), True),
        (Point(1, (2, 2, 5), False), False),
        (Point(1, (20, 20, 5)), False),
        (BoxPrompt(1, Box((2, 2, 5), (5, 5, 6))), False),
    ],
)
def test_a_positive_click_in_the_air_is_told_and_nothing_else_of_it(patient, newest, in_air):
    nothing = prediction(patient, np.zeros(patient.shape, bool), (20, 20, 5))
    step = made(patient).step(Step(), nothing, [Point(0, (20, 20, 6)), newest])
    assert step.in_air == in_air
    assert (AIR in step.notes) == in_air
    assert (MISSED in step.notes) != in_air


def test_a_click_in_a_frozen_region_is_told_and_moves_its_own_voxel_alone(volume):
    region = Freeze(1, Box((15, 20, 15), (25, 30, 25)))
    held = Mask.of_indices([(24, 29, 24)])
    before = Step(held, frozen=(held,))
    found = prediction(volume, truth(100))
    for newest, told in (
        (Point(2, BALL), True),
        (Point(2, BALL, False), True),
        (Point(2, (26, 25, 20)), False),
        (BoxPrompt(2, Box((16, 20, 16), (20, 24, 20))), False),
    ):
        step = made(volume).step(before, found, [region, newest])
        assert (FROZEN in step.notes) == told
        expected = held
        if isinstance(newest, Point) and told and newest.positive:
            expected = held.union(Mask.of_indices([BALL]))
        assert step.mask.inside(region.box).equals(expected)
    other = Freeze(3, Box((0, 0, 0), (1, 1, 1)))
    several = Step(held, frozen=(held, Mask.empty()))
    notes = made(volume).step(several, found, [region, other, Point(2, BALL)]).notes
    assert notes == (FROZEN,), "one of several regions is enough"


def test_a_note_of_air_and_one_of_a_frozen_region_stand_together(volume):
    dark = np.where(truth(0), -1000, volume.voxels).astype(np.int16)
    scan = Volume.from_array(dark, spacing=(2, 2, 2))
    region = Freeze(1, Box(NOTHING, (7, 7, 7)))
    step = made(scan).step(
        Step(frozen=(Mask.empty(),)), prediction(scan, truth(100)), [region, Point(2, NOTHING)]
    )
    assert step.notes == (AIR, FROZEN)
