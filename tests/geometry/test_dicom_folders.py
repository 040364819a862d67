"""A folder of DICOM gives one scan, whole, or a clear choice."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from dicom_writer import (
    AXIAL,
    CORNER,
    SAGITTAL,
    affine_of,
    change,
    new_file,
    planes,
    positions,
    save,
    set_pixels,
    slice_file,
    slices,
    volume_of,
)
from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Volume, list_series, read_volume
from napari_fastsam3d.geometry.io.dicom import reader as dicom

HEIGHTS = 2.5 * np.arange(12)
PIXELS = planes(12)
UP = (0.0, 0.0, 2.5)


def scan(**more):
    return slices(PIXELS, HEIGHTS, **more)


def assert_whole(volume: Volume, *words: str) -> None:
    """The scan is there, each voxel at its place, and the notes say so much and no more."""
    assert np.array_equal(volume.voxels, volume_of(PIXELS))
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=1e-3)
    assert len(volume.notes) == len(words), volume.notes
    for word in words:
        assert any(word in note for note in volume.notes), volume.notes


def test_a_series_spread_over_subfolders_is_whole(tmp_path):
    files = scan()
    save(tmp_path, files[:1], "here")
    save(tmp_path / "b", files[1:8], "IM")
    save(tmp_path / "a" / "deep", files[8:], "IM")
    assert_whole(read_volume(tmp_path))
    assert len(list_series(tmp_path)) == 1


def test_a_scout_beside_a_series_in_a_subfolder(tmp_path):
    scout = slice_file(planes(1)[0], CORNER, SAGITTAL, series="1.2.3.5")
    save(tmp_path, [scout], "scout")
    save(tmp_path / "series", scan())
    assert_whole(read_volume(tmp_path), "left out")
    assert [series.is_scan for series in list_series(tmp_path)] == [True, False]


def test_a_scout_of_several_slices_is_no_choice(tmp_path):
    kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scouts = slices(planes(3), [0, 20, 40], SAGITTAL, ImageType=kind)
    folder = save(tmp_path / "scan", scan(), "s")
    save(folder, scouts, "loc")
    assert_whole(read_volume(folder), "scouts")


def screen(colour: bool):
    made = new_file("SC", "1.2.3.7", modality="OT")
    set_pixels(made, np.zeros((9, 7, 3) if colour else (9, 7), np.uint8))
    return made


def report(kind: str):
    made = new_file(kind, "1.2.3.8")
    made.ContentLabel = "X"
    return made


def segmentation():
    made = new_file("SEG", "1.2.3.9")
    set_pixels(made, np.zeros((12, 9, 7), np.uint8))
    return made


def test_what_lies_beside_a_scan_is_left_out_and_told(tmp_path):
    folder = save(tmp_path / "scan", scan())
    save(folder, [screen(True), screen(False), screen(False)], "capture")
    assert_whole(read_volume(folder), "left out")
    save(folder, [segmentation()], "seg")
    assert_whole(read_volume(folder), "left out", "segmentation")
    save(folder, [report("SR"), report("PR")], "report")
    assert_whole(read_volume(folder), "left out", "segmentation", "no image")


def test_a_segmentation_or_report_alone_is_refused_by_name(tmp_path):
    folder = save(tmp_path / "scan", [segmentation(), report("SR")])
    with pytest.raises(VolumeError, match="s000 is a DICOM segmentation"):
        read_volume(folder / "s000")
    with pytest.raises(VolumeError, match="holds no image"):
        read_volume(folder / "s001")
    with pytest.raises(VolumeError, match=r"no DICOM images.*segmentation"):
        read_volume(folder)


def test_dose_beside_a_scan_is_no_choice(tmp_path):
    dose = new_file("RTDOSE", "1.2.3.6")
    dose.PixelSpacing, dose.DoseGridScaling = [3, 3], 0.01
    dose.ImagePositionPatient, dose.ImageOrientationPatient = list(CORNER), list(AXIAL)
    dose.GridFrameOffsetVector = [0, 3, 6]
    set_pixels(dose, planes(3, np.uint16))
    folder = save(tmp_path / "scan", [*scan(), dose])
    assert_whole(read_volume(folder), "left out")
    assert read_volume(folder, series="1.2.3.6").shape == (7, 9, 3)


def test_a_directory_beside_and_files_that_are_no_dicom(tmp_path):
    folder = save(tmp_path / "scan", scan())
    (folder / "DICOMDIR").write_bytes((folder / "s000").read_bytes())
    (folder / "readme.txt").write_text("nothing to see")
    (folder / "._s000").write_bytes(b"\0" * 4096)
    assert_whole(read_volume(folder))
    assert_whole(read_volume(folder / "DICOMDIR"))


def test_files_without_a_preamble(tmp_path):
    for n, each in enumerate(scan()):
        bare = Dataset()
        bare.update(each)
        bare.save_as(tmp_path / f"{n}", implicit_vr=n % 2 == 0, little_endian=True)
    assert_whole(read_volume(tmp_path))
    for n in (0, 1):
        assert_whole(read_volume(tmp_path / f"{n}"))


def test_a_copy_of_a_slice_is_left_out_and_told(tmp_path):
    folder = save(tmp_path / "scan", scan(), suffix=".dcm")
    shutil.copy(folder / "s005.dcm", folder / "s005 copy.dcm")
    assert_whole(read_volume(folder), "s005 copy.dcm")
    assert_whole(read_volume(folder / "s005 copy.dcm"), "s005 copy.dcm")


def test_a_slice_sent_twice_under_two_uids_is_one(tmp_path):
    files = scan()
    again = slice_file(PIXELS[4], positions([HEIGHTS[4]])[0])
    assert again.SOPInstanceUID != files[4].SOPInstanceUID
    assert_whole(read_volume(save(tmp_path / "scan", [*files, again])), "Copies")


def test_a_slice_sent_again_later_is_one(tmp_path):
    files = scan(AcquisitionNumber=1, ContentTime="120000")
    changes = {"AcquisitionNumber": 2, "ContentTime": "130000"}
    again = slice_file(PIXELS[4], positions([HEIGHTS[4]])[0], **changes)
    assert_whole(read_volume(save(tmp_path / "scan", [*files, again])), "s012")


def test_a_whole_series_copied_into_a_subfolder_is_one(tmp_path):
    folder = save(tmp_path / "scan", scan())
    shutil.copytree(folder, folder / "backup")
    assert_whole(read_volume(folder), "and 9 more")


def test_one_uid_for_all_slices_is_no_copy(tmp_path):
    files = scan()
    for each in files:
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    assert_whole(read_volume(save(tmp_path / "scan", files)))


@pytest.mark.parametrize("same_uid", [True, False])
def test_two_different_images_at_one_place_are_refused_by_name(tmp_path, same_uid):
    files = scan()
    other = slice_file(PIXELS[4] + 1, positions([HEIGHTS[4]])[0])
    if same_uid:
        other.SOPInstanceUID = files[4].SOPInstanceUID
    folder = save(tmp_path / "scan", [*files, other])
    with pytest.raises(VolumeError, match="s004 and s012"):
        read_volume(folder)


@pytest.mark.parametrize("size", [5e-6, 1e-4, 5e-4])
def test_noise_in_orientation_and_spacing_is_noise(tmp_path, size):
    rng = np.random.default_rng(2)
    files = []
    for pixels, at in zip(PIXELS, positions(HEIGHTS), strict=True):
        turned = np.array(AXIAL) + rng.uniform(-size, size, 6)
        scaled = np.array([0.8, 0.7]) * (1 + rng.uniform(-size, size, 2))
        files.append(slice_file(pixels, at, turned, [f"{s:.10f}" for s in scaled]))
    folder = save(tmp_path / "scan", files)
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, volume_of(PIXELS))
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=2e-3)
    assert len(list_series(folder)) == 1


def test_slices_that_are_turned_too_far_for_one_grid_are_told_or_refused(tmp_path):
    """A hundredth of a degree is nothing in a small image, and much in a large one."""
    pixels = np.zeros((6, 400, 400), np.int16)
    for angle, told in ((2e-5, None), (5e-4, "mm off"), (4.5e-3, "not parallel")):
        files = []
        for n, at in enumerate(positions(HEIGHTS[:6])):
            c, s = np.cos(angle * (n % 2)), np.sin(angle * (n % 2))
            files.append(slice_file(pixels[n], at, (c, s, 0, -s, c, 0)))
        folder = save(tmp_path / f"{angle}", files)
        if told == "not parallel":
            with pytest.raises(VolumeError, match=told):
                read_volume(folder)
        else:
            notes = read_volume(folder).notes
            assert [told in note for note in notes] == ([True] if told else [])


def test_no_pixel_spacing_is_refused(tmp_path):
    for spacing in (None, (0, 0), (-1, 1)):
        folder = save(tmp_path / f"{spacing}", scan(spacing=spacing))
        with pytest.raises(VolumeError, match="how large its pixels are"):
            read_volume(folder)


def test_a_spacing_with_a_decimal_comma_is_no_number(tmp_path):
    folder = save(tmp_path / "scan", scan(spacing=(8.0, 7.0)))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"8.0\\7.0 ", b"8,0\\7,0 "))
    with pytest.raises(VolumeError, match="how large its pixels are"):
        read_volume(folder)


@pytest.mark.parametrize(
    ("kind", "allowed"), [("CT", False), ("MR", False), ("PT", False), ("XA", True), ("DX", True)]
)
def test_imager_pixel_spacing_only_where_the_standard_has_it(tmp_path, kind, allowed):
    files = scan(kind=kind, spacing=None, ImagerPixelSpacing=[0.8, 0.7])
    folder = save(tmp_path / "scan", files)
    if not allowed:
        with pytest.raises(VolumeError, match="how large its pixels are"):
            read_volume(folder)
        return
    assert_whole(read_volume(folder), "Imager Pixel Spacing")
    calibrated = scan(kind=kind, ImagerPixelSpacing=[1.0, 1.0])
    assert_whole(read_volume(save(tmp_path / "calibrated", calibrated)))


def test_a_projection_has_the_size_at_the_detector_and_no_depth(tmp_path):
    made = slice_file(PIXELS[0], None, spacing=None, kind="DX", ImagerPixelSpacing=[0.2, 0.15])
    volume = read_volume(save(tmp_path / "scan", [made]))
    np.testing.assert_allclose(volume.spacing, (0.15, 0.2, 0.2))
    assert np.array_equal(volume.voxels, volume_of(PIXELS[:1]))
    assert any("Imager Pixel Spacing" in note for note in volume.notes)
    assert any("no depth" in note for note in volume.notes)


def test_one_slice_without_thickness_is_refused(tmp_path):
    made = slice_file(PIXELS[0], CORNER, SliceThickness=None)
    with pytest.raises(VolumeError, match="how thick"):
        read_volume(save(tmp_path / "scan", [made]))


@pytest.mark.parametrize("lacks", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_slices_without_place_or_orientation_are_refused(tmp_path, lacks):
    folder = save(tmp_path / "scan", scan(**{lacks: None}))
    with pytest.raises(VolumeError, match="where they lie"):
        read_volume(folder)


@pytest.mark.parametrize("cosines", [[0] * 6, [1, 0, 0, 1, 0, 0], [2, 0, 0, 0, 1, 0]])
def test_cosines_that_are_none_are_refused(tmp_path, cosines):
    folder = save(tmp_path / "scan", scan(ImageOrientationPatient=cosines))
    with pytest.raises(VolumeError, match="where they lie"):
        read_volume(folder)


def test_a_mosaic_is_refused(tmp_path):
    kind = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    folder = save(tmp_path / "scan", scan(kind="MR", ImageType=kind))
    with pytest.raises(VolumeError, match="mosaic"):
        read_volume(folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("TemporalPositionIdentifier", [1, 2, 3]),
        ("EchoTime", [2.3, 4.6]),
        ("EchoNumbers", [1, 2]),
        ("DiffusionBValue", [0.0, 800.0]),
        ("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
        ("ConvolutionKernel", ["B30f", "B70f"]),
        ("AcquisitionNumber", [1, 2]),
        ("NominalPercentageOfCardiacPhase", [0.0, 50.0]),
    ],
)
def test_a_series_of_several_volumes_asks(tmp_path, name, values):
    pixels = planes(12 * len(values)).reshape(len(values), 12, 9, 7)
    files = [
        each
        for value, part in zip(values, pixels, strict=True)
        for each in slices(part, HEIGHTS, kind="MR", **{name: value})
    ]
    turn = np.random.default_rng(0).permutation(len(files))
    folder = save(tmp_path / "scan", [files[n] for n in turn])
    with pytest.raises(VolumeError, match=f"holds {len(values)} "):
        read_volume(folder)
    listed = list_series(folder)
    assert len({str(series) for series in listed}) == len(values)
    for n, series in enumerate(listed):
        assert np.array_equal(read_volume(folder, series=series).voxels, volume_of(pixels[n]))
    # A file says which of them it is part of.
    path = folder / f"s{turn.tolist().index(12):03d}"
    assert np.array_equal(read_volume(path).voxels, volume_of(pixels[1]))


@pytest.mark.parametrize("unknown", [False, True], ids=["typed", "bytes"])
@pytest.mark.parametrize(
    ("creator", "group", "element", "kind", "stored"),
    [
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", [0, 800]),
        ("GEMS_PARM_01", 0x0043, 0x39, "IS", [[0, 8, 0, 0], [1000000800, 8, 0, 0]]),
        ("Philips Imaging DD 001", 0x2001, 0x03, "FL", [0.0, 800.0]),
    ],
)
def test_b_values_of_the_makers_part_a_series(
    tmp_path, creator, group, element, kind, stored, unknown
):
    pixels = planes(24).reshape(2, 12, 9, 7)
    files = []
    for value, part in zip(stored, pixels, strict=True):
        for each in slices(part, HEIGHTS, kind="MR"):
            each.private_block(group, "ANOTHER", create=True).add_new(element, "LO", "1")
            block = each.private_block(group, creator, create=True)
            said, text = value, "\\".join(map(str, np.atleast_1d(value)))
            if unknown:
                said = np.float32(value).tobytes() if kind == "FL" else text.encode()
            block.add_new(element, "UN" if unknown else kind, said)
            files.append(each)
    turn = np.random.default_rng(0).permutation(len(files))
    folder = save(tmp_path / "scan", [files[n] for n in turn])
    assert [series.part for series in list_series(folder)] == ["b = 0", "b = 800"]
    for n in range(2):
        assert np.array_equal(read_volume(folder, series=f"{n + 1}").voxels, volume_of(pixels[n]))


@pytest.mark.parametrize("name", ["TriggerTime", "AcquisitionTime", "ContentTime"])
def test_times_that_differ_from_slice_to_slice_part_by_their_order(tmp_path, name):
    pixels = planes(36).reshape(3, 12, 9, 7)
    files = []
    for turn, part in enumerate(pixels):
        for n, each in enumerate(slices(part, HEIGHTS, kind="MR")):
            late = 30 * turn + n
            value = float(late) if name == "TriggerTime" else f"1159{late % 60:02d}.5"
            if name != "TriggerTime" and late >= 60:
                value = f"1200{late % 60:02d}.5"
            change(each, {name: value})
            files.append(each)
    folder = save(tmp_path / "scan", files)
    assert [series.part for series in list_series(folder)] == ["time 1", "time 2", "time 3"]
    for n in range(3):
        assert np.array_equal(read_volume(folder, series=f"{n + 1}").voxels, volume_of(pixels[n]))


def test_a_number_of_a_slice_does_not_part_a_series(tmp_path):
    files = scan(kind="MR")
    for n, each in enumerate(files):
        each.AcquisitionNumber = n + 1
        each.AcquisitionTime = f"1200{n:02d}"
        each.TemporalPositionIdentifier = 1
        each.EchoTime = 4.6
    assert_whole(read_volume(save(tmp_path / "scan", files)))


def test_each_other_slice_gone_is_told_where_the_file_tells(tmp_path):
    files = scan(kind="MR", SpacingBetweenSlices=2.5)[::2]
    (note,) = read_volume(save(tmp_path / "scan", files)).notes
    assert "some may be missing" in note


def test_a_locked_subfolder_is_told_and_a_locked_folder_refused(tmp_path, monkeypatch):
    folder = save(tmp_path / "scan", scan())
    (folder / "locked").mkdir()
    true_scan = dicom.os.scandir

    def scandir(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return true_scan(path)

    monkeypatch.setattr(dicom.os, "scandir", scandir)
    assert_whole(read_volume(folder), "locked")
    with pytest.raises(VolumeError):
        read_volume(folder / "locked")


def test_a_folder_of_too_many_files_is_refused_not_cut(tmp_path, monkeypatch):
    folder = save(tmp_path / "scan", scan())
    monkeypatch.setattr(dicom, "_MOST_FILES", 11)
    with pytest.raises(VolumeError, match="more than 11 files"):
        read_volume(folder)


def test_implicit_and_explicit_files_in_one_series(tmp_path):
    files = scan()
    for each in files[::2]:
        each.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert_whole(read_volume(save(tmp_path / "scan", files)))


def test_two_frames_of_reference_are_told(tmp_path):
    files = scan()
    files[3].FrameOfReferenceUID = generate_uid()
    assert_whole(read_volume(save(tmp_path / "scan", files)), "frames of reference")


turns = st.permutations(range(12))
angles = st.tuples(*[st.floats(-np.pi, np.pi)] * 3)


@settings(max_examples=25, deadline=None)
@given(
    order=turns,
    gap=st.floats(0.05, 20),
    tilt=st.floats(-0.4, 0.4),
    missing=st.sets(st.integers(1, 10), max_size=1),
    copied=st.sets(st.integers(0, 11), max_size=4),
    turned=angles,
    seed=st.integers(0, 1000),
)
def test_any_order_rounding_gap_tilt_and_copies(
    tmp_path_factory, order, gap, tilt, missing, copied, turned, seed
):
    """What is read lies where the standard's formula puts it, whatever the files' order."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)) + np.diag(turned))
    row, column = rotation[0], rotation[1]
    step = gap * (np.cross(row, column) + tilt * column)
    directions, rounding = (*row, *column), min(1e-3, gap / 100)
    files = {}
    for n in range(12):
        at = CORNER + n * step + rng.uniform(-rounding, rounding, 3)
        files[n] = slice_file(PIXELS[n], at, directions)
    made = [files[n] for n in order if n not in missing]
    folder = save(tmp_path_factory.mktemp("scan"), [*made, *(files[n] for n in copied - missing)])
    volume = read_volume(folder)
    kept = [n for n in range(12) if n not in missing]
    assert volume.shape == (7, 9, 12)
    assert np.array_equal(volume.voxels[:, :, kept], volume_of(PIXELS)[:, :, kept])
    expected = affine_of(CORNER, step, directions)
    corners = np.array([[0, 0, 0, 1], [6, 8, 0, 1], [0, 0, 11, 1], [6, 8, 11, 1]]).T
    np.testing.assert_allclose(
        volume.affine @ corners, expected @ corners, atol=4 * rounding + 1e-5
    )
    assert any("missing" in note for note in volume.notes) == bool(missing)
    assert any("Copies" in note for note in volume.notes) == bool(copied - missing)


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(24)), names=st.permutations(range(24)))
def test_parts_do_not_depend_on_the_order_of_files(tmp_path_factory, order, names):
    pixels = planes(24)
    files = [
        each
        for turn in (0, 1)
        for each in slices(pixels[12 * turn : 12 * turn + 12], HEIGHTS, EchoNumbers=turn + 1)
    ]
    folder = save(tmp_path_factory.mktemp("scan"), [files[n] for n in order])
    assert [series.part for series in list_series(folder)] == ["echo 1", "echo 2"]
    assert np.array_equal(read_volume(folder, series="2").voxels, volume_of(pixels[12:]))
