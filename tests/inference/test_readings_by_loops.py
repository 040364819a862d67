"""How scribbles are read as clicks, and where crops and what they hold lie, by loops."""

import numpy as np
import pytest
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fastsam3d.geometry import Box, Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.crop_placement import CropPlacement
from napari_fastsam3d.inference.memory_prompt import _middle as middle_of_prior
from napari_fastsam3d.inference.memory_prompt import question_of
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Scribble
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory
from napari_fastsam3d.inference.scribble import _middle, read_scribble, with_clicks
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.inference.structure_search import _likest_near, _likest_point
from napari_fastsam3d.memory.prior import Prior

SEEDS = st.integers(0, 2**32 - 1)
SHAPE = (9, 8, 7)
SPACING = (1.0, 1.5, 2.5)
VOLUME = Volume.from_array(np.zeros(SHAPE, np.uint8), spacing=SPACING)
few = settings(max_examples=20, deadline=None)


def scribble(number: int, voxels: np.ndarray, positive: bool = True) -> Scribble:
    return Scribble(number, PackedMask.of(Mask.of_volume(voxels)), positive)


@few
@given(SEEDS, st.sampled_from(ORDERS))
def test_the_middle_of_what_was_drawn_is_that_of_its_largest_part_in_any_order(seed, order):
    drawn = np.random.default_rng(seed).random(SHAPE) < 0.05
    drawn[4, 4, 3] = True
    parts, count = ndimage.label(drawn, np.ones((3, 3, 3)))
    sizes = [(parts == n).sum() for n in range(1, count + 1)]
    at = _middle(Mask.of_volume(drawn), VOLUME)
    assert sizes[parts[at] - 1] == max(sizes)
    places = np.argwhere(parts == parts[at]) * SPACING
    away = np.linalg.norm(places - places.mean(axis=0), axis=1)
    own = np.linalg.norm(np.multiply(at, SPACING) - places.mean(axis=0))
    assert own == pytest.approx(away.min())
    stored = order.volume(VOLUME)
    again = _middle(Mask.of_volume(order.array(drawn)), stored)
    assert again == order.index(at, SHAPE)


def follower(share: float):
    """A model that marks, or leaves out, this share of a line of eight voxels at each click."""
    line = [(i, 4, 3) for i in range(8)]
    asked: list = []

    def advance(step: Step, prompts) -> Step:
        asked.append(prompts)
        clicks = [p for p in prompts if isinstance(p, Point)]
        count = round(share * len(clicks) * len(line))
        said = Mask.of_indices(line[:count]) if count else Mask.empty()
        if clicks[-1].positive:
            return Step(step.mask.union(said))
        return Step(step.mask.without(said))

    return advance, asked


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize(
    ("share", "clicks"), [(1.0, 1), (0.5, 1), (0.375, 2), (0.25, 2), (0.13, 4), (0.0, 5)]
)
def test_a_line_is_told_until_half_of_it_is_followed_and_five_times_at_most(
    positive, share, clicks
):
    line = np.zeros(SHAPE, bool)
    line[:8, 4, 3] = True
    drawn = scribble(7, line, positive)
    advance, asked = follower(share)
    before = Step(Mask.of_volume(line), told=((3, ()),)) if not positive else Step(told=((3, ()),))
    earlier = BoxPrompt(1, Box((0, 0, 0), (2, 2, 2)))
    step = read_scribble(VOLUME, advance, before, [earlier, drawn])
    assert len(asked) == clicks
    assert all(prompts[0] is earlier for prompts in asked)
    assert [len(prompts) for prompts in asked] == list(range(2, clicks + 2))
    ((number, told),) = step.told
    assert number == 7
    assert list(told) == list(asked[-1][1:])
    assert all(click.positive == positive and line[click.index] for click in told)
    assert all(click.id == 7 for click in told)
    assert Mask.of_volume(line).without(step.mask).is_empty == positive, "all of it is obeyed"


def test_what_was_told_of_scribbles_stands_after_each_and_else_a_click_in_its_middle():
    line = np.zeros(SHAPE, bool)
    line[2:7, 4, 3] = True
    known, unknown = scribble(1, line), scribble(2, np.roll(line, 2, 1), False)
    clicks = (Point(1, (2, 4, 3)), Point(1, (6, 4, 3)))
    click = Point(9, (0, 0, 0))
    found = with_clicks([known, click, unknown], [(1, clicks), (8, (click,))], VOLUME)
    assert found == [known, *clicks, click, unknown, Point(2, (4, 6, 3), False)]
    assert with_clicks([click], [], VOLUME) == [click]


PLACEMENTS = [
    CropPlacement(Volume.from_array(np.zeros(shape, np.uint8), spacing=spacing), 8, 1.0)
    for shape, spacing in (((30, 9, 7), (1, 1, 1)), ((5, 40, 12), (2, 0.5, 1)))
]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("spacing", [0.7, 1.0, 2.5])
def test_crops_that_cover_stand_evenly_and_share_a_quarter_of_their_side(placement, spacing):
    shape = placement.volume.canonical.target_shape
    within = Box((1, 2, 1), (shape[0] - 1, shape[1] - 3, shape[2]))
    full = Box((0, 0, 0), tuple(int(8 * n) for n in placement.voxels_per_step(spacing)))
    for box in (None, within, full):
        centres = placement.covering(spacing, box)
        start, stop = (box.start, box.stop) if box else ((0, 0, 0), shape)
        for axis, step in enumerate(placement.voxels_per_step(spacing)):
            places = sorted({centre[axis] for centre in centres})
            low, high = places[0] - 4.5 * step, places[-1] + 3.5 * step
            assert low <= start[axis] - 0.5 + 1e-9
            assert high >= stop[axis] - 0.5 - 1e-9
            gaps = np.diff(places)
            assert np.allclose(gaps, gaps[:1])
            assert (gaps <= 6 * step + 1e-9).all()
            fewer = len(places) - 1
            assert fewer == 0 or (stop[axis] - start[axis]) > 8 * step + 6 * step * (fewer - 1)
        assert len(centres) == len(set(centres))


