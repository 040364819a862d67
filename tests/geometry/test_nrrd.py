"""NRRD headers of every kind, by ITK where it is right."""

import bz2
import gzip

import numpy as np
import pytest
import SimpleITK
from text_headers import ARRAY, VOXELS, image_affine, nrrd

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import list_frames, read_volume

FOUR = np.arange(48, dtype="<i2")
RAW = VOXELS.tobytes()
NO_SPACE = {"space directions": None, "space": None, "space origin": None}
DIRECTIONS = "(0,1,0) (-1.5,0,0) (0,0,2)"


@pytest.mark.parametrize(
    ("changes", "data", "note"),
    [
        ({}, RAW, ""),
        ({**NO_SPACE, "spacings": "1 1.5 2"}, RAW, "space"),
        ({**NO_SPACE, "spacings": "1 1.5 2", "thicknesses": "1 1 3"}, RAW, "space"),
        ({**NO_SPACE, "spacings": "1 1.5 2", "axis mins": "3 4 5"}, RAW, "space"),
        (
            {**NO_SPACE, "spacings": "1 1.5 2", "axis mins": "3 4 5", "centers": "node cell node"},
            RAW,
            "space",
        ),
        ({"space origin": None}, RAW, "first voxel"),
        ({"space": "RAS"}, RAW, ""),
        ({"space": "left-anterior-superior"}, RAW, ""),
        ({"space": "scanner-xyz"}, RAW, "scanner-xyz"),
        ({"space units": '"mm" "mm" "mm"'}, RAW, ""),
        ({"space units": '"" "" ""'}, RAW, ""),
        ({"measurement frame": "(1,0,0) (0,1,0) (0,0,1)", "content": "a: b"}, RAW, ""),
        ({"encoding": "gzip"}, gzip.compress(RAW, mtime=0), ""),
        (
            {"encoding": "gz"},
            gzip.compress(RAW[:20], mtime=0) + gzip.compress(RAW[20:], mtime=0),
            "",
        ),
        ({"encoding": "ascii"}, " ".join(map(str, VOXELS)).encode(), ""),
        ({"endian": "big"}, VOXELS.astype(">i2").tobytes(), ""),
        ({"byte skip": "-1"}, b"beside" + RAW, ""),
        ({"line skip": "2", "byte skip": "3"}, b"a\nb\nxyz" + RAW, ""),
        (
            {"line skip": "1", "encoding": "gzip", "byte skip": "3"},
            b"a\n" + gzip.compress(b"xyz" + RAW, mtime=0),
            "",
        ),
    ],
)
def test_as_itk_reads_it(tmp_path, changes, data, note):
    path = nrrd(tmp_path / "a.nrrd", changes, data)
    volume, image = read_volume(path), SimpleITK.ReadImage(str(path))
    assert np.array_equal(volume.voxels, ARRAY)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(), ARRAY)
    np.testing.assert_allclose(volume.affine, image_affine(image), atol=1e-12)
    assert [note in each for each in volume.notes] == [True] * bool(note)


@pytest.mark.parametrize(
    ("changes", "data", "note"),
    [
        ({"encoding": "bzip2"}, bz2.compress(RAW), ""),
        ({"spacings": "1 1.5 2"}, RAW, ""),
        ({"space": None, "space dimension": "3"}, RAW, "space"),
    ],
)
def test_read_although_itk_does_not(tmp_path, changes, data, note):
    volume = read_volume(nrrd(tmp_path / "a.nrrd", changes, data))
    assert np.array_equal(volume.voxels, ARRAY)
    assert np.array_equal(volume.affine, read_volume(nrrd(tmp_path / "b.nrrd")).affine)
    assert [note in each for each in volume.notes] == [True] * bool(note)


