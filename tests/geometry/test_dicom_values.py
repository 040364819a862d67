"""The intensities of DICOM images are those that pydicom reads."""

import shutil

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_writer import (
    CORNER,
    enhanced,
    frame,
    item,
    planes,
    positions,
    save,
    slice_file,
    slices,
    volume_of,
)
from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import read_volume

HEIGHTS = 2.5 * np.arange(5)
COUNT = len(HEIGHTS)


def by_pydicom(folder) -> np.ndarray:
    """The volume that pydicom reads, of files that are named in the order of their places."""
    found = [dcmread(path) for path in sorted(folder.iterdir())]
    return volume_of(np.stack([apply_modality_lut(each.pixel_array, each) for each in found]))


def read_by_both(folder):
    volume = read_volume(folder)
    np.testing.assert_allclose(volume.voxels, by_pydicom(folder), rtol=1e-6)
    return volume


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (1, -1024), (2, 7), (0.25, -3.5)])
def test_stored_types_slopes_and_intercepts(tmp_path, dtype, slope, intercept):
    stored = planes(COUNT, np.int16).astype(dtype)
    files = slices(stored, HEIGHTS, RescaleSlope=slope, RescaleIntercept=intercept)
    volume = read_by_both(save(tmp_path / "scan", files))
    if slope is None:
        assert volume.voxels.dtype == dtype
    assert (volume.voxels.dtype.kind == "f") == (slope == 0.25)


def test_slopes_that_differ_from_file_to_file(tmp_path):
    files = slices(planes(COUNT, np.uint16), HEIGHTS, kind="PT")
    for n, each in enumerate(files):
        each.RescaleSlope, each.RescaleIntercept = 1 + n / 4, -7
    assert read_by_both(save(tmp_path / "scan", files)).voxels.dtype == np.float32


def test_a_slope_of_zero_is_no_slope(tmp_path):
    files = slices(planes(COUNT), HEIGHTS, RescaleSlope=0, RescaleIntercept=0)
    with pytest.raises(VolumeError):
        read_volume(save(tmp_path / "scan", files))


def test_a_modality_lookup_table(tmp_path):
    stored = planes(COUNT, np.uint16) % 200
    table = (np.arange(200) ** 2).astype(np.uint16)
    files = slices(stored, HEIGHTS)
    for each in files:
        lut = item(LUTDescriptor=[200, 0, 16], ModalityLUTType="US")
        lut.add_new("LUTData", "US", table.tolist())
        each.ModalityLUTSequence = [lut]
    volume = read_by_both(save(tmp_path / "scan", files))
    assert np.array_equal(volume.voxels, volume_of(table[stored]))


def test_a_damaged_lookup_table_is_refused(tmp_path):
    files = slices(planes(COUNT, np.uint16), HEIGHTS)
    for each in files:
        each.ModalityLUTSequence = [item(LUTDescriptor=[200, 0, 16], ModalityLUTType="US")]
    with pytest.raises(VolumeError, match="lookup table"):
        read_volume(save(tmp_path / "scan", files))


@pytest.mark.parametrize("slope", ["1e300", "-1e25", "4e9"])
def test_a_slope_too_large_for_whole_numbers(tmp_path, slope):
    files = slices(planes(COUNT, np.uint16), HEIGHTS, RescaleSlope=slope, RescaleIntercept=0)
    volume = read_volume(save(tmp_path / "scan", files))
    assert volume.voxels.dtype == np.float32


def test_unused_bits_are_not_read(tmp_path):
    stored = planes(COUNT, np.uint16) % 4096
    rubbish = stored | 0xA000  # an overlay in the upper bits, as older scanners wrote them
    files = slices(rubbish, HEIGHTS, BitsStored=12, HighBit=11)
    assert np.array_equal(read_volume(save(tmp_path / "a", files)).voxels, volume_of(stored))
    signed = planes(COUNT, np.int16)
    files = slices(signed & 0x0FFF, HEIGHTS, BitsStored=12, HighBit=11)
    assert np.array_equal(read_volume(save(tmp_path / "b", files)).voxels, volume_of(signed))


def test_monochrome1_is_kept_and_told(tmp_path):
    files = slices(planes(COUNT), HEIGHTS, PhotometricInterpretation="MONOCHROME1")
    (note,) = read_by_both(save(tmp_path / "scan", files)).notes
    assert "MONOCHROME1" in note


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_padding_below_the_scan_is_left_as_it_is(tmp_path, dtype):
    stored = planes(COUNT, np.uint16).astype(dtype) + 100
    lowest = -2000 if dtype == np.int16 else 0
    stored[:, 0, :] = lowest
    files = slices(stored, HEIGHTS, RescaleSlope=1, RescaleIntercept=-1024)
    for each in files:
        each.PixelPaddingValue = lowest
    assert read_by_both(save(tmp_path / "scan", files)).notes == ()


@pytest.mark.parametrize("sign", [True, False])
def test_padding_that_is_brighter_than_the_scan_is_lowered_and_told(tmp_path, sign):
    """-2000 written into unsigned pixels is 63536, the brightest thing in the scan."""
    stored = planes(COUNT, np.uint16) + np.uint16(100)
    stored[:, 0, :] = 63536
    files = slices(stored, HEIGHTS, RescaleSlope=1, RescaleIntercept=-1024)
    for each in files:
        each.add_new("PixelPaddingValue", "SS" if sign else "US", -2000 if sign else 63536)
    volume = read_volume(save(tmp_path / "scan", files))
    inside = volume_of(stored)[:, 1:].astype(int) - 1024
    assert np.array_equal(volume.voxels[:, 1:], inside)
    assert (volume.voxels[:, 0] == inside.min()).all()
    assert any("35 voxels outside the field of view" in note for note in volume.notes)


