"""The label map in a napari layer."""

import numpy as np
import pytest

from napari_fastsam3d._napari.frame import Frame, frame_of_volume
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import ObjectState
from napari_fastsam3d.session.colour import free_colour

LIVER = ObjectState(1, "liver", 1, (1.0, 0.5, 0.0))
KIDNEY = ObjectState(2, "kidney", 2, (0.0, 0.5, 1.0))


@pytest.fixture
def frame() -> Frame:
    affine = np.array([[0, -1, 0, 3], [0, 0, 2, 1], [1, 0, 0, 0], [0, 0, 0, 1]], float)
    return frame_of_volume(Volume.from_array(np.zeros((10, 12, 14), np.int16), affine))


@pytest.fixture
def mask(frame: Frame) -> MaskLayer:
    return MaskLayer(frame)


def test_a_box_of_the_source_grid_is_written_where_it_lies(mask: MaskLayer, frame: Frame) -> None:
    box = Box((1, 2, 3), (4, 6, 8))
    labels = np.zeros(box.shape, np.uint8)
    labels[0, 0, 0] = 2
    mask.write(box, labels)
    place = tuple(frame.to_layer(box.start)[0].astype(int))
    assert mask.layer.data[place] == 2
    assert np.count_nonzero(mask.layer.data) == 1


def test_an_empty_box_writes_nothing(mask: MaskLayer) -> None:
    mask.write(Box((3, 3, 3), (3, 3, 3)), np.zeros((0, 0, 0), np.uint8))
    assert not mask.layer.data.any()


def test_objects_have_their_colours_and_can_be_hidden(mask: MaskLayer) -> None:
    mask.show((LIVER, KIDNEY))
    assert np.allclose(mask.layer.get_color(1)[:3], LIVER.colour)
    mask.show((LIVER, KIDNEY), hidden=frozenset({1}))
    assert mask.layer.get_color(1)[3] == 0
    assert np.allclose(mask.layer.get_color(2)[:3], KIDNEY.colour)
    assert list(mask.layer.features["object"]) == ["", "liver", "kidney"]


def test_values_above_255_widen_the_array(mask: MaskLayer) -> None:
    box = Box((0, 0, 0), (1, 1, 1))
    mask.write(box, np.array([[[7]]], np.uint8))
    mask.write(box.shifted((1, 1, 1)), np.array([[[300]]], np.uint16))
    assert mask.layer.data.dtype == np.uint16
    assert set(np.unique(mask.layer.data)) == {0, 7, 300}


def test_the_brush_of_an_object_yet_to_come_has_its_colour(mask: MaskLayer) -> None:
    mask.show((LIVER,))
    mask.paint_with(300)
    assert mask.layer.selected_label == 300
    assert mask.layer.data.dtype == np.uint16
    assert np.allclose(mask.layer.get_color(300)[:3], free_colour(300, [LIVER.colour]))
    mask.paint_with(1)
    assert mask.layer.get_color(300)[3] == 0


def test_an_array_put_in_its_place_is_put_out_again(mask: MaskLayer, frame: Frame) -> None:
    mask.layer.data = np.ones(frame.shape, np.int64)
    mask.write(Box((1, 2, 3), (2, 3, 4)), np.array([[[5]]], np.uint8))
    assert np.unique(mask.layer.data).tolist() == [0, 5]


def test_a_line_of_sight_hits_the_nearest_visible_object(mask: MaskLayer, frame: Frame) -> None:
    mask.show((LIVER, KIDNEY))
    whole = np.zeros(frame.volume.shape, np.uint8)
    layered = frame.view(whole)
    layered[6, 5, 4], layered[9, 5, 4] = 1, 2
    mask.write(Box.whole(whole.shape), whole)
    start, end = np.array([-3.0, 5.2, 4.1]), np.array([30.0, 5.2, 4.1])
    assert mask.first_hit(start, end) == (6, 5, 4)
    assert mask.first_hit(end, start) == (9, 5, 4)
    mask.show((LIVER, KIDNEY), hidden=frozenset({1}))
    assert mask.first_hit(start, end) == (9, 5, 4)
    assert mask.first_hit(start + 1, end + 1) is None
