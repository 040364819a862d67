"""MetaImage headers of every kind, by ITK where it is right."""

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK
from text_headers import ARRAY, VOXELS, image_affine, meta_image

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import list_frames, read_volume

LONG = np.arange(24, dtype="<i4").tobytes()


@pytest.mark.parametrize(
    ("changes", "data", "note"),
    [
        ({}, None, ""),
        ({"BinaryData": None}, None, ""),
        ({"BinaryDataByteOrderMSB": None}, None, "order"),
        (
            {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"},
            VOXELS.astype(">i2").tobytes(),
            "",
        ),
        ({"BinaryDataByteOrderMSB": "True"}, VOXELS.astype(">i2").tobytes(), ""),
        ({"ElementSpacing": None, "ElementSize": "1 1.5 2"}, None, "gaps"),
        ({"ElementSize": "9 9 9"}, None, ""),
        ({"ElementSpacing": "1 -1.5 2"}, None, "negative"),
        ({"TransformMatrix": None}, None, "TransformMatrix"),
        ({"TransformMatrix": None, "AnatomicalOrientation": "RAS"}, None, "TransformMatrix"),
        ({"TransformMatrix": None, "Rotation": "0 1 0 -1 0 0 0 0 1"}, None, ""),
        ({"TransformMatrix": "2 0 0 0 1 0 0 0 1"}, None, "stretches"),
        ({"TransformMatrix": "1 0 0 0.6 0.8 0 0 0 1"}, None, ""),
        ({"AnatomicalOrientation": "ALI"}, None, ""),
        ({"AnatomicalOrientation": "PRS"}, None, ""),
        ({"AnatomicalOrientation": "???"}, None, ""),
        ({"AnatomicalOrientation": "RAI"}, None, "AnatomicalOrientation"),
        ({"Offset": None, "Position": "3 4 5"}, None, ""),
        ({"Offset": None, "Origin": "3 4 5"}, None, ""),
        ({"Offset": None}, None, "first voxel"),
        ({"CenterOfRotation": "9 9 9"}, None, ""),
        ({"HeaderSize": "-1"}, b"beside" + VOXELS.tobytes(), ""),
        ({"ElementType": "MET_LONG"}, LONG, ""),
        ({"ElementNumberOfChannels": "1", "Comment": "a = b"}, None, ""),
        ({"CompressedData": "True", "CompressedDataSize": None}, zlib.compress(VOXELS), ""),
    ],
)
def test_as_itk_reads_it(tmp_path, changes, data, note):
    path = meta_image(tmp_path / "a.mha", changes, VOXELS.tobytes() if data is None else data)
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, ARRAY)
    if changes.get("CompressedData") != "True":  # there ITK shows random memory
        image = SimpleITK.ReadImage(str(path))
        np.testing.assert_allclose(volume.affine, image_affine(image), atol=1e-12)
        assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(), volume.voxels)
    assert [note in each for each in volume.notes] == [True] * bool(note)


@pytest.mark.parametrize("size", ["9999", "3", "0"])
@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_the_size_of_a_compressed_block_is_not_trusted(tmp_path, size, pack):
    changes = {"CompressedData": "True", "CompressedDataSize": size}
    path = meta_image(tmp_path / "a.mha", changes, pack(VOXELS.tobytes()))
    assert np.array_equal(read_volume(path).voxels, ARRAY)


@pytest.mark.parametrize(
    ("unit", "mm"), [("mm", 1), ("um", 1e-3), ("cm", 10), ("?", 1), ("", 1), ("m", 1e3)]
)
def test_units(tmp_path, unit, mm):
    spacing = " ".join(repr(size / mm) for size in (0.8, 0.9, 2.5))
    path = meta_image(tmp_path / "a.mha", {"DistanceUnits": unit, "ElementSpacing": spacing})
    volume = read_volume(path)
    np.testing.assert_allclose(volume.spacing, (0.8, 0.9, 2.5))
    np.testing.assert_allclose(volume.to_world((0, 0, 0)), np.multiply((-3, -4, 5), mm))
    assert bool(volume.notes) == (mm != 1)


