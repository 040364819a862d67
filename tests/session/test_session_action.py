import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Scribble,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter
from napari_fastsam3d.session.codec import action_from_json, action_to_json
from napari_fastsam3d.session.object_actions import (
    AcceptObject,
    LockObject,
    NewObject,
    RecolourObject,
    RemoveObject,
    RenameObject,
    RevalueObject,
    SelectObject,
    SetOverlap,
    SetRecall,
    UnlockObject,
)
from napari_fastsam3d.session.prompt_actions import (
    AddAutomatic,
    AddPrompt,
    CleanUpObjects,
    DeletePrompt,
    FindStructure,
    FlipPrompt,
    MovePrompt,
    ResetObject,
)
from napari_fastsam3d.session.state import Action, OwnPrompt, SessionState

ids = st.integers(1, 2**40)
voxels = st.tuples(*[st.integers(0, 5000)] * 3)
boxes = st.builds(Box, voxels, voxels)
blocks = st.builds(
    lambda at, n: Mask.of_indices([at, (at[0] + n, *at[1:])]), voxels, st.integers(0, 9)
)
masks = st.builds(PackedMask.of, blocks)
mask_prompts = st.builds(MaskPrompt, ids, masks)
amounts = st.floats(0.01, 1e3)  # as far as clean-ups go
clean_ups = st.one_of(
    st.none(),
    st.builds(CleanUp, st.sampled_from(["islands", "smooth", "grow", "shrink"]), amounts),
    st.builds(CleanUp, st.sampled_from(["connected", "holes", "interpolate"])),
)
prompts = st.one_of(
    st.builds(Point, ids, voxels, st.booleans()),
    st.builds(BoxPrompt, ids, boxes, st.sampled_from([None, 0, 1, 2])),
    st.builds(Freeze, ids, boxes),
    st.builds(Choice, ids, st.integers(0, 3)),
    st.builds(Edit, ids, masks, masks, clean_ups),
    st.builds(Scribble, ids, masks, st.booleans(), st.booleans()),
    mask_prompts,
)
colours = st.tuples(*[st.floats(0, 1)] * 3)
any_action = st.one_of(
    st.builds(AddPrompt, ids, prompts),
    st.builds(CleanUpObjects, ids, st.lists(st.builds(OwnPrompt, ids, prompts)).map(tuple)),
    st.builds(MovePrompt, ids, ids, voxels | boxes),
    st.builds(FlipPrompt, ids, ids),
    st.builds(DeletePrompt, ids, ids),
    st.builds(NewObject, ids, st.none() | st.text(), st.none() | ids, st.none() | mask_prompts),
    st.builds(SelectObject, ids),
    st.builds(RenameObject, ids, st.text()),
    st.builds(RemoveObject, ids),
    st.builds(ResetObject, ids),
    st.builds(RecolourObject, ids, colours),
    st.builds(RevalueObject, ids, ids),
    st.builds(LockObject, ids, masks),
    st.builds(AcceptObject, ids, masks),
    st.builds(UnlockObject, ids),
    st.builds(SetOverlap, st.sampled_from(["keep", "overwrite", "share"])),
)


@given(any_action)
def test_every_action_comes_back_from_json_as_it_was(action):
    written = json.dumps(action_to_json(action))
    assert action_from_json(json.loads(written)) == action


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"do": "explode", "object": 1},
        {"do": "add_prompt", "object": 1},
        {"do": "add_prompt", "object": 1, "prompt": 3},
        {"do": "add_prompt", "object": 1, "prompt": {"id": 1, "point": [1, 2], "positive": True}},
        {"do": "add_prompt", "object": 1, "prompt": {"id": 1, "point": [1, 2, 3], "positive": 1}},
        {"do": "add_prompt", "object": 1, "prompt": {"id": 1, "box": [[1, 2, 3]]}},
        {"do": "add_prompt", "object": "1", "prompt": {"id": 1, "point": [1, 2, 3]}},
        {"do": "move_prompt", "object": 1, "prompt": 1, "to": [1.0, 2, 3]},
        {"do": "move_prompt", "object": 1, "prompt": 1, "to": 5},
        {"do": "flip_prompt", "object": True, "prompt": 1},
        {"do": "rename_object", "object": 1, "name": None},
        {"do": "new_object", "object": 1, "name": 5},
        {"do": ["new_object"], "object": 1, "name": "liver"},
    ],
)
def test_damaged_data_are_refused_in_words(data):
    with pytest.raises(SessionError, match="no action"):
        action_from_json(data)


