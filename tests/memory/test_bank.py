import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remembered import MODEL, remembered

from napari_fastsam3d.errors import FastSAM3DError, MemoryBankError
from napari_fastsam3d.memory.bank import MemoryBank, surplus
from napari_fastsam3d.memory.case import Case, Entry

SUPPORT = Path(__file__).resolve().parents[1] / "support"


@pytest.fixture
def bank(tmp_path: Path):
    with MemoryBank(tmp_path / "bank") as bank:
        yield bank


def assert_equal(one: Case, other: Case) -> None:
    for name in ("descriptor", "foreground", "background", "keys", "values"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for ours, theirs in zip(one.tokens, other.tokens, strict=True):
        np.testing.assert_array_equal(ours.features, theirs.features)
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        assert (ours.origin, ours.cell) == (theirs.origin, theirs.cell)


def test_what_is_added_is_there_for_the_next_session(tmp_path: Path):
    case = remembered("left kidney")
    with MemoryBank(tmp_path) as bank:
        assert bank.add(case) == ()
    with MemoryBank(tmp_path) as bank:
        (entry,) = bank.list()
        assert entry.name == "left kidney"
        assert entry.size == len(case.to_bytes())
        assert_equal(bank.get(entry.id), case)


def test_structures_are_listed_by_name_in_any_case(bank: MemoryBank):
    for name in ("Liver", "spleen", "liver  "):
        bank.add(remembered(name))

    assert [each.name for each in bank.list("LIVER")] == ["Liver", "liver  "]
    assert bank.stats().cases == 3


def test_what_is_forgotten_leaves_no_trace_in_the_folder(bank: MemoryBank):
    kept, secret = remembered("spleen"), remembered("SECRETSTRUCTURE", seed=1)
    bank.add(kept)
    bank.add(secret)

    bank.forget(secret.entry.id[:8])

    traces = [secret.entry.name.encode(), secret.entry.id.encode(), secret.descriptor.tobytes()]
    for path in bank.path.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(trace in content for trace in traces), path
        assert secret.entry.id not in path.name
    assert [entry.id for entry in bank.list()] == [kept.entry.id]
    with pytest.raises(MemoryBankError):
        bank.get(secret.entry.id)


def test_forgetting_the_last_case_empties_the_folder(tmp_path: Path):
    with MemoryBank(tmp_path) as bank:
        bank.add(remembered())
        assert len(bank.forget_structure("liver")) == 1
        assert not list((tmp_path / "shards").iterdir())
    with MemoryBank(tmp_path) as bank:
        assert bank.list() == ()


@pytest.mark.parametrize("beginning", ["", "zz"])
def test_an_unclear_id_forgets_nothing(bank: MemoryBank, beginning: str):
    bank.add(remembered())
    bank.add(remembered())

    with pytest.raises(MemoryBankError):
        bank.forget(beginning)
    assert len(bank.list()) == 2


def test_recalls_are_counted_when_the_bank_is_closed(tmp_path: Path):
    case = remembered()
    with MemoryBank(tmp_path) as bank:
        bank.add(case)
        bank.note_recalled([case.entry.id])
        bank.note_recalled([case.entry.id])
    with MemoryBank(tmp_path) as bank:
        assert bank.list()[0].recalled == 2


def test_a_bank_stays_within_its_limit_and_keeps_the_newest(tmp_path: Path):
    size = len(remembered().to_bytes())
    with MemoryBank(tmp_path, limit=3 * size) as bank:
        spleen = remembered("spleen")
        livers = [remembered("liver", seed=seed) for seed in range(4)]
        gone = [bank.add(case) for case in (spleen, *livers)]
        stats = bank.stats()

    assert [[entry.id for entry in each] for each in gone] == [
        [],
        [],
        [],
        [livers[0].entry.id],
        [livers[1].entry.id],
    ]
    assert stats.structures == {"liver": 2, "spleen": 1}
    assert stats.size <= stats.limit
    assert len(list((tmp_path / "shards").iterdir())) == 3


def test_what_is_larger_than_the_bank_is_refused(tmp_path: Path):
    with MemoryBank(tmp_path, limit=100) as bank:
        with pytest.raises(MemoryBankError, match="higher limit"):
            bank.add(remembered())
        assert bank.list() == ()
        assert not list((tmp_path / "shards").iterdir())


entries = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=9
)


@given(entries, st.integers(1, 40))
def test_what_goes_is_no_more_than_is_needed(rows: list[tuple[str, int, int]], limit: int):
    every = [
        Entry(str(n), name, MODEL, 1.5, None, 1, "", "", "", recalled, size)
        for n, (name, recalled, size) in enumerate(rows)
    ]

    gone = surplus(every, limit, every[-1].id)

    left = [entry for entry in every if entry not in gone]
    size = sum(entry.size for entry in left)
    assert every[-1] in left
    assert size <= limit or left == [every[-1]]
    assert not gone or size + gone[-1].size > limit


