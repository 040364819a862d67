import numpy as np
import pytest
from scipy.spatial.distance import pdist
from skimage.color import rgb2lab

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import BoxPrompt, Point
from napari_fastsam3d.session.colour import COLOURS, free_colour
from napari_fastsam3d.session.history import replay
from napari_fastsam3d.session.object_actions import (
    NewObject,
    RemoveObject,
    RenameObject,
    SelectObject,
)
from napari_fastsam3d.session.prompt_actions import (
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    MovePrompt,
    ResetObject,
)
from napari_fastsam3d.session.state import SessionState

POINT = Point(1, (1, 2, 3))
BOX = BoxPrompt(2, Box((1, 1, 1), (3, 3, 3)))
ONE = replay([AddPrompt(1, POINT), AddPrompt(1, BOX)])


def test_the_first_prompt_begins_the_first_object():
    assert [o.id for o in ONE.objects] == [1]
    assert ONE.object(1).prompts == (POINT, BOX)
    assert (ONE.current, ONE.next_object, ONE.next_prompt) == (1, 2, 3)
    assert ONE.object(1).name == "object 1"


def test_nothing_is_changed_in_place():
    before = replay([NewObject(1)])
    AddPrompt(1, POINT).apply(before)
    assert before == replay([NewObject(1)])


def test_a_prompt_can_be_moved_flipped_and_deleted_in_its_place():
    moved = MovePrompt(1, 1, (4, 5, 6)).apply(ONE)
    assert moved.object(1).prompts == (Point(1, (4, 5, 6)), BOX)
    flipped = FlipPrompt(1, 1).apply(moved)
    assert flipped.object(1).prompts == (Point(1, (4, 5, 6), positive=False), BOX)
    assert FlipPrompt(1, 1).apply(flipped) == moved
    other = Box((0, 0, 0), (1, 1, 1))
    assert MovePrompt(1, 2, other).apply(ONE).object(1).prompts == (POINT, BoxPrompt(2, other))
    assert DeletePrompt(1, 1).apply(ONE).object(1).prompts == (BOX,)


@pytest.mark.parametrize(
    "action",
    [
        MovePrompt(1, 1, Box((0, 0, 0), (1, 1, 1))),
        MovePrompt(1, 2, (0, 0, 0)),
        FlipPrompt(1, 2),
        FlipPrompt(1, 9),
        DeletePrompt(1, 9),
        AddPrompt(1, POINT),
    ],
)
def test_prompts_that_do_not_fit_are_refused(action):
    with pytest.raises(PromptError):
        action.apply(ONE)


@pytest.mark.parametrize(
    "action",
    [
        SelectObject(2),
        RenameObject(2, "liver"),
        RenameObject(1, "  "),
        RemoveObject(2),
        ResetObject(2),
        NewObject(1),
        NewObject(2, ""),
        AddPrompt(7, Point(3, (0, 0, 0))),
        MovePrompt(2, 1, (0, 0, 0)),
    ],
)
def test_objects_that_are_not_there_are_refused(action):
    with pytest.raises(SessionError):
        action.apply(ONE)


def test_values_and_colours_stay_when_other_objects_go():
    three = replay([NewObject(1, "liver"), NewObject(2), NewObject(3, " spleen ")])
    left = RemoveObject(2).apply(three)
    assert [(o.id, o.value, o.name) for o in left.objects] == [(1, 1, "liver"), (3, 3, "spleen")]
    assert [o.colour for o in left.objects] == [COLOURS[0], COLOURS[2]]
    assert NewObject(4).apply(left).object(4).value == 4


@pytest.mark.parametrize(
    ("current", "gone", "then"), [(1, 1, 2), (2, 2, 3), (3, 3, 2), (1, 2, 1), (3, 1, 3)]
)
def test_removing_an_object_leaves_a_neighbour_or_the_current_one(current, gone, then):
    three = replay([NewObject(1), NewObject(2), NewObject(3), SelectObject(current)])
    assert RemoveObject(gone).apply(three).current == then


def test_removing_the_last_object_leaves_none_and_its_number_is_not_used_again():
    none = RemoveObject(1).apply(ONE)
    assert none == SessionState(next_object=2, next_prompt=3)


def test_reset_takes_the_prompts_only():
    named = RenameObject(1, "liver").apply(ONE)
    empty = ResetObject(1).apply(named).object(1)
    assert (empty.name, empty.value, empty.prompts) == ("liver", 1, ())


def test_a_prompt_is_found_with_its_owner():
    two = AddPrompt(2, Point(3, (0, 0, 0))).apply(ONE)
    assert two.owner(3).id == 2
    assert two.owner(1).id == 1
    with pytest.raises(PromptError):
        two.owner(4)


def test_the_first_objects_have_the_colours_of_the_list():
    assert len(set(COLOURS)) == len(COLOURS) >= 10
    begun = [free_colour(value, COLOURS[: value - 1]) for value in range(1, len(COLOURS) + 1)]
    assert begun == list(COLOURS)


def test_no_two_of_many_objects_look_alike():
    used = []
    for value in range(1, 121):
        colour = free_colour(value, used)
        assert all(0 <= part <= 1 for part in colour)
        used.append(colour)
    lab = rgb2lab(np.array(used))
    assert pdist(lab).min() > 15  # a difference of 2.3 can just be seen
    assert (lab[:, 0] > 39).all()  # over a scan's black
    assert free_colour(5, COLOURS[:4] + COLOURS[5:]) == COLOURS[4]


def test_two_objects_have_two_names_unless_an_older_log_says_otherwise():
    state = replay([NewObject(1, "Liver"), NewObject(2, "object 3")])
    assert state.free_name("liver") == "liver (2)"
    assert NewObject(3).apply(state).object(3).name == "object 3 (2)"
    assert NewObject(3, "liver").apply(state).object(3).name == "liver"
