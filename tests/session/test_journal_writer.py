"""Whatever the disk does, a journal holds the whole session once it can be written again."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from ball_and_slab import SHAPE, ball_and_slab
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from random_log import some_action

from napari_fastsam3d.errors import FastSAM3DError, JournalError, SessionError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Source
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.codec import prompts_digest
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.recovery import parts_of
from napari_fastsam3d.session.journal.saved_session import SavedMask, SavedSession
from napari_fastsam3d.session.journal.store import Journal
from napari_fastsam3d.session.journal.writer import JournalWriter, sessions_folder
from napari_fastsam3d.session.object_actions import NewObject
from napari_fastsam3d.session.prompt_actions import AddPrompt
from napari_fastsam3d.session.state import worked_on

TIMEOUT = 30
VOLUME = ball_and_slab()
CLICKED = History().do(AddPrompt(1, Point(1, (1, 2, 3))))
spots = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])


class Writers(RuleBasedStateMachine):
    """A writer whose file is removed and whose folder goes away, and what it was told to keep."""

    @initialize()
    def begin(self):
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "sessions"
        self.away = self.folder.with_name("away")
        self.history, self.masks, self.facts = History(), {}, {}
        self.is_blocked = False
        self.open()

    def open(self) -> SavedSession:
        self.news: list = []
        self.writer = JournalWriter(VOLUME, self.folder, self.news.append)
        return self.writer.open().result(TIMEOUT)

    def teardown(self):
        if hasattr(self, "writer"):
            self.reopen()
            self.writer.close()
            self.temporary.cleanup()

    def record(self):
        self.writer.record(self.history).result(TIMEOUT)
        assert self.news[-1].state == ("failed" if self.is_blocked else "saved")
        assert (self.news[-1].error is not None) == self.is_blocked

    @rule(kind=st.integers(0, 7), which=st.integers(0, 3))
    def act(self, kind, which):
        try:
            self.history = self.history.do(some_action(self.history.state, kind, which))
        except FastSAM3DError:
            return
        self.record()

    @precondition(lambda self: self.history.can_undo)
    @rule()
    def undo(self):
        self.history = self.history.undo()
        self.record()

    @precondition(lambda self: self.history.can_redo)
    @rule()
    def redo(self):
        self.history = self.history.redo()
        self.record()

    @rule(number=st.integers(1, 3), spot=spots)
    def keep_mask(self, number, spot):
        prompts, mask = (Point(1, spot),), Mask.of_indices([spot])
        self.writer.keep_mask(number, prompts, mask, "a model")
        kept = SavedMask(prompts_digest(prompts), PackedMask.of(mask), "a model")
        self.masks[number] = kept

    @rule(value=st.text(st.characters(codec="utf-8"), max_size=4))
    def keep_fact(self, value):
        self.writer.keep_facts({"view": value})
        self.facts["view"] = value

    @precondition(lambda self: not self.is_blocked)
    @rule()
    def remove_the_file(self):
        self.writer.wait()
        for part in parts_of(self.writer.path):
            part.unlink(missing_ok=True)
        self.record()

    @precondition(lambda self: not self.is_blocked)
    @rule()
    def take_the_folder_away(self):
        self.writer.wait()
        self.folder.rename(self.away)
        self.folder.write_text("no folder")
        self.is_blocked = True

    @precondition(lambda self: self.is_blocked)
    @rule()
    def bring_the_folder_back(self):
        self.writer.wait()
        self.folder.unlink()
        self.away.rename(self.folder)
        self.is_blocked = False

    @rule()
    def reopen(self):
        """End the session, go on with what is found: it is all that was to be kept."""
        if self.is_blocked:
            self.bring_the_folder_back()
        if self.history.entries:
            self.record()
        self.writer.close()
        found = self.open()
        assert found.damage is None
        if not self.history.entries:
            assert found.is_empty
            self.masks, self.facts = {}, {}
            return
        assert found.history.state == self.history.state
        assert found.history.cursor == self.history.cursor
        assert [e.action for e in found.history.entries] == [e.action for e in self.history.entries]
        assert found.masks == self.masks
        assert {name: found.facts[name] for name in self.facts} == self.facts
        self.go_on(found)

    def go_on(self, found: SavedSession):
        """As a session does: the masks that it takes over are kept on."""
        taken = []
        self.writer.resume(taken.append).result(TIMEOUT)
        assert taken == [found]
        self.history = found.history
        if "view" in self.facts:
            self.writer.keep_facts(self.facts)
        self.record()
        for number, kept in self.masks.items():
            mask = kept.mask.unpack()
            (spot,) = (tuple(map(int, mask.box.start)),)
            self.writer.keep_mask(number, (Point(1, spot),), mask, kept.model)

    @rule()
    def begin_anew(self):
        """What was found and not gone on with becomes a backup, whole."""
        self.reopen()
        self.writer.close()
        before = self.history
        why = "before" if worked_on(before.state) else "empty"
        backups = set(self.folder.glob("*.*-*.journal"))
        found = self.open()
        assert found.history.state == before.state
        self.history, self.masks, self.facts = CLICKED, {}, {}
        self.record()
        new = set(self.folder.glob("*.*-*.journal")) - backups
        assert len(new) == bool(before.entries)
        for path in new:
            assert f".{why}-" in path.name
            journal = Journal(path)
            assert journal.saved.history.state == before.state
            journal.close()


TestWriters = Writers.TestCase
TestWriters.settings = settings(max_examples=5, stateful_step_count=10, deadline=None)


def kept_facts(volume: Volume, folder: Path) -> dict[str, str]:
    writer = JournalWriter(volume, folder, lambda status: None)
    writer.open().result(TIMEOUT)
    writer.record(CLICKED)
    writer.close()
    journal = Journal(writer.path)
    journal.close()
    return dict(journal.saved.facts)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (Source(Path("scans/ct.nii.gz")), {"source": "scans/ct.nii.gz"}),
        (Source(Path("a.nii"), frame=3), {"source": "a.nii", "frame": "3"}),
        (Source(Path("ct"), series="1.2.3"), {"source": "ct", "series": "1.2.3"}),
        (Source(), {}),
    ],
    ids=["file", "frame", "series", "array"],
)
def test_a_journal_says_which_volume_of_which_file_it_is_about(source, told, tmp_path):
    voxels = ball_and_slab().voxels[:4, :4, :4]
    facts = kept_facts(Volume.from_array(voxels, source=source), tmp_path)
    if "source" in told:
        told["source"] = str(Path(told["source"]).absolute())
    named = ("source", "frame", "series")
    assert {name: facts[name] for name in named if name in facts} == told
    assert facts["program"].startswith("napari-fastsam3d ")


def test_nothing_can_be_gone_on_with_twice_or_where_nothing_was(tmp_path):
    writer = JournalWriter(VOLUME, tmp_path, lambda status: None)
    writer.open().result(TIMEOUT)
    with pytest.raises(JournalError, match="nothing to go on with"):
        writer.resume(print).result(TIMEOUT)
    writer.record(CLICKED)
    writer.close()
    again = JournalWriter(VOLUME, tmp_path, lambda status: None)
    again.open().result(TIMEOUT)
    again.resume(lambda saved: None).result(TIMEOUT)
    with pytest.raises(JournalError, match="nothing to go on with"):
        again.resume(print).result(TIMEOUT)
    again.close()


def test_after_its_end_a_writer_takes_nothing_more_and_a_discarded_one_leaves_nothing(tmp_path):
    news: list = []
    writer = JournalWriter(VOLUME, tmp_path, news.append)
    writer.open().result(TIMEOUT)
    writer.record(CLICKED).result(TIMEOUT)
    writer.keep_facts({"view": "1"})
    writer.discard().result(TIMEOUT)
    assert news[-1].state == "off"
    writer.record(CLICKED.do(NewObject(2))).result(TIMEOUT)
    writer.keep_mask(1, (), Mask.of_indices([(1, 1, 1)]), "a model")
    writer.wait()
    assert list(tmp_path.iterdir()) == []
    writer.close()
    writer.close()
    writer.keep_facts({"view": "2"})
    writer.keep_mask(1, (), Mask.of_indices([(1, 1, 1)]), "a model")
    with pytest.raises(SessionError):
        writer.record(CLICKED)
    assert list(tmp_path.iterdir()) == []


def test_a_session_in_which_nothing_was_done_leaves_no_file_whatever_was_noted(tmp_path):
    writer = JournalWriter(VOLUME, tmp_path, lambda status: None)
    writer.open().result(TIMEOUT)
    writer.keep_facts({"view": "1"})
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_journals_are_kept_in_the_user_s_own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert sessions_folder() == tmp_path / "napari-fastsam3d" / "sessions"