@pytest.mark.parametrize("size", ["0.0008 0.0008 0.002", "1 1 120"])
def test_unusual_sizes_without_a_unit_are_told(tmp_path, size):
    volume = read_volume(meta_image(tmp_path / "a.mha", {"ElementSpacing": size}))
    assert any("names no unit" in note for note in volume.notes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ElementSpacing": None}, "how large its voxels are"),
        ({"ElementSpacing": "1 nan 2"}, "how large its voxels are"),
        ({"ElementSpacing": "1 inf 2"}, "how large its voxels are"),
        ({"ElementSpacing": "1 0 2"}, "how large its voxels are"),
        ({"ElementSpacing": "1 1"}, "how large its voxels are"),
        ({"ElementSpacing": "1,0 1,5 2,0"}, "is no number"),
        ({"TransformMatrix": "0 0 0 0 0 0 0 0 0"}, "geometry"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "geometry"),
        ({"TransformMatrix": "1 0 0 nan 1 0 0 0 1"}, "geometry"),
        ({"TransformMatrix": "1 0 0 1"}, "TransformMatrix"),
        ({"Offset": "1 2"}, "Offset"),
        ({"DistanceUnits": "parsec"}, "unit of length"),
        ({"DimSize": "4 3"}, "sizes"),
        ({"DimSize": "4 3 -2"}, "sizes"),
        ({"DimSize": "4,3,2"}, "makes no sense"),
        ({"DimSize": "4 3 99999999999999999999"}, "before its last voxel"),
        ({"DimSize": "4 3 9999999999", "CompressedData": "True"}, ""),
        ({"ElementType": "MET_STRING"}, "not intensities"),
        ({"ElementNumberOfChannels": "3"}, "colour"),
        ({"ElementByteOrderMSB": "True"}, "two things"),
        ({"ElementDataFile": "gone.raw"}, "gone.raw"),
        ({"ElementDataFile": "a.mha"}, "a.mha"),
        ({"ElementDataFile": "/dev/zero"}, "lost its data file"),
        ({"ElementDataFile": "%s%s%n.raw 1 2 1"}, "lost its data file"),
        ({"ElementDataFile": "%99d.raw 1 2 1"}, "lost its data file"),
        ({"ElementDataFile": ""}, "ElementDataFile"),
        ({"NDims": "3\nDimSize = 5 5 5"}, "two things"),
    ],
)
def test_refused(tmp_path, changes, problem):
    with pytest.raises(VolumeError) as caught:
        read_volume(meta_image(tmp_path / "a.mha", changes))
    assert problem in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_data_twice_as_long_are_told(tmp_path):
    eight_bytes = np.arange(24, dtype="<i8").tobytes()
    path = meta_image(tmp_path / "a.mha", {"ElementType": "MET_LONG"}, eight_bytes)
    assert any("2 times" in note for note in read_volume(path).notes)


def test_slope_and_offset_give_intensities(tmp_path):
    slope, offset = "ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"
    volume = read_volume(meta_image(tmp_path / "a.mha", {slope: "2", offset: "-1024"}))
    assert np.array_equal(volume.voxels, ARRAY * 2.0 - 1024)
    assert volume.voxels.dtype == np.float32


def test_numbers_as_text(tmp_path):
    text = " ".join(map(str, VOXELS)).encode()
    path = meta_image(tmp_path / "a.mha", {"BinaryData": "False"}, text)
    assert np.array_equal(read_volume(path).voxels, ARRAY)
    meta_image(path, {"BinaryData": "False"}, text[:-3])
    with pytest.raises(VolumeError, match="before its last voxel"):
        read_volume(path)


@pytest.mark.parametrize("name", ["s%d.raw 1 2 1", "s%d.raw", "s%01d.raw 1 2", "LIST", "LIST 2"])
@pytest.mark.parametrize("packed", [False, True])
def test_one_data_file_a_slice(tmp_path, name, packed):
    for n in (1, 2):
        part = VOXELS[12 * (n - 1) : 12 * n].tobytes()
        (tmp_path / f"s{n}.raw").write_bytes(zlib.compress(part) if packed else part)
    listed = b"s1.raw\ns2.raw\n" if "LIST" in name else b""
    changes = {"ElementDataFile": name, "CompressedData": str(packed)}
    path = meta_image(tmp_path / "a.mhd", changes, listed)
    assert np.array_equal(read_volume(path).voxels, ARRAY)
    if name == "s%01d.raw 1 2":
        return  # ITK ends the process there
    if not packed:
        image = SimpleITK.ReadImage(str(path))
        assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(), ARRAY)
        # What is missing of one file is not taken from the next.
        (tmp_path / "s1.raw").write_bytes(VOXELS[:11].tobytes())
        (tmp_path / "s2.raw").write_bytes(VOXELS[11:].tobytes())
        with pytest.raises(VolumeError, match="before its last voxel"):
            read_volume(path)


@pytest.mark.parametrize("size", ["5", "-1"])
def test_a_header_in_the_data_file(tmp_path, size):
    (tmp_path / "a.raw").write_bytes(b"12345" + VOXELS.tobytes())
    path = meta_image(tmp_path / "a.mhd", {"HeaderSize": size, "ElementDataFile": "a.raw"}, b"")
    assert np.array_equal(read_volume(path).voxels, ARRAY)


def test_a_fourth_axis_of_length_one(tmp_path):
    changes = {
        "NDims": "4",
        "DimSize": "4 3 2 1",
        "ElementSpacing": "1 1.5 2 1",
        "Offset": "3 4 5 0",
        "TransformMatrix": "0 1 0 0 -1 0 0 0 0 0 1 0 0 0 0 1",
    }
    path = meta_image(tmp_path / "a.mha", changes)
    plain = read_volume(meta_image(tmp_path / "b.mha"))
    assert list(list_frames(path)) == [0]
    assert np.array_equal(read_volume(path).affine, plain.affine)
    assert np.array_equal(read_volume(path).voxels, ARRAY)
