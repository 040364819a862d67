"""Journals and files of prompts of 2026, which every later version has to open and replay.

Those of `tests/data` are written once, by `tests/support/rich_session.py`, and never again.
"""

import json
import shutil
from pathlib import Path

import pytest
import rich_session
from ball_and_slab import ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.session import Session

DATA = Path(__file__).resolve().parents[1] / "data"


class Stored:
    """The files of one session: what was done in it, and with which model."""

    def __init__(self, name: str) -> None:
        self.folder = DATA / name
        self.play, self.make_model = rich_session.SESSIONS[name]
        self.masks = json.loads((self.folder / "masks.json").read_text(encoding="utf-8"))
        self.prompts = json.loads((self.folder / "prompts.json").read_text(encoding="utf-8"))


@pytest.fixture(params=rich_session.SESSIONS)
def files(request) -> Stored:
    return Stored(request.param)


@pytest.fixture
def model(files: Stored) -> BrightnessModel:
    return files.make_model()


@pytest.fixture
def stored(files: Stored, tmp_path: Path, volume, model: BrightnessModel):
    """The session, gone on with from a copy of its journal."""
    shutil.copy(files.folder / "session.journal", tmp_path / f"{volume.content_hash}.journal")
    with Session(volume, model=model, journal=tmp_path) as session:
        yield session


def test_the_volume_of_the_files_is_the_one_made_today(files: Stored):
    assert files.prompts["scan"]["sha256"] == ball_and_slab().content_hash


def test_a_journal_shows_the_masks_that_it_keeps(
    files: Stored, stored: Session, model: BrightnessModel
):
    assert rich_session.fingerprints(stored) == files.masks["now"]
    assert not model.asked


def test_every_step_of_a_journal_is_undone_and_done_again(files: Stored, stored: Session):
    while stored.can_redo:
        stored.redo()
    for masks in files.masks["undone"][:-1]:
        assert rich_session.fingerprints(stored) == masks
        stored.undo()
    assert not stored.can_undo
    for masks in reversed(files.masks["undone"][:-1]):
        stored.redo()
        assert rich_session.fingerprints(stored) == masks


def test_a_file_of_prompts_makes_the_same_masks(files: Stored, volume, model: BrightnessModel):
    with Session(volume, model=model) as session:
        session.load_prompts(files.folder / "prompts.json")

        assert rich_session.fingerprints(session) == files.masks["now"]


def test_what_is_done_today_is_what_was_done_then(files: Stored, tmp_path: Path, session: Session):
    files.play(session)
    written = json.loads(session.save_prompts(tmp_path / "now.json").read_text(encoding="utf-8"))

    assert rich_session.fingerprints(session) == files.masks["now"]
    assert {**written, "program": ""} == {**files.prompts, "program": ""}
