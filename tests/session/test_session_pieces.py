"""Pieces of a session by themselves: names of files, workers, requests, answers, servers."""

import json
import os
import stat
import threading
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from remembered import remembered

from napari_fastsam3d.errors import ServerError, SessionError
from napari_fastsam3d.inference.memory_prompt import question_of
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.recall_prompts import FromMemory
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import WAYS, Answer, Question, RecalledCase
from napari_fastsam3d.session.colour import COLOURS, parse_colour
from napari_fastsam3d.session.pending import PendingRequests
from napari_fastsam3d.session.presets import organs
from napari_fastsam3d.session.recollections import Recollections, said_from_json, said_to_json
from napari_fastsam3d.session.remote import servers
from napari_fastsam3d.session.remote.servers import (
    TOKEN_VARIABLE,
    ServerAccess,
    access_to,
    is_loopback,
    is_server,
    keep_access,
    known_servers,
    server_address,
)
from napari_fastsam3d.session.request import Request
from napari_fastsam3d.session.saved_objects import left_out, paths_of_each
from napari_fastsam3d.session.state import ObjectState
from napari_fastsam3d.session.worker import Worker
from napari_fastsam3d.session.worklist import Worklist, _natural

few = settings(max_examples=25)
NAMES = st.sampled_from(
    ["liver", "Liver", "liver_2", "liver 2", "liver_2_", "肝", "..", "a/b", "a b"]
)


def objects(names):
    return [
        ObjectState(number, name, number, COLOURS[0]) for number, name in enumerate(names, start=1)
    ]


@few
@given(st.lists(NAMES | st.text(max_size=12), max_size=8))
def test_no_two_objects_are_saved_to_one_file_nor_outside_the_folder(names):
    target = Path("/somewhere/scan_mask.nii.gz")
    paths = paths_of_each(target, objects(names))
    assert len(paths) == len(names)
    assert len({path.name.lower() for path in paths}) == len(names)
    for path in paths:
        assert path.parent == target.parent
        assert path.name.startswith("scan_mask_")
        assert path.name.endswith(".nii.gz")
        assert len(path.name) > len("scan_mask_.nii.gz")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("m.seg.nrrd", "m_left_lung.seg.nrrd"),
        ("m.NRRD", "m_left_lung.NRRD"),
        ("m.dcm", "m_left_lung.dcm"),
        ("m.nii.gz", "m_left_lung.nii.gz"),
        ("a.b.mha", "a.b_left_lung.mha"),
        ("m.other", "m_left_lung.other"),
    ],
)
def test_the_ending_of_a_file_stays_whole(name, wanted):
    assert [path.name for path in paths_of_each(Path(name), objects(["left lung"]))] == [wanted]


def test_what_a_saved_mask_lacks_is_listed_up_to_twenty_names():
    many = objects([f"lesion {n}" for n in range(25)])
    ids = [each.id for each in many]
    assert left_out(many, [], []) is None
    assert left_out(many, ids[:1], []) == "1 object is empty and not in what was saved: lesion 0."
    told = left_out(many, ids, [])
    assert told.startswith("25 objects are empty")
    assert told.endswith("lesion 19 and 5 more.")
    both = left_out(many, ids[:1], ids[1:3])
    assert "lesion 0." in both
    assert "clicked for lesion 1, lesion 2 lies in other objects" in both


@pytest.mark.parametrize(
    "value",
    [[1.5, 0, 0], [-0.1, 0, 0], [1, 2, 3], [float("nan"), 0, 0], [True, 0, 0], [0, 0], "red"],
)
def test_a_colour_is_three_numbers_from_none_to_one(value):
    with pytest.raises((TypeError, ValueError)):
        parse_colour(value)
    assert parse_colour([0, 0.5, 1]) == (0.0, 0.5, 1.0)


def test_organs_of_the_list_have_names_and_values_of_their_own():
    found = organs()
    assert len({organ.name for organ in found}) == len(found)
    assert [organ.value for organ in found] == sorted({organ.value for organ in found})
    assert {organ.name: organ.value for organ in found}["liver"] == 5, "as of TotalSegmentator 2"


@pytest.fixture
def worker():
    made = Worker("test")
    yield made
    made.close()


def test_jobs_are_done_one_after_the_other_in_one_thread(worker):
    done, running = [], []

    def job(number):
        running.append(1)
        assert len(running) == 1
        done.append((number, threading.current_thread().name, worker.is_current))
        running.pop()
        return number * 2

    futures = [worker.submit(job, number=n) for n in range(20)]
    assert [future.result(10) for future in futures] == [2 * n for n in range(20)]
    assert [number for number, *_ in done] == list(range(20))
    assert {(name, current) for _, name, current in done} == {("fastsam3d-test", True)}
    assert not worker.is_current


def test_a_job_that_fails_fails_alone(worker):
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 / 0).result(10)
    assert worker.submit(lambda: "next").result(10) == "next"