def test_a_bank_goes_to_a_colleague(bank: MemoryBank, tmp_path: Path):
    cases = [remembered("liver"), remembered("spleen", seed=1)]
    for case in cases:
        bank.add(case)
    bank.note_recalled([cases[0].entry.id])

    assert bank.export(tmp_path / "all.zip") == 2
    assert bank.export(tmp_path / "livers.zip", "liver") == 1

    with MemoryBank(tmp_path / "other") as other:
        assert [each.name for each in other.import_(tmp_path / "livers.zip")] == ["liver"]
        assert [each.name for each in other.import_(tmp_path / "all.zip")] == ["spleen"]
        for case in cases:
            assert_equal(other.get(case.entry.id), case)
        assert {entry.recalled for entry in other.list()} == {0}
        assert {entry.volume for entry in other.list()} == {e.volume for e in bank.list()}


def test_what_is_no_export_is_refused_and_adds_nothing(bank: MemoryBank, tmp_path: Path):
    bank.add(remembered())
    bank.export(tmp_path / "whole.zip")
    damaged = bytearray((tmp_path / "whole.zip").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.zip").write_bytes(damaged)
    (tmp_path / "text.zip").write_text("no")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    bank.forget_structure("liver")

    for name in ("damaged", "text", "empty", "absent"):
        with pytest.raises(MemoryBankError, match=name):
            bank.import_(tmp_path / f"{name}.zip")
    assert bank.list() == ()


def test_a_damaged_shard_is_told_and_spoils_no_other(bank: MemoryBank):
    whole, damaged = remembered(), remembered(seed=1)
    bank.add(whole)
    bank.add(damaged)
    path = bank.path / "shards" / f"{damaged.entry.id}.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)

    with pytest.raises(MemoryBankError, match="damaged"):
        bank.get(damaged.entry.id)
    assert_equal(bank.get(whole.entry.id), whole)
    assert len(bank.list()) == 2


@pytest.mark.parametrize("damage", [b"", b"not a database" * 999])
def test_a_lost_index_is_made_again_from_the_shards(tmp_path: Path, damage: bytes):
    cases = [remembered(seed=seed) for seed in range(3)]
    with MemoryBank(tmp_path) as bank:
        for case in cases:
            bank.add(case)
    (tmp_path / "index.sqlite").write_bytes(damage)

    with MemoryBank(tmp_path) as bank:
        assert {entry.id for entry in bank.list()} == {case.entry.id for case in cases}
        found = bank.recall(cases[1].descriptor, MODEL, count=1)
        assert found[0].entry.id == cases[1].entry.id


def test_a_shard_that_was_deleted_by_hand_is_forgotten(tmp_path: Path):
    with MemoryBank(tmp_path) as bank:
        bank.add(remembered())
        bank.add(remembered())
        gone = bank.list()[0].id
    (tmp_path / "shards" / f"{gone}.safetensors").unlink()
    with MemoryBank(tmp_path) as bank:
        assert len(bank.list()) == 1


def test_what_another_process_adds_is_seen(tmp_path: Path):
    with MemoryBank(tmp_path) as one, MemoryBank(tmp_path) as other:
        one.add(remembered())
        assert len(other.list()) == 1
        other.forget_structure("liver")
        assert one.list() == ()


def test_a_bank_where_none_can_be_says_so(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FastSAM3DError, match="can't be used"):
        MemoryBank(tmp_path / "file" / "bank")


def writers(way: str, folder: Path) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, SUPPORT / "memory_writers.py", way, folder],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split(), done.stderr


def assert_whole(folder: Path) -> set[str]:
    """Every entry can be read, and nothing lies beside them; gives their ids."""
    with MemoryBank(folder) as bank:
        entries = bank.list()
        for entry in entries:
            bank.get(entry.id)
        shards = {path.stem for path in (folder / "shards").iterdir()}
    assert shards == {entry.id for entry in entries}
    assert {path.name for path in folder.iterdir()} == {"shards", "index.sqlite"}
    return shards


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed as POSIX does it")
def test_a_process_that_is_killed_loses_the_case_in_flight_alone(tmp_path: Path):
    acknowledged, _ = writers("killed", tmp_path)

    there = assert_whole(tmp_path)

    assert acknowledged
    assert set(acknowledged) <= there
    assert len(there) <= len(acknowledged) + 100  # each was killed in one case at the most


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked as POSIX does it")
def test_two_processes_write_at_once(tmp_path: Path):
    acknowledged, _ = writers("together", tmp_path)

    assert len(acknowledged) == 40
    assert assert_whole(tmp_path) == set(acknowledged)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="RLIMIT_FSIZE is POSIX")
def test_a_full_disk_loses_the_case_in_flight_alone(tmp_path: Path):
    acknowledged, errors = writers("full", tmp_path)

    assert len(errors.splitlines()) == 2
    assert len(acknowledged) > 2
    assert assert_whole(tmp_path) == set(acknowledged)
