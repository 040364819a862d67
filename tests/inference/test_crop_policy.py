from itertools import product

import numpy as np
import pytest
from axis_order import ORDERS
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.inference.crop_policy import CropPolicy

SPACINGS = (0.75, 1.5, 3.0)
SIZE = 128


def policy(shape, spacing=(1.0, 1.0, 1.0)) -> CropPolicy:
    voxels = np.broadcast_to(np.zeros((), np.uint8), shape)
    return CropPolicy(Volume.from_array(voxels, spacing=spacing), SPACINGS, 1.5, SIZE)


LARGE = policy((500, 400, 600))
shapes = st.tuples(*[st.integers(1, 600)] * 3)
spacings = st.tuples(*[st.sampled_from([0.4, 0.84, 1.0, 1.5, 3.0, 17.0])] * 3)


@st.composite
def policies(draw):
    return policy(draw(shapes), draw(spacings))


@st.composite
def policies_with_voxels(draw, count=1):
    chosen = draw(policies())
    voxel = st.tuples(*[st.integers(0, n - 1) for n in chosen.volume.shape])
    return chosen, *(draw(voxel) for _ in range(count))


@given(policies_with_voxels())
def test_a_first_click_lies_well_inside_its_crop_and_keeps_it(case):
    chosen, index = case
    crop = chosen.at_click(index)
    assert crop.spacing == 1.5
    assert crop.contains(index)
    assert chosen.keeps(crop, index)


@given(policies_with_voxels())
def test_no_crop_looks_past_the_volume_where_it_could_look_inside(case):
    chosen, index = case
    crop = chosen.at_click(index)
    open_faces = chosen.open_faces(crop)
    for inside, faces, voxel in zip(crop.inside, open_faces, crop.voxel_size, strict=True):
        within = np.flatnonzero(inside)
        past = within[0] * crop.spacing, (SIZE - 1 - within[-1]) * crop.spacing
        # A voxel that the crop ends in the middle of is taken whole.
        assert not faces[1] or past[0] <= voxel / 2 + crop.spacing
        assert not faces[0] or past[1] <= voxel / 2 + crop.spacing


def test_neighbouring_first_clicks_share_one_crop():
    crops = {LARGE.at_click((250 + d, 200, 300)) for d in range(24)}
    assert len(crops) <= 2
    assert len({LARGE.at_click((250 + 48 * d, 200, 300)) for d in range(3)}) == 3


def test_a_first_click_is_near_the_centre_of_its_crop():
    for index in product((220, 233, 247), (180, 199), (301, 280)):
        offset = LARGE.at_click(index).to_crop(index) - SIZE // 2
        assert np.abs(offset).max() <= SIZE / 16 + 1


@given(policies_with_voxels(2))
def test_a_crop_that_keeps_a_click_holds_it_away_from_open_faces(case):
    chosen, first, second = case
    crop = chosen.at_click(first)
    at = crop.to_crop(second)
    far = np.minimum(at, SIZE - 1 - at) >= SIZE / 16 - 0.5
    far_or_closed = [
        is_far or not faces[int(x > SIZE / 2)]
        for is_far, x, faces in zip(far, at, chosen.open_faces(crop), strict=True)
    ]
    assert chosen.keeps(crop, second) == (crop.contains(second) and all(far_or_closed))


@given(policies_with_voxels(2))
def test_a_click_elsewhere_gets_a_crop_that_holds_mask_and_click(case):
    chosen, a, b = case
    content = Box.around_points([a, b])
    crop = chosen.holding(content, b)
    assert crop.contains(b)
    assert chosen.keeps(crop, b)
    fits = all(
        n * s <= (SIZE - 1 - SIZE / 8) * 3.0 - 2 * s
        for n, s in zip(content.shape, chosen.volume.spacing, strict=True)
    )
    if fits:
        assert crop.box.intersection(content) == content


def test_the_finest_rung_that_holds_all_is_taken():
    for width, spacing in ((60, 0.75), (120, 1.5), (250, 3.0), (450, 3.0)):
        content = Box((20, 200, 300), (20 + width, 210, 310))
        assert LARGE.holding(content, (20, 205, 305)).spacing == spacing


def test_what_no_rung_holds_is_seen_where_the_click_is():
    content = Box((0, 0, 0), (500, 400, 600))
    for click in ((2, 2, 2), (497, 397, 597), (250, 200, 10)):
        crop = LARGE.holding(content, click)
        assert crop.spacing == 3.0
        assert LARGE.keeps(crop, click)