def test_a_job_that_was_given_up_is_not_done(worker):
    may_go_on, done = threading.Event(), []
    worker.submit(may_go_on.wait, 10)
    waiting = worker.submit(done.append, 1)
    assert worker.has_waiting
    assert waiting.cancel()
    may_go_on.set()
    assert worker.submit(lambda: "last").result(10) == "last"
    assert done == []
    with pytest.raises(CancelledError):
        waiting.result()


def test_jobs_of_a_closed_worker_are_finished_and_no_others_taken():
    worker, done = Worker("test"), []
    for number in range(5):
        worker.submit(done.append, number)
    worker.close()
    worker.close()
    assert done == list(range(5))
    with pytest.raises(SessionError, match="closed"):
        worker.submit(done.append, 9)
    Worker("unused").close()


def test_a_thread_that_dies_has_a_successor(worker, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda told: None)

    def die():
        raise SystemExit

    first = worker.submit(threading.get_ident).result(10)
    with pytest.raises(SessionError, match="thread of the test died"):
        worker.submit(die).result(10)
    assert worker.submit(threading.get_ident).result(10) != first


def test_a_job_may_ask_for_another_and_close_its_own_worker():
    worker = Worker("test")
    asked: Future[Future[str]] = worker.submit(lambda: worker.submit(lambda: "inner"))
    assert asked.result(10).result(10) == "inner"
    worker.submit(worker.close).result(10)
    worker.close()


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "overtake", "cancel"]), st.integers(1, 3)), max_size=12
)


@few
@given(STEPS)
def test_the_newest_request_for_an_object_counts_until_all_are_given_up(steps):
    pending = PendingRequests(threading.RLock())
    newest: dict[int, Request] = {}
    unsettled: dict[int, list[int]] = {1: [], 2: [], 3: []}
    asked, cancelled = [], set()
    for serial, (what, number) in enumerate(steps):
        if what == "cancel":
            assert pending.cancel() == bool(asked)
            cancelled |= {request.number for request in asked}
            continue
        request = pending.new(number, serial)
        if what == "ask":
            assert pending.unsettled(request) == unsettled[number]
            pending.add(request)
            unsettled[number].append(serial)
            asked.append(request)
        else:
            pending.overtake(request)
            unsettled[number].clear()
        newest[number] = request
    for request in asked:
        assert pending.is_newest(request) == (newest[request.object] is request)
        assert pending.is_cancelled(request) == (request.number in cancelled)
    assert pending.unanswered == len(asked)
    for _ in asked:
        pending.answered()
    pending.wait()


def test_waiting_ends_when_everything_is_answered():
    pending = PendingRequests(threading.RLock())
    pending.add(Request(pending.next_number(), 1, perf_counter(), serial=None))
    pending.postpone()
    waiting = threading.Thread(target=pending.wait)
    waiting.start()
    pending.answered()
    waiting.join(0.05)
    assert waiting.is_alive()
    pending.resume()
    waiting.join(10)
    assert not waiting.is_alive()


QUESTIONS = st.builds(
    Question,
    st.sampled_from(WAYS),
    st.none() | st.text(max_size=8),
    st.text("0123456789abcdef", max_size=8),
    st.none() | st.tuples(*3 * [st.integers(0, 99)]),
    st.integers(0, 9),
    st.lists(st.text(max_size=4), max_size=2).map(tuple),
)
CASES = st.builds(RecalledCase, st.text(max_size=6), st.text(max_size=6), *2 * [st.floats(-1, 1)])
ANSWERS = st.builds(
    Answer, st.lists(CASES, max_size=3).map(tuple), st.none() | st.tuples(*3 * [st.integers(0, 99)])
)
SAID = st.lists(st.tuples(QUESTIONS, ANSWERS), max_size=3)


@few
@given(SAID)
def test_what_a_memory_said_comes_back_from_json(said):
    assert said_from_json(json.loads(json.dumps(said_to_json(said)))) == said


TOLD = said_to_json(
    [
        (
            Question("reader", "liver", "ab", (1, 2, 3)),
            Answer((RecalledCase("1", "liver", 0.9, 1.0),), (4, 5, 6)),
        )
    ]
)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        *[(("asked", "way"), value) for value in ("guess", 3, None)],
        *[(("asked", "click"), value) for value in ([1, 2], [1, 2, 3.5], "abc", 3)],
        *[(("asked", "known"), value) for value in ("1", 1.5, None, True)],
        *[(("place",), value) for value in ([1, 2], [1.0, 2, 3], "abc")],
        *[(("cases",), value) for value in (3, [3], [{}], None)],
        *[(("cases", 0, "weight"), value) for value in ("much", None, [1])],
        (("asked",), []),
    ],
)
def test_a_damaged_answer_is_refused(part, wrong):
    damaged = json.loads(json.dumps(TOLD))
    *way, last = part
    place = damaged[0]
    for each in way:
        place = place[each]
    place[last] = wrong
    with pytest.raises((KeyError, TypeError, ValueError)):
        said_from_json(damaged)


