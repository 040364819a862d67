"""Parts of headers by themselves: units, numbers, names of data files, frames, and damage."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import SaveError, VolumeError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.data_file import _numbered, data_files, header_text
from napari_fastsam3d.geometry.io.length_unit import (
    doubt_unnamed_unit,
    in_millimetres,
    length_unit,
)
from napari_fastsam3d.geometry.io.nrrd_header import parse_number, parse_vector, quoted_words
from napari_fastsam3d.geometry.io.refusals import choose_frame, reported_damage

UNITS = {"m": 1e3, "cm": 10, "mm": 1, "um": 1e-3, "nm": 1e-6, "in": 25.4, "km": 1e6}
few = settings(max_examples=30, deadline=None)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("mm", "mm"),
        (" MM ", "mm"),
        ('"um"', "um"),
        ("'micron'", "um"),
        ("microns", "um"),
        ("µm", "um"),
        ("μm", "um"),
        ("Micrometers", "um"),
        ("metres", "m"),
        ("meter", "m"),
        ("inches", "in"),
        ("Inch", "in"),
        ("kilometre", "km"),
        ("nanometers", "nm"),
        ("s", None),
        ("seconds", None),
        ("", None),
        ("voxel", None),
        ("mm mm", None),
    ],
)
def test_units_by_their_names(text, unit):
    assert length_unit(text) == unit


@few
@given(st.sampled_from([*UNITS]), st.tuples(*[st.floats(1e-7, 1e7)] * 3))
def test_voxels_are_brought_to_mm_where_that_is_believable(unit, sizes):
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = 1, -2, 3
    notes: list[str] = []
    found = in_millimetres(affine, [unit] * 3, notes)
    scaled = np.array(sizes) * UNITS[unit]
    if unit == "mm":
        assert found is affine
        assert notes == []
    elif (scaled > 2e-5).all() and (scaled < 99).all():
        np.testing.assert_allclose(found[:3], affine[:3] * UNITS[unit])
        assert "measures in" in notes[0]
    elif (scaled < 0.9e-5).any() or (scaled > 101).any():
        assert found is affine
        assert "unbelievable" in notes[0]
    assert len(notes) == (unit != "mm")


def test_each_world_axis_has_its_own_unit():
    notes: list[str] = []
    found = in_millimetres(np.eye(4), ["mm", "cm", "cm"], notes)
    assert found.diagonal().tolist() == [1, 10, 10, 1]
    assert notes == ["The file measures in centimetres."]


@pytest.mark.parametrize(("size", "doubted"), [(1, 0), (0.02, 0), (0.001, 1), (29, 0), (31, 1)])
def test_a_file_without_a_unit_is_doubted_where_its_voxels_are_unusual(size, doubted):
    notes: list[str] = []
    doubt_unnamed_unit(np.diag([1, 1, size, 1.0]), notes)
    assert len(notes) == doubted


@given(st.lists(st.floats(allow_nan=False), min_size=3, max_size=3))
def test_vectors_are_read_as_they_are_written(numbers):
    text = f"({','.join(map(repr, numbers))})"
    assert parse_vector(text, "space directions").tolist() == numbers


@pytest.mark.parametrize("word", ["", "x", "1.2.3", "1;2", "--1", "0x10"])
def test_what_is_no_number_is_told_with_its_field(word):
    with pytest.raises(ValueError, match=r"no number \(spacings\)"):
        parse_number(word, "spacings")


@given(st.lists(st.text("ab (),-", min_size=1, max_size=5), max_size=5))
def test_quoted_words_come_back(words):
    assert quoted_words(" ".join(f'"{word}"' for word in words)) == words
    bare = [word for word in words if " " not in word]
    assert quoted_words(" ".join(bare)) == bare


@few
@given(st.integers(0, 20), st.integers(0, 20), st.sampled_from([1, 2, 3, -1]), st.integers(0, 4))
def test_a_pattern_stands_for_its_numbers(first, last, step, width):
    form = f"%0{width}d" if width else "%d"
    wanted = []
    number = first
    while number <= last if step > 0 else number >= last:
        wanted.append(f"slice{str(number).zfill(width)}.raw")
        number += step
    assert _numbered(f"slice{form}.raw {first} {last} {step}", 99) == wanted


@pytest.mark.parametrize("name", ["scan.raw", "100%.raw", "a%d%d.raw", "%s.raw", "%5$n", "%x"])
def test_what_is_no_pattern_names_no_numbers(name):
    assert _numbered(name, 5) == []


def test_data_files_are_found_by_name_list_and_pattern(tmp_path: Path):
    header = tmp_path / "a.nhdr"
    for name in ("scan.raw", "s1.raw", "s2.raw", "s%d.raw 1 2", "a.nhdr"):
        (tmp_path / name).write_bytes(b"")

    def names(*given):
        return [path.name for path in data_files(header, *given)]

    assert names("scan.raw") == ["scan.raw"]
    assert names(str(tmp_path / "scan.raw")) == ["scan.raw"]
    assert names("LIST", ["s2.raw", " s1.raw ", ""]) == ["s2.raw", "s1.raw"]
    assert names("s%d.raw 1 2") == ["s%d.raw 1 2"], "a file of just that name goes first"
    (tmp_path / "s%d.raw 1 2").unlink()
    assert names("s%d.raw 1 2") == ["s1.raw", "s2.raw"]
    assert names("s%d.raw", (), 2) == ["s1.raw", "s2.raw"]
    with pytest.raises(VolumeError, match=r"lost its data file s3\.raw"):
        names("s%d.raw 1 3")
    with pytest.raises(VolumeError, match="lost its data file"):
        names("a.nhdr")  # a header is not its own data


@given(st.binary(min_size=1, max_size=12))
def test_bytes_of_a_header_can_be_had_again(line):
    assert header_text(line).encode("utf-8", "surrogateescape") == line


@given(st.integers(1, 6), st.none() | st.integers(-2, 7))
def test_one_of_several_volumes_has_to_be_chosen(frames, frame):
    chosen = 0 if frame is None and frames == 1 else frame
    if chosen is not None and 0 <= chosen < frames:
        assert choose_frame("film", frames, frame) == chosen
        return
    with pytest.raises(VolumeError) as told:
        choose_frame("film", frames, frame)
    assert str(frames) in told.value.problem
    assert str(frames - 1) in told.value.remedy


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (EOFError("Compressed file ended"), "is damaged: Compressed file ended."),
        (zlib.error("Error -3"), "is damaged: Error -3."),
        (gzip.BadGzipFile("CRC check\nfailed"), "is damaged: CRC check failed."),
        (KeyError("sizes"), "makes no sense: sizes."),
        (ValueError("no number"), "makes no sense: no number."),
        (OverflowError("too large."), "makes no sense: too large."),
        (ArithmeticError("told too"), "makes no sense: told too."),
    ],
)
def test_damage_is_one_sentence_with_a_remedy(error, told):
    with pytest.raises(VolumeError) as raised, reported_damage(Path("a.mhd"), ArithmeticError):
        raise error
    assert raised.value.problem.endswith(told)
    assert raised.value.remedy
    with pytest.raises(RuntimeError), reported_damage(Path("a.mhd")):
        raise RuntimeError("not of the file")


@pytest.mark.parametrize("fails", [None, OSError(28, "No space left"), MemoryError(), KeyError()])
def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, fails):
    target = tmp_path / "mask.nii"
    target.write_text("old")

    def write():
        with replacing(target, ".nii") as temporary:
            assert temporary.suffix == ".nii"
            temporary.write_text("new")
            if fails is not None:
                raise fails

    if fails is None:
        write()
    elif isinstance(fails, KeyError):
        with pytest.raises(KeyError):
            write()
    else:
        with pytest.raises(SaveError, match="was not written") as told:
            write()
        assert "nothing that was there has changed" in told.value.remedy
    assert target.read_text() == ("new" if fails is None else "old")
    assert [path.name for path in tmp_path.iterdir()] == ["mask.nii"]
