"""What a session tells of a click, and what it keeps from clicks."""

import numpy as np
import pytest
from ball_and_slab import BALL, NOTHING, SHAPE, SLAB
from brightness_model import BrightnessModel
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.inference.air import Air
from napari_fastsam3d.session import Freeze, Mask, Session
from napari_fastsam3d.session.change import Change

voxels = st.tuples(*(st.integers(0, n - 1) for n in SHAPE))


def held(session: Session, lock: bool = False) -> Session:
    """Give the ball to a first object, all of it and more to a second one that clicks there."""
    session.add_point(BALL)
    if lock:
        session.lock_object()
    session.new_object("other")
    return session


def test_who_keeps_a_clicked_voxel_is_told(session):
    held(session)
    result = session.add_point(BALL)
    assert result.holder == 1
    assert result.notes == ("The voxel clicked belongs to object 1, which keeps it.",)
    assert not session.region().contains(BALL)
    assert sum(result.change.millilitres) == 0  # what is seen didn't change
    assert session.add_point(SLAB).holder is None


def test_the_clicked_object_takes_over_what_both_claim_there_and_nothing_else(session):
    held(session)
    session.add_point(BALL)
    before, first = session.label_map(), session.region(1)
    result = session.take_over(BALL)
    assert (result.object, session.state.current) == (1, 2)
    assert session.region(2).contains(BALL)
    assert np.array_equal(session.label_map() > 0, before > 0)
    assert session.region(1).union(session.region(2)).equals(first)
    session.undo()
    assert np.array_equal(session.label_map(), before)


def test_what_was_taken_stays_with_whom_it_was_given(session, tmp_path):
    held(session)
    session.add_point(BALL)
    session.take_over(BALL)
    session.select_object(1)
    session.add_point((20, 25, 24))
    assert session.region(2).contains(BALL)
    labels = session.label_map()
    session.save_prompts(tmp_path / "both.json")
    with Session(session.volume, model=BrightnessModel()) as again:
        again.load_prompts(tmp_path / "both.json")
        assert np.array_equal(again.label_map(), labels)


def test_a_locked_object_is_unlocked_before_anything_is_taken_from_it(session):
    held(session, lock=True)
    assert session.add_point(BALL).holder == 1
    with pytest.raises(SessionError, match="object 1 is locked"):
        session.take_over(BALL)
    session.unlock_object(1)
    session.select_object(2)
    session.take_over(BALL)
    assert session.region(2).contains(BALL)


def test_nothing_is_taken_where_nobody_holds_it(session):
    session.add_point(BALL)
    for place in (BALL, NOTHING):
        with pytest.raises(SessionError, match="No other object keeps"):
            session.take_over(place)


@given(
    clicks=st.lists(st.tuples(voxels, st.booleans()), min_size=1, max_size=3),
    later=st.lists(st.tuples(voxels, st.booleans()), min_size=1, max_size=3),
    corners=st.tuples(voxels, voxels),
)
@settings(max_examples=25)
def test_a_frozen_region_stays_as_it_is_but_for_the_voxels_that_are_clicked(
    volume, clicks, later, corners
):
    box = Box.around_points(corners)
    with Session(volume, model=BrightnessModel()) as session:
        for index, positive in clicks:
            session.add_point(index, positive)
        before = session.mask()
        session.freeze_region(box.start, box.stop)
        assert np.array_equal(session.mask(), before)
        for index, positive in later:
            session.add_point(index, positive)
            assert session.region().contains(index) == positive or not session.region().box.size
        changed = session.mask() != before
        for index, _ in later:
            changed[index] = False
        assert not changed[box.slices].any()
        frozen = session.state.object(1).prompts[len(clicks)].id
        with_it = session.mask()
        session.delete_prompt(frozen)
        thawed = session.mask()
        session.undo()
        assert np.array_equal(session.mask(), with_it)
    with Session(volume, model=BrightnessModel()) as fresh:
        for index, positive in (*clicks, *later):
            fresh.add_point(index, positive)
        assert np.array_equal(fresh.mask(), thawed)