def test_a_range_of_padding(tmp_path):
    stored = planes(COUNT, np.uint16) + np.uint16(100)
    stored[:, 0, :] = np.arange(60000, 60007)
    files = slices(stored, HEIGHTS, PixelPaddingValue=60000, PixelPaddingRangeLimit=60006)
    assert read_volume(save(tmp_path / "scan", files)).voxels.max() < 2000


def test_run_lengths_and_deflation(tmp_path):
    pixels = planes(COUNT)
    for syntax in (RLELossless, DeflatedExplicitVRLittleEndian):
        files = slices(pixels, HEIGHTS)
        for each in files:
            if syntax is RLELossless:
                each.compress(syntax)
            each.file_meta.TransferSyntaxUID = syntax
        assert np.array_equal(
            read_by_both(save(tmp_path / syntax.name, files)).voxels, volume_of(pixels)
        )


def jpeg(pixels, bits):
    return imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits)


def jpeg2000(pixels, bits):
    return imagecodecs.jpeg2k_encode(
        pixels, reversible=True, bitspersample=bits, codecformat="j2k", level=0
    )


def jpegls(pixels, _bits):
    return imagecodecs.jpegls_encode(pixels)


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [(JPEGLosslessSV1, jpeg), (JPEG2000Lossless, jpeg2000), (JPEGLSLossless, jpegls)],
)
@pytest.mark.parametrize(
    ("dtype", "bits"),
    [(np.uint8, 8), (np.uint16, 12), (np.uint16, 16), (np.int16, 12), (np.int16, 16)],
)
def test_compressed_slices(tmp_path, syntax, encode, dtype, bits):
    if encode is jpegls:
        bits = 8 * np.dtype(dtype).itemsize  # its encoder at hand knows no other
    pixels = planes(COUNT, dtype)
    files = slices(pixels, HEIGHTS, BitsStored=bits, HighBit=bits - 1)
    for each, plane in zip(files, pixels, strict=True):
        stored = plane.view(f"u{plane.itemsize}") & ((1 << bits) - 1)
        each.PixelData = encapsulate([encode(stored, bits)])
        each["PixelData"].is_undefined_length = True
        each.file_meta.TransferSyntaxUID = syntax
    volume = read_volume(save(tmp_path / "scan", files))
    assert np.array_equal(volume.voxels, volume_of(pixels))
    assert volume.voxels.dtype == dtype


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("MR_small_jp2klossless.dcm", (64, 64, 1)),
        ("MR_small_jpeg_ls_lossless.dcm", (64, 64, 1)),
        ("MR_small_RLE.dcm", (64, 64, 1)),
        ("MR_small_bigendian.dcm", (64, 64, 1)),
        ("MR_small_implicit.dcm", (64, 64, 1)),
        ("MR_small.dcm", (64, 64, 1)),
    ],
)
def test_one_image_written_in_many_ways(tmp_path, name, shape):
    """Real files that come with pydicom, written by other programs."""
    expected = pixel_array(get_testdata_file("MR_small.dcm", download=False))
    shutil.copy(get_testdata_file(name, download=False), tmp_path / "slice.dcm")
    volume = read_volume(tmp_path)
    assert volume.shape == shape
    assert np.array_equal(volume.voxels[:, :, 0].T, expected)


def outcome(path) -> str:
    try:
        read_volume(path)
    except VolumeError as refused:
        return refused.problem
    return "read"


def test_a_damaged_stream_ends_no_process(tmp_path):
    """GDCM's decoders crash on some of these."""
    rng, pixels, outcomes = np.random.default_rng(0), planes(1, np.uint16)[0], []
    for syntax, encode in ((JPEGLosslessSV1, jpeg), (JPEG2000Lossless, jpeg2000)):
        stream = encode(pixels, 16)
        for n in range(60):
            damaged = bytearray(stream)
            for _ in range(rng.integers(1, 20)):
                damaged[rng.integers(2, len(stream))] = rng.integers(256)
            made = slice_file(pixels, CORNER)
            made.PixelData = encapsulate([bytes(damaged)])
            made["PixelData"].is_undefined_length = True
            made.file_meta.TransferSyntaxUID = syntax
            path = save(tmp_path / f"{syntax}{n}", [made]) / "s000"
            outcomes.append(outcome(path))
    assert all("decoded" in each or each == "read" for each in outcomes)
    assert len(set(outcomes)) > 1


def test_a_compressed_multi_frame_file(tmp_path):
    pixels, turn = planes(COUNT), [3, 0, 4, 1, 2]
    made = enhanced(pixels[turn], [frame(positions(HEIGHTS)[n]) for n in turn])
    made.compress(RLELossless)
    path = save(tmp_path / "scan", [made]) / "s000"
    assert np.array_equal(pixel_array(path), pixels[turn])
    assert np.array_equal(read_volume(path).voxels, volume_of(pixels))


def test_pixels_that_cannot_be_decoded_are_one_error(tmp_path):
    made = slice_file(planes(1)[0], CORNER)
    made.compress(RLELossless)
    path = save(tmp_path / "scan", [made]) / "s000"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\xe0\x7f\x10\x00") + 60])
    with pytest.raises(VolumeError, match="s000"):
        read_volume(path)
