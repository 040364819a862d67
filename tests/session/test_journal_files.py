"""The file of a journal: cut short, foreign, in use, brought back; nothing of it is ever lost."""

import shutil
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from random_log import walk

from napari_fastsam3d.errors import JournalBusyError, JournalError
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal import database
from napari_fastsam3d.session.journal.earlier import PICTURE, earlier_sessions
from napari_fastsam3d.session.journal.recovery import KEPT, copy_to_backup, parts_of
from napari_fastsam3d.session.journal.saved_session import SavedMask, SavedSession
from napari_fastsam3d.session.journal.store import Journal, bring_back
from napari_fastsam3d.session.object_actions import NewObject
from napari_fastsam3d.session.prompt_actions import AddPrompt

DEEP = pytest.param("[" * 10**5, id="nested")
SPOT = SavedMask("digest", PackedMask.of(Mask.of_indices([(1, 2, 3)])), "a model")


def steps_of(count: int) -> list[History]:
    """A log of clicks on one object, growing by one each time."""
    steps = [History()]
    for number in range(1, count + 1):
        steps.append(steps[-1].do(AddPrompt(1, Point(number, (number, 0, 0)))))
    return steps


def write(path: Path, steps: list[History]) -> Journal:
    """A journal of these moments, left open: all of it lies in the write-ahead log."""
    journal = Journal(path)
    for before, after in pairwise(steps):
        journal.put_record(before, after)
    return journal


def found_in(path: Path) -> SavedSession:
    journal = Journal(path)
    journal.close()
    return journal.saved


