from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from brightness_model import BrightnessModel
from feature_model import FeatureModel, scan

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.session import Session

CLICK = (21, 24, 20)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[MemoryBank]:
    with MemoryBank(tmp_path) as bank:
        yield bank


def opened(bank: MemoryBank | None, centre=(20, 25, 20), seed: int = 0) -> Session:
    volume, _ = scan(centre, seed)
    return Session(volume, model=FeatureModel(size=64), memory=bank)


def accept_elsewhere(bank: MemoryBank, name: str = "ball", first: int = 1) -> None:
    """Segment, name and accept the balls of two other scans."""
    for seed, centre in enumerate(((25, 20, 18), (22, 22, 18)), start=first):
        with opened(bank, centre, seed) as session:
            session.new_object(name)
            session.add_point(centre)
            session.accept_object()


def click(session: Session):
    return session.add_point(CLICK)


def test_an_accepted_object_is_recalled_on_the_next_scan(bank: MemoryBank):
    accept_elsewhere(bank)

    with opened(bank) as session:
        result = session.add_point(CLICK)

    assert [(entry.name, entry.clicks) for entry in bank.list()] == [("ball", 1)] * 2
    assert {each.entry.id for each in result.recalled} == {entry.id for entry in bank.list()}


def test_nothing_is_recalled_on_the_same_scan(bank: MemoryBank):
    accept_elsewhere(bank)
    first = bank.list()[0]
    with opened(bank, (25, 20, 18), seed=1) as session:
        recalled = session.add_point((25, 20, 18)).recalled
    assert first.id not in {each.entry.id for each in recalled}


def test_the_name_of_an_object_tells_what_to_recall(bank: MemoryBank):
    accept_elsewhere(bank, "tumour")
    accept_elsewhere(bank, "cyst")
    with opened(bank) as session:
        session.new_object("Cyst")
        recalled = session.add_point(CLICK).recalled
    assert [each.entry.name for each in recalled] == ["cyst"] * 2


LINE = [(x, 24, 20) for x in range(17, 25)]
OUTLINE = [(21, 16), (29, 16), (29, 24), (21, 24)]


@pytest.mark.parametrize(
    "begin",
    [
        lambda session: session.add_scribble(LINE),
        lambda session: session.add_lasso((0, 20), OUTLINE),
        lambda session: [session.add_scribble(np.add(LINE, (25, 0, 0)), False), click(session)][1],
        lambda session: [session.freeze_region((0, 0, 0), (3, 3, 3)), click(session)][1],
        lambda session: [session.add_point((50, 25, 20), False), click(session)][1],
    ],
    ids=["scribble", "lasso", "excluding scribble", "frozen region", "excluding click"],
)
def test_an_object_is_recalled_whatever_it_was_begun_with(bank: MemoryBank, begin):
    accept_elsewhere(bank)
    with opened(bank) as session:
        result = begin(session)
        assert session.state.objects[0].recall is not None
        assert {each.entry.id for each in result.recalled} == {each.id for each in bank.list()}
        drawn = session.mask()
        session.undo()
        session.redo()
        np.testing.assert_array_equal(session.mask(), drawn)


def test_undo_and_redo_give_the_same_masks(bank: MemoryBank):
    accept_elsewhere(bank)
    with opened(bank) as session:
        session.add_point(CLICK)
        before = session.mask()
        session.add_point((50, 25, 20))
        session.undo()
        np.testing.assert_array_equal(session.mask(), before)
    with opened(bank) as session:
        session.add_point(CLICK)
        np.testing.assert_array_equal(session.mask(), before)


def test_what_took_many_prompts_is_remembered_on_request_only(bank: MemoryBank):
    told: list[str] = []
    with opened(bank) as session:
        session.noted.connect(told.append)
        session.new_object("ball")
        for number in range(11):
            session.add_point((CLICK[0], CLICK[1], CLICK[2] + number % 4 - 2))
        session.accept_object()
        assert bank.list() == ()
        assert any("11 prompts" in each for each in told)

        assert session.remember().clicks == 11
        assert len(bank.list()) == 1


def test_what_has_no_name_is_not_remembered(bank: MemoryBank):
    told: list[str] = []
    with opened(bank) as session:
        session.noted.connect(told.append)
        session.add_point(CLICK)
        session.accept_object()
        with pytest.raises(SessionError, match="no name"):
            session.remember()
    assert any("no name" in each for each in told)
    assert bank.list() == ()


def test_a_session_without_a_memory_remembers_nothing():
    with opened(None) as session:
        session.add_point(CLICK)
        session.accept_object()
        with pytest.raises(SessionError, match="no memory"):
            session.remember()


def test_an_empty_object_is_not_remembered(bank: MemoryBank):
    with opened(bank) as session:
        session.new_object("nothing")
        with pytest.raises(SessionError, match="empty"):
            session.remember()


def test_a_model_without_features_segments_and_says_so(bank: MemoryBank):
    told: list[str] = []
    accept_elsewhere(bank)
    volume, _ = scan()
    with Session(volume, model=BrightnessModel(), memory=bank) as session:
        session.noted.connect(told.append)
        session.new_object("ball")
        assert session.add_point(CLICK).recalled == ()
        with pytest.raises(SessionError, match="no features"):
            session.remember()
    assert any("no features" in each for each in told)


def test_another_name_changes_no_mask_until_it_is_recalled_again(bank: MemoryBank):
    accept_elsewhere(bank, "tumour")
    accept_elsewhere(bank, "cyst")
    with opened(bank) as session:
        number = session.new_object("tumour").object
        session.add_point(CLICK)
        asked = len(session.predictor.asked)
        session.rename_object(number, "cyst")
        assert len(session.predictor.asked) == asked
        assert {each.name for each in session.recalled()} == {"tumour"}

        session.set_recall("prior")
        assert {each.name for each in session.recalled()} == {"cyst"}
        session.undo()
        assert {each.name for each in session.recalled()} == {"tumour"}


