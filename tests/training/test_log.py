"""The log of a run: what is kept of it after a stop, and its picture."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_fastsam3d.training.log import append_entry, draw_log, forget_steps_from


def steps_of(path):
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.integers(0, 20), max_size=12),
    step=st.integers(0, 21),
    torn=st.sampled_from(["", "{", '{"step": ', "null", "[1]", '{"step": "x"}', "\ufffd"]),
)
def test_what_is_kept_are_whole_lines_of_earlier_steps_in_order(tmp_path, steps, step, torn):
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    for each in steps:
        append_entry(path, {"step": each, "loss": 0.5})
    with path.open("a", encoding="utf-8") as file:
        file.write(torn)

    forget_steps_from(step, path)

    assert steps_of(path) == [each for each in steps if each < step]
    assert [each.name for each in tmp_path.iterdir()] == ["log.jsonl"]


def test_no_log_is_no_error(tmp_path):
    forget_steps_from(3, tmp_path / "log.jsonl")

    assert list(tmp_path.iterdir()) == []


def test_a_line_that_is_no_text_is_dropped(tmp_path):
    path = tmp_path / "log.jsonl"
    append_entry(path, {"step": 0})
    with path.open("ab") as file:
        file.write(b"\xff\xfe\x00garbage")

    forget_steps_from(9, path)

    assert steps_of(path) == [0]


def test_entries_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "log.jsonl"
    entries = [{"step": n, "loss": 1 / (n + 1), "iou": [0.25, 0.5]} for n in range(3)]
    for entry in entries:
        append_entry(path, entry)

    assert [json.loads(line) for line in path.read_text().splitlines()] == entries


@pytest.mark.parametrize("count", [1, 3, 200])
def test_a_log_of_any_length_is_drawn(tmp_path, count):
    pytest.importorskip("matplotlib", reason="an extra, for training")
    path, picture = tmp_path / "log.jsonl", tmp_path / "log.png"
    for n in range(count):
        append_entry(path, {"step": n, "loss": 2 / (n + 1), "iou": [0.3, 0.6][: 1 + n % 2]})

    draw_log(path, picture)

    with Image.open(picture) as image:
        assert image.size == (1100, 440)
        assert len(set(image.convert("L").tobytes())) > 10
