"""Files of remembered cases that others made: what is wrong is refused and spoils nothing."""

import json
import zipfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered import MODEL, remembered
from safetensors.numpy import load, save

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Tokens, key_summary, scan_digest, structure_of
from napari_fastsam3d.memory.store import _stacked

DATA = remembered(seed=3).to_bytes()


def header_of(data: bytes) -> dict:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def changed(arrays=None, entry=None, **header) -> bytes:
    """A case with other arrays, other fields of its entry, or another header."""
    metadata = {**header_of(DATA), **header}
    if isinstance(entry, dict):
        metadata["entry"] = json.dumps({**json.loads(metadata["entry"]), **entry})
    elif entry is not None:
        metadata["entry"] = entry
    kept = {name: a for name, a in {**load(DATA), **(arrays or {})}.items() if a is not None}
    return save(kept, metadata)


def archive(path: Path, *cases: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for number, data in enumerate(cases):
            file.writestr(f"{number}.safetensors", data)
    return path


def same(one: Case, other: Case) -> bool:
    arrays = [
        (a, b)
        for x, y in zip(one.tokens, other.tokens, strict=True)
        for a, b in ((x.features, y.features), (x.mask, y.mask))
    ]
    arrays += [
        (getattr(one, name), getattr(other, name))
        for name in ("descriptor", "foreground", "background", "keys", "values")
    ]
    return all(
        (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))
        for a, b in arrays
    )


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_case_comes_back_from_its_file(keyed: bool, levels: int):
    case = remembered("Left Kidney ä")
    case = replace(case, tokens=case.tokens * levels)
    case = case if keyed else replace(case, keys=None, values=None)
    data = case.to_bytes()
    back = Case.of_bytes(data)
    assert same(back, case)
    assert back.entry == replace(case.entry, size=len(data))
    assert [t.origin for t in back.tokens] == [t.origin for t in case.tokens]
    assert [t.cell for t in back.tokens] == [t.cell for t in case.tokens]


def test_a_file_tells_nothing_of_whose_it_is():
    told = header_of(remembered(scan="hash of the scan of Jane Doe").to_bytes())
    assert "Jane" not in json.dumps(told)
    assert set(json.loads(told["entry"])) == set(asdict(remembered().entry))


ENTRIES = [
    {"id": "../../../evil"},
    {"id": "/tmp/evil"},
    {"id": ""},
    {"id": "A" * 32},
    {"id": "a" * 31},
    {"id": 7},
    {"name": None},
    {"name": ["liver"]},
    {"model": 3},
    {"date": 20261128},
    {"salt": "zz"},
    {"salt": "ab" * 17},
    {"salt": None},
    {"volume": "not hexadecimal"},
    {"spacing": "1.5"},
    {"spacing": -1.5},
    {"spacing": float("nan")},
    {"spacing": None},
    {"spacing": 0.0},
    {"clicks": -1},
    {"clicks": "3"},
    {"quality": float("inf")},
    {"quality": "good"},
    {"colour": "red"},
]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_an_entry_that_says_something_else_is_refused_and_nothing_written(tmp_path, entry):
    data = changed(entry=entry)
    with pytest.raises(ValueError, match="case"):
        Case.of_bytes(data)
    folder = tmp_path / "a" / "b" / "bank"
    with MemoryBank(folder) as bank:
        with pytest.raises(MemoryBankError, match="nothing was added"):
            bank.import_(archive(tmp_path / "in.zip", remembered().to_bytes(), data))
        assert bank.list() == ()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "in.zip"}
    assert [path.name for path in (tmp_path / "a").rglob("*.safetensors")] == []