def serials(history: History) -> list[int]:
    return [entry.serial for entry in history.entries]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of a journal as they are while a session has it open: six steps and a mask."""
    folder = tmp_path_factory.mktemp("open")
    path = folder / "x.journal"
    steps = steps_of(6)
    journal = write(path, steps)
    journal.put_masks({1: SPOT})
    copies = {part.name: part.read_bytes() for part in parts_of(path)[:2]}
    journal.close()
    return steps, copies


@pytest.mark.parametrize("share", np.linspace(0, 1, 15))
def test_of_a_write_ahead_log_cut_anywhere_the_steps_before_the_cut_are_found(
    written, tmp_path, share
):
    """As after a power cut: what was written last may be missing, and nothing else."""
    steps, copies = written
    path = tmp_path / "x.journal"
    path.write_bytes(copies["x.journal"])
    length = int(share * len(copies["x.journal-wal"]))
    log = copies["x.journal-wal"][:length]
    path.with_name("x.journal-wal").write_bytes(log)
    saved = found_in(path)
    count = len(saved.history.entries)
    assert saved.history.state == steps[count].state
    assert saved.damage is None
    whole = [b'"number":%d,' % number for number in range(1, 7)]
    assert count >= sum(each in log[: max(0, length - 16384)] for each in whole)  # a page each
    assert (saved.masks == {1: SPOT}) == (share == 1)
    assert found_in(path).history.state == steps[count].state  # and stays so


def test_numbers_go_on_where_they_were_and_the_day_is_that_of_the_last_change(tmp_path):
    path, steps = tmp_path / "a folder" / "x.journal", steps_of(4)
    write(path, steps[:3]).close()
    journal = Journal(path)
    assert journal.saved.saved is not None
    assert abs(journal.saved.saved.timestamp() - path.stat().st_mtime) < 1
    journal.put_record(steps[2], steps[4])
    journal.close()
    journal.close()
    with closing(sqlite3.connect(path)) as database:
        numbers = [n for (n,) in database.execute("select number from records order by number")]
    assert numbers == [1, 2, 3]
    assert found_in(path).history.state == steps[4].state
    assert path.parent.stat().st_mode & 0o77 == 0  # nobody else's to read


@pytest.mark.parametrize("number", [1, 3, 6])
def test_how_many_steps_are_lost_is_told_and_the_others_are_there(tmp_path, number):
    path, steps = tmp_path / "x.journal", steps_of(6)
    journal = write(path, steps)
    journal.put_facts({"scan": "liver"})
    journal.put_masks({1: SPOT})
    journal.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("update records set line = 'gone' where number = ?", (number,))
    before = path.read_bytes()
    saved = found_in(path)
    lost = "1 of its changes could not be read" if number < 6 else "all changes found were read"
    assert lost in (saved.damage or "")
    # With the first goes the object, and with that all that was done to it.
    expected = [] if number == 1 else [n for n in range(1, 7) if n != number]
    assert serials(saved.history) == (expected or serials(saved.history))
    assert (saved.masks, saved.facts) == ({1: SPOT}, {"scan": "liver"})
    (backup,) = tmp_path.glob("x.damaged-*.journal")
    assert backup.read_bytes() == before
    assert found_in(path).masks == {1: SPOT}


@pytest.mark.parametrize(
    "table",
    [
        "create table records (wrong integer)",
        "create table records (line text)",
        "create table facts (name text primary key)",
        "create table masks (object integer, prompts text)",
        "create view records as select 1 as number, 'x' as line",
    ],
)
def test_a_database_of_another_program_is_kept_and_a_new_one_begun(tmp_path, table):
    path = tmp_path / "x.journal"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(table)
    foreign = path.read_bytes()
    saved = found_in(path)
    assert saved.is_empty
    assert "damaged" in (saved.damage or "")
    (backup,) = tmp_path.glob("x.damaged-*.journal")
    with closing(sqlite3.connect(backup)) as database:
        names = {name for (name,) in database.execute("select name from sqlite_master")}
    assert table.split()[2] in names
    assert len(backup.read_bytes()) >= len(foreign)
    write(path, steps_of(2)).close()
    assert len(found_in(path).history.entries) == 2


def test_a_mask_that_is_damaged_is_left_out_and_made_again(tmp_path):
    path = tmp_path / "x.journal"
    journal = write(path, steps_of(2))
    journal.put_masks(dict.fromkeys(range(1, 9), SPOT))
    journal.close()
    spoilt = {
        1: ("box", "[[0,0,0],[9,9,9]]"),
        2: ("box", "nothing"),
        3: ("bits", b"no zlib"),
        4: ("prompts", b"\x00"),
        5: ("model", 3.5),
        6: ("box", "[" * 10**5),
        7: ("box", 12),
    }
    with closing(sqlite3.connect(path)) as database, database:
        for number, (column, value) in spoilt.items():
            database.execute(f"update masks set {column} = ? where object = ?", (value, number))
    saved = found_in(path)
    assert 8 in saved.masks
    assert set(saved.masks) <= {5, 8}  # SQLite makes text of a number where a column holds text
    assert len(saved.history.entries) == 2


def test_a_folder_in_its_place_is_told_and_left_alone(tmp_path):
    (tmp_path / "x.journal").mkdir()
    with pytest.raises(JournalError, match=r"x\.journal can't be used"):
        Journal(tmp_path / "x.journal")
    assert (tmp_path / "x.journal").is_dir()


@pytest.mark.parametrize("replaced", [False, True])
def test_what_is_not_there_any_more_is_not_written_to(tmp_path, replaced):
    path, steps = tmp_path / "x.journal", steps_of(2)
    journal = write(path, steps[:2])
    for part in parts_of(path):
        part.unlink(missing_ok=True)
    if replaced:
        path.write_bytes(b"")
    puts = [
        lambda: journal.put_record(steps[1], steps[2]),
        lambda: journal.put_masks({1: SPOT}),
        lambda: journal.put_facts({"a": "b"}),
    ]
    for put in puts:
        with pytest.raises(JournalError) as told:
            put()
        assert "can't be used" in told.value.problem
    journal.close()
    assert path.exists() == replaced


def test_bringing_one_back_loses_neither(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    own, earlier = tmp_path / "own.journal", tmp_path / "own.before-1.journal"
    first, second = steps_of(1), steps_of(3)
    write(own, first).close()
    write(earlier, second).close()
    bring_back(own, own)
    with pytest.raises(JournalError, match="not there any more"):
        bring_back(tmp_path / "own.before-2.journal", own)
    for busy, other in ((own, earlier), (earlier, own)):
        held = Journal(busy)
        with pytest.raises(JournalBusyError):
            bring_back(earlier, own)
        held.close()
        assert other.exists()
    assert len(found_in(own).history.entries) == 1
    bring_back(earlier, own)
    assert len(found_in(own).history.entries) == 3
    (backup,) = tmp_path.glob("own.before-*.journal")
    assert backup != earlier
    assert len(found_in(backup).history.entries) == 1
    bring_back(backup, own)
    assert len(found_in(own).history.entries) == 1


def test_one_that_was_only_begun_becomes_no_earlier_session(tmp_path):
    own, earlier = tmp_path / "own.journal", tmp_path / "own.before-1.journal"
    write(own, [History(), History().do(NewObject(1, "liver"))]).close()
    write(earlier, steps_of(2)).close()
    bring_back(earlier, own)
    assert [path.name.split("-")[0] for path in tmp_path.glob("own.*-*")] == ["own.empty"]


def test_old_backups_go_with_all_their_files_and_those_of_other_reasons_stay(tmp_path):
    path = tmp_path / "x.journal"
    path.write_bytes(b"journal")
    path.with_name("x.journal-wal").write_bytes(b"log")
    other = tmp_path / "x.newer-2001.journal"
    other.write_bytes(b"newer")
    names = [copy_to_backup(path, "damaged").name for _ in range(KEPT + 2)]
    left = sorted(each.name for each in tmp_path.glob("x.damaged-*.journal"))
    assert left == names[2:]
    assert {p.name for p in tmp_path.glob("x.damaged-*-wal")} == {f"{name}-wal" for name in left}
    assert other.exists()
    assert path.read_bytes() == b"journal"


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"frame": "3", "source": "/a/b.nii"}, (Path("/a/b.nii"), 3, None)),
        ({"frame": "x", "source": "", "series": ""}, (None, None, None)),
        ({"frame": "-1", "series": "1.2"}, (None, None, "1.2")),
        ({"frame": ""}, (None, None, None)),
    ],
)
def test_what_an_earlier_session_says_of_its_scan_is_read_with_care(tmp_path, facts, told):
    path = tmp_path / "0123.before-1.journal"
    journal = write(path, steps_of(1))
    journal.put_facts({**facts, PICTURE: "no picture!"})
    journal.close()
    shutil.copy(path, tmp_path / "0123.damaged-1.journal")
    (found,) = earlier_sessions(tmp_path)
    assert (found.source, found.frame, found.series) == told
    assert (found.picture, found.scan, found.content_hash) == (None, "scan", "0123")
    assert found.objects == ("object 1",)


@pytest.mark.parametrize("text", ["", "{", "3", "[3]", '[{"asked": {}}]', DEEP, '[{"a":1}]'])
def test_what_cannot_be_read_beside_the_log_is_as_if_it_were_not_there(text):
    saved = SavedSession(walk([]), {}, {"recalled": text, "view": text if text != "3" else ""})
    assert saved.recalled == []
    assert saved.is_empty
    assert saved.fingerprint is None
    if text in ("", "{", "3") or len(text) > 99:
        assert saved.view is None
