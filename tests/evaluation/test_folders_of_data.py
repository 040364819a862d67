"""What the files of a data folder say, and what they say wrongly."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import DataError
from napari_fastsam3d.evaluation.dataset import (
    UNKNOWN,
    LabelledCase,
    by_set,
    evenly_spaced,
    label_map_cases,
    label_names,
    labelled_cases,
    modality,
    names_in,
    paired_cases,
    unlabelled_scans,
)

NESTED = pytest.param("[" * 10**5, id="nested")
BROKEN = ["", "{", "[1, 2]", "3", "null", '"text"', b"\xff\xfe", NESTED]


def case(set_name, name):
    return LabelledCase(set_name, name, Path("image"), Path("labels"))


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", BROKEN)
def test_a_table_that_is_none_is_named(tmp_path, content):
    path = write(tmp_path / "names.json", content)
    with pytest.raises(DataError, match=r"names\.json"):
        names_in(path)


@pytest.mark.parametrize("content", BROKEN)
def test_a_split_that_is_none_is_named(tmp_path, content):
    write(tmp_path / "split.json", content)
    with pytest.raises(DataError, match=r"split\.json"):
        labelled_cases(tmp_path, "train")


@pytest.mark.parametrize("content", BROKEN)
def test_a_set_whose_table_is_none_is_named(tmp_path, content):
    write(tmp_path / "labelled" / "balls" / "labels.json", content)
    for read in (label_names, modality):
        with pytest.raises(DataError, match=r"labels\.json"):
            read(tmp_path, "balls")


@pytest.mark.parametrize("part", ["[]", "3", '"a"', "null"])
def test_a_part_without_sets_is_told_with_what_to_write(tmp_path, part):
    write(tmp_path / "split.json", f'{{"train": {part}}}')
    with pytest.raises(DataError, match="names no sets") as told:
        labelled_cases(tmp_path, "train")
    assert '{"train": {"SET"' in str(told.value)


@pytest.mark.parametrize("labels", ["[]", "3", '"a"', "null"])
def test_labels_that_name_nothing_are_told(tmp_path, labels):
    with pytest.raises(DataError, match="names no label values"):
        names_in(write(tmp_path / "names.json", f'{{"labels": {labels}}}'))


@given(
    st.dictionaries(st.integers(0, 70_000), st.text("aß \n", min_size=1, max_size=8), max_size=6)
)
@settings(max_examples=30)
def test_names_come_back_by_value(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("names") / "labels.json"
    table = {str(value): name for value, name in names.items()}
    for content in (table, {"labels": table, "modality": "CT"}):
        path.write_text(json.dumps(content), encoding="utf-8")
        assert names_in(path) == names


def test_keys_that_are_no_values_name_nothing(tmp_path):
    table = {"1": "liver", "²": "square", "-1": "below", "1.5": "between", "all": "word"}
    assert names_in(write(tmp_path / "names.json", json.dumps(table))) == {1: "liver"}


def test_a_set_of_files_of_several_kinds_has_the_table_of_its_files(tmp_path):
    home = tmp_path / "label_maps" / "bodies"
    table = {"torso": {"1": "liver", "note": "of adults"}, "head": {"1": "brain"}}
    write(home / "labels.json", json.dumps(table))
    touch(home, "torso_a_seg.nii.gz", "torso_b_seg.nii.gz")
    assert label_names(tmp_path, "bodies") == {1: "liver"}
    touch(home, "head_a_seg.nii.gz")
    assert label_names(tmp_path, "bodies") == {}
    assert label_names(tmp_path, "others") == {}


def test_label_maps_and_scans_alone_are_listed_by_set_and_name(tmp_path):
    touch(
        tmp_path,
        "label_maps/b/2_seg.nii.gz",
        "label_maps/a/1_seg.nii.gz",
        "label_maps/a/0_seg.nii.gz",
        "label_maps/a/0_img.nii.gz",
        "unlabelled/x/b_img.nii.gz",
        "unlabelled/x/a_img.nii.gz",
        "unlabelled/x/a_seg.nii.gz",
    )
    maps = label_map_cases(tmp_path)
    assert [(c.set_name, c.name, c.image) for c in maps] == [
        ("a", "0", None),
        ("a", "1", None),
        ("b", "2", None),
    ]
    assert [path.name for path in unlabelled_scans(tmp_path)] == ["a_img.nii.gz", "b_img.nii.gz"]
    assert label_map_cases(tmp_path / "x") == unlabelled_scans(tmp_path / "x") == []


def test_two_files_are_a_case_of_their_folder(tmp_path):
    touch(tmp_path, "set/a_img.nii.gz", "set/a_seg.nii.gz")
    image, labels = tmp_path / "set" / "a_img.nii.gz", tmp_path / "set" / "a_seg.nii.gz"
    assert paired_cases(image, labels) == [LabelledCase("set", "a", image, labels)]
    assert paired_cases(tmp_path / "set", tmp_path / "set") == [
        LabelledCase("set", "a", image, labels)
    ]


sets = st.lists(st.sampled_from("xyz"), max_size=30)


@given(sets, st.integers(1, 12))
@settings(max_examples=50)
def test_a_subset_is_even_within_each_set(names, number):
    cases = [case(set_name, str(at)) for at, set_name in enumerate(names)]
    taken = evenly_spaced(cases, number)
    for set_name, group in by_set(cases).items():
        places = [group.index(c) for c in by_set(taken).get(set_name, [])]
        assert len(places) == min(number, len(group))
        assert places == sorted(set(places))
        assert places[0] == 0
        gaps = [b - a for a, b in pairwise([*places, len(group)])]
        assert max(gaps) - min(gaps) <= 1


@given(sets)
def test_cases_are_grouped_by_set_in_their_order(names):
    cases = [case(set_name, str(at)) for at, set_name in enumerate(names)]
    groups = by_set(cases)
    assert [*groups] == list(dict.fromkeys(names))
    joined = [c for group in groups.values() for c in group]
    assert sorted(joined, key=lambda c: int(c.name)) == cases
    assert all([int(c.name) for c in g] == sorted(int(c.name) for c in g) for g in groups.values())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("| balls | 3 | CT of balls |", "CT"),
        ("| balls | 3 | MR, T1 |", "MR"),
        ("|balls|3|MR|", "MR"),
        ("| cubes, balls | 3 | CT |", "CT"),
        ("| balls | 3 | CTA |", UNKNOWN),
        ("| balls | 3 | X-ray CT |", UNKNOWN),
        ("| meatballs | 3 | CT |", UNKNOWN),
        ("| balls | CT |", UNKNOWN),
        ("balls are CT", UNKNOWN),
    ],
)
def test_the_index_tells_a_modality_by_the_first_word_of_its_third_column(tmp_path, line, found):
    write(tmp_path / "INDEX.md", f"# Sets\n\n| set | cases | what |\n|---|---|---|\n{line}\n")
    assert modality(tmp_path, "balls") == found
