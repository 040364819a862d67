import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import BoxPrompt, Point
from napari_fastsam3d.inference.prompt_check import box_between, point_index, positivity

SHAPE = (10, 20, 30)
anywhere = st.tuples(*[st.integers(-40, 70)] * 3)


@given(anywhere)
def test_a_point_is_taken_exactly_where_the_volume_is(index):
    if all(0 <= x < n for x, n in zip(index, SHAPE, strict=True)):
        assert point_index(index, SHAPE) == index
    else:
        with pytest.raises(PromptError, match=r"shape is \(10, 20, 30\)"):
            point_index(index, SHAPE)


@pytest.mark.parametrize(
    "index", [[1, 2, 3], np.array([1, 2, 3]), (np.int16(1), np.uint8(2), 3), np.arange(1, 4)]
)
def test_a_point_becomes_plain_integers(index):
    voxel = point_index(index, SHAPE)
    assert voxel == (1, 2, 3)
    assert [type(x) for x in voxel] == [int, int, int]


@pytest.mark.parametrize(
    "index",
    [
        (1.0, 2.0, 3.0),
        (1, 2, float("nan")),
        (1, 2),
        (1, 2, 3, 4),
        (True, 2, 3),
        (np.bool_(True), 2, 3),
        ("1", "2", "3"),
        "123",
        None,
        7,
        np.zeros((3, 3), int),
        np.array([1.5, 2.5, 3.5]),
    ],
)
def test_what_is_no_voxel_is_refused_with_a_remedy(index):
    with pytest.raises(PromptError) as caught:
        point_index(index, SHAPE)
    assert caught.value.remedy


@pytest.mark.parametrize("value", [1, 0, "yes", None, 1.0])
def test_only_truth_values_say_whether_a_point_is_inside(value):
    with pytest.raises(PromptError):
        positivity(value)
    assert positivity(np.bool_(True)) is True


@given(anywhere, anywhere)
def test_a_box_is_what_of_it_lies_in_the_volume_whatever_the_order_of_its_corners(a, b):
    inside = np.zeros(SHAPE, dtype=bool)
    ranges = [
        slice(*sorted((max(0, min(x, n)), max(0, min(y, n)))))
        for x, y, n in zip(a, b, SHAPE, strict=True)
    ]
    inside[tuple(ranges)] = True
    if not inside.any():
        with pytest.raises(PromptError, match="holds no voxel"):
            box_between(a, b, SHAPE)
        return
    box = box_between(a, b, SHAPE)
    assert box == Box.of_mask(inside) == box_between(b, a, SHAPE)


@pytest.mark.parametrize("corner", [(1.5, 2, 3), (1, 2), (True, 1, 1), None])
def test_a_box_wants_whole_numbers_at_both_corners(corner):
    for pair in ((corner, (5, 5, 5)), ((0, 0, 0), corner)):
        with pytest.raises(PromptError):
            box_between(*pair, SHAPE)


def test_prompts_of_one_effect_have_one_key_and_others_do_not():
    box = Box((1, 2, 3), (4, 5, 6))
    prompts = [
        Point(1, (1, 2, 3)),
        Point(1, (1, 2, 3), positive=False),
        Point(1, (1, 2, 4)),
        BoxPrompt(1, box),
        BoxPrompt(1, Box((1, 2, 3), (4, 5, 7))),
    ]
    assert len({p.key for p in prompts}) == len(prompts)
    assert Point(1, (1, 2, 3)).key == Point(9, (1, 2, 3)).key
    assert BoxPrompt(1, box).key == BoxPrompt(9, box).key