def test_lines_may_end_as_on_windows(tmp_path):
    path = nrrd(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n", 11))
    assert np.array_equal(read_volume(path).voxels, ARRAY)


@pytest.mark.parametrize(
    ("unit", "mm"),
    [
        ("mm", 1),
        ("um", 1e-3),
        ("\N{MICRO SIGN}m", 1e-3),
        ("micron", 1e-3),
        ("Micrometers", 1e-3),
        ("cm", 10),
        ("m", 1e3),
        ("nm", 1e-6),
        ("inches", 25.4),
    ],
)
@pytest.mark.parametrize("oblique", [False, True])
def test_units(tmp_path, unit, mm, oblique):
    steps = np.diag([0.8, 0.9, 2.5])
    if oblique:
        steps = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]]) @ steps
    directions = " ".join("({!r},{!r},{!r})".format(*(c / mm).tolist()) for c in steps.T)
    changes = {"space directions": directions, "space units": f'"{unit}" "{unit}" "{unit}"'}
    volume = read_volume(nrrd(tmp_path / "a.nrrd", changes))
    np.testing.assert_allclose(volume.affine[:3, :3], np.diag([-1, -1, 1]) @ steps, atol=1e-12)
    np.testing.assert_allclose(volume.to_world((0, 0, 0)), np.multiply((-3, -4, 5), mm))
    assert bool(volume.notes) == (mm != 1)
    spacings = " ".join(repr(size / mm) for size in (0.8, 0.9, 2.5))
    changes = {**NO_SPACE, "spacings": spacings, "units": f'"{unit}" "{unit}" "{unit}"'}
    np.testing.assert_allclose(
        read_volume(nrrd(tmp_path / "b.nrrd", changes)).spacing, (0.8, 0.9, 2.5)
    )


def test_units_that_differ_between_the_axes_of_space(tmp_path):
    path = nrrd(tmp_path / "a.nrrd", {"space units": '"mm" "mm" "cm"'})
    np.testing.assert_allclose(read_volume(path).spacing, (1, 1.5, 20))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"space directions": None}, "how large its voxels are"),
        ({**NO_SPACE, "spacings": "0.8 0.9 nan"}, "how large its voxels are"),
        ({**NO_SPACE, "spacings": "0.8 0.9 0"}, "how large its voxels are"),
        ({**NO_SPACE, "spacings": "0.8 0.9"}, "how large its voxels are"),
        ({**NO_SPACE, "thicknesses": "1 1 3"}, "how large its voxels are"),
        ({**NO_SPACE, "axis mins": "0 0 0", "axis maxs": "4 4 4"}, "how large its voxels are"),
        ({"space directions": "(0,1,0) (-1.5,0,0) (0,0,0)"}, "how large its voxels are"),
        ({"space directions": "(0,1,0) (-1.5,0,0) (0,0,nan)"}, "how large its voxels are"),
        ({"space directions": "(0,1,0) (-1.5,0,0) none"}, "2 dimensions in space"),
        ({"space directions": "(0,1,0) (-1.5,0,0) (nan,nan,nan)"}, "2 dimensions in space"),
        ({"space directions": "(0,1,0) (0,2,0) (0,0,1)"}, "geometry"),
        ({"space directions": "(0,1) (-1,0) (0,0)"}, "2 dimensions in space"),
        ({"space directions": "(0,1,0) (-1.5,0,0)"}, "one space direction for each axis"),
        ({"space directions": "(0;1;0) (-1,5;0;0) (0;0;2)"}, "is no number"),
        ({"spacings": "1 1 1"}, "1 x 1.5 x 2"),
        ({"space units": '"pixel" "pixel" "pixel"'}, "unit of length"),
        ({"space units": '"mm"'}, "unit of length"),
        ({"units": '"mm" "mm" "cm"'}, "unit of length"),
        ({"endian": None}, "endian"),
        ({"type": "block"}, "not intensities"),
        ({"encoding": "hex"}, "is not read here"),
        ({"sizes": "4 3"}, "sizes"),
        ({"sizes": "4 3 0"}, "sizes"),
        ({"sizes": "4 3 99999999999999999999"}, "before its last voxel"),
        ({"sizes": None}, "doesn't say sizes"),
        ({"kinds": "RGB-color domain domain", "space directions": f"none {DIRECTIONS[8:]}"}, "2"),
        ({"data file": "gone.raw"}, "gone.raw"),
        ({"data file": "/dev/zero"}, "lost its data file"),
    ],
)
def test_refused(tmp_path, changes, problem):
    with pytest.raises(VolumeError) as caught:
        read_volume(nrrd(tmp_path / "a.nrrd", changes))
    assert problem in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_field_that_says_two_things(tmp_path):
    nrrd(tmp_path / "a.nrrd", more="type: float\n\n")
    with pytest.raises(VolumeError, match="two things of type"):
        read_volume(tmp_path / "a.nrrd")


