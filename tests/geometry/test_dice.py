import numpy as np

from napari_fastsam3d.geometry.mask import dice

NOTHING, ALL = np.zeros((9, 8, 7), bool), np.ones((9, 8, 7), bool)


def test_dice_by_hand():
    one = np.zeros_like(NOTHING)
    one[:4, :4, :4] = True
    assert dice(one, np.roll(one, 2, 0)) == 0.5
    assert dice(one, np.roll(one, 4, 0)) == 0
    assert dice(one, one) == 1
    assert dice(NOTHING, NOTHING) == 1
    assert dice(NOTHING, ALL) == 0