def test_a_frozen_region_is_part_of_the_log_the_journal_and_the_prompt_file(
    volume, model, tmp_path
):
    with Session(volume, model=model, journal=tmp_path) as session:
        session.add_point(SLAB)
        session.freeze_region((30, 0, 0), (60, 50, 20))
        session.add_point((45, 10, 10), positive=False)
        assert session.region().contains((45, 12, 11))  # the model would have cut it away
        assert not session.region().contains((45, 10, 10))
        labels = session.label_map()
        session.save_prompts(tmp_path / "frozen.json")
    with Session(volume, model=model, journal=tmp_path) as resumed:
        assert isinstance(resumed.state.object(1).prompts[1], Freeze)
        resumed.undo()
        resumed.redo()
        assert np.array_equal(resumed.label_map(), labels)
    with Session(volume, model=model) as replayed:
        replayed.load_prompts(tmp_path / "frozen.json")
        assert np.array_equal(replayed.label_map(), labels)
        replayed.move_prompt(2, Box((0, 0, 0), (1, 1, 1)))
        assert not replayed.region().contains((45, 12, 11))


def slab_in(session: Session) -> int:
    """Count the slices of the slab's own part of the mask."""
    return int(session.mask()[44:46, 20:30].any(axis=(0, 1)).sum())


def test_a_click_beyond_a_box_frees_the_mask(session):
    session.add_box((38, 10, 15), (52, 40, 25))
    assert slab_in(session) <= 12
    session.add_point((45, 25, 20))
    assert slab_in(session) <= 12
    session.add_point((45, 25, 33))
    assert slab_in(session) > 20


def test_a_box_whose_depth_is_a_guess_holds_what_was_known_of_the_object(session):
    box = (38, 10, 18), (52, 40, 22)
    session.add_point(SLAB)
    known = slab_in(session)
    assert known > 20
    session.add_box(*box)
    assert slab_in(session) < 10
    session.undo()
    session.add_box(*box, guessed_axis=2)
    assert slab_in(session) >= known - 2
    session.add_point((45, 15, 20))  # a later click is told of the same box
    assert slab_in(session) >= known - 2
    session.delete_prompt(1)  # nothing is known then but what the box holds
    assert slab_in(session) >= known - 2
    session.undo()
    session.move_prompt(2, Box((38, 12, 18), (52, 40, 22)))
    assert session.state.object(1).prompts[1].guessed == 2
    session.move_prompt(2, Box((38, 12, 17), (52, 40, 22)))
    assert session.state.object(1).prompts[1].guessed is None
    assert slab_in(session) < 10


def test_a_guessed_depth_is_part_of_the_journal_and_the_prompt_file(volume, model, tmp_path):
    with Session(volume, model=model, journal=tmp_path) as session:
        session.add_point(SLAB)
        session.add_box((38, 10, 18), (52, 40, 22), guessed_axis=2)
        prompts, labels = session.state.object(1).prompts, session.label_map()
        session.save_prompts(tmp_path / "guessed.json")
        with pytest.raises(PromptError, match="no axis"):
            session.add_box((1, 1, 1), (3, 3, 3), guessed_axis=3)
    with Session(volume, model=model, journal=tmp_path) as resumed:
        assert resumed.state.object(1).prompts == prompts
    with Session(volume, model=model) as replayed:
        replayed.load_prompts(tmp_path / "guessed.json")
        assert replayed.state.object(1).prompts == prompts
        assert np.array_equal(replayed.label_map(), labels)


def test_a_hand_edit_changes_what_is_frozen(session):
    session.add_point(BALL)
    session.freeze_region((0, 0, 0), SHAPE)
    session.edit_mask(removed=Mask.of_indices([BALL]))
    session.add_point(SLAB)
    assert not session.region().contains(BALL)
    assert session.region().contains((20, 25, 22))


def test_a_click_in_a_frozen_region_is_told(session):
    session.add_point(BALL)
    session.freeze_region((0, 0, 0), (30, 50, 40))
    assert not session.add_point(SLAB).notes
    assert "frozen" in session.add_point(NOTHING).notes[-1]


