import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from ball_and_slab import BALL, SHAPE, SLAB
from brightness_model import BrightnessModel
from hypothesis import given
from hypothesis import strategies as st

from napari_fastsam3d.errors import JournalBusyError, JournalError, SessionError
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.session import Mask, PackedMask, Session, SessionState
from napari_fastsam3d.session.journal.record import records_in
from napari_fastsam3d.session.journal.recovery import KEPT
from napari_fastsam3d.session.journal.saved_session import SavedMask
from napari_fastsam3d.session.journal.store import Journal

BESIDE = (20, 25, 27)
TIMEOUT = 30


def opened(volume: Volume, folder: Path, model: BrightnessModel | None = None) -> Session:
    return Session(volume, model=model or BrightnessModel(), journal=folder)


def work(volume: Volume, folder: Path):
    """Work for a while and quit; return the state and the labels at the end."""
    with opened(volume, folder) as session:
        session.add_point(BALL)
        session.add_point(BESIDE, positive=False)
        session.new_object("slab")
        session.add_point(SLAB)
        session.accept_object()
        session.edit_mask(added=Mask.of_indices([(1, 2, 3)]), number=1)
        session.undo()
        session.keep_view({"zoom": 2.5})
        return session.state, session.label_map()


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def told(session: Session) -> list:
    news = []
    session.journalled.connect(news.append)
    told.kept.append(news)
    return news


told.kept = []


def test_after_a_plain_quit_everything_is_as_it_was_and_no_model_is_asked(volume, tmp_path):
    state, labels = work(volume, tmp_path)
    model = BrightnessModel()
    with opened(volume, tmp_path, model) as session:
        assert session.state == state
        assert np.array_equal(session.label_map(), labels)
        assert not model.asked
        assert session.can_redo
        session.redo()
        assert session.mask(1)[1, 2, 3]
        for _ in range(6):
            session.undo()
        assert session.state.objects == ()
        assert not session.can_undo


def test_the_object_selected_before_an_action_is_selected_again(volume, tmp_path):
    with opened(volume, tmp_path) as session:
        session.new_object("ball")
        session.new_object("slab")
        session.select_object(1)
        session.rename_object(2, "plate")
        state = session.state
        assert state.current == 1
    with opened(volume, tmp_path) as session:
        assert session.state == state


def test_the_next_click_gives_what_it_would_have_given(volume, tmp_path):
    work(volume, tmp_path)
    with opened(volume, tmp_path) as resumed, Session(volume, model=BrightnessModel()) as fresh:
        resumed.select_object(1)
        resumed.add_point((22, 25, 20))
        for index, positive in ((BALL, True), (BESIDE, False), ((22, 25, 20), True)):
            fresh.add_point(index, positive=positive)
        assert np.array_equal(
            resumed._scheduler.masks.own(resumed.state.object(1)).volume(SHAPE), fresh.mask()
        )


def test_what_was_found_can_be_asked_about_before(volume, tmp_path):
    state, _ = work(volume, tmp_path)
    with Session(volume, model=BrightnessModel()) as session:
        kept = session.keep_journal(tmp_path).result()
        assert kept.history.state == state
        assert kept.view == {"zoom": 2.5}
        assert kept.facts["model"] == "brightness"
        assert kept.damage is None
        assert kept.saved is not None
        assert session.state.objects == ()
        session.resume().result()
        assert session.state == state


def test_an_offer_not_taken_is_put_aside_not_lost(volume, tmp_path):
    state, _ = work(volume, tmp_path)
    with Session(volume, model=BrightnessModel()) as session:
        session.keep_journal(tmp_path).result()
        session.add_point(SLAB)
        with pytest.raises(JournalError):
            session.resume().result()
    (aside,) = tmp_path.glob("*.before-*.journal")
    journal = Journal(aside)
    assert journal.saved.history.state == state
    journal.close()
    with opened(volume, tmp_path) as session:
        assert [o.name for o in session.state.objects] == ["object 1"]


def test_of_those_put_aside_the_newest_few_are_kept(volume, tmp_path):
    for number in range(KEPT + 3):
        with Session(volume, model=BrightnessModel()) as session:
            session.keep_journal(tmp_path).result()
            session.new_object(f"work {number}")
            session.add_point(SLAB)
    asides = sorted(tmp_path.glob("*.before-*.journal"))
    names = []
    for aside in asides:
        journal = Journal(aside)
        names.append(journal.saved.history.state.objects[0].name)
        journal.close()
    assert names == [f"work {number}" for number in range(2, KEPT + 2)]
    with opened(volume, tmp_path) as session:
        assert session.state.objects[0].name == f"work {KEPT + 2}"


