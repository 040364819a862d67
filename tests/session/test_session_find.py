"""A remembered structure is found on another scan without a click."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from feature_model import SHAPE, FeatureModel, scan

from napari_fastsam3d.errors import MemoryBankError, SessionError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.session import Session


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[MemoryBank]:
    """Two balls, accepted on other scans."""
    with MemoryBank(tmp_path / "bank") as bank:
        for seed, centre in enumerate(((25, 20, 18), (22, 22, 18)), start=1):
            with opened(bank, *scan(centre, seed)[:1]) as session:
                session.new_object("Ball")
                session.add_point(centre)
                session.accept_object()
        yield bank


def opened(bank: MemoryBank | None, volume: Volume) -> Session:
    model = FeatureModel(size=32, spacings=(2.0, 4.0), start_spacing=2.0)
    return Session(volume, model=model, memory=bank)


def test_it_is_a_step_that_proposes_the_structure(bank: MemoryBank, tmp_path: Path):
    volume, truth = scan((30, 34, 20))
    with opened(bank, volume) as session:
        result = session.find("ball")

        assert session.region().agreement(truth) > 0.5
        assert session.state.object(result.object).name == "Ball"
        assert len(result.recalled) == 2
        assert len(session.recalled()) == 2
        found = session.mask()
        session.add_point((30, 20, 20), positive=False)
        assert session.region().agreement(truth) > 0.5
        session.save_prompts(tmp_path / "prompts.json")
        corrected = session.mask()
        session.undo()
        np.testing.assert_array_equal(session.mask(), found)
        session.undo()
        assert session.state.objects == ()
        session.redo()
        np.testing.assert_array_equal(session.mask(), found)
    with opened(bank, volume) as session:
        session.load_prompts(tmp_path / "prompts.json")
        np.testing.assert_array_equal(session.mask(), corrected)


def test_a_replay_doesnt_search_again(bank: MemoryBank, tmp_path: Path):
    volume, _ = scan((30, 34, 20))
    with opened(bank, volume) as session:
        session.find("ball")
        session.save_prompts(tmp_path / "prompts.json")
        searched = session.predictor.looked
    with opened(bank, volume) as session:
        session.load_prompts(tmp_path / "prompts.json")
        assert session.predictor.looked == 1 < searched


def test_what_is_not_there_is_not_found(bank: MemoryBank):
    empty = Volume.from_array(np.full(SHAPE, 200, np.int16), spacing=(2.0, 2.0, 2.0))
    with opened(bank, empty) as session:
        result = session.find("ball")

        assert session.region().is_empty
        assert any("looks like" in note for note in result.notes)
        assert not session.add_point((30, 25, 20)).stale


def test_a_structure_that_is_not_remembered_is_refused(bank: MemoryBank):
    volume, _ = scan()
    with opened(bank, volume) as session:
        with pytest.raises(MemoryBankError, match=r"liver is not remembered.*Ball"):
            session.find("liver")
        assert not session.history.entries
    with opened(None, volume) as session, pytest.raises(SessionError, match="no memory"):
        session.find("ball")


def test_the_scan_it_was_remembered_on_is_not_asked(bank: MemoryBank):
    volume, _ = scan((25, 20, 18), seed=1)
    with opened(bank, volume) as session:
        recalled = session.find("ball").recalled
    assert bank.list()[0].id not in {each.entry.id for each in recalled}
