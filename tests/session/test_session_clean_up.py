"""Cleaning up in a session: steps of the log like any other, that obey what edits obey."""

import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, SLAB, ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.geometry.clean_up import OPERATIONS
from napari_fastsam3d.session import Edit, Mask, Session, read_prompts


def block(start, stop) -> Mask:
    box = Box(start, stop)
    return Mask.of(box, np.ones(box.shape, dtype=bool))


@pytest.fixture
def drawn(session):
    """Two objects: a block with a hole, an island and drawn slices, and a block beside it."""
    first = block((10, 10, 10), (20, 20, 20)).without(block((14, 14, 14), (16, 16, 16)))
    for part in (((30, 10, 10), (31, 12, 11)), ((10, 10, 25), (20, 20, 26))):
        first = first.union(block(*part))
    session.add_mask(first, "first")
    session.add_mask(block((20, 10, 10), (26, 20, 20)), "second")
    session.select_object(1)
    return session


AMOUNTS = {"islands": 0.05, "smooth": 3.0, "grow": 4.0, "shrink": 2.0}


@pytest.mark.parametrize("kind", OPERATIONS)
def test_each_is_one_step_that_can_be_undone_redone_saved_and_deleted(drawn, kind, tmp_path):
    before, steps = drawn.mask(), len(drawn.history.entries)
    result = drawn.clean_up(kind, AMOUNTS.get(kind))
    after = drawn.mask()
    assert (before ^ after).any()
    assert result.box == Box.of_mask(before ^ after)
    assert len(drawn.history.entries) == steps + 1
    entry = drawn.history.entries[-1]
    said = entry.action.describe(drawn.history.entries[-2].state, entry.state)
    assert said == f"{OPERATIONS[kind].done} first"
    prompts = drawn.save_prompts(tmp_path / "prompts.json")
    with Session(drawn.volume, model=BrightnessModel()) as again:
        again.load_prompts(prompts)
        assert np.array_equal(again.mask(1), after)
        assert again.state.objects == drawn.state.objects
    drawn.undo()
    assert np.array_equal(drawn.mask(), before)
    drawn.redo()
    assert np.array_equal(drawn.mask(), after)
    drawn.delete_prompt(drawn.state.object(1).prompts[-1].id)
    assert np.array_equal(drawn.mask(), before)
    assert np.array_equal(drawn.mask(2), block((20, 10, 10), (26, 20, 20)).volume(SHAPE))


def test_a_session_goes_on_with_what_was_cleaned_up(tmp_path):
    with Session(ball_and_slab(), model=BrightnessModel(), journal=tmp_path) as session:
        session.add_mask(block((10, 10, 10), (20, 20, 20)), "one")
        session.add_mask(block((30, 10, 10), (40, 20, 20)), "two")
        session.clean_up("shrink", 2.0)
        session.clean_up("grow", 4.0, everything=True)
        masks = session.label_map()
        state = session.state
    with Session(ball_and_slab(), model=BrightnessModel(), journal=tmp_path) as session:
        assert session.state == state
        assert np.array_equal(session.label_map(), masks)
        session.undo()
        session.undo()
        assert np.array_equal(session.mask(2), block((30, 10, 10), (40, 20, 20)).volume(SHAPE))


def test_all_objects_are_one_step_and_locked_ones_stay(drawn):
    drawn.add_mask(block((40, 10, 10), (44, 20, 20)), "locked")
    drawn.lock_object(3)
    drawn.select_object(2)
    before, steps = drawn.label_map(), len(drawn.history.entries)
    result = drawn.clean_up("shrink", 2.0, everything=True)
    after = drawn.label_map()
    assert len(drawn.history.entries) == steps + 1
    assert drawn.state.current == 2
    assert np.array_equal(after == 3, before == 3)
    for number in (1, 2):
        assert np.count_nonzero(after == number) < np.count_nonzero(before == number)
    assert result.box == Box.of_mask(before != after)
    entry = drawn.history.entries[-1]
    assert entry.action.describe(drawn.history.entries[-2].state, entry.state) == "Shrank 2 objects"
    drawn.undo()
    assert np.array_equal(drawn.label_map(), before)
    drawn.redo()
    assert np.array_equal(drawn.label_map(), after)


