import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from labelled_folder import SHAPE, block

from napari_fastsam3d.evaluation.overlap import dice
from napari_fastsam3d.session import Mask


def test_dice_by_hand():
    assert dice(block((0, 0, 0), (4, 4, 4)), block((2, 0, 0), (6, 4, 4))) == 0.5
    assert dice(np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)) == 1
    assert dice(np.zeros(SHAPE, bool), np.ones(SHAPE, bool)) == 0


@given(st.integers(0, 1 << 30), st.floats(0.9, 1))
def test_masks_kept_as_boxes_agree_as_much(seed, share):
    one, two = np.random.default_rng(seed).random((2, 6, 7, 5)) > share
    assert Mask.of_volume(one).agreement(Mask.of_volume(two)) == dice(one, two)
