"""Records of the log: what each holds, and what is left when some are lost, torn or foreign."""

import json
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import moments, moves, walk

from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.history import History, replay
from napari_fastsam3d.session.journal.record import LogRecord, records_in, restored
from napari_fastsam3d.session.journal.recovery import missing, sorted_records
from napari_fastsam3d.session.object_actions import NewObject
from napari_fastsam3d.session.prompt_actions import AddPrompt

few = settings(max_examples=40)
NEW = {"do": "new_object", "object": 1, "name": None, "value": None, "mask": None}
DATA = {"number": 1, "gone": [], "new": [[1, NEW]], "done": 1, "looking_at": None, "next_serial": 2}


def line_of(data) -> str:
    """A line whose checksum is right, whatever it says."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{zlib.crc32(text.encode()):08x} {text}"


def records_of(steps: list[History]) -> list[LogRecord]:
    return [LogRecord.between(n, *pair) for n, pair in enumerate(pairwise(steps), 1)]


def serials(history: History) -> set[int]:
    return {entry.serial for entry in history.entries}


@few
@given(moves)
def test_each_record_holds_what_is_new_and_no_more(moves):
    steps = moments(moves)
    for (before, after), record in zip(pairwise(steps), records_of(steps), strict=True):
        assert set(record.new) == serials(after) - serials(before)
        assert set(record.gone) == serials(before) - serials(after)
        assert record.done == (after.entries[after.cursor - 1].serial if after.cursor else 0)


@few
@given(moves)
def test_the_records_so_far_make_the_log_of_each_moment(moves):
    steps = moments(moves)
    records = records_of(steps)
    read = [LogRecord.from_line(record.to_line()) for record in records]
    assert read == records
    for count, step in enumerate(steps):
        found = restored(records[:count])
        assert found.state == step.state
        assert found.cursor == step.cursor
        assert [e.action for e in found.entries] == [e.action for e in step.entries]
        assert found.next_serial == step.next_serial


@few
@given(moves, st.data())
def test_whichever_records_are_lost_the_others_make_a_log_that_makes_sense(moves, data):
    records = records_of(moments(moves))
    left = [record for record in records if data.draw(st.booleans())]
    found = restored(left)
    kept = {serial for record in left for serial in record.new}
    assert serials(found) <= kept
    assert found.state.objects == replay(found.actions).objects
    for place, entry in enumerate(found.entries):
        assert entry.state == replay([each.action for each in found.entries[: place + 1]])
    assert missing(left) == (left[-1].number - len(left) if left else 0)
    assert found.next_serial > max(serials(found), default=0)
    if left:  # a serial that was lost is not given to another action
        assert found.next_serial >= left[-1].next_serial


@few
@given(moves, st.data())
def test_of_bytes_cut_anywhere_the_whole_records_before_are_found(moves, data):
    lines = [record.to_line() for record in records_of(moments(moves))]
    noise = data.draw(st.binary(max_size=20))
    raw = b"".join(noise + line.encode() + b"\0" for line in lines)
    cut = data.draw(st.integers(0, len(raw)))
    ends, at = [], 0
    for line in lines:
        at += len(noise) + len(line) + 1
        ends.append(at - 1)
    found = [record.to_line() for record in records_in(raw[:cut])]
    assert found == lines[: sum(end <= cut for end in ends)]


@few
@given(moves.filter(lambda each: len(each) > 3), st.data())
def test_a_spoilt_byte_costs_one_record_and_makes_none(moves, data):
    lines = [record.to_line() for record in records_of(moments(moves))]
    raw = bytearray("\n".join(lines), "ascii")
    if not raw:
        return
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    found = [record.to_line() for record in records_in(bytes(raw))]
    assert set(found) <= set(lines)
    assert len(found) >= len(lines) - 2  # a blank put for the end of a line joins it to the next


def test_of_two_records_of_one_number_the_first_counts_and_what_is_none_is_left_out():
    one, other = (
        LogRecord.between(1, History(), History().do(NewObject(1, name))) for name in ("a", "b")
    )
    last = LogRecord.between(4, walk([]), History().do(AddPrompt(1, Point(1, (1, 2, 3)))))
    assert sorted_records([last, None, one, other]) == [one, last]
    assert missing([one, last]) == 2
    assert missing([one]) == missing([]) == 0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("number", ["x", None, True, 1.5, 0, -1, 2**53 + 1, 10**30]),
        ("gone", [3, "ab", None, [None], [[1]], [1.5]]),
        ("new", [3, None, [3], [[1]], [["x", NEW]], [[1, {"do": "squeeze"}]], [[True, NEW]]]),
        ("done", ["x", None, True]),
        ("looking_at", ["x", [1], {}, 1.0]),
        ("next_serial", ["x", None, []]),
    ],
)
def test_a_whole_record_that_says_what_none_can_is_of_a_version_to_come(name, values):
    assert LogRecord.from_line(line_of(DATA)) is not None
    assert not LogRecord.is_newer(line_of(DATA))
    for value in values:
        line = line_of({**DATA, name: value})
        assert LogRecord.from_line(line) is None
        assert LogRecord.is_newer(line)
    lacking = {key: value for key, value in DATA.items() if key != name}
    assert LogRecord.from_line(line_of(lacking)) is None


@pytest.mark.parametrize(
    "line",
    [
        None,
        3,
        b"00000000 {}",
        "",
        "no checksum",
        line_of("3"),
        line_of("{"),
        line_of("[]"),
        pytest.param(line_of('{"number":' + "[" * 10**5), id="nested"),
        "00000000" + line_of(DATA)[8:],
    ],
)
def test_what_is_no_record_is_neither_read_nor_called_newer(line):
    assert LogRecord.from_line(line) is None
    assert not LogRecord.is_newer(line)
    if isinstance(line, str):
        whole = line_of(DATA)
        found = [each.number for each in records_in(f"{line}\n{whole}".encode())]
        assert found == [1]