FIRST, SECOND, THIRD = (5, 6, 7), (12, 14, 10), (18, 20, 12)
SPOT = PackedMask.of(Mask.of_indices([FIRST]))
TWO = tuple(
    OwnPrompt(number, Edit(prompt, SPOT, PackedMask(), CleanUp("holes")))
    for number, prompt in ((2, 11), (1, 12))
)
DESCRIBED: list[tuple[Action, str]] = [
    (AddPrompt(1, Point(1, FIRST)), "Point in object 1"),
    (AddPrompt(1, Point(2, FIRST, False)), "Excluding point for object 1"),
    (RenameObject(1, "liver"), "Renamed object 1 to liver"),
    (AddPrompt(1, BoxPrompt(3, Box(FIRST, SECOND))), "Box round liver"),
    (AddPrompt(1, Edit(4, SPOT, PackedMask())), "Painted liver"),
    (AddPrompt(1, Edit(5, PackedMask(), SPOT)), "Erased from liver"),
    (AddPrompt(1, Edit(6, SPOT, SPOT)), "Painted and erased liver"),
    (MovePrompt(1, 1, SECOND), "Moved point of liver"),
    (MovePrompt(1, 3, Box(SECOND, THIRD)), "Moved box of liver"),
    (FlipPrompt(1, 1), "Flipped point of liver to exclude"),
    (FlipPrompt(1, 1), "Flipped point of liver to include"),
    (DeletePrompt(1, 4), "Deleted stroke of liver"),
    (RecolourObject(1, (1, 0, 0)), "Another colour for liver"),
    (RevalueObject(1, 9), "Label value 9 for liver"),
    (LockObject(1, SPOT), "Locked liver"),
    (UnlockObject(1), "Unlocked liver"),
    (AcceptObject(1, SPOT), "Accepted liver"),
    (NewObject(2, "spleen"), "Begun spleen"),
    (AddPrompt(2, MaskPrompt(7, SPOT)), "Mask opened for spleen"),
    (DeletePrompt(2, 7), "Deleted mask of spleen"),
    (NewObject(3, "rib", None, MaskPrompt(8, SPOT)), "Mask opened as rib"),
    (SelectObject(2), "Chose spleen"),
    (ResetObject(3), "Reset rib"),
    (RemoveObject(3), "Removed rib"),
    (AddPrompt(2, Freeze(9, Box(FIRST, SECOND))), "Froze a region of spleen"),
    (MovePrompt(2, 9, Box(SECOND, THIRD)), "Moved frozen region of spleen"),
    (SetOverlap("share"), "Overlap: both hold it"),
    (AddPrompt(2, Edit(10, SPOT, SPOT, CleanUp("smooth", 2.0))), "Smoothed spleen"),
    (DeletePrompt(2, 10), "Deleted clean-up of spleen"),
    (UnlockObject(1), "Unlocked liver"),
    (CleanUpObjects(2, TWO), "Filled holes of 2 objects"),
    (AddPrompt(2, Scribble(13, SPOT)), "Scribble in spleen"),
    (FlipPrompt(2, 13), "Flipped scribble of spleen to exclude"),
    (AddPrompt(2, Scribble(14, SPOT, False, True)), "Excluding lasso for spleen"),
    (SetRecall(2, FromMemory("reader", "spleen")), "Memory on for spleen"),
    (SetRecall(2, FromMemory("published")), "Memory on for spleen (published)"),
    (SetRecall(2, None), "Memory off for spleen"),
    (FindStructure(4, FindPrompt(90, "aorta", 3)), "Looked for aorta"),
    (
        AddAutomatic(5, "pancreas", MaskPrompt(91, SPOT), WithAdapter("pancreas", "0123abcd")),
        "Segmented automatically pancreas",
    ),
]


def test_every_action_is_described():
    state = SessionState()
    for action, description in DESCRIBED:
        after = action.apply(state)
        assert action.describe(state, after) == description
        state = after
    assert {type(action) for action, _ in DESCRIBED} == set(Action.kinds.values())


def test_with_a_click_go_the_choices_among_its_candidates_and_no_others():
    state = SessionState()
    clicks = [Point(1, (1, 1, 1)), Choice(2, 0), Choice(3, 1), Point(4, (2, 2, 2)), Choice(5, 2)]
    for prompt in clicks:
        state = AddPrompt(1, prompt).apply(state)

    def left(gone: int) -> list[int]:
        return [p.id for p in DeletePrompt(1, gone).apply(state).object(1).prompts]

    assert left(1) == [4, 5]
    assert left(2) == [1, 3, 4, 5]
    assert left(4) == [1, 2, 3]
