"""Earlier sessions are listed as they were left, and any of them comes back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from brightness_model import BrightnessModel

from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session, earlier_sessions
from napari_fastsam3d.session.journal.earlier import remove


def worked(volume: Volume, folder: Path, name: str, index: tuple[int, int, int]) -> np.ndarray:
    """Do a session with one object and no more, and return its mask."""
    with Session(volume, model=BrightnessModel()) as session:
        session.keep_journal(folder).result()
        session.new_object(name)
        session.add_point(index)
        session.keep_picture(name.encode())
        return session.mask()


def test_sessions_are_listed_the_newest_first_and_come_back(volume: Volume, tmp_path: Path) -> None:
    names = ("liver", "spleen", "kidney")
    masks = {name: worked(volume, tmp_path, name, (10, 10, 10 + n)) for n, name in enumerate(names)}
    listed = earlier_sessions(tmp_path)
    assert [each.objects for each in listed] == [("kidney",), ("spleen",), ("liver",)]
    assert [each.picture for each in listed] == [b"kidney", b"spleen", b"liver"]
    assert {each.content_hash for each in listed} == {volume.content_hash}
    for wanted in ("liver", "kidney", "spleen", "spleen"):
        chosen = next(each for each in earlier_sessions(tmp_path) if each.objects == (wanted,))
        with Session(volume, model=BrightnessModel()) as session:
            session.keep_journal(tmp_path, earlier=chosen).result()
            session.resume().result()
            assert np.array_equal(session.mask(), masks[wanted])
            session.undo()
            session.redo()
        assert len(earlier_sessions(tmp_path)) == 3


def test_sessions_without_a_prompt_are_not_listed_and_push_no_other_out(
    volume: Volume, tmp_path: Path
) -> None:
    worked(volume, tmp_path, "liver", (10, 10, 10))
    for _ in range(30):
        with Session(volume, model=BrightnessModel()) as session:
            session.keep_journal(tmp_path).result()
            session.new_object("nothing")
    assert [each.objects for each in earlier_sessions(tmp_path)] == [("liver",)]


def test_a_session_that_is_open_is_listed_and_not_disturbed(volume: Volume, tmp_path: Path) -> None:
    with Session(volume, model=BrightnessModel()) as session:
        session.keep_journal(tmp_path).result()
        session.add_point((10, 10, 10))
        (listed,) = earlier_sessions(tmp_path)
        session.new_object("second")
        session.add_point((12, 12, 12))
        session.wait()
        assert session.journal_status.state == "saved"
    assert len(listed.objects) == 1
    (again,) = earlier_sessions(tmp_path)
    assert len(again.objects) == 2


def test_what_is_gone_is_told_and_the_present_one_stays(volume: Volume, tmp_path: Path) -> None:
    worked(volume, tmp_path, "liver", (10, 10, 10))
    (kept,) = earlier_sessions(tmp_path)
    missing = replace(kept, path=tmp_path / "gone.journal")
    with Session(volume, model=BrightnessModel()) as session, pytest.raises(JournalError):
        session.keep_journal(tmp_path, earlier=missing).result()
    assert earlier_sessions(tmp_path) == [kept]
    remove(kept)
    assert earlier_sessions(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spoilt", [b"", b"no database", b"SQLite format 3\0" + bytes(4000)])
def test_damaged_files_are_left_out_and_left_alone(
    volume: Volume, tmp_path: Path, spoilt: bytes
) -> None:
    worked(volume, tmp_path, "liver", (10, 10, 10))
    damaged = tmp_path / "0123.journal"
    damaged.write_bytes(spoilt)
    assert [each.objects for each in earlier_sessions(tmp_path)] == [("liver",)]
    assert damaged.read_bytes() == spoilt
