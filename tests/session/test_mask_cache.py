"""What is shown of a log: answers that need no model, and which masks are behind."""

import numpy as np
import pytest

from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Edit, Point
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.session import Mask
from napari_fastsam3d.session.history import replay
from napari_fastsam3d.session.mask_cache import FinishedMask, MaskCache, prompts_of
from napari_fastsam3d.session.object_actions import (
    LockObject,
    NewObject,
    RemoveObject,
    RenameObject,
    RevalueObject,
    SetOverlap,
)
from napari_fastsam3d.session.prompt_actions import AddPrompt, DeletePrompt
from napari_fastsam3d.session.request import Request

CLICK, OTHER = Point(1, (4, 4, 4)), Point(2, (12, 4, 4))
TWO = replay([AddPrompt(1, CLICK), NewObject(2), AddPrompt(2, OTHER)])


def cube(start, side=4) -> Mask:
    box = Box(start, tuple(at + side for at in start))
    return Mask.of(box, np.ones(box.shape, dtype=bool))


OURS, THEIRS = cube((2, 2, 2)), cube((10, 2, 2))


@pytest.fixture
def masks() -> MaskCache:
    """The finished masks of both objects."""
    cache = MaskCache()
    cache.put(1, FinishedMask((CLICK,), Step(OURS), "a model"))
    cache.put(2, FinishedMask((OTHER,), Step(THEIRS), "a model"))
    return cache


def answer(masks: MaskCache, action, number: int = 1):
    return masks.answer(Request(7, number, 0.0), TWO, action.apply(TWO))


def test_more_prompts_need_the_model_and_known_ones_do_not(masks):
    assert answer(masks, AddPrompt(1, Point(3, (5, 5, 5)))) is None
    more = AddPrompt(1, Point(3, (5, 5, 5))).apply(TWO)
    back = masks.answer(Request(8, 1, 0.0), more, TWO)
    assert back is not None
    assert not back.stale
    assert back.box.is_empty


def test_without_prompts_an_object_is_known_to_be_empty_once_that_is_shown(masks):
    assert answer(masks, DeletePrompt(1, CLICK.id)) is None
    masks.put(1, FinishedMask())
    assert answer(masks, DeletePrompt(1, CLICK.id)) is not None


@pytest.mark.parametrize(
    ("action", "changed"),
    [
        (RenameObject(1, "liver"), Mask.empty()),
        (RevalueObject(1, 9), OURS),
        (LockObject(1, PackedMask.of(THEIRS)), OURS.union(THEIRS)),
        (RemoveObject(1), OURS),
        (SetOverlap("share"), OURS.union(THEIRS)),
    ],
)
def test_what_changes_no_prompt_is_answered_at_once_with_where_labels_change(
    masks, action, changed
):
    result = answer(masks, action, action.object or 0)
    assert result is not None
    assert result.request == 7
    assert result.box == changed.box
    assert (result.quality, result.change) == (None, None)


def test_a_removed_object_is_forgotten_and_the_other_is_not(masks):
    answer(masks, RemoveObject(1))
    assert masks.of_object(1).step.mask.is_empty
    assert masks.of_object(2).step.mask.equals(THEIRS)


def test_a_mask_is_behind_until_it_answers_the_prompts(masks):
    assert masks.behind(TWO) == []
    more = AddPrompt(2, Point(3, (5, 5, 5))).apply(TWO)
    assert masks.behind(more) == [2]
    assert masks.behind_of(more, 2) == [2]
    assert masks.behind_of(more, 1) == []  # object 1 was begun first: the other takes nothing
    assert masks.behind_of(SetOverlap("overwrite").apply(more), 1) == [2]
    assert masks.behind_of(more, 9) == []


def test_the_same_prompts_under_other_numbers_are_the_same(masks):
    renumbered = replay([AddPrompt(1, Point(5, CLICK.index))])
    assert masks.behind(renumbered) == []
    assert masks.behind(replay([AddPrompt(1, Point(5, CLICK.index, False))])) == [1]


def test_a_locked_mask_is_the_object_s_own_whatever_was_finished_since(masks):
    locked = LockObject(1, PackedMask.of(THEIRS)).apply(TWO).object(1)
    assert masks.own(locked).equals(THEIRS)
    assert masks.own(TWO.object(1)).equals(OURS)


def test_only_masks_that_a_model_made_are_of_another_model(masks):
    by_hand = Edit(3, PackedMask.of(OURS), PackedMask())
    drawn = replay([AddPrompt(1, by_hand)])
    assert masks.of_another_model(TWO, "a model") == []
    assert masks.of_another_model(TWO, "another") == [1, 2]
    locked = LockObject(2, PackedMask.of(THEIRS)).apply(TWO)
    assert masks.of_another_model(locked, "another") == [1]
    masks.put(1, FinishedMask((by_hand,), Step(OURS), "a model"))
    assert masks.of_another_model(drawn, "another") == []


def test_an_object_that_is_not_there_has_no_prompts_not_even_none():
    assert prompts_of(TWO, 1) == (CLICK,)
    assert prompts_of(NewObject(3).apply(TWO), 3) == ()
    assert prompts_of(TWO, 3) is None
