"""A file of prompts that is damaged, or of another scan, is refused and changes nothing."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from ball_and_slab import BALL
from brightness_model import BrightnessModel
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.errors import SaveError, SessionError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session, read_prompts
from napari_fastsam3d.session.history import replay

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
    ["", "{", "[]", "3", "null", WHOLE.read_text(encoding="utf-8")[:-40]],
    ids=["empty", "cut at once", "list", "number", "null", "cut late"],
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
