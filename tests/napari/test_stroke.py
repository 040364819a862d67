"""A stroke is read from napari's history: exactly the voxels that it changed."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_fastsam3d._napari.frame import frame_of_volume
from napari_fastsam3d._napari.layers.stroke import stroke_of
from napari_fastsam3d.geometry import Volume

SHAPE = (7, 8, 9)
_TURNED = np.array([[0, 0, 2, -9], [-1.9, 0.5, 0, 5], [0.4, 1.5, 0, 3], [0, 0, 0, 1]], float)
FRAME = frame_of_volume(Volume.from_array(np.zeros(SHAPE, np.int16), _TURNED))

places = st.tuples(*(st.integers(0, size - 1) for size in FRAME.shape))
dabs = st.tuples(st.sampled_from(["paint", "fill", "set"]), places, st.integers(0, 3))


def _dab(layer: Labels, kind: str, place: tuple[int, int, int], label: int) -> None:
    if kind == "set":
        layer.data_setitem(tuple(np.array([n, 0]) for n in place), label)
    else:
        getattr(layer, kind)(place, label)


@settings(max_examples=60, deadline=None)
@given(st.lists(dabs, min_size=1, max_size=8), st.integers(1, 5), st.booleans())
def test_a_stroke_is_what_changed(dabs: list[Any], size: int, in_3d: bool) -> None:
    layer = Labels(np.zeros(FRAME.shape, np.uint8), scale=FRAME.spacing)
    layer.brush_size = size
    layer.n_edit_dimensions = 3 if in_3d else 2
    items: list[Any] = []
    layer.events.paint.connect(lambda event: items.append(list(event.value)))
    touched = np.zeros(FRAME.shape, bool)
    with layer.block_history():
        for dab in dabs:
            before = layer.data.copy()
            _dab(layer, *dab)
            touched |= layer.data != before
    if not items:
        assert not touched.any()
        return
    stroke = stroke_of(items[0], 2, FRAME)
    assert stroke is not None
    source, labels = FRAME.source_view(touched), FRAME.source_view(layer.data)
    for part, expected in (
        (stroke.painted, source & (labels == 2)),
        (stroke.erased, source & (labels != 2)),
    ):
        whole = np.zeros(SHAPE, bool)
        whole[stroke.box.slices] = part
        assert np.array_equal(whole, expected)


def test_no_change_is_no_stroke() -> None:
    assert stroke_of([], 1, FRAME) is None
