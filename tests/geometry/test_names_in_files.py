"""Names of labels in files and of files: tables that other programs wrote, and names made one."""

import csv
import json
from html import escape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Mask
from napari_fastsam3d.geometry.io.atomic_write import write_csv
from napari_fastsam3d.geometry.io.label_names import (
    encoded_names,
    names_in_texts,
    names_of_segments,
    readable,
)
from napari_fastsam3d.geometry.io.label_table import save_label_table
from napari_fastsam3d.geometry.io.segment import Segment, named
from napari_fastsam3d.geometry.io.slicer_segmentation import _layers
from napari_fastsam3d.geometry.source import SCAN_SUFFIXES, distinct_names, scan_stem

few = settings(max_examples=30, deadline=None)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
names = st.dictionaries(st.integers(0, 70000), texts, max_size=4)


@given(names)
def test_a_table_in_json_comes_back_in_ascii(table):
    text = encoded_names(table)
    assert text.isascii()
    assert names_in_texts([text]) == table
    assert names_in_texts([text + "\0\0"]) == table, "as NIfTI pads its extensions"


def caret(table) -> str:
    """A label table of Caret as TotalSegmentator writes it."""
    lines = [
        f'<Label Key="{value}" Red="1" Alpha="1"><![CDATA[{name}]]></Label>'
        for value, name in table.items()
    ]
    return "\n".join(['<?xml version="1.0"?><CaretExtension>', *lines, "</CaretExtension>"])


@given(st.dictionaries(st.integers(0, 300), st.text("abz_ é", min_size=1, max_size=6)))
def test_a_table_of_caret_is_read(table):
    assert names_in_texts([caret(table)]) == {v: n.strip() for v, n in table.items()}
    plain = {value: f"a & b <{value}" for value in table}
    bare = "".join(
        f'<Label Index="9" Key="{v}" R="1">\n{escape(n)}</Label>' for v, n in plain.items()
    )
    assert names_in_texts([bare]) == plain


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1, 2]", "7", '{"liver": 1}', "null", "[" * 100_000, "<Label>x</Label>"),
        f'<Label Key="{"9" * 5000}" R="1">liver</Label>',  # no number that python reads
        f'{{"{"9" * 5000}": "liver"}}',
    ],
)
def test_what_is_no_table_names_nothing_and_spoils_no_other(text):
    assert names_in_texts([text]) == {}
    assert names_in_texts([text, '{"3": "liver"}', text]) == {3: "liver"}


def test_later_tables_go_before_earlier_ones():
    assert names_in_texts([json.dumps({1: "a", 2: "b"}), json.dumps({2: "c"})]) == {1: "a", 2: "c"}


def test_segments_of_3d_slicer_are_named_by_their_values():
    keys = {
        "Segment0_Name": " liver ",
        "Segment0_LabelValue": " 7 ",
        "Segment1_Name": "no value",
        "Segment2_LabelValue": "3",
        "Segment3_Name": "minus",
        "Segment3_LabelValue": "-3",
        "Segment12_LabelValue": "5",
        "Segment12_Name": "m\udce4use",
        "Segment5_LabelValue": "9" * 5000,
        "Segment5_Name": "no number that python reads",
        "MySegment4_Name": "x",
        "Segment4_LabelValue": "1",
    }
    assert names_of_segments(keys) == {7: "liver", 5: "mäuse"}
    assert names_of_segments({}) == {}


@given(texts)
def test_text_of_a_header_is_utf8_or_else_latin1(text):
    assert readable(text.encode().decode("ascii", "surrogateescape")) == text
    latin = text.encode("latin-1", "replace") + b"\xe4"
    assert readable(latin.decode("utf-8", "surrogateescape")) == latin.decode("latin-1")


@given(st.lists(st.sampled_from(["a", "A", "b", "a_1", "A_2", "a_1_"]), max_size=7))
def test_no_two_names_of_files_are_one_on_any_system(given_names):
    numbers = range(1, len(given_names) + 1)
    found = distinct_names(given_names, numbers)
    assert len({name.lower() for name in found}) == len(found)
    for name, before, number in zip(found, given_names, numbers, strict=True):
        alone = sum(each.lower() == before.lower() for each in given_names) == 1
        assert name == before if alone else name.rstrip("_") == f"{before}_{number}".rstrip("_")


@given(st.sampled_from(SCAN_SUFFIXES), st.sampled_from(["a", "a.b", ".nii", "a.nii.gz", "İ"]))
def test_the_stem_of_a_scan_lacks_one_ending_in_any_case(suffix, stem):
    assert scan_stem(stem + suffix) == stem
    assert scan_stem(stem + suffix.upper()) == stem
    assert scan_stem(stem + ".txt") == stem + ".txt"


def test_a_label_without_a_name_is_called_by_its_value():
    assert named({1: " liver ", 2: "  "}, 1) == "liver"
    assert named({1: " liver ", 2: "  "}, 2) == "label 2"
    assert named({}, 70) == "label 70"


@few
@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_a_table_of_rows_is_read_back_by_csv(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    given_rows = [{"name": a, 'no, "t': b, "left out": 1} for a, b in rows]
    write_csv(path, ['no, "t', "name", "empty"], given_rows)
    with path.open(encoding="utf-8", newline="") as file:
        first, *found = csv.reader(file)
    assert first == ['no, "t', "name", "empty"]
    assert found == [[b, a, ""] for a, b in rows]


def test_a_label_table_is_sorted_and_its_names_hold_no_quote(tmp_path):
    segments = [
        Segment('the "left"\n one', 300, Mask.empty(), (0.0, 0.5, 1.0)),
        Segment("liver", 2, Mask.empty(), None),
    ]
    path = save_label_table(tmp_path / "a.LABEL", segments)
    assert path == tmp_path / "a.LABEL"
    *_, clear, one, two = path.read_bytes().decode().splitlines()
    assert clear.split()[:4] == ["0", "0", "0", "0"]
    assert one.split() == ["2", "230", "178", "76", "1", "1", "1", '"liver"']
    assert two.split(maxsplit=7) == ["300", "0", "128", "255", "1", "1", "1", "\"the 'left' one\""]
    with pytest.raises(SaveError, match=r"written as a\.csv") as told:
        save_label_table(tmp_path / "a.csv", segments)
    assert ".txt" in told.value.remedy
    with pytest.raises(SaveError, match="was not written"):
        save_label_table(tmp_path / "none" / "a.txt", segments)


@few
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_segments_share_a_layer_only_where_they_share_no_voxel(seed, count):
    rng = np.random.default_rng(seed)
    masks = [rng.random((4, 3, 2)) < 0.15 for _ in range(count)]
    layers = _layers([Segment("", n, Mask.of_volume(each)) for n, each in enumerate(masks, 1)])
    assert len(layers) == count
    assert sorted(set(layers)) == list(range(len(set(layers)))), "none is left out"
    for n, mask in enumerate(masks):
        free = [
            layer
            for layer in range(max(layers) + 1)
            if not any((mask & masks[m]).any() for m in range(n) if layers[m] == layer)
        ]
        assert layers[n] == free[0], "the first that is free"