ARRAYS = [
    {"descriptor": None},
    {"descriptor": np.zeros((2, 8), np.float32)},
    {"descriptor": np.zeros(16, np.float16)},
    {"descriptor": np.full(16, np.nan, np.float32)},
    {"tokens.0.features": None},
    {"tokens.0.features": np.zeros((4, 4, 4), np.float16)},
    {"tokens.0.mask": None},
    {"tokens.0.mask": np.zeros((4, 4, 3), np.float16)},
    {"foreground": np.zeros(8, np.float16)},
    {"background": None},
    {"keys": None},
    {"values": None},
    {"keys": np.zeros((2, 7, 4), np.float16)},
    {"keys": np.zeros((2, 32), np.float16), "values": np.zeros((2, 32), np.float16)},
    {"descriptor": np.zeros(16, np.int64)},
    {"tokens.0.features": np.full((4, 4, 4, 8), np.nan, np.float16)},
    {"tokens.0.mask": np.full((4, 4, 4), np.inf, np.float16)},
    {"foreground": np.full((4, 8), np.nan, np.float16)},
    {"surroundings": np.zeros((7, 7, 7), np.float16)},
]


@pytest.mark.parametrize("arrays", ARRAYS, ids=lambda each: "-".join(each))
def test_arrays_that_do_not_belong_together_are_refused(arrays):
    with pytest.raises(ValueError, match="case"):
        Case.of_bytes(changed(arrays))


@pytest.mark.parametrize(
    "header",
    [
        {"format": "another 1"},
        {"tokens": "[]"},
        {"tokens": "[{}]"},
        {"tokens": '[{"origin": [1, 2], "cell": 6}]'},
        {"tokens": '[{"origin": [1, 2, 3], "cell": 0}]'},
        {"tokens": '[{"origin": [1, 2, 3], "cell": Infinity}]'},
        {"tokens": '[{"origin": [1, 2, NaN], "cell": 6}]'},
        {"tokens": "3"},
        {"entry": "[]"},
        {"entry": "null"},
        {"entry": "{"},
        {"entry": "{}"},
        {"entry": "[" * 10**5},
        {"tokens": "[" * 10**5},
    ],
)
def test_a_header_of_something_else_is_refused(header):
    with pytest.raises(ValueError):  # noqa: PT011 - which word does not fit is told by each
        Case.of_bytes(changed(**header))


@settings(max_examples=40)
@given(st.integers(0, len(DATA) - 1))
def test_a_file_cut_anywhere_is_refused(length):
    with pytest.raises(ValueError):  # noqa: PT011 - cut in the header or in the arrays
        Case.of_bytes(DATA[:length])


DEEP = (10**5).to_bytes(8, "little") + b"[" * 10**5


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff" * 8, b"\xff" * 80, b"\x02" + bytes(7) + b"[]", DEEP],
    ids=["nothing", "no length", "a long one", "a list", "nested deeply"],
)
def test_bytes_of_something_else_are_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        Case.of_bytes(data)


