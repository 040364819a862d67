"""Many objects in a large volume cost no more memory than their masks."""

import tracemalloc

import numpy as np
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session

SHAPE = (512, 512, 300)
OBJECTS = 32


def test_nothing_as_large_as_the_volume_is_made_for_an_object(tmp_path):
    volume = Volume.from_array(np.zeros(SHAPE, dtype=np.uint8), spacing=(1.0, 1.0, 1.0))
    with Session(volume, model=BrightnessModel(size=16), journal=tmp_path) as session:
        tracemalloc.start()
        for number in range(OBJECTS):
            session.new_object()
            session.add_point((50 + 13 * number, 60 + 12 * number, 20 + 8 * number))
        session.accept_object(1)
        session.undo()
        session.wait()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert all(session.region(each.id).voxels.any() for each in session.state.objects)
    assert peak < volume.voxels.size / 2, "one mask of the whole volume would be twice that"
