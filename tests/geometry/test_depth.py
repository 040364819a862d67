"""The deepest voxel of a region."""

import numpy as np
import pytest
from scipy import ndimage

from napari_fastsam3d.geometry.mask import deepest_voxel


def test_the_middle_of_a_block_is_its_deepest_voxel():
    region = np.zeros((20, 20, 20), bool)
    region[4:13, 5:12, 6:15] = True
    assert deepest_voxel(region)[1] == 8
    i, _, k = deepest_voxel(region)
    assert 7 <= i <= 9
    assert 9 <= k <= 11


def test_the_end_of_the_array_is_a_rim():
    assert deepest_voxel(np.ones((9, 9, 9), bool)) == (4, 4, 4)


def test_one_voxel_is_found():
    region = np.zeros((5, 6, 7), bool)
    region[4, 0, 6] = True
    assert deepest_voxel(region) == (4, 0, 6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 5.0), (3.0, 1.0, 1.0)])
def test_none_lies_deeper_in_mm(spacing):
    noise = np.random.default_rng(3).standard_normal((24, 22, 18))
    region = ndimage.gaussian_filter(noise, 2) > 0
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(region, 1), sampling=spacing))
    at = deepest_voxel(region, spacing)
    assert region[at]
    assert depth[1:-1, 1:-1, 1:-1][at] == depth.max()