@pytest.mark.parametrize(
    ("sizes", "directions", "kinds", "axis"),
    [
        ("2 4 3 2", f"none {DIRECTIONS}", "list domain domain domain", 0),
        ("2 4 3 2", f"(0,0,0) {DIRECTIONS}", "time space space space", 0),
        ("4 2 3 2", "(0,1,0) none (-1.5,0,0) (0,0,2)", "domain list domain domain", 1),
        ("4 3 2 2", f"{DIRECTIONS} none", "domain domain domain list", 3),
        ("4 3 2 2", f"{DIRECTIONS} (nan,nan,nan)", "domain domain domain ???", 3),
        (
            "4 3 2 2",
            "(0,1,0,0) (-1.5,0,0,0) (0,0,2,0) (0,0,0,1)",
            "domain domain domain domain",
            3,
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_a_list_axis_counts_volumes(tmp_path, sizes, directions, kinds, axis, encoding):
    changes = {
        "dimension": "4",
        "sizes": sizes,
        "space directions": directions,
        "kinds": kinds,
        "encoding": encoding,
    }
    data = FOUR.tobytes() if encoding == "raw" else gzip.compress(FOUR.tobytes())
    path = nrrd(tmp_path / "a.nrrd", changes, data)
    whole = FOUR.reshape([int(n) for n in sizes.split()], order="F")
    assert list(list_frames(path)) == [0, 1]
    with pytest.raises(VolumeError, match="2 volumes"):
        read_volume(path)
    for frame in (0, 1):
        volume = read_volume(path, frame=frame)
        assert np.array_equal(volume.voxels, whole.take(frame, axis))
        assert np.array_equal(volume.affine, read_volume(nrrd(tmp_path / "b.nrrd")).affine)


@pytest.mark.parametrize("spacings", ["nan 1 1.5 2", "1 1.5 2 nan"])
def test_volumes_counted_without_directions(tmp_path, spacings):
    sizes = "2 4 3 2" if spacings.startswith("nan") else "4 3 2 2"
    changes = {**NO_SPACE, "kinds": None, "dimension": "4", "sizes": sizes, "spacings": spacings}
    volume = read_volume(nrrd(tmp_path / "a.nrrd", changes, FOUR.tobytes()), frame=1)
    assert volume.spacing == (1, 1.5, 2)
    assert volume.shape == (4, 3, 2)


@pytest.mark.parametrize("kind", ["vector", "RGB-color", "3-vector", "covariant-vector"])
def test_colours_and_vectors_are_refused(tmp_path, kind):
    changes = {
        "dimension": "4",
        "sizes": "2 4 3 2",
        "space directions": f"none {DIRECTIONS}",
        "kinds": f"{kind} domain domain domain",
    }
    with pytest.raises(VolumeError, match="colour or a vector"):
        read_volume(nrrd(tmp_path / "a.nrrd", changes, FOUR.tobytes()))


@pytest.mark.parametrize("kind", ["scalar", "stub", "list"])
@pytest.mark.parametrize("first", [True, False])
def test_an_axis_of_length_one_is_no_axis(tmp_path, kind, first):
    beside = {"sizes": ("1", "4 3 2"), "space directions": ("none", DIRECTIONS)}
    beside["kinds"] = (kind, "domain domain domain")
    changes = {k: " ".join(pair if first else pair[::-1]) for k, pair in beside.items()}
    path = nrrd(tmp_path / "a.nrrd", {**changes, "dimension": "4"})
    assert np.array_equal(read_volume(path).voxels, ARRAY)


@pytest.mark.parametrize("name", ["s%d.raw 1 2 1", "s%02d.raw 1 2 1 2", "LIST", "LIST 2"])
@pytest.mark.parametrize("packed", [False, True])
def test_one_data_file_a_slice(tmp_path, name, packed):
    for n in (1, 2):
        part = VOXELS[12 * (n - 1) : 12 * n].tobytes()
        file = tmp_path / (f"s{n:02}.raw" if "02" in name else f"s{n}.raw")
        file.write_bytes(gzip.compress(part, mtime=0) if packed else part)
    changes = {"data file": name, "encoding": "gzip" if packed else "raw"}
    listed = "s1.raw\ns2.raw\n" if "LIST" in name else "\n"
    path = nrrd(tmp_path / "a.nhdr", changes, b"", listed)
    assert np.array_equal(read_volume(path).voxels, ARRAY)


def test_names_of_segments_by_3d_slicer(tmp_path):
    keys = (
        "Segment0_ID:=a\nSegment0_Name:=Milz — groß\nSegment0_LabelValue:=3\n"
        "Segment1_Name:=liver\nSegment1_LabelValue:=1\nSegment2_Name:=no value\n\n"
    )
    volume = read_volume(nrrd(tmp_path / "a.seg.nrrd", more=keys))
    assert volume.source.label_names == {3: "Milz — groß", 1: "liver"}
