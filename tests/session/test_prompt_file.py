"""A file of prompts that is damaged, or of another scan, is refused and changes nothing."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, ball_and_slab
from brightness_model import BrightnessModel
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from napari_fastsam3d.errors import SaveError, SessionError
from napari_fastsam3d.geometry import Box, Volume
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
from napari_fastsam3d.session import Session, read_prompts
from napari_fastsam3d.session.history import replay
from napari_fastsam3d.session.object_actions import (
    AcceptObject,
    LockObject,
    NewObject,
    SetOverlap,
)
from napari_fastsam3d.session.prompt_actions import AddPrompt
from napari_fastsam3d.session.prompt_file import PromptFile, save_prompts
from napari_fastsam3d.session.recollections import Recollections
from napari_fastsam3d.session.state import SessionState

WHOLE = Path(__file__).resolve().parents[1] / "data" / "rich_session" / "prompts.json"
DATA = json.loads(WHOLE.read_text(encoding="utf-8"))
# What may be missing or anything: said for other readers only, or for people.
FREE = {"program", "labels", "world", "shape", "affine", "device"}


def places(value, here=()):
    """Every place in the file that is read, as the keys that lead to it."""
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        if key not in FREE:
            yield (*here, key)
            yield from places(value[key], (*here, key))


PLACES = sorted(places(DATA), key=str)
NAMES = [each["name"] for each in DATA["objects"]]


def damaged(place, put):
    """The file with something else in one place."""
    data = deepcopy(DATA)
    inside = data
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = put
    return data


def written(folder: Path, data) -> Path:
    path = folder / "damaged.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


@given(st.sampled_from(PLACES), st.sampled_from([{}, [], [[[]]], -1.5, True, "?", {"id": 1}]))
def test_whatever_one_place_holds_there_is_one_kind_of_error(tmp_path_factory, place, put):
    path = written(tmp_path_factory.mktemp("prompts"), damaged(place, put))
    problem = None
    try:
        found = read_prompts(path)
    except SessionError as error:
        problem = error.problem
    if problem is None:
        assert {each.name for each in replay(found.actions).objects} <= {*NAMES, str(put)}
    else:
        assert problem == "damaged.json is no whole file of prompts."


@pytest.mark.parametrize("place", [p for p in PLACES if p[0] == "objects" and "prompts" in p[2:]])
def test_no_prompt_is_left_out_in_silence(tmp_path, place):
    if place[-1] == "guessed":
        return
    with pytest.raises(SessionError, match="no whole file"):
        read_prompts(written(tmp_path, damaged(place, None)))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", WHOLE.read_text(encoding="utf-8")[:-40], "[" * 10**5],
    ids=["empty", "cut at once", "list", "number", "null", "cut late", "nested deeply"],
)
def test_what_is_no_such_file_is_refused(tmp_path, text):
    with pytest.raises(SessionError, match="no whole file of prompts"):
        read_prompts(written(tmp_path, text))


def test_a_file_of_a_later_version_is_refused(tmp_path):
    with pytest.raises(SessionError, match="by a newer version of this program"):
        read_prompts(written(tmp_path, damaged(("version",), DATA["version"] + 1)))


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(SessionError, match="cannot be read"):
        read_prompts(tmp_path / "absent.json")


def test_prompts_of_another_scan_are_refused_by_name(model: BrightnessModel):
    other = Volume.from_array(np.zeros((8, 8, 8), dtype=np.int16), name="another")
    with Session(other, model=model) as session:
        with pytest.raises(SessionError, match=r"ball and slab.*another"):
            session.load_prompts(WHOLE)
        assert not session.history.entries


def test_prompts_are_loaded_into_an_untouched_session_only(session):
    session.add_point(BALL)
    history = session.history
    with pytest.raises(SessionError, match="untouched"):
        session.load_prompts(WHOLE)
    assert session.history == history


def test_a_file_of_prompts_has_its_ending_or_is_not_written(session, tmp_path):
    session.add_point(BALL)
    with pytest.raises(SaveError, match=r"\.json"):
        session.save_prompts(tmp_path / "prompts.txt")
    assert list(tmp_path.iterdir()) == []


def test_undoing_what_was_loaded_step_by_step_ends_in_an_empty_session(session):
    found = session.load_prompts(WHOLE)
    assert found.model == DATA["model"]["name"]
    assert len(session.history.entries) == len(found.actions)
    while session.can_undo:
        session.undo()
    assert session.state.objects == ()
    assert not session.label_map().any()


SPOT = PackedMask.of(Mask.of_indices([(1, 2, 3)]))
BEYOND = PackedMask.of(Mask.of_indices([(1, 2, SHAPE[2])]))
LAST = tuple(n - 1 for n in SHAPE)


def wandering(actions) -> PromptFile:
    """A file of prompts of the scan of the tests, that says to do these things."""
    scan_hash = ball_and_slab().content_hash
    return PromptFile(Path("x.json"), tuple(actions), "ball and slab", scan_hash, None, None)


@pytest.mark.parametrize(
    "action",
    [
        AddPrompt(1, Point(1, (-1, 2, 3))),
        AddPrompt(1, Point(1, (1, SHAPE[1], 3))),
        AddPrompt(1, Point(1, (10**30, 2, 3))),
        AddPrompt(1, BoxPrompt(1, Box((-1, 0, 0), (5, 5, 5)))),
        AddPrompt(1, BoxPrompt(1, Box((0, 0, 0), (*SHAPE[:2], SHAPE[2] + 1)))),
        AddPrompt(1, BoxPrompt(1, Box((5, 5, 5), (5, 9, 9)))),
        AddPrompt(1, Freeze(1, Box((5, 5, 5), (4, 9, 9)))),
        AddPrompt(1, Edit(1, BEYOND, PackedMask())),
        AddPrompt(1, Edit(1, SPOT, BEYOND)),
        AddPrompt(1, MaskPrompt(1, BEYOND)),
        AddPrompt(1, Scribble(1, BEYOND)),
        LockObject(1, BEYOND),
        AcceptObject(1, BEYOND),
    ],
    ids=str,
)
def test_what_lies_outside_the_scan_is_never_taken_for_a_voxel_of_it(volume, action):
    with pytest.raises(SessionError, match=r"of x\.json lies outside the scan"):
        wandering([NewObject(1), action]).check_scan(volume)


def test_the_outermost_voxels_and_empty_masks_lie_in_the_scan(volume):
    actions = [
        AddPrompt(1, Point(1, LAST)),
        AddPrompt(1, Point(2, (0, 0, 0))),
        AddPrompt(1, BoxPrompt(3, Box((0, 0, 0), SHAPE))),
        AddPrompt(1, Edit(4, PackedMask(), PackedMask.of(Mask.of_indices([LAST])))),
        AddPrompt(1, FindPrompt(5, "liver", 1)),
        LockObject(1, PackedMask()),
    ]
    wandering(actions).check_scan(volume)


def test_a_file_with_a_prompt_outside_changes_nothing(session, tmp_path):
    path = written(tmp_path, damaged(("objects", 0, "prompts", 0, "point"), [-1, 2, 3]))
    with pytest.raises(SessionError, match="outside the scan"):
        session.load_prompts(path)
    assert not session.history.entries
    session.load_prompts(WHOLE)


def rich_states():
    """States with all that a file of prompts keeps, in no order that a user would think of."""
    indices = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])
    boxes = st.builds(lambda a, b: Box.around_points([a, b]), indices, indices)
    spots = st.lists(indices, max_size=4).map(lambda found: PackedMask.of(Mask.of_indices(found)))
    some = spots.filter(lambda mask: not mask.is_empty)
    prompts = st.one_of(
        st.builds(Point, st.just(0), indices, st.booleans()),
        st.builds(BoxPrompt, st.just(0), boxes, st.sampled_from([None, 0, 1, 2])),
        st.builds(Freeze, st.just(0), boxes),
        st.builds(Edit, st.just(0), some, spots, st.sampled_from([None, CleanUp("grow", 2.0)])),
        st.builds(Scribble, st.just(0), some, st.booleans(), st.booleans()),
        st.builds(Choice, st.just(0), st.integers(0, 2)),
    )
    steps = st.lists(st.tuples(st.integers(1, 3), prompts), max_size=8)
    ways = [None, FromMemory("prior", "liver", ("a case",)), FromMemory("reader")]
    adapters = st.sampled_from([None, WithAdapter("liver", "0" * 8)])
    locks = st.lists(st.sampled_from([None, (SPOT, False), (PackedMask(), True)]), max_size=3)
    rules = st.sampled_from(["keep", "overwrite", "share"])
    return st.builds(rich_state, steps, st.sampled_from(ways), adapters, locks, rules)


def rich_state(steps, recall, adapter, locks, rule) -> SessionState:
    state = replay(
        [NewObject(n, f"Lappen {n} äöü", 300 - n, None, (0.1 * n, 0, 1)) for n in (1, 2, 5)]
    )
    for which, prompt in steps:
        number = state.objects[which - 1].id
        numbered = replace(prompt, id=state.next_prompt + which)
        state = AddPrompt(number, numbered, recall, adapter).apply(state)
    state = SetOverlap(rule).apply(state)
    for each, lock in zip(state.objects, locks, strict=False):
        if lock is not None:
            mask, accepted = lock
            state = (AcceptObject if accepted else LockObject)(each.id, mask).apply(state)
    return state


@settings(max_examples=40)
@given(rich_states())
def test_whatever_is_written_is_read_as_it_was(tmp_path_factory, volume, state):
    path = tmp_path_factory.mktemp("state") / "prompts.json"
    model = BrightnessModel()
    save_prompts(path, state, volume, model, Recollections())
    found = read_prompts(path)
    found.check_scan(volume)
    read = replay(found.actions)
    assert read.objects == state.objects
    assert read.overlap == state.overlap
    assert (found.scan, found.scan_hash) == (volume.name, volume.content_hash)
    assert (found.model, found.fingerprint) == (model.name, model.fingerprint)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert told["labels"] == {str(each.value): each.name for each in state.objects}
    affine = np.array(told["scan"]["affine"])
    for each in (p for own in told["objects"] for p in own["prompts"] if "world" in p):
        voxels = np.array(each.get("point") or each.get("box") or each.get("freeze"))
        corners = voxels if "point" in each else voxels - 0.5
        assert np.allclose(each["world"], apply_affine(affine, corners))


def test_without_a_model_a_file_names_none(volume, tmp_path):
    path = save_prompts(tmp_path / "X.JSON", SessionState(), volume, None, Recollections())
    found = read_prompts(path)
    assert (found.model, found.fingerprint, found.actions, found.recalled) == (None, None, (), ())