@pytest.mark.parametrize("kind", ["CT", "MR"])
def test_air_is_what_lies_around_the_patient(kind):
    air, body, lung = {"CT": (-1000, 40, -850), "MR": (10, 300, 15)}[kind]
    grid = np.indices((64, 60, 20))
    x, y = grid[0] - 32, grid[1] - 30
    scan = np.where((x / 24) ** 2 + (y / 18) ** 2 <= 1, body, air)
    scan[(x / 8) ** 2 + (y / 8) ** 2 <= 1] = lung
    scan = scan + np.random.default_rng(0).integers(-8, 9, scan.shape)
    held = Air(Volume.from_array(scan.astype(np.int16), spacing=(3, 3, 5)))
    assert held.holds((2, 2, 10))
    assert not held.holds((32, 30, 10))  # lung
    assert not held.holds((32, 16, 10))  # body
    inside = Air(Volume.from_array(scan[14:50, 16:44].astype(np.int16), spacing=(3, 3, 5)))
    assert not any(inside.holds((i, 13, 10)) for i in range(36))


@pytest.mark.parametrize("padding", [-2000, -8192, np.nan])
def test_padding_around_a_field_of_view_is_air(padding):
    x, y = (axis - 31.5 for axis in np.indices((64, 64, 20))[:2])
    scan = np.where((x / 22) ** 2 + (y / 16) ** 2 <= 1, 40.0, -1000)
    scan += np.random.default_rng(0).normal(0, 8, scan.shape)
    scan[(x / 7) ** 2 + (y / 7) ** 2 <= 1] = -850
    scan[x**2 + y**2 > 28**2] = padding
    held = Air(Volume.from_array(scan.astype(np.float32), spacing=(3, 3, 5)))
    assert held.holds((1, 1, 10))  # padding
    assert held.holds((32, 8, 10))  # air in the field of view
    assert not held.holds((32, 18, 10))  # body
    assert not held.holds((32, 32, 10))  # lung


@pytest.mark.parametrize("value", [0, np.nan])
def test_a_scan_of_one_value_shows_no_air(value):
    scan = Volume.from_array(np.full((9, 8, 7), value, np.float32))
    assert not Air(scan).holds((0, 0, 0))


def test_a_click_in_the_air_is_told(model):
    scan = np.full((40, 40, 20), -1000, np.int16)
    scan[8:32, 8:32] = 40
    with Session(Volume.from_array(scan, spacing=(3, 3, 3)), model=model) as session:
        result = session.add_point((2, 2, 10))
        assert (result.in_air, result.notes) == (True, (AIR,))
        assert not session.add_point((20, 20, 10)).in_air
        assert not session.add_point((2, 2, 10), positive=False).in_air


AIR = "The click lies in the air around the patient."

masks = st.lists(voxels, max_size=12).map(Mask.of_indices)


@given(before=masks, after=masks, place=voxels, reach=st.floats(0, 120), axis=st.integers(0, 2))
def test_a_change_is_told_in_full(volume, before, after, place, reach, axis):
    change = Change.between(before, after, volume)
    old, new = before.volume(SHAPE), after.volume(SHAPE)
    added, removed = np.count_nonzero(new & ~old), np.count_nonzero(old & ~new)
    assert change.millilitres == pytest.approx((added * 0.008, removed * 0.008))
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(np.indices(SHAPE), place, strict=True)) * 4)
    far = change.far_from(Box.around_points([place]), reach)
    assert np.array_equal(far.added.volume(SHAPE), new & ~old & (distance > reach))
    assert np.array_equal(far.removed.volume(SHAPE), old & ~new & (distance > reach))
    slices = [n for first, last in change.runs(axis) for n in range(first, last + 1)]
    others = tuple(other for other in range(3) if other != axis)
    counts = (old != new).sum(axis=others)
    assert sorted(slices) == np.flatnonzero(counts).tolist()
    for run in change.runs(axis):
        assert counts[change.busiest(run, axis)] == counts[run[0] : run[1] + 1].max()


def test_the_result_of_a_click_tells_what_it_changed(session):
    first = session.add_point(BALL)
    assert first.change.removed.is_empty
    assert first.change.added.equals(session.region())
    before = session.region()
    second = session.add_point(NOTHING, positive=False)
    assert second.change.added.equals(session.region().without(before))
    assert session.undo().change is None or session.region().equals(before)
