import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import BoxPrompt, Point
from napari_fastsam3d.session import actions
from napari_fastsam3d.session.codec import action_from_json, action_to_json

ids = st.integers(1, 2**40)
voxels = st.tuples(*[st.integers(0, 5000)] * 3)
boxes = st.builds(Box, voxels, voxels)
prompts = st.builds(Point, ids, voxels, st.booleans()) | st.builds(BoxPrompt, ids, boxes)
any_action = st.one_of(
    st.builds(actions.AddPrompt, ids, prompts),
    st.builds(actions.MovePrompt, ids, ids, voxels | boxes),
    st.builds(actions.FlipPrompt, ids, ids),
    st.builds(actions.DeletePrompt, ids, ids),
    st.builds(actions.NewObject, ids, st.none() | st.text()),
    st.builds(actions.SelectObject, ids),
    st.builds(actions.RenameObject, ids, st.text()),
    st.builds(actions.RemoveObject, ids),
    st.builds(actions.ResetObject, ids),
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
