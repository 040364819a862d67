import numpy as np
import pytest
import SimpleITK
from dicom_series import SliceOf, stack, voxels, write

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import list_frames, list_series, read_volume

OBLIQUE = ((1.0, 0.0, 0.0), (0.0, np.cos(0.3), np.sin(0.3)))
REGULAR = [0, 2.5, 5, 7.5, 10]


def world_of(each: SliceOf, column: int, row: int) -> np.ndarray:
    """RAS mm of a pixel, by the formula of the DICOM standard (C.7.6.2.1-1)."""
    along_row, along_column = (np.array(d) for d in each.directions)
    lps = each.position + along_row * each.spacing[0] * column
    lps = lps + along_column * each.spacing[1] * row
    return lps * [-1, -1, 1]


def assert_placed(volume, slices) -> None:
    for k, each in enumerate(slices):
        for column, row in ((0, 0), (6, 0), (3, 8)):
            np.testing.assert_allclose(
                volume.to_world((column, row, k)), world_of(each, column, row), atol=1e-3
            )


@pytest.mark.parametrize("directions", [((1, 0, 0), (0, 1, 0)), OBLIQUE, ((0, 1, 0), (0, 0, -1))])
def test_slices_are_ordered_by_where_they_lie(tmp_path, directions):
    slices = stack(REGULAR, directions=directions)
    volume = read_volume(write(tmp_path / "scan", slices))
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, voxels(slices))
    assert_placed(volume, slices)
    assert volume.notes == ()
    assert volume.name == "scan"
    assert volume.source.format == "dicom"


def test_a_tilted_gantry_gives_a_sheared_grid(tmp_path):
    slices = stack(REGULAR, shift=(0.0, 0.35))
    volume = read_volume(write(tmp_path / "scan", slices))
    assert np.array_equal(volume.voxels, voxels(slices))
    assert_placed(volume, slices)


def test_one_missing_slice_is_interpolated_and_told(tmp_path):
    whole = stack([2.5 * n for n in range(12)])
    volume = read_volume(write(tmp_path / "scan", whole[:4] + whole[5:]))
    assert volume.shape[2] == 12
    assert_placed(volume, whole)
    kept = [k for k in range(12) if k != 4]
    assert np.array_equal(volume.voxels[:, :, kept], voxels(whole)[:, :, kept])
    mean = (whole[3].pixels.T.astype(float) + whole[5].pixels.T) / 2
    assert np.abs(volume.voxels[:, :, 4] - mean).max() <= 0.5
    assert any("slice index 4" in note and "interpolated" in note for note in volume.notes)


@pytest.mark.parametrize(
    "heights",
    [
        [0, 2.5, 5, 9, 11.5],  # a gap of no whole number of slices
        [0, 2.5, 5, 7.5, 22.5, 25, 27.5],  # too much missing
        [0, 1, 2, 3, 4, 9, 14, 19],  # two parts of different thickness
        [0, 2.5, 2.5, 5],  # twice the same place
    ],
)
def test_slices_at_no_regular_distance_are_refused(tmp_path, heights):
    with pytest.raises(VolumeError):
        read_volume(write(tmp_path / "scan", stack(heights)))


def test_positions_rounded_by_the_scanner_are_taken_as_even(tmp_path):
    heights = [0, 2.52, 5.0, 7.49, 10.0]
    assert read_volume(write(tmp_path / "a", stack(heights))).notes == ()
    heights = [0, 2.7, 5.0, 7.4, 10.0]
    notes = read_volume(write(tmp_path / "b", stack(heights))).notes
    assert any("even" in note for note in notes)


def test_slopes_that_differ_from_slice_to_slice(tmp_path):
    slices = stack(REGULAR)
    for n, each in enumerate(slices):
        each.tags = {"0028|1053": str(1 + n), "0028|1052": "-7"}
    # The writer stores (value - intercept) / slope; what is read back must be the value again.
    volume = read_volume(write(tmp_path / "scan", slices))
    got, expected = volume.voxels.astype(float), voxels(slices).astype(float)
    assert np.abs(got - expected).max() <= 5


def test_colour_is_refused(tmp_path):
    slices = [SliceOf(np.zeros((9, 7, 3), np.uint8), (0.0, 0.0, float(h))) for h in range(3)]
    with pytest.raises(VolumeError, match="colour"):
        read_volume(write(tmp_path / "scan", slices))