def test_memory_off_is_a_step_that_makes_the_mask_of_the_model_alone(bank: MemoryBank):
    accept_elsewhere(bank)
    with opened(None) as session:
        session.add_point(CLICK)
        plain = session.mask()
    with opened(bank) as session:
        session.add_point(CLICK)
        recalling = session.mask()
        assert session.set_recall(None).recalled == ()
        np.testing.assert_array_equal(session.mask(), plain)
        assert session.recalled() == ()
        session.undo()
        np.testing.assert_array_equal(session.mask(), recalling)
        assert len(session.recalled()) == 2
        session.redo()
        session.new_object()
        assert session.add_point(CLICK).recalled == ()  # and so for objects begun later


def test_a_case_is_left_out_of_one_object(bank: MemoryBank):
    for seed in (3, 4):  # so that two are left
        with opened(bank, (24, 22, 19), seed) as session:
            session.new_object("ball")
            session.add_point((24, 22, 19))
            session.accept_object()
    accept_elsewhere(bank)
    with opened(bank) as session:
        session.add_point(CLICK)
        before = [each.id for each in session.recalled()]
        session.leave_out(before[0])
        assert [each.id for each in session.recalled()] == before[1:]
        session.undo()
        assert [each.id for each in session.recalled()] == before


def test_a_locked_object_keeps_what_it_recalled(bank: MemoryBank):
    accept_elsewhere(bank)
    with opened(bank) as session:
        session.add_point(CLICK)
        session.lock_object()
        steps = session.history.cursor
        session.set_recall(None)
        assert session.history.cursor == steps
        assert len(session.recalled()) == 2
        assert session.recall is None


def test_a_way_that_there_is_not_or_without_a_memory_is_refused(bank: MemoryBank):
    with opened(bank) as session, pytest.raises(SessionError, match="guess"):
        session.set_recall("guess")
    with opened(None) as session, pytest.raises(SessionError, match="no memory"):
        session.set_recall("prior")


def replayed(bank: MemoryBank | None, path: Path) -> tuple[Session, list[str]]:
    told: list[str] = []
    session = opened(bank)
    session.noted.connect(told.append)
    session.load_prompts(path)
    return session, told


def test_a_file_of_prompts_says_what_was_recalled_and_is_replayed_exactly(
    bank: MemoryBank, tmp_path: Path
):
    accept_elsewhere(bank)
    with opened(bank) as session:
        session.add_point(CLICK)
        session.new_object("ball")
        session.add_point((CLICK[0], CLICK[1], CLICK[2] + 1))
        session.rename_object(2, "lump")
        session.save_prompts(tmp_path / "prompts.json")
        masks, recalled = [session.mask(n) for n in (1, 2)], session.recalled(1)
    for seed, centre in enumerate(((21, 23, 18), (24, 21, 19)), start=3):  # likelier ones
        with opened(bank, centre, seed) as session:
            session.new_object("ball")
            session.add_point(centre)
            session.accept_object()

    session, told = replayed(bank, tmp_path / "prompts.json")
    with session:
        for number, mask in enumerate(masks, start=1):
            np.testing.assert_array_equal(session.mask(number), mask)
        assert session.recalled(1) == recalled
        assert told == []


def test_a_replay_without_the_recalled_cases_says_so(bank: MemoryBank, tmp_path: Path):
    accept_elsewhere(bank)
    with opened(bank) as session:
        session.add_point(CLICK)
        session.save_prompts(tmp_path / "prompts.json")
    bank.forget(bank.list()[0].id)

    session, told = replayed(bank, tmp_path / "prompts.json")
    with session:
        assert any("1 of 2 are not in this memory" in each for each in told)
        assert [each.weight for each in session.add_point((50, 25, 20), False).recalled] == [1.0]
    session, told = replayed(None, tmp_path / "prompts.json")
    with session:
        assert any("this session has no memory" in each for each in told)


def test_a_journal_keeps_what_was_recalled(bank: MemoryBank, tmp_path: Path):
    accept_elsewhere(bank)
    volume, _ = scan()

    def begun() -> Session:
        return Session(
            volume, model=FeatureModel(size=64), memory=bank, journal=tmp_path / "sessions"
        )

    with begun() as session:
        session.add_point(CLICK)
        session.undo()
        session.redo()
        recalled, mask = session.recalled(), session.mask()
    accept_elsewhere(bank, first=5)
    with begun() as session:
        assert session.recalled() == recalled
        session.add_point((50, 25, 20), positive=False)
        session.undo()
        session.make_masks_again()
        np.testing.assert_array_equal(session.mask(), mask)
        assert session.recalled() == recalled


def test_clicks_that_contradict_what_was_recalled_refute_it(bank: MemoryBank):
    accept_elsewhere(bank)
    with opened(bank) as session:
        session.add_point(CLICK)
        assert not session.is_recall_refuted()
        for n in range(3):
            session.add_point((19 + n, 25, 20), positive=False)
        assert session.is_recall_refuted()
        assert len(session.recalled()) == 2
        session.undo()
        assert not session.is_recall_refuted()


def test_a_mask_that_is_accepted_again_takes_the_place_of_the_one_before(bank: MemoryBank):
    with opened(bank) as session:
        session.new_object("ball")
        session.add_point(CLICK)
        session.accept_object()
        session.unlock_object()
        session.add_point((21, 25, 20))
        session.accept_object()
    assert [entry.clicks for entry in bank.list()] == [2]
