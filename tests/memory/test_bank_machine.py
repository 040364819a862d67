"""A bank through whatever is done to it and its folder, beside a plain list of what it holds."""

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from remembered import remembered

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case

NAMES = ["liver", "Liver ", "spleen", "left  kidney"]
LIMIT = 6 * len(remembered().to_bytes())
names, picks = st.sampled_from(NAMES), st.integers(0, 20)


def plain(name: str) -> str:
    return " ".join(name.lower().split())


def same(one: Case, other: Case) -> bool:
    """Whether two cases hold the same numbers, down to the last bit."""
    (ours,), (theirs,) = one.tokens, other.tokens
    pairs = [(ours.features, theirs.features), (ours.mask, theirs.mask)]
    pairs += [(one.descriptor, other.descriptor), (one.keys, other.keys)]
    return one.entry.id == other.entry.id and all(np.array_equal(*pair) for pair in pairs)


@dataclass
class Held:
    """A case that the bank should hold, and how often it was recalled."""

    case: Case
    data: bytes
    recalled: int = 0

    @property
    def structure(self) -> str:
        return plain(self.case.entry.name)


class Banks(RuleBasedStateMachine):
    """Drives a bank that has room for some six cases."""

    @initialize()
    def begin(self):
        self.temporary = TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "bank"
        self.held: list[Held] = []
        self.bank = MemoryBank(self.folder, limit=LIMIT)
        self.seed = 0

    def teardown(self):
        if hasattr(self, "bank"):
            self.bank.close()
            self.temporary.cleanup()

    def pick(self, number: int) -> Held:
        return self.held[number % len(self.held)]

    def make_room(self) -> list[str]:
        """Let go of cases as the bank promises to: see `POLICY`; return their ids."""
        gone = []
        newest = self.held[-1]
        while sum(len(each.data) for each in self.held) > LIMIT:
            others = [each for each in self.held if each is not newest]
            count = {s: sum(e.structure == s for e in self.held) for s in map(plain, NAMES)}
            most = max(count[each.structure] for each in others)
            crowded = [each for each in others if count[each.structure] == most]
            least = min(each.recalled for each in crowded)
            goes = next(each for each in crowded if each.recalled == least)  # the oldest
            self.held.remove(goes)
            gone.append(goes.case.entry.id)
        return gone

    @rule(name=names, cells=st.sampled_from([2, 4, 6]), elsewhere=st.booleans())
    def add(self, name, cells, elsewhere):
        self.seed += 1
        case = remembered(name, seed=self.seed, cells=cells)
        self.held.append(Held(case, case.to_bytes()))
        if elsewhere:  # another process, which knows nothing of recalls that aren't written yet
            self.bank.list()
            with MemoryBank(self.folder, limit=LIMIT) as other:
                gone = other.add(case)
        else:
            gone = self.bank.add(case)
        assert [each.id for each in gone] == self.make_room()

    @precondition(lambda self: self.held)
    @rule(number=picks)
    def add_again(self, number):
        with pytest.raises(MemoryBankError, match="remembered already"):
            self.bank.add(self.pick(number).case)

    @precondition(lambda self: self.held)
    @rule(numbers=st.lists(picks, min_size=1, max_size=5))
    def recall(self, numbers):
        for number in numbers:
            self.pick(number).recalled += 1
        self.bank.note_recalled(self.pick(number).case.entry.id for number in numbers)

    @precondition(lambda self: self.held)
    @rule(number=picks, length=st.sampled_from([10, 32]))
    def forget(self, number, length):
        gone = self.pick(number)
        assert self.bank.forget(gone.case.entry.id[:length]).name == gone.case.entry.name
        self.held.remove(gone)
        for missing in (self.bank.get, self.bank.forget):
            with pytest.raises(MemoryBankError):
                missing(gone.case.entry.id)

    @rule(name=names)
    def forget_structure(self, name):
        gone = [each for each in self.held if each.structure == plain(name)]
        if not gone:
            with pytest.raises(MemoryBankError, match="not remembered"):
                self.bank.forget_structure(name)
            return
        found = self.bank.forget_structure(name)
        assert [each.id for each in found] == [each.case.entry.id for each in gone]
        self.held = [each for each in self.held if each not in gone]

    @rule()
    def reopen(self):
        self.bank.close()
        self.bank = MemoryBank(self.folder, limit=LIMIT)

    @rule(content=st.sampled_from([None, b"", b"no index", bytes(5000)]))
    def lose_the_index(self, content):
        """What was kept is found again, the oldest first; how often it was recalled is lost."""
        self.bank.close()
        for age, each in enumerate(self.held):
            os.utime(self.shard(each), (1000 + age, 1000 + age))
        index = self.folder / "index.sqlite"
        index.unlink()
        if content is not None:
            index.write_bytes(content)
        self.bank = MemoryBank(self.folder, limit=LIMIT)
        for each in self.held:
            each.recalled = 0

    @precondition(lambda self: self.held)
    @rule(number=picks, remains=st.booleans())
    def delete_a_shard_by_hand(self, number, remains):
        gone = self.pick(number)
        self.bank.close()
        self.shard(gone).unlink()
        if remains:  # and what a process left that was killed before it entered its case
            (self.folder / "shards" / f"{'0' * 32}.safetensors").write_bytes(gone.data)
        self.held.remove(gone)
        self.bank = MemoryBank(self.folder, limit=LIMIT)

    @precondition(lambda self: self.held)
    @rule(name=st.none() | names)
    def export(self, name):
        wanted = [each for each in self.held if name is None or each.structure == plain(name)]
        path = Path(self.temporary.name) / "cases.zip"
        path.unlink(missing_ok=True)
        if not wanted:
            with pytest.raises(MemoryBankError):
                self.bank.export(path, name)
            assert not path.exists()
            return
        assert self.bank.export(path, name) == len(wanted)
        assert self.bank.import_(path) == ()
        with TemporaryDirectory() as folder, MemoryBank(folder) as other:
            added = other.import_(path)
            assert [each.id for each in added] == [each.case.entry.id for each in wanted]
            assert all(same(other.get(each.case.entry.id), each.case) for each in wanted)
            assert {each.recalled for each in other.list()} == {0}

    def shard(self, each: Held) -> Path:
        return self.folder / "shards" / f"{each.case.entry.id}.safetensors"

    @invariant()
    def it_holds_what_was_added_and_nothing_else(self):
        found = self.bank.list()
        assert [each.id for each in found] == [each.case.entry.id for each in self.held]
        assert [each.recalled for each in found] == [each.recalled for each in self.held]
        assert [each.size for each in found] == [len(each.data) for each in self.held]
        assert {*(self.folder / "shards").iterdir()} == {*map(self.shard, self.held)}
        assert all(same(Case.of_bytes(self.shard(e).read_bytes()), e.case) for e in self.held)
        for name in NAMES:
            of_name = [e.case.entry.id for e in self.held if e.structure == plain(name)]
            assert [each.id for each in self.bank.list(name.upper())] == of_name
        stats = self.bank.stats()
        assert (stats.cases, stats.size) == (len(self.held), sum(len(e.data) for e in self.held))
        assert stats.size <= LIMIT
        assert sum(stats.structures.values()) == len(self.held)


TestBanks = Banks.TestCase
TestBanks.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