def test_two_series_ask(tmp_path):
    folder = tmp_path / "scan"
    few, many = stack(REGULAR[:3], seed=1), stack(REGULAR, seed=2)
    write(folder, few, "1.2.3.4", "a")
    write(folder, many, "1.2.3.5", "b")
    with pytest.raises(VolumeError, match="2 DICOM series") as caught:
        read_volume(folder)
    assert "series" in caught.value.remedy
    listed = list_series(folder)
    assert [s.id for s in listed] == ["1.2.3.5", "1.2.3.4"]
    assert listed[0].shape == (7, 9, 5)
    assert "made for a test" in str(listed[0])
    for series in (listed[1], "1.2.3.4", "2"):
        assert np.array_equal(read_volume(folder, series=series).voxels, voxels(few))
    with pytest.raises(VolumeError, match="none that is"):
        read_volume(folder, series="9")


def test_a_scout_beside_the_series_is_left_out_and_told(tmp_path):
    folder = tmp_path / "scan"
    slices = stack(REGULAR)
    write(folder, slices, "1.2.3.4", "a")
    write(folder, stack([0], directions=((0, 1, 0), (0, 0, -1))), "1.2.3.5", "b")
    volume = read_volume(folder)
    assert np.array_equal(volume.voxels, voxels(slices))
    assert any("left out" in note for note in volume.notes)


def test_one_series_uid_for_two_orientations_makes_two_stacks(tmp_path):
    folder = tmp_path / "scan"
    write(folder, stack(REGULAR), "1.2.3.4", "a")
    write(folder, stack(REGULAR[:3], directions=((0, 1, 0), (0, 0, -1))), "1.2.3.4", "b")
    listed = list_series(folder)
    assert len(listed) == 2
    assert len({s.id for s in listed}) == 2
    assert read_volume(folder, series=listed[1]).shape[2] == 3


def test_one_of_the_slices_opens_its_series(tmp_path):
    slices = stack(REGULAR)
    folder = write(tmp_path / "scan", slices)
    assert np.array_equal(read_volume(next(folder.iterdir())).voxels, voxels(slices))


def test_one_slice_has_its_thickness(tmp_path):
    slices = stack([0], directions=OBLIQUE)
    volume = read_volume(write(tmp_path / "scan", slices))
    assert volume.shape == (7, 9, 1)
    assert volume.spacing[2] == pytest.approx(2.5)
    assert_placed(volume, slices)


def test_other_files_in_the_folder_and_subfolders(tmp_path):
    slices = stack(REGULAR)
    (tmp_path / "disc").mkdir()
    folder = write(tmp_path / "disc" / "DICOM", slices)
    (folder / "report.txt").write_text("nothing to see")
    (folder / "empty").touch()
    assert np.array_equal(read_volume(folder).voxels, voxels(slices))
    assert np.array_equal(read_volume(tmp_path / "disc").voxels, voxels(slices))
    assert list(list_frames(folder)) == [0]


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for ask in (read_volume, list_series):
        with pytest.raises(VolumeError, match="no DICOM"):
            ask(tmp_path)
    with pytest.raises(VolumeError):
        list_series(tmp_path / "nowhere")


@pytest.mark.parametrize("spoil", [lambda b: b[:-60], lambda b: b[:200], lambda b: b[:132]])
def test_a_broken_slice_is_told(tmp_path, spoil):
    slices = stack(REGULAR)
    folder = write(tmp_path / "scan", slices)
    one = sorted(folder.iterdir())[2]
    one.write_bytes(spoil(one.read_bytes()))
    volume = read_volume(folder)
    assert any(one.name in note and "left out" in note for note in volume.notes)
    with pytest.raises(VolumeError, match=one.name):
        read_volume(one)


def test_same_place_as_itk(tmp_path):
    """An oblique series read by SimpleITK's own series reader lies at the same mm."""
    slices = stack(REGULAR, directions=OBLIQUE)
    folder = write(tmp_path / "scan", slices)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    image = SimpleITK.ReadImage(names)
    volume = read_volume(folder)
    for index in ((0, 0, 0), (6, 8, 4), (2, 3, 1)):
        lps = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.to_world(index), np.multiply(lps, [-1, -1, 1]), atol=1e-3)
