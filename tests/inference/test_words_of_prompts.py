"""What prompts are called, which of them have one effect, and numbers as JSON has them."""

from itertools import combinations

import pytest

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.geometry.mask import NOWHERE, Mask
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.accepted import FEW_CLICKS, GOOD_ENOUGH, refusal
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Scribble,
    clicks_of,
    locates,
    place_of,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter

SPOT = PackedMask.of(Mask.of_indices([(1, 2, 3), (1, 2, 4)]))
OTHER = PackedMask.of(Mask.of_indices([(5, 5, 5)]))
NONE = PackedMask()
BOX = Box((1, 2, 3), (4, 5, 6))
SMOOTH = CleanUp.of("smooth")


@pytest.mark.parametrize(
    ("prompt", "noun", "words"),
    [
        (Point(1, (1, 2, 3)), "point", "Point in"),
        (Point(1, (1, 2, 3), False), "point", "Excluding point for"),
        (BoxPrompt(1, BOX), "box", "Box round"),
        (MaskPrompt(1, SPOT), "mask", "Mask opened for"),
        (Choice(1, 2), "choice", "Another candidate for"),
        (Edit(1, SPOT, NONE), "stroke", "Painted"),
        (Edit(1, NONE, SPOT), "stroke", "Erased from"),
        (Edit(1, SPOT, OTHER), "stroke", "Painted and erased"),
        (Edit(1, SPOT, OTHER, SMOOTH), "clean-up", "Smoothed"),
        (Freeze(1, BOX), "frozen region", "Froze a region of"),
        (Scribble(1, SPOT), "scribble", "Scribble in"),
        (Scribble(1, SPOT, False), "scribble", "Excluding scribble for"),
        (Scribble(1, SPOT, filled=True), "lasso", "Lasso in"),
        (Scribble(1, SPOT, False, True), "lasso", "Excluding lasso for"),
        (FromMemory("prior"), "memory", "Memory for"),
        (WithAdapter("liver", "ab"), "adapter", "Adapter for"),
        (FindPrompt(1, "liver"), "search", "Looked for"),
    ],
)
def test_every_prompt_has_a_name_and_what_adding_it_is_called(prompt, noun, words):
    assert prompt.noun == noun
    assert prompt.added_as == words


def test_only_prompts_of_one_effect_have_one_key():
    """Whatever else they hold, such as their numbers, tells them apart for nobody."""
    different = [
        Edit(1, SPOT, NONE),
        Edit(1, NONE, SPOT),
        Edit(1, SPOT, NONE, SMOOTH),
        Scribble(1, SPOT),
        Scribble(1, SPOT, False),
        Scribble(1, SPOT, True, True),
        BoxPrompt(1, BOX),
        *(BoxPrompt(1, BOX, axis) for axis in range(3)),
        MaskPrompt(1, SPOT),
        Choice(1, 0),
        Choice(1, 1),
        FindPrompt(1, "liver", 3),
        FindPrompt(1, "liver", 4),
        FindPrompt(1, "spleen", 3),
        FromMemory("prior"),
        FromMemory("reader"),
        FromMemory("prior", "liver"),
        FromMemory("prior", "liver", ("a",)),
        WithAdapter("liver", "ab"),
        WithAdapter("liver", "cd"),
    ]
    assert all(one.key != other.key for one, other in combinations(different, 2))
    same = [
        (FindPrompt(1, "liver", 3), FindPrompt(2, "liver", 3)),
        (WithAdapter("liver", "ab"), WithAdapter("Liver of old", "ab")),
        (FromMemory("prior", None), FromMemory("prior", "")),
        (Edit(1, SPOT, NONE, SMOOTH), Edit(2, SPOT, NONE, CleanUp.of("holes"))),
    ]
    assert all(one.key == other.key for one, other in same)


def test_what_is_asked_of_a_memory_has_no_number_of_the_user_s_and_no_place():
    for prompt in (FromMemory("prior"), WithAdapter("liver", "ab")):
        assert prompt.id == 0
        assert not locates(prompt)
        assert place_of(prompt) == NOWHERE
    assert locates(FindPrompt(1, "liver"))
    assert place_of(FindPrompt(1, "liver")) == NOWHERE
    assert [locates(Scribble(1, SPOT, sign)) for sign in (True, False)] == [True, False]
    assert place_of(Scribble(1, SPOT)) == SPOT.box
    points = [Point(1, (1, 2, 3)), Point(2, (1, 2, 3), False)]
    assert clicks_of([points[0], Scribble(3, SPOT), points[1], BoxPrompt(4, BOX)]) == points


@pytest.mark.parametrize(
    ("iou", "clicks", "told"),
    [
        (GOOD_ENOUGH, FEW_CLICKS, None),
        (None, FEW_CLICKS, None),
        (None, 0, None),
        (GOOD_ENOUGH - 0.01, 1, "predicts an IoU of 0.59"),
        (0.9, FEW_CLICKS + 1, "It took 11 prompts; up to 10"),
        (0.0, 99, "predicts an IoU of 0.00"),
    ],
)
def test_what_is_remembered_by_itself(iou, clicks, told):
    found = refusal(iou, clicks)
    assert found is None if told is None else told in found


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, [1]])
def test_what_is_no_whole_number_is_refused(value):
    for read in (
        lambda: json_values.whole(value),
        lambda: json_values.index([1, value, 3]),
        lambda: json_values.box([[0, 0, 0], [1, 2, value]]),
    ):
        with pytest.raises(TypeError):
            read()
    assert json_values.whole(-7) == -7


@pytest.mark.parametrize("value", [[1, 2], [1, 2, 3, 4], "12", 7, None])
def test_what_is_no_voxel_and_no_box_is_refused(value):
    for read in (json_values.index, json_values.box):
        with pytest.raises((TypeError, ValueError)):
            read(value)
    assert json_values.box(json_values.box_to_json(BOX)) == BOX
    assert json_values.box_to_json(BOX) == [[1, 2, 3], [4, 5, 6]]
