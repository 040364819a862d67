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


def accept_elsewhere(bank: MemoryBank, name: str = "ball") -> None:
    """Segment, name and accept the balls of two other scans."""
    for seed, centre in enumerate(((25, 20, 18), (22, 22, 18)), start=1):
        with opened(bank, centre, seed) as session:
            session.new_object(name)
            session.add_point(centre)
            session.accept_object()


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
        for number in range(11):
            session.add_point((CLICK[0], CLICK[1], CLICK[2] + number % 4 - 2))
        session.accept_object()
        assert bank.list() == ()
        assert any("11 prompts" in each for each in told)

        assert session.remember().clicks == 11
        assert len(bank.list()) == 1


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
    volume, _ = scan()
    with Session(volume, model=BrightnessModel(), memory=bank) as session:
        session.noted.connect(told.append)
        assert session.add_point(CLICK).recalled == ()
        with pytest.raises(SessionError, match="no features"):
            session.remember()
    assert any("no features" in each for each in told)
