"""Of what a model proposes, a smaller and a larger mask are offered beside the one shown."""

import numpy as np
import pytest
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.candidates import ALIKE, LEVEL, smaller_and_larger
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.step import Prediction

VOLUME = Volume.from_array(np.zeros((32, 32, 32), np.int16), spacing=(1.0, 1.0, 1.0))
CROP = CropPolicy.of(VOLUME, BrightnessModel()).at_click((16, 16, 16))
AWAY = np.linalg.norm(np.indices((16, 16, 16)).T - 7.5, axis=-1).astype(np.float32)


def ball(radius, predicted_iou=0.5, at=0):
    logits = np.roll(radius - AWAY, at, axis=0)
    return Prediction(CROP, logits, logits, predicted_iou, None)


def nothing(level):
    return ball(-1)


def test_there_is_one_on_either_side_and_the_smaller_comes_first():
    smaller, larger = ball(2), ball(6)
    assert smaller_and_larger(ball(4), [larger, smaller], nothing) == [smaller, larger]


@pytest.mark.parametrize("of_other", [0.2, 0.4, 0.6, 0.8])
def test_what_is_good_and_differs_counts(of_other):
    shown, near, far = ball(4), ball(5, 0.6), ball(7, of_other)

    def worth(one):
        return one.predicted_iou * (1 - one.plain_mask.agreement(shown.plain_mask))

    (chosen,) = smaller_and_larger(shown, [near, far], nothing)
    assert chosen is max(near, far, key=worth)
    assert (chosen is far) == (of_other > 0.4)


def test_what_is_like_the_mask_or_empty_is_not_offered():
    shown = ball(5)
    like = ball(5.1, 0.99)
    assert like.plain_mask.agreement(shown.plain_mask) > ALIKE
    assert smaller_and_larger(shown, [like, ball(-1, 1.0)], nothing) == []


def test_where_nothing_is_proposed_the_mask_is_cut_at_another_logit():
    asked = []

    def cut(level):
        asked.append(level)
        return ball(4 - level / 2)

    smaller = ball(2.5)
    found = smaller_and_larger(ball(4), [smaller], cut)
    assert asked == [-LEVEL]
    assert found[0] is smaller
    asked.clear()
    sizes = [np.count_nonzero(one.logits > 0) for one in smaller_and_larger(ball(4), [], cut)]
    assert asked == [LEVEL, -LEVEL]
    assert sizes[0] < np.count_nonzero(ball(4).logits > 0) < sizes[1]


def test_something_of_the_same_size_elsewhere_is_offered():
    beside = ball(3, at=5)
    assert smaller_and_larger(ball(3), [beside], nothing) == [beside]