def test_other_objects_keep_their_voxels_by_the_rule(drawn):
    drawn.clean_up("grow", 4.0)
    assert not (drawn.mask(1) & drawn.mask(2)).any()
    drawn.undo()
    drawn.set_overlap("overwrite")
    drawn.clean_up("grow", 4.0, 2)
    assert drawn.mask(2)[18, 15, 15]
    drawn.undo()
    drawn.lock_object(1)
    drawn.clean_up("grow", 4.0, 2)
    assert not drawn.mask(2)[18, 15, 15]
    with pytest.raises(SessionError, match="locked"):
        drawn.clean_up("holes", number=1)


def test_clicks_and_frozen_regions_are_obeyed(session):
    session.add_point(BALL)
    session.add_point((20, 25, 30), positive=False)
    rim = tuple(int(x) for x in np.argwhere(session.mask()).max(axis=0) * (1, 0, 0))
    at = tuple(int(x) for x in np.argwhere(session.mask()[rim[0]])[0])
    session.add_point((rim[0], *at))
    session.freeze_region((14, 15, 10), (20, 20, 30))
    before = session.mask()
    for kind in ("shrink", "grow"):
        session.clean_up(kind, 6.0)
        after = session.mask()
        assert (after ^ before).any()
        assert after[BALL]
        assert after[(rim[0], *at)]
        assert not after[20, 25, 30]
        assert np.array_equal(after[14:20, 15:20, 10:30], before[14:20, 15:20, 10:30])
        session.undo()


def test_it_outlasts_later_clicks_but_not_around_them(session):
    session.add_point(SLAB)
    session.edit_mask(removed=block((44, 38, 34), (46, 40, 35)))
    first = int(np.flatnonzero(session.mask()[:, 25, 20])[0])
    session.clean_up("shrink", 2.0)
    assert not session.mask()[first].any()
    session.add_point((44, 40, 34))
    clicked = session.mask()
    assert clicked[first, 40, 34]  # around the click the model is free
    assert not clicked[first, 10, 10]  # far from it the mask is as it was made
    assert not clicked[44, 38, 34]  # what a hand erased is no clean-up


def test_where_nothing_changes_there_is_no_step(session):
    session.add_mask(block((10, 10, 10), (20, 20, 20)))
    steps = session.history.entries
    result = session.clean_up("holes")
    assert session.history.entries == steps
    assert result.notes == ("Nothing had to be cleaned up.",)
    assert result.box.is_empty


def test_what_makes_no_sense_is_refused_and_leaves_the_log_alone(session):
    with pytest.raises(SessionError, match="no object"):
        session.clean_up("holes")
    with pytest.raises(SessionError, match="nothing to clean up"):
        session.clean_up("holes", everything=True)
    session.add_mask(block((10, 10, 10), (12, 12, 12)))
    steps = session.history.entries
    with pytest.raises(SessionError, match="Nothing would be left"):
        session.clean_up("shrink", 9.0)
    with pytest.raises(PromptError, match="no way to clean up"):
        session.clean_up("polish")
    with pytest.raises(PromptError, match="amount"):
        session.clean_up("smooth", -1)
    assert session.history.entries == steps
    session.wait()


def test_it_waits_for_the_click_before_it(session):
    click = session.futures.add_point(BALL)
    shrink = session.futures.clean_up("shrink", 2.0)
    later = session.futures.add_point((20, 29, 20))
    session.wait()
    assert shrink.result().object == 1
    assert all(future.done() for future in (click, later))
    assert isinstance(session.state.object(1).prompts[-1], Edit)
    assert len(session.state.object(1).prompts) == 3


def test_its_prompts_are_read_from_a_file_as_they_were_written(drawn, tmp_path):
    drawn.clean_up("smooth", 2.5)
    edit = drawn.state.object(1).prompts[-1]
    found = read_prompts(drawn.save_prompts(tmp_path / "prompts.json"))
    assert edit in [getattr(action, "prompt", None) for action in found.actions]
    assert (edit.by.kind, edit.by.amount) == ("smooth", 2.5)