def test_what_was_done_before_the_journal_is_kept_too(volume, tmp_path):
    with Session(volume, model=BrightnessModel()) as session:
        session.add_point(BALL)
        session.keep_journal(tmp_path).result()
        session.wait()
        with pytest.raises(SessionError, match="has a journal"):
            session.keep_journal(tmp_path)
    model = BrightnessModel()
    with opened(volume, tmp_path, model) as session:
        assert session.mask()[BALL]
        assert not model.asked


def test_a_session_that_did_nothing_leaves_nothing(volume, tmp_path):
    opened(volume, tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_discarded_it_is_gone(volume, tmp_path):
    work(volume, tmp_path)
    with opened(volume, tmp_path) as session:
        session.discard_journal().result()
        assert session.journal_status.state == "off"
        session.add_point(BALL)
    assert list(tmp_path.iterdir()) == []


def test_another_volume_has_another_journal(volume, tmp_path):
    work(volume, tmp_path)
    moved = Volume.from_array(volume.voxels, spacing=(2.0, 2.0, 2.5))
    with opened(moved, tmp_path) as session:
        assert session.state.objects == ()


def test_the_second_session_is_told_and_nothing_is_mixed(volume, tmp_path):
    with opened(volume, tmp_path) as first:
        first.add_point(BALL)
        with Session(volume, model=BrightnessModel()) as second:
            with pytest.raises(JournalBusyError, match="Another window"):
                second.keep_journal(tmp_path).result()
            assert second.journal_status.state == "failed"
            second.add_point(SLAB)
            first.close()
            second.add_point(BALL)
    with opened(volume, tmp_path) as session:
        assert [p.index for p in session.state.object(1).prompts] == [BALL]


def test_another_process_is_told_too(volume, tmp_path):
    with opened(volume, tmp_path) as session:
        session.add_point(BALL)
        path = only_file(tmp_path.joinpath()) if len(list(tmp_path.iterdir())) == 1 else None
        path = path or next(tmp_path.glob("*.journal"))
        code = (
            "import sys, pathlib\n"
            "from napari_fastsam3d.errors import JournalBusyError\n"
            "from napari_fastsam3d.session.journal.store import Journal\n"
            "try: Journal(pathlib.Path(sys.argv[1]))\n"
            "except JournalBusyError: print('busy')"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.stdout.strip() == "busy", done.stderr


def test_a_command_is_acknowledged_only_once_it_is_on_disk(volume, tmp_path):
    with opened(volume, tmp_path) as session:
        written = []
        put = session._scheduler.autosave.writer._put

        def slowly(history):
            put(history)
            written.append(history.next_serial)

        session._scheduler.autosave.writer._put = slowly
        for command in (lambda: session.add_point(BALL), session.new_object, session.undo):
            count = len(written)
            command()
            assert len(written) == count + 1


def test_a_removed_file_is_written_anew_and_whole(volume, tmp_path):
    with opened(volume, tmp_path) as session:
        session.add_point(BALL)
        session.wait()
        for path in tmp_path.iterdir():
            path.unlink()
        session.new_object("slab")
        assert session.journal_status.state == "saved"
        labels = session.label_map()
    model = BrightnessModel()
    with opened(volume, tmp_path, model) as session:
        assert [o.name for o in session.state.objects] == ["object 1", "slab"]
        assert np.array_equal(session.label_map(), labels)
        assert not model.asked


def test_on_a_full_disk_the_session_goes_on_and_catches_up(volume, tmp_path):
    with opened(volume, tmp_path) as session:
        session.add_point(BALL)
        news = told(session)
        recorder = session._scheduler.autosave.writer

        def full(path):
            journal = Journal(path)
            journal._database.execute("pragma max_page_count = 1")
            return journal

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("napari_fastsam3d.session.journal.writer.Journal", full)
            recorder.wait()
            recorder._let_go()
            many = Mask.of_indices(np.argwhere(np.random.default_rng(0).random(SHAPE) < 0.5))
            session.edit_mask(added=many)
            assert session.journal_status.state == "failed"
            assert "full" in str(session.journal_status.error)
            assert session.mask()[BALL]
        state = session.state
        assert [status.state for status in news] == ["saving", "failed"]
        session.select_object(1)
        assert session.journal_status.state == "saved"
    with opened(volume, tmp_path) as session:
        assert session.state == state


def test_where_no_journal_can_be_the_session_goes_on(volume, tmp_path):
    blocked = tmp_path / "a file, no folder"
    blocked.write_text("")
    with Session(volume, model=BrightnessModel()) as session:
        with pytest.raises(JournalError, match="can't be used"):
            session.keep_journal(blocked / "sessions").result()
        assert session.add_point(BALL).box.size
        assert session.journal_status.state == "failed"
        blocked.unlink()
        session.new_object()
        assert session.journal_status.state == "saved"


def test_another_model_shows_the_masks_and_says_that_replay_will_differ(volume, tmp_path):
    _, labels = work(volume, tmp_path)
    other = BrightnessModel(tolerance=30.0)
    other.fingerprint = "of another"
    with Session(volume, model=other) as session:
        notes = []
        session.noted.connect(notes.append)
        session.keep_journal(tmp_path).result()
        session._scheduler.autosave.uses(other)
        session.resume().result()
        assert session.replay_differs
        assert np.array_equal(session.label_map(), labels)
        assert not other.asked
        assert "another model" in notes[0]


@pytest.fixture(scope="module")
def whole(volume, tmp_path_factory) -> bytes:
    """The bytes of a journal."""
    folder = tmp_path_factory.mktemp("whole")
    work(volume, folder)
    return only_file(folder).read_bytes()


@given(where=st.floats(0, 1), size=st.sampled_from([1, 40, 4096, 40000]), seed=st.integers(0, 99))
def test_of_a_damaged_journal_all_intact_entries_are_found(whole, volume, where, size, seed):
    damaged = bytearray(whole)
    at = int(where * len(whole))
    noise = np.random.default_rng(seed).bytes(len(damaged[at : at + size]))
    damaged[at : at + size] = noise
    intact = {record.number for record in records_in(bytes(damaged))}
    with TemporaryDirectory() as name:
        path = Path(name) / "x.journal"
        path.write_bytes(damaged)
        journal = Journal(path)
        kept, again = journal.saved, set()
        for (line,) in journal._database.execute("select line from records"):
            again |= {record.number for record in records_in(line.encode())}
        journal.close()
        assert intact <= again
        if intact != {record.number for record in records_in(whole)}:
            assert "damaged" in (kept.damage or "")
        if kept.damage:
            (aside,) = Path(name).glob("x.damaged-*.journal")
            assert aside.name in kept.damage
            assert aside.read_bytes() == bytes(damaged)


@pytest.mark.parametrize("at", range(0, 100, 4))
def test_a_journal_with_a_spoilt_header_is_read(whole, tmp_path, at):
    path = tmp_path / "x.journal"
    path.write_bytes(whole[:at] + b"\x7f\xff\xff\xff" + whole[at + 4 :])
    journal = Journal(path)
    found = [line for (line,) in journal._database.execute("select line from records")]
    journal.close()
    intact = {record.number for record in records_in(whole)}
    assert {record.number for line in found for record in records_in(line.encode())} == intact


def test_values_that_damage_made_other_than_text_are_left_out(whole, tmp_path):
    """SQLite holds anything anywhere: a spoilt byte can make a number of a line."""
    path = tmp_path / "x.journal"
    path.write_bytes(whole)
    intact = {record.number for record in records_in(whole)}
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("insert into records values (9999, x'00ff')")
        database.execute("insert or replace into facts values ('model', x'00ff')")
        database.execute("insert into facts values (x'00ff', 'model')")
    journal = Journal(path)
    kept = journal.saved
    assert "damaged" in (kept.damage or "")
    assert len(kept.history.entries) > 0
    assert all(isinstance(fact, str) for pair in kept.facts.items() for fact in pair)
    found = [line for (line,) in journal._database.execute("select line from records")]
    journal.close()
    assert {record.number for line in found for record in records_in(line.encode())} == intact


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_journal_whose_tables_have_damaged_names_opens(whole, tmp_path, place):
    path = tmp_path / "x.journal"
    at = whole.lower().index(b"create table") + place
    path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
    journal = Journal(path)
    assert journal.saved.history.entries
    journal.close()


@pytest.mark.parametrize("length", [0, 10, 100, 20000])
def test_a_journal_cut_off_opens(whole, tmp_path, length):
    path = tmp_path / "x.journal"
    path.write_bytes(whole[:length])
    journal = Journal(path)
    assert (journal.saved.damage is None) == (length == 0)
    journal.close()


def test_a_journal_of_a_newer_version_is_kept_whole_and_said_to_be_that(volume, tmp_path):
    work(volume, tmp_path)
    path = only_file(tmp_path)
    with closing(sqlite3.connect(path)) as database, database:
        (line,) = database.execute("select line from records where number = 1").fetchone()
        text = line[9:].replace('"point":', '"squeeze":')
        assert text != line[9:]
        later = (f"{zlib.crc32(text.encode()):08x} {text}",)
        database.execute("update records set line = ? where number = 1", later)
    whole = path.read_bytes()
    with opened(volume, tmp_path) as session:
        assert session.state == SessionState()
        session.add_point(BALL)
        state = session.state
    (aside,) = tmp_path.glob("*.newer-*.journal")
    assert aside.read_bytes() == whole
    with Session(volume, model=BrightnessModel()) as session:
        kept = session.keep_journal(tmp_path).result()
        assert kept.history.state == state  # and is told of once
        assert kept.damage is None
    journal = Journal(aside)
    assert "written by a newer version" in (journal.saved.damage or "")
    assert "damaged" not in (journal.saved.damage or "")
    journal.close()


def test_a_damaged_journal_can_be_gone_on_with(volume, tmp_path):
    state, _ = work(volume, tmp_path)
    path = only_file(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[:200] = bytes(200)
    path.write_bytes(raw)
    with opened(volume, tmp_path) as session:
        assert session.state == state
        session.add_point(BALL)
        state = session.state
    with opened(volume, tmp_path) as session:
        assert session.state == state


def test_records_are_on_the_disk_and_not_in_memory_only(tmp_path):
    journal = Journal(tmp_path / "x.journal")
    pragmas = [
        journal._database.execute(f"pragma {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "locking_mode")
    ]
    assert pragmas == ["wal", 2, "exclusive"]
    journal.close()
    with pytest.raises(sqlite3.ProgrammingError):
        journal._database.execute("select 1")


def test_the_write_ahead_log_is_kept_short_by_masks(tmp_path):
    journal = Journal(tmp_path / "x.journal")
    rng = np.random.default_rng(0)
    log = tmp_path / "x.journal-wal"
    sizes = []
    for number in range(100):
        mask = PackedMask.of(Mask.of_indices(np.argwhere(rng.random(SHAPE) < 0.5)))
        journal.put_masks({number: SavedMask("", mask, "")})
        sizes.append(log.stat().st_size)
    journal.close()
    assert sizes[-1] < 1.2 * sizes[40]


def test_a_folder_called_locked_is_not_taken_for_a_busy_journal(volume, tmp_path):
    blocked = tmp_path / "locked ward"
    blocked.write_text("")
    with Session(volume, model=BrightnessModel()) as session:
        with pytest.raises(JournalError, match="locked ward") as caught:
            session.keep_journal(blocked / "sessions").result()
        assert not isinstance(caught.value, JournalBusyError)


def test_a_refused_second_session_leaves_neither_threads_nor_files_open(volume, tmp_path):
    with Session(volume, model=BrightnessModel(), journal=tmp_path) as session:
        session.add_point(BALL)
        before = set(threading.enumerate())
        with pytest.raises(JournalBusyError, match="Another window"):
            Session(volume, model=BrightnessModel(), journal=tmp_path)
        deadline = time.monotonic() + TIMEOUT
        while set(threading.enumerate()) - before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert set(threading.enumerate()) <= before
        assert session.add_point(BESIDE, positive=False)


def test_a_journal_that_is_just_being_closed_is_waited_for(volume, tmp_path):
    for _ in range(5):
        session = Session(volume, model=BrightnessModel(), journal=tmp_path)
        held = session._scheduler.autosave.writer._worker.submit(time.sleep, 0.1)
        session.add_point(BALL)
        session.close(wait=False)
        with Session(volume, model=BrightnessModel(), journal=tmp_path) as again:
            assert held.done()
            assert again.state == session.state


def test_a_closed_session_saves_its_masks_after_what_its_journal_has_left(volume, tmp_path):
    session = Session(volume, model=BrightnessModel(), journal=tmp_path / "journals")
    session.add_point(BALL)
    mask = session.mask()
    held = session._scheduler.autosave.writer._worker.submit(time.sleep, 0.1)
    session.close(wait=False)
    path = session.save(tmp_path / "mask.nii.gz")
    assert held.done()
    assert np.array_equal(read_volume(path).voxels, mask)


def test_closing_without_waiting_blocks_nobody_and_loses_nothing(volume, tmp_path):
    session = Session(volume, model=BrightnessModel(), journal=tmp_path)
    gate = threading.Event()
    session._scheduler.autosave.writer._worker.submit(gate.wait, TIMEOUT)
    session.futures.add_point(BALL)
    session.close(wait=False)
    gate.set()
    with Session(volume, model=BrightnessModel(), journal=tmp_path) as again:
        assert [p.index for p in again.state.object(1).prompts] == [BALL]
