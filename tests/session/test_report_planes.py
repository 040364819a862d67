"""The pictures of a report: which slices, how large, and which way round."""

import numpy as np
import pytest
from axis_order import ORDERS
from PIL import Image

from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.session.report_planes import ink_of, three_planes

# Index to RAS mm: towards right, anterior and superior, in voxels of 2 x 1 x 3 mm.
RAS = np.diag([2.0, 1.0, 3.0, 1.0])
SHAPE = (20, 40, 15)
ROOM = (800, 300)
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def block(*corners: tuple[int, int, int]) -> Mask:
    box = Box(*corners)
    return Mask.of(box, np.ones(box.shape, np.bool_))


def scan(spot: Box | None = None) -> Volume:
    voxels = np.zeros(SHAPE, np.int16)
    if spot is not None:
        voxels[spot.slices] = 1000
    return Volume.from_array(voxels, RAS, name="scan")


def drawn(volume: Volume, *segments: Segment) -> np.ndarray:
    return np.asarray(three_planes(volume, segments, (0.0, 1100.0), ROOM))


def planes(picture: np.ndarray) -> list[np.ndarray]:
    """The pictures of the planes, between which the paper is white."""
    gaps = (picture == 255).all(axis=(0, 2))
    starts = np.flatnonzero(np.diff(np.concatenate([[True], gaps, [True]]).astype(int)))
    cut = [picture[:, a:b] for a, b in zip(starts[::2], starts[1::2], strict=True)]
    return [each[~(each == 255).all(axis=(1, 2))] for each in cut]  # without paper below


@pytest.mark.parametrize("order", [*ORDERS[1::9], ORDERS[-1]], ids=lambda each: str(each.axes))
def test_one_patient_has_one_picture_in_any_order_of_the_file(order):
    volume = scan(Box((12, 25, 8), (18, 35, 13)))
    segments = [
        Segment("a", 1, block((3, 4, 5), (9, 12, 10)), RED),
        Segment("b", 2, block((12, 25, 8), (18, 35, 13)), GREEN),
    ]
    stored = order.volume(volume)
    turned = [
        Segment(each.name, each.value, Mask.of_volume(order.array(each.mask.volume(SHAPE))), c)
        for each, c in zip(segments, (RED, GREEN), strict=True)
    ]
    assert np.array_equal(drawn(stored, *turned), drawn(volume, *segments))


def test_the_patient_s_right_is_on_the_left_front_and_head_are_up():
    """A bright spot at the right, in front and above, is outlined in each plane."""
    spot = Box((16, 32, 12), (19, 38, 14))
    outlined = Segment("o", 1, block(spot.start, spot.stop), None)
    for picture in planes(drawn(scan(spot), outlined)):
        rows, columns = np.nonzero(picture.min(axis=2) > 200)
        assert rows.mean() < picture.shape[0] / 2  # in front, or towards the head
        assert columns.mean() < picture.shape[1] / 2  # right, or the front in the sagittal plane


def test_all_planes_have_one_scale_and_fit_into_their_room():
    picture = drawn(scan(), Segment("o", 1, block((5, 5, 5), (9, 9, 9)), RED))
    assert picture.shape[0] <= ROOM[1]
    assert picture.shape[1] <= ROOM[0]
    right, front, head = np.multiply(SHAPE, np.diag(RAS)[:3])
    axial, coronal, sagittal = (each.shape[1] for each in planes(picture))
    assert axial == coronal == pytest.approx(sagittal * right / front, rel=0.02)
    scale = axial / right
    assert picture.shape[0] == pytest.approx(scale * max(front, head), abs=2)


def test_planes_show_some_of_each_object_before_all_of_one():
    """Two blocks that share one plane along every axis are both seen in all three."""
    one = Segment("a", 1, block((2, 2, 2), (10, 20, 8)), RED)
    other = Segment("b", 2, block((9, 19, 7), (18, 38, 14)), GREEN)
    for picture in planes(drawn(scan(), one, other)):
        for segment in (one, other):
            assert (picture == ink_of(segment)).all(axis=2).sum() > 10


def test_without_a_window_greys_are_those_of_most_voxels():
    rng = np.random.default_rng(0)
    voxels = rng.normal(100, 20, SHAPE).astype(np.float32)
    voxels[0, 0, 0] = 1e6  # one voxel of metal
    volume = Volume.from_array(voxels, RAS)
    picture = three_planes(volume, [Segment("o", 1, block((8, 8, 5), (9, 9, 6)), None)], None, ROOM)
    assert isinstance(picture, Image.Image)
    inner = planes(np.asarray(picture))[0][40:-40, 40:-40]
    assert 80 < np.median(inner) < 175  # neither black nor white


def test_an_object_without_a_colour_is_drawn_all_the_same():
    assert ink_of(Segment("o", 1, Mask.empty(), None)) != (0, 0, 0)
    assert ink_of(Segment("o", 1, Mask.empty(), (0.5, 0.0, 1.0))) == (128, 0, 255)
