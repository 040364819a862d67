"""A journal and a file of prompts of 2026, which every later version has to open and replay.

`tests/data/rich_session` is written once, by `tests/support/rich_session.py`, and never again.
"""

import json
import shutil
from pathlib import Path

import pytest
import rich_session
from ball_and_slab import ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.session import Session

DATA = Path(__file__).resolve().parents[1] / "data" / "rich_session"
MASKS = json.loads((DATA / "masks.json").read_text(encoding="utf-8"))


@pytest.fixture
def stored(tmp_path: Path, volume, model: BrightnessModel):
    """The session, gone on with from a copy of its journal."""
    shutil.copy(DATA / "session.journal", tmp_path / f"{volume.content_hash}.journal")
    with Session(volume, model=model, journal=tmp_path) as session:
        yield session


def test_the_volume_of_the_files_is_the_one_made_today():
    said = json.loads((DATA / "prompts.json").read_text(encoding="utf-8"))["scan"]

    assert said["sha256"] == ball_and_slab().content_hash


def test_a_journal_shows_the_masks_that_it_keeps(stored: Session, model: BrightnessModel):
    assert rich_session.fingerprints(stored) == MASKS["now"]
    assert not model.asked


def test_every_step_of_a_journal_is_undone_and_done_again(stored: Session):
    while stored.can_redo:
        stored.redo()
    for masks in MASKS["undone"][:-1]:
        assert rich_session.fingerprints(stored) == masks
        stored.undo()
    assert not stored.can_undo
    for masks in reversed(MASKS["undone"][:-1]):
        stored.redo()
        assert rich_session.fingerprints(stored) == masks


def test_a_file_of_prompts_makes_the_same_masks(volume, model: BrightnessModel):
    with Session(volume, model=model) as session:
        session.load_prompts(DATA / "prompts.json")

        assert rich_session.fingerprints(session) == MASKS["now"]


def test_what_is_done_today_is_what_was_done_then(tmp_path: Path, session: Session):
    rich_session.play(session)
    written = json.loads(session.save_prompts(tmp_path / "now.json").read_text(encoding="utf-8"))
    then = json.loads((DATA / "prompts.json").read_text(encoding="utf-8"))

    assert rich_session.fingerprints(session) == MASKS["now"]
    assert {**written, "program": ""} == {**then, "program": ""}
