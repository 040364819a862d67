import numpy as np
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import Mask, Session
from napari_fastsam3d.session.label_map import deepest_overlaps


def cube(start, side):
    return Mask.of(
        Box(start, tuple(at + side for at in start)), np.ones((side, side, side), dtype=bool)
    )


def test_the_deepest_voxel_of_each_overlap_is_given():
    own = cube((10, 10, 10), 11)
    inside, touching, apart = cube((16, 10, 10), 11), cube((21, 10, 10), 4), cube((40, 40, 40), 4)
    ((i, j, k),) = deepest_overlaps(own, [inside, touching, apart], (1.0, 1.0, 1.0))
    assert (i, j, k) == (18, 12, 12)  # 5 x 11 x 11 voxels: the first of those deepest
    assert own.contains((i, j, k))
    assert inside.contains((i, j, k))


def test_depth_is_measured_in_millimetres():
    own, other = cube((0, 0, 0), 8), cube((2, 0, 0), 8)
    thick = deepest_overlaps(own, [other], (10.0, 1.0, 1.0))[0]
    assert thick[1] in (3, 4)
    assert thick[2] in (3, 4)


def test_locked_neighbours_become_negative_points_that_the_model_obeys():
    voxels = np.zeros((40, 40, 40), np.float32)
    voxels[5:20, 5:20, 5:20] = 100
    voxels[20:32, 5:20, 5:20] = 105
    with Session(Volume(voxels, np.eye(4)), BrightnessModel()) as session:
        session.add_mask(cube((20, 8, 8), 10))
        session.lock_object()
        session.new_object()
        session.add_point((10, 10, 10))
        (index,) = session.overlaps()
        assert session.region(1).contains(index)
        assert not session.region(2).contains(index)  # ceded already; the model does not know
        session.add_point(index, positive=False)
        assert [p.index for p in session.state.object(2).prompts] == [(10, 10, 10), index]
        session.undo()
        assert session.overlaps(1) == []
