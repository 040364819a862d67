"""Prompts as they are written on a command line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.cli.parsed_prompts import ParsedBox, ParsedPoint, ParsedScribble
from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry import Volume

INDEX = st.tuples(*[st.integers(-999, 999)] * 3)
OBLIQUE = np.array(
    [[-0.7, 0.1, 0.4, 80.0], [0.1, 0.84, -0.6, -95.5], [0.05, 0.3, 17.0, 12.0], [0, 0, 0, 1]]
)


@pytest.fixture(scope="module")
def oblique() -> Volume:
    return Volume.from_array(np.zeros((40, 50, 6), np.int16), OBLIQUE)


def text_of(numbers) -> str:
    return ",".join(str(number) for number in numbers)


@given(INDEX, st.sampled_from(["", ",+", ",-", ", -"]))
def test_a_point_reads_as_it_is_written(index, sign):
    point = ParsedPoint.parse(text_of(index) + sign)

    assert point.place == index
    assert point.positive is ("-" not in sign)


@pytest.mark.parametrize(
    "text", ["", "1,2", "1,2,3,4", "1,2,x", "1,2,nan", "1,2,inf,-", "1;2;3", "-", "1,2,3,--", ",,"]
)
def test_what_is_no_point_is_refused_with_an_example(text: str):
    with pytest.raises(PromptError, match=r"not 3 numbers.*120,88,40"):
        ParsedPoint.parse(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5,6,7", "1,2,3,4,5,x", "1,2,3,4,5,6,-"])
def test_what_is_no_box_is_refused_with_an_example(text: str):
    with pytest.raises(PromptError, match=r"not 6 numbers.*90,60,30"):
        ParsedBox.parse(text)


def test_an_index_has_to_be_whole(oblique: Volume):
    with pytest.raises(PromptError, match="--world"):
        ParsedPoint.parse("1,2.5,3").index(oblique, world=False)
    assert ParsedPoint.parse("1,2.0,3").index(oblique, world=False) == (1, 2, 3)


@given(INDEX)
def test_millimetres_find_the_voxel_they_came_from(index):
    volume = Volume.from_array(np.zeros((4, 4, 4), np.int16), OBLIQUE)
    millimetres = volume.to_world([index])[0]

    assert ParsedPoint.parse(text_of(millimetres)).index(volume, world=True) == index


@given(INDEX, INDEX)
def test_a_box_in_millimetres_holds_both_of_its_corners(first, second):
    volume = Volume.from_array(np.zeros((4, 4, 4), np.int16), OBLIQUE)
    corners = volume.to_world([first, second])

    start, stop = ParsedBox.parse(text_of(corners.ravel())).corners(volume, world=True)

    for index in (first, second):
        assert all(a <= n < b for a, n, b in zip(start, index, stop, strict=True))


def test_a_box_in_millimetres_is_no_larger_than_needed_where_axes_agree():
    volume = Volume.from_array(np.zeros((9, 9, 9), np.int16), np.diag([-2.0, 3.0, 1.0, 1.0]))

    box = ParsedBox.parse("-8,3,2,-2,9,5").corners(volume, world=True)

    assert box == ((1, 1, 2), (5, 4, 6))


def test_a_box_of_indices_is_taken_as_it_is(oblique: Volume):
    assert ParsedBox.parse("1,2,3,7,8,5").corners(oblique, world=False) == ((1, 2, 3), (7, 8, 5))


@given(st.lists(INDEX, min_size=1, max_size=9), st.sampled_from(["", ",+", ",-"]))
def test_a_scribble_reads_as_it_is_written(corners, sign):
    text = text_of(number for corner in corners for number in corner) + sign
    parsed = ParsedScribble.parse(text, "--scribble", 1)

    assert parsed.corners == tuple(corners)
    assert parsed.positive is ("-" not in sign)


def test_corners_in_millimetres_lie_where_they_do_in_voxels(oblique):
    corners = ((3, 4, 2), (30, 4.4, 2), (30, 40, 2.2))
    world = tuple(map(tuple, np.asarray(oblique.to_world(np.array(corners)))))
    plane, outline = ParsedScribble(world, True).in_slice(oblique, world=True)

    assert plane == (2, 2)
    assert np.allclose(outline, np.array(corners)[:, :2])


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("1,2,3,4,5,3", "not 9 numbers"),
        ("1,2,3,4,5,3,6,7", "not 9 numbers"),
        ("1,2,3,4,5,3,6,7,x", "not 9 numbers"),
        ("1,2,3,4,5,6,7,8,9", "in no one slice"),
        ("1,2,3,1,5,3,1,7,3", "in a line"),
        ("1,2,3,1,5,3,100000,7,3", "far from the scan"),
    ],
)
def test_what_is_no_lasso_is_refused(oblique, text, refused):
    with pytest.raises(PromptError, match=refused):
        ParsedScribble.parse(text, "--lasso", 3).in_slice(oblique, world=False)