@few
@given(SEEDS, st.sampled_from(PLACEMENTS), st.sampled_from([0.5, 1.0, 1.7]))
def test_a_crop_holds_a_box_by_its_margins_where_the_volume_goes_on(seed, placement, spacing):
    rng = np.random.default_rng(seed)
    shape = placement.volume.canonical.target_shape
    crop = placement.at([rng.uniform(0, n - 1) for n in shape], spacing)
    ends = [sorted(int(x) for x in rng.integers(0, n + 1, 2)) for n in shape]
    content = Box(tuple(a for a, _ in ends), tuple(b + 1 for _, b in ends))
    margins = rng.uniform(0, 3, 3)
    seen = placement.volume.canonical.box_to_target(crop.box)
    holds = True
    for axis, step in enumerate(placement.voxels_per_step(spacing)):
        low, high = crop.centre[axis] - 4.5 * step, crop.centre[axis] + 3.5 * step
        below, above = seen.start[axis] > 0, seen.stop[axis] < shape[axis]
        assert placement.open_faces(crop)[axis] == (below, above)
        holds &= not below or content.start[axis] - 0.5 >= low + margins[axis]
        holds &= not above or content.stop[axis] - 0.5 <= high - margins[axis]
    assert placement.holds(crop, content, list(margins)) == holds


@pytest.mark.parametrize(
    ("part", "room", "finest"), [(0.5, 1.0, 40 * 0.5 / 8), (0.5, 0.1, 0.5), (2.0, 0.1, 2.0)]
)
def test_the_finest_spacing_is_that_of_voxels_or_of_the_room_around(part, room, finest):
    box = Box((0, 0, 0), (1, 40, 2))
    assert PLACEMENTS[1].finest(box, part, room) == pytest.approx(finest)


@few
@given(SEEDS)
def test_the_likest_place_is_near_and_in_the_scan(seed):
    rng = np.random.default_rng(seed)
    volume = Volume.from_array(np.zeros((20, 40, 40), np.uint8))
    crop = Crop.around(volume, (16.0, 16.0, 16.0), 1.0, 32)
    similar = rng.normal(0.5, 0.1, (8, 8, 8)).astype(np.float32)
    point = rng.uniform(4, 20, 3).astype(np.float32)
    rated = {
        cell: similar[cell] - 0.05 * (((np.array(cell) * 4 + 1.5 - point) ** 2).sum() / 200)
        for cell in np.ndindex(8, 8, 8)
        if cell[0] * 4 + 3 < 20
    }
    best = max(rated, key=rated.get)
    place, found = _likest_near(similar, crop, point)
    assert found == similar[best]
    assert (np.abs(place - (np.array(best) * 4 + 1.5)) <= 4).all()
    pair = np.zeros((8, 8, 8), np.float32)
    other = (best[0], best[1], best[2] + (1 if best[2] < 7 else -1))
    pair[best] = pair[other] = 9
    middle = (np.array(best) + other) / 2 * 4 + 1.5
    np.testing.assert_allclose(_likest_point(pair), middle, atol=1e-4)


def test_the_place_of_what_is_expected_is_the_deepest_of_the_piece_nearest_by():
    volume = Volume.from_array(np.zeros((32, 32, 32), np.uint8))
    crop = Crop.around(volume, (16.0, 16.0, 16.0), 1.0, 32)
    logits = np.full((8, 8, 8), -4.0, np.float32)
    logits[0:3, 0:3, 0:3] = 4  # its deepest cell is 1, 1, 1
    logits[5:8, 5:8, 4:8] = 4
    for place, cell in (((2, 2, 2), (1, 1, 1)), ((12, 3, 3), (1, 1, 1)), ((25, 30, 20), (6, 6, 5))):
        found = middle_of_prior(Prior(crop, logits), place)
        assert np.abs(np.subtract(found, np.array(cell) * 4 + 1.5)).max() <= 0.5
    nothing = Prior(crop, np.full((8, 8, 8), -4.0, np.float32))
    assert middle_of_prior(nothing, (3, 2, 1)) == (3, 2, 1)


def test_a_memory_is_asked_of_the_first_click_or_search_alone():
    context = FromMemory("prior", "liver", ("a",))
    click, away = Point(1, (1, 2, 3)), Point(2, (4, 4, 4), False)
    line = scribble(3, np.ones(SHAPE, bool))
    asked = question_of([context, line, away, click], "m")
    assert (asked.way, asked.structure, asked.model) == ("prior", "liver", "m")
    assert (asked.click, asked.known, asked.without) == ((1, 2, 3), 0, ("a",))
    assert question_of([context, click, Point(4, (0, 0, 0))], "m") == question_of(
        [context, click], "m"
    )
    search = FindPrompt(5, "spleen", 4)
    found = question_of([search, click], "m")
    assert (found.structure, found.click, found.known) == ("spleen", None, 4)
    assert question_of([context, click, search], "m").click == (1, 2, 3)
    for prompts in ([], [click], [context], [context, away], [context, line]):
        assert question_of(prompts, "m") is None
    box = BoxPrompt(6, Box((0, 0, 0), (1, 1, 1)))
    assert question_of([context, box, click], "m") is None, "it began with a box"