def test_the_last_answer_of_any_model_is_that_of_an_object():
    memory = Recollections()
    click = (FromMemory("reader", "liver"), Point(1, (1, 2, 3)))
    assert memory.of(click) == Answer()
    assert not memory.use(click), "nothing was asked"
    asked = question_of(click, "")
    for model in ("old", "newer"):
        memory.answers[replace(asked, model=model)] = Answer(place=(len(model), 0, 0))
    assert memory.of(click) == Answer(), "what was asked ahead of a click went into no mask"
    assert memory.use(click)
    assert not memory.use(click)
    assert memory.of(click) == Answer(place=(5, 0, 0))
    assert memory.used() == [(replace(asked, model="newer"), Answer(place=(5, 0, 0)))]
    assert not memory.use((Point(1, (1, 2, 3)),))


def test_cases_that_a_bank_lacks_are_counted(tmp_path):
    memory = Recollections()
    assert memory.missing(None) is None
    kept, lost = remembered("liver", 1).entry, remembered("liver", 2).entry
    cases = tuple(RecalledCase(each.id, each.name, 0.9, 0.5) for each in (kept, lost))
    memory.add([(Question("reader", "liver", "ab", (1, 2, 3)), Answer(cases))])
    assert "no memory" in memory.missing(None)
    with MemoryBank(tmp_path) as bank:
        bank.add(replace(remembered("liver", 1), entry=kept))
        assert "1 of 2 are not in this memory" in memory.missing(bank)
        bank.add(replace(remembered("liver", 2), entry=lost))
        assert memory.missing(bank) is None


@pytest.mark.parametrize(
    ("text", "address", "model"),
    [
        ("https://gpu.example.org:8765", "https://gpu.example.org:8765", "default"),
        (" https://gpu.example.org/sam/ ", "https://gpu.example.org/sam", "default"),
        ("http://127.0.0.1:8765#lite", "http://127.0.0.1:8765", "lite"),
        ("http://[::1]:9", "http://[::1]:9", "default"),
        ("HTTP://localhost", "http://localhost", "default"),
    ],
)
def test_an_address_is_taken_apart(text, address, model):
    assert server_address(text) == (address, model)
    assert is_server(text.strip())


@pytest.mark.parametrize(
    "text",
    ["", "gpu", "ftp://gpu", "https://", "https://a:b@gpu", "https://gpu?x=1", "https://gpu:99999"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ServerError, match="no address"):
        server_address(text)


@pytest.mark.parametrize("host", ["gpu.example.org", "10.0.0.1", "127.0.0.1.example.org"])
def test_no_token_crosses_a_network_in_the_clear(host):
    assert not is_loopback(host)
    with pytest.raises(ServerError, match="in the clear"):
        server_address(f"http://{host}:8765")


def test_tokens_are_kept_for_their_owner_alone_and_the_environment_s_goes_first(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert known_servers() == []
    keep_access(ServerAccess("https://one", "first"))
    keep_access(ServerAccess("https://two", "second", "/ca.pem"))
    keep_access(ServerAccess("https://one", "newer"))
    assert known_servers() == ["https://one", "https://two"]
    assert access_to("https://one").token == "newer"
    assert access_to("https://two").certificate == "/ca.pem"
    assert access_to("https://three") == ServerAccess("https://three")
    if os.name == "posix":
        assert stat.S_IMODE(servers._path().stat().st_mode) == 0o600
    monkeypatch.setenv(TOKEN_VARIABLE, "of the environment")
    assert access_to("https://one").token == "of the environment"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "3",
        "null",
        '["a"]',
        '[{"address": []}]',
        '[{"token": "x"}]',
        '[{"address": "a", "token": 5}]',
        '{"address": "a"}',
        '[{"address": "a", "colour": 1}]',
        "[[]]",
        pytest.param("[" * 10**5, id="nested"),
    ],
)
def test_a_damaged_file_of_tokens_knows_no_server_and_takes_new_ones(content):
    path = servers._path()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert known_servers() == []
    keep_access(ServerAccess("https://one", "token"))
    assert access_to("https://one").token == "token"


@few
@given(st.lists(st.from_regex(r"[a-z]{0,2}[0-9]{0,3}[a-z]?[0-9]{0,2}", fullmatch=True), max_size=8))
def test_numbers_in_names_count_as_such(names):
    ordered = sorted(names, key=_natural)
    assert sorted(ordered) == sorted(names)
    numbered = sorted((f"scan{n}.nii" for n in range(1, 30)), key=_natural)
    assert numbered == [f"scan{n}.nii" for n in range(1, 30)]


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "3", "{}", pytest.param("[" * 10**5, id="nested")),
        *('{"version": 1}', '{"version": "1", "done": []}', '{"version": 9}'),
    ],
)
def test_progress_that_cannot_be_read_is_told_and_left_alone(tmp_path, content):
    file = tmp_path / "worklist.json"
    file.write_text(content)
    with pytest.raises(SessionError):
        Worklist(tmp_path)
    assert file.read_text() == content