def zipped(path: Path, how: int, flags: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("0.safetensors", DATA)
    if flags:
        raw = bytearray(path.read_bytes())
        raw[6] |= flags
        raw[raw.index(b"PK\x01\x02") + 8] |= flags
        path.write_bytes(raw)
    return path


def test_an_archive_with_a_password_is_refused_in_words(tmp_path):
    with (
        MemoryBank(tmp_path / "bank") as bank,
        pytest.raises(MemoryBankError, match="nothing was added"),
    ):
        bank.import_(zipped(tmp_path / "in.zip", zipfile.ZIP_STORED, flags=1))


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.integers(1, 255))
def test_one_changed_byte_of_an_archive_is_told_or_harmless(tmp_path_factory, where, change):
    folder = tmp_path_factory.mktemp("bank")
    path = zipped(folder / "in.zip", zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    raw[int(where * (len(raw) - 1))] ^= change
    path.write_bytes(raw)
    with MemoryBank(folder / "bank") as bank:
        try:
            added = bank.import_(path)
        except MemoryBankError:
            added = ()
        assert bank.list() == added
        for entry in added:
            assert same(bank.get(entry.id), Case.of_bytes(DATA))


def test_a_case_that_comes_twice_in_an_archive_is_added_once(tmp_path):
    with MemoryBank(tmp_path / "bank") as bank:
        (entry,) = bank.import_(archive(tmp_path / "in.zip", DATA, DATA))
        assert bank.list() == (entry,)
        assert same(bank.get(entry.id), Case.of_bytes(DATA))


def test_remembering_a_case_again_is_refused_and_keeps_the_first(tmp_path):
    case = remembered()
    with MemoryBank(tmp_path) as bank:
        bank.add(case)
        with pytest.raises(MemoryBankError, match="already"):
            bank.add(case)
        assert same(bank.get(case.entry.id), case)
    with MemoryBank(tmp_path) as bank:
        assert [entry.id for entry in bank.list()] == [case.entry.id]


@pytest.mark.parametrize("left", [b"", bytes(512), b"liver" * 200])
def test_a_journal_that_a_killed_process_left_does_not_stay(tmp_path, left):
    with MemoryBank(tmp_path) as bank:
        bank.add(remembered())
    (tmp_path / "index.sqlite-journal").write_bytes(left)
    with MemoryBank(tmp_path) as bank:
        assert len(bank.list()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "index.sqlite"}


def test_cases_with_and_without_keys_of_one_model_live_together(tmp_path):
    """A model remembers keys on one machine and none on another, where it runs as a graph."""
    keyed, plain = remembered(seed=1), replace(remembered(seed=2), keys=None, values=None)
    with MemoryBank(tmp_path) as bank:
        for case in (plain, keyed):
            bank.add(case)
        part = bank.index().of_model[MODEL]
        assert [bool(row.any()) for row in part.scenes] == [False, True]
        found = bank.recall(plain.descriptor, MODEL, count=2)
        assert {each.entry.id for each in found} == {keyed.entry.id, plain.entry.id}


def test_a_descriptor_of_another_length_spoils_no_recall(tmp_path):
    usual = [remembered(seed=n) for n in range(3)]
    odd = remembered(seed=9, descriptor=np.ones(5))
    with MemoryBank(tmp_path) as bank:
        for case in (odd, *usual):
            bank.add(case)
        found = bank.recall(usual[1].descriptor, MODEL, count=9)
        assert {each.entry.id for each in found} == {case.entry.id for case in usual}
        assert found[0].entry.id == usual[1].entry.id


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_vectors_of_the_commonest_length_are_stacked(lengths):
    blobs = [np.arange(1, n + 1, dtype="<f4").tobytes() for n in lengths]
    found = _stacked(blobs)
    counts = Counter(n for n in lengths if n)
    width = found.shape[1]
    assert len(found) == len(lengths)
    assert width == 0 if not counts else counts[width] == max(counts.values())
    for row, length in zip(found, lengths, strict=True):
        assert row.tolist() == (list(range(1, length + 1)) if length == width else [0] * width)


@given(st.text("aBä \t\nß", max_size=8))
def test_names_are_compared_without_case_and_spaces_around(name):
    assert structure_of(f"  {name.upper()} ") == structure_of(name) or "ß" in name
    assert structure_of(structure_of(name)) == structure_of(name)
    assert not set(structure_of(name)) & {"\t", "\n", "B"}


@given(st.text(max_size=12), st.text(max_size=12), st.binary(min_size=16, max_size=16))
def test_a_scan_is_told_from_others_by_its_digest_alone(one, other, salt):
    digest = scan_digest(one, salt.hex())
    assert len(digest) == 16
    assert (scan_digest(other, salt.hex()) == digest) == (one == other)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_keys_are_summed_up_as_a_unit_vector(seed):
    keys = np.random.default_rng(seed).normal(size=(2, 5, 3)).astype(np.float16)
    wanted = np.concatenate([keys[head].astype(np.float64).mean(0) for head in range(2)])
    found = key_summary(keys)
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)
    assert not key_summary(np.zeros((2, 5, 3), np.float16)).any()


@settings(max_examples=25)
@given(st.tuples(*[st.integers(1, 4)] * 3), st.floats(0.5, 20))
def test_cells_lie_in_steps_from_the_first(shape, cell):
    tokens = Tokens(
        np.zeros((*shape, 2), np.float16), np.zeros(shape, np.float16), (1, -2, 3), cell
    )
    places = tokens.places()
    for at in np.ndindex(*shape):
        np.testing.assert_allclose(places[at], np.array(at) * cell + (1, -2, 3), rtol=1e-5)