@given(policies_with_voxels(2))
def test_a_box_is_seen_whole_on_the_finest_rung_that_holds_it(case):
    chosen, a, b = case
    box = Box.around_points([a, b])
    crop = chosen.around_box(box)
    sides = [n * s for n, s in zip(box.shape, chosen.volume.spacing, strict=True)]
    room = (SIZE - 1) * crop.spacing
    if crop.spacing < 3.0:
        assert crop.box.intersection(box) == box
    finer = [s for s in SPACINGS if s < crop.spacing]
    assert not finer or max(sides) * 2 > (SIZE - 1) * finer[-1] - 2 * max(chosen.volume.spacing)
    assert max(sides) <= room or crop.spacing == 3.0


def test_a_box_is_at_the_centre_of_its_crop():
    box = Box((200, 180, 280), (240, 220, 320))
    crop = LARGE.around_box(box)
    assert crop.spacing == 0.75
    assert np.abs(crop.to_crop(np.array(box.start) + 19.5) - SIZE // 2).max() < 1
    assert LARGE.around_box(box.padded(20)).spacing == 1.5


@given(policies_with_voxels(2))
def test_a_nearer_look_at_a_box_is_one_rung_finer_and_holds_it(case):
    chosen, a, b = case
    box = Box.around_points([a, b])
    far = chosen.around_box(box)
    near = chosen.nearer_box(box, far)
    if near is None:
        return
    assert near.spacing == max(s for s in SPACINGS if s < far.spacing)
    assert near.spacing >= 0.3 * min(chosen.volume.spacing)
    assert near.box.intersection(box) == box


def test_there_is_no_nearer_look_without_a_finer_rung_or_room_for_the_box():
    box = Box((200, 180, 280), (240, 220, 320))
    far = LARGE.around_box(box)
    assert LARGE.nearer_box(box, far) is None
    assert LARGE.nearer_box(box, LARGE.around_box(box.padded(20))).spacing == 0.75
    whole = Box.whole(LARGE.volume.shape)
    assert LARGE.nearer_box(whole, LARGE.around_box(whole)) is None


def logits_with(block: Box) -> np.ndarray:
    logits = np.full((64, 64, 64), -1, dtype=np.float32)
    logits[block.slices] = 1
    return logits


def test_a_mask_cut_off_by_the_crop_is_looked_at_from_further_away():
    crop = LARGE.at_click((250, 200, 300))
    cut = logits_with(Box((30, 30, 0), (50, 50, 40)))
    wider = LARGE.wider(crop, cut, [(250, 200, 300)])
    assert wider is not None
    assert wider.spacing == 3.0
    cells = np.array([[30, 30, 0], [49, 49, 39]]) * 2 + 0.5
    assert all(wider.contains(p) for p in crop.to_source(cells))
    assert wider.contains((250, 200, 300))
    assert LARGE.wider(wider, cut, []) is None


def test_a_mask_off_the_faces_or_barely_at_one_is_not_cut_off():
    crop = LARGE.at_click((250, 200, 300))
    assert not LARGE.cuts_off(crop, logits_with(Box((1, 1, 1), (63, 63, 63))))
    assert not LARGE.cuts_off(crop, logits_with(Box((10, 10, 0), (14, 14, 30))))
    assert LARGE.cuts_off(crop, logits_with(Box((10, 10, 0), (20, 20, 30))))
    assert LARGE.wider(crop, logits_with(Box((10, 10, 0), (14, 14, 30))), []) is None


def test_where_the_volume_ends_nothing_is_cut_off():
    small = policy((100, 400, 400))
    crop = small.at_click((50, 200, 200))
    assert small.open_faces(crop) == ((False, False), (True, True), (True, True))
    assert not small.cuts_off(crop, logits_with(Box((0, 20, 20), (64, 40, 40))))
    assert small.cuts_off(crop, logits_with(Box((0, 0, 20), (64, 40, 40))))


def test_a_small_volume_is_always_seen_whole_in_one_crop():
    small = policy((100, 90, 20), (1.0, 1.0, 5.0))
    crops = {small.at_click(p) for p in product((0, 50, 99), (0, 45, 89), (0, 10, 19))}
    assert len(crops) == 1
    assert crops.pop().box == Box.whole((100, 90, 20))


@given(st.sampled_from(ORDERS), st.data())
def test_the_order_of_axes_in_the_file_changes_no_crop(order, data):
    shape = (300, 200, 90)
    here = policy(shape, (0.84, 1.0, 3.0))
    there = CropPolicy(order.volume(here.volume), SPACINGS, 1.5, SIZE)
    voxel = st.tuples(*[st.integers(0, n - 1) for n in shape])
    points = [data.draw(voxel), data.draw(voxel)]
    stored = [order.index(p, shape) for p in points]
    box, box_stored = Box.around_points(points), Box.around_points(stored)
    logits = (np.random.default_rng(0).random((64, 64, 64)) - 0.9).astype(np.float32)
    first, first_stored = here.at_click(points[0]), there.at_click(stored[0])
    assert same_window(first, first_stored)
    assert same_window(here.around_box(box), there.around_box(box_stored))
    assert same_window(here.holding(box, points[1]), there.holding(box_stored, stored[1]))
    wider = here.wider(first, logits, points)
    assert wider is not None
    assert same_window(wider, there.wider(first_stored, logits, stored))
    assert here.keeps(first, points[1]) == there.keeps(first_stored, stored[1])


def same_window(one: Crop, other: Crop | None) -> bool:
    """Whether two crops are equal to the last bit on their canonical grids."""
    return other is not None and (one.centre, one.spacing) == (other.centre, other.spacing)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_the_rules_follow_the_size_of_the_crop(size):
    volume = LARGE.volume
    chosen = CropPolicy(volume, SPACINGS, 1.5, size)
    crop = chosen.at_click((250, 200, 300))
    assert crop.size == size
    assert chosen.keeps(crop, tuple(int(x) for x in np.round(crop.to_source([size // 2] * 3))))
    assert not chosen.keeps(crop, tuple(int(x) for x in np.round(crop.to_source([1, 30, 30]))))


def blob(crop: Crop, box: Box) -> np.ndarray:
    """Logits at half the crop's resolution that are positive in a box of its cells."""
    logits = np.full((crop.size // 2,) * 3, -5, np.float32)
    logits[box.slices] = 5
    return logits


FINE = CropPolicy(LARGE.volume, (0.5, 0.75, 1.5, 3.0), 1.5, SIZE)


@given(
    st.tuples(*[st.integers(0, 60)] * 3),
    st.integers(1, 40),
    st.tuples(*[st.integers(80, 300)] * 3),
)
def test_a_small_object_is_looked_at_from_near_by_with_room_around_it(corner, edge, click):
    crop = FINE.at_click(click)
    stop = tuple(min(64, c + edge) for c in corner)
    cells = Box(corner, stop)
    closer = FINE.closer(crop, blob(crop, cells), [])
    longest = 2 * max(cells.shape) * crop.spacing
    if closer is None:
        assert 3.5 * (longest + 4) > SIZE * 0.75
        return
    assert closer.spacing < crop.spacing
    assert 3.5 * (longest - 4) <= SIZE * closer.spacing
    lowest = crop.to_source(np.array(cells.start) * 2.0 - 0.5)
    highest = crop.to_source(np.array(cells.stop) * 2.0 - 0.5)
    for place in (lowest, highest):
        inside = np.clip(np.rint(place), 0, np.array(FINE.volume.shape) - 1)
        assert closer.contains(tuple(int(v) for v in inside))


def test_clicks_in_view_stay_in_view_from_near_by():
    crop = FINE.at_click((200, 200, 300))
    small = blob(crop, Box((30, 30, 30), (33, 33, 33)))
    assert FINE.closer(crop, small, []).spacing == 0.5
    far = tuple(int(v) for v in np.rint(crop.to_source([100, 64, 64])))
    kept = FINE.closer(crop, small, [far])
    assert kept is None or kept.contains(far)


def test_nothing_large_and_nothing_at_all_is_looked_at_from_near_by():
    crop = FINE.at_click((200, 200, 300))
    assert FINE.closer(crop, blob(crop, Box((0, 0, 0), (40, 40, 40))), []) is None
    assert FINE.closer(crop, blob(crop, Box((0, 0, 0), (0, 0, 0))), []) is None


def test_a_crop_is_never_much_finer_than_the_scan():
    coarse = policy((60, 60, 60), (4.0, 4.0, 4.0))
    crop = coarse.at_click((30, 30, 30))
    assert coarse.closer(crop, blob(crop, Box((30, 30, 30), (33, 33, 33))), []) is None


def test_a_model_without_boxes_looks_at_one_from_where_it_begins_at_a_click():
    small, large = Box((200, 200, 200), (220, 220, 220)), Box((50, 50, 50), (350, 350, 350))
    assert FINE.around_box(small).spacing == 0.5
    assert FINE.around_box(small, closely=False).spacing == FINE.start
    assert FINE.around_box(large, closely=False) == FINE.around_box(large)
