"""Multi-frame DICOM is read by what each frame says of itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_writer import (
    AXIAL,
    CORNER,
    CORONAL,
    SAGITTAL,
    affine_of,
    enhanced,
    frame,
    item,
    new_file,
    planes,
    positions,
    save,
    set_pixels,
    volume_of,
)
from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Volume, list_frames, list_series, read_volume

UP = (0.0, 0.0, 2.5)


def read(tmp_path, made, **choice) -> Volume:
    return read_volume(save(tmp_path / "scan", [made]) / "s000", **choice)


def at(heights, **content):
    return [
        frame(p, **{name: values[n] for name, values in content.items()})
        for n, p in enumerate(positions(heights))
    ]


@pytest.mark.parametrize("kind", ["enhanced CT", "enhanced MR", "enhanced PT"])
@pytest.mark.parametrize("order", ["up", "down", "mixed"])
def test_frames_in_any_order(tmp_path, kind, order):
    pixels, heights = planes(8), 2.5 * np.arange(8)
    turn = {"up": np.arange(8), "down": np.arange(8)[::-1]}.get(order)
    turn = np.random.default_rng(1).permutation(8) if turn is None else turn
    # Positions in the stack that contradict the places are not believed.
    frames = at(heights[turn], StackID=["1"] * 8, InStackPositionNumber=list(range(1, 9)))
    volume = read(tmp_path, enhanced(pixels[turn], frames, kind))
    assert np.array_equal(volume.voxels, volume_of(pixels))
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=1e-6)
    assert volume.notes == ()


def test_positions_rounded_to_a_micrometre_give_the_spacing(tmp_path):
    pixels, heights = planes(12), 2.5 * np.arange(12)
    noise = np.random.default_rng(3).uniform(-1e-3, 1e-3, (12, 3))
    frames = [frame(p + n) for p, n in zip(positions(heights), noise, strict=True)]
    volume = read(tmp_path, enhanced(pixels, frames))
    np.testing.assert_allclose(volume.spacing, (0.7, 0.8, 2.5), atol=5e-4)
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=2e-3)
    assert volume.notes == ()


@settings(max_examples=15, deadline=None)
@given(
    order=st.permutations(range(24)),
    missing=st.tuples(*[st.integers(1, 6)] * 3),
    directions=st.sampled_from([AXIAL, CORONAL, SAGITTAL, (0.6, 0.8, 0, 0, 0, -1)]),
    gap=st.floats(0.02, 30),
    seed=st.integers(0, 1000),
)
def test_any_order_gap_and_rounding_of_three_times(
    tmp_path_factory, order, missing, directions, gap, seed
):
    """Each time is a volume of its own, whose missing frame is told, where the formula puts it."""
    rng, rounding, pixels = np.random.default_rng(seed), min(1e-3, gap / 100), planes(24)
    places = positions(gap * np.arange(8), directions) * 3
    frames = [
        frame(p + rng.uniform(-rounding, rounding, 3), TemporalPositionIndex=n // 8 + 1)
        for n, p in enumerate(places)
    ]
    kept = [n for n in order if n % 8 != missing[n // 8]]
    made = enhanced(pixels[kept], [frames[n] for n in kept], directions=directions)
    folder = save(tmp_path_factory.mktemp("scan"), [made])
    step = gap * np.cross(directions[:3], directions[3:])
    for time, series in enumerate(list_series(folder)):
        volume = read_volume(folder, series=series)
        there = [n for n in range(8) if n != missing[time]]
        expected = volume_of(pixels[8 * time : 8 * time + 8])
        assert np.array_equal(volume.voxels[:, :, there], expected[:, :, there])
        assert any(f"slice index {missing[time]})" in note for note in volume.notes)
        ends = np.array([[0, 0, 0, 1], [6, 8, 7, 1]]).T
        formula = affine_of(CORNER, step, directions) @ ends
        np.testing.assert_allclose(volume.affine @ ends, formula, atol=4 * rounding)


def test_a_missing_frame_is_told_and_many_are_refused(tmp_path):
    pixels = planes(12)
    one = [n for n in range(12) if n != 5]
    volume = read(tmp_path, enhanced(pixels[one], at(2.5 * np.array(one))))
    assert volume.shape[2] == 12
    assert np.array_equal(volume.voxels[:, :, one], volume_of(pixels)[:, :, one])
    assert volume.spacing[2] == pytest.approx(2.5)
    assert any("slice index 5" in note for note in volume.notes)
    many = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    with pytest.raises(VolumeError, match="not evenly spaced"):
        read(tmp_path, enhanced(pixels[many], at(2.5 * np.array(many))))


def test_a_localizer_of_three_planes_is_three_volumes(tmp_path):
    pixels = planes(12)
    frames = [
        frame(p, d) for d in (SAGITTAL, CORONAL, AXIAL) for p in positions(2.5 * np.arange(4), d)
    ]
    made = enhanced(pixels, frames, "enhanced MR", directions=None)
    with pytest.raises(VolumeError, match=r"sagittal.*coronal.*axial"):
        read(tmp_path, made)
    listed = list_series(tmp_path / "scan" / "s000")
    assert [series.part for series in listed] == ["sagittal", "coronal", "axial"]
    assert len({series.id for series in listed}) == 3
    for n, directions in enumerate((SAGITTAL, CORONAL, AXIAL)):
        volume = read(tmp_path, made, series=listed[n])
        assert np.array_equal(volume.voxels, volume_of(pixels[4 * n : 4 * n + 4]))
        step = 2.5 * np.cross(directions[:3], directions[3:])
        np.testing.assert_allclose(volume.affine, affine_of(CORNER, step, directions), atol=1e-6)


def marked(name, values):
    """Frames at six places for each value, which a functional group of its own holds."""
    holders = {
        "TemporalPositionIndex": ("FrameContentSequence", ()),
        "StackID": ("FrameContentSequence", ()),
        "EffectiveEchoTime": ("MREchoSequence", ()),
        "DiffusionBValue": ("MRDiffusionSequence", ()),
        "FrameType": ("MRImageFrameTypeSequence", ()),
        "TemporalPositionTimeOffset": ("TemporalPositionSequence", ()),
        "NominalCardiacTriggerDelayTime": ("CardiacSynchronizationSequence", ()),
    }
    frames = []
    for value in values:
        for place in positions(2.5 * np.arange(6)):
            made = frame(place)
            setattr(made, holders[name][0], [item(**{name: value})])
            frames.append(made)
    return frames


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("TemporalPositionIndex", [1, 2]),
        ("TemporalPositionIndex", [2, 11, 1]),
        ("StackID", ["1", "2"]),
        ("EffectiveEchoTime", [4.6, 2.3]),
        ("DiffusionBValue", [0.0, 1000.0]),
        ("FrameType", [["ORIGINAL", "PRIMARY", "M", "NONE"], ["ORIGINAL", "PRIMARY", "P", "NONE"]]),
        ("TemporalPositionTimeOffset", [0.0, 2.5]),
        ("NominalCardiacTriggerDelayTime", [0.0, 120.0, 240.0]),
    ],
)
@pytest.mark.parametrize("interleaved", [False, True])
def test_times_echoes_and_the_like_are_volumes_to_choose_from(tmp_path, name, values, interleaved):
    count = len(values)
    pixels, frames = planes(6 * count), marked(name, values)
    turn = np.arange(6 * count)
    if interleaved:
        turn = turn.reshape(count, 6).T.ravel()
    made = enhanced(pixels[turn], [frames[n] for n in turn], "enhanced MR")
    with pytest.raises(VolumeError, match=f"holds {count} "):
        read(tmp_path, made)
    listed = list_series(tmp_path / "scan")
    assert [series.shape for series in listed] == [(7, 9, 6)] * count
    assert len({str(series) for series in listed}) == count
    rank = sorted(range(count), key=lambda n: values[n])
    for series, n in zip(listed, rank, strict=True):
        volume = read(tmp_path, made, series=series)
        assert np.array_equal(volume.voxels, volume_of(pixels[6 * n : 6 * n + 6]))
        np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=1e-6)


def test_b_values_with_directions_are_parted_by_both(tmp_path):
    frames, marks = [], [(0.0, None), (1000.0, (1.0, 0.0, 0.0)), (1000.0, (0.0, 1.0, 0.0))]
    for b, gradient in marks:
        for place in positions(2.5 * np.arange(6)):
            made, diffusion = frame(place), item(DiffusionBValue=b)
            if gradient:
                direction = item(DiffusionGradientOrientation=list(gradient))
                diffusion.DiffusionGradientDirectionSequence = [direction]
            made.MRDiffusionSequence = [diffusion]
            frames.append(made)
    made = enhanced(planes(18), frames, "enhanced MR")
    listed = list_series(save(tmp_path / "scan", [made]))
    assert [series.shape[2] for series in listed] == [6, 6, 6]
    assert "b = 0" in listed[0].part
    assert all("b = 1000" in series.part and "gradient" in series.part for series in listed[1:])


def test_dimension_indices_tell_apart_what_has_no_other_mark(tmp_path):
    pixels, metabolite = planes(12), 0x00189080  # Metabolite Map Description
    frames = [
        frame(p, DimensionIndexValues=[turn, n])
        for turn in (1, 2)
        for n, p in enumerate(positions(2.5 * np.arange(6)), 1)
    ]
    pointers = [item(DimensionIndexPointer=p) for p in (metabolite, 0x00209057)]
    made = enhanced(pixels, frames, "enhanced MR", DimensionIndexSequence=pointers)
    listed = list_series(save(tmp_path / "scan", [made]))
    assert [series.part for series in listed] == [
        "metabolite map description 1",
        "metabolite map description 2",
    ]
    assert np.array_equal(read(tmp_path, made, series="2").voxels, volume_of(pixels[6:]))


def test_dimension_indices_that_are_not_declared(tmp_path):
    frames = [
        frame(p, DimensionIndexValues=[n, turn])
        for turn in (1, 2)
        for n, p in enumerate(positions(2.5 * np.arange(6)), 1)
    ]
    listed = list_series(save(tmp_path / "scan", [enhanced(planes(12), frames)]))
    assert [series.part for series in listed] == ["dimension 1", "dimension 2"]


def test_what_nothing_tells_apart_is_refused(tmp_path):
    made = enhanced(planes(12), at(2.5 * np.tile(np.arange(6), 2)))
    with pytest.raises(VolumeError, match="same place"):
        read(tmp_path, made)


def test_two_echoes_between_each_other_are_not_one_volume(tmp_path):
    """Every other slice of another contrast lies evenly, and yet is no volume."""
    frames, pixels = [], planes(12)
    for n, place in enumerate(positions(1.25 * np.arange(12))):
        made = frame(place)
        made.MREchoSequence = [item(EffectiveEchoTime=(20.0, 80.0)[n % 2])]
        frames.append(made)
    made = enhanced(pixels, frames, "enhanced MR")
    with pytest.raises(VolumeError, match=r"TE 20 ms.*TE 80 ms"):
        read(tmp_path, made)
    assert np.array_equal(read(tmp_path, made, series="2").voxels, volume_of(pixels[1::2]))


def test_echo_times_that_hardly_differ_are_one_contrast(tmp_path):
    frames = at(2.5 * np.arange(12))
    for n, each in enumerate(frames):
        each.MREchoSequence = [item(EffectiveEchoTime=100.0 + n % 3)]
    assert read(tmp_path, enhanced(planes(12), frames, "enhanced MR")).shape == (7, 9, 12)


def test_two_parallel_stacks_are_two_volumes(tmp_path):
    heights = [*(3.0 * np.arange(5)), *(40 + 3.0 * np.arange(4))]
    frames = at(heights, StackID=["1"] * 5 + ["2"] * 4)
    listed = list_series(save(tmp_path / "scan", [enhanced(planes(9), frames)]))
    assert [(series.part, series.shape[2]) for series in listed] == [("stack 1", 5), ("stack 2", 4)]


def test_slices_that_are_numbered_as_stacks_are_one_volume(tmp_path):
    frames = at(2.5 * np.arange(6), StackID=[f"{n}" for n in range(6)])
    assert read(tmp_path, enhanced(planes(6), frames)).shape == (7, 9, 6)


def test_a_stack_of_one_frame_is_left_out(tmp_path):
    frames = at([*(2.5 * np.arange(6)), 40], StackID=["1"] * 6 + ["2"])
    volume = read(tmp_path, enhanced(planes(7), frames))
    assert volume.shape == (7, 9, 6)
    assert any("left out" in note for note in volume.notes)


def test_a_file_of_its_own_gives_the_volume_its_name(tmp_path):
    folder = save(tmp_path / "a", [enhanced(planes(6), at(2.5 * np.arange(6)))], suffix=".dcm")
    assert read_volume(folder / "s000.dcm").name == "s000"
    assert read_volume(folder).name == "a"
    frames = marked("TemporalPositionIndex", [1, 2])
    folder = save(tmp_path / "b", [enhanced(planes(12), frames)])
    assert read_volume(folder, series="2").name == "b (time 2)"


def test_orientation_noise_of_frames_is_noise(tmp_path):
    rng, pixels = np.random.default_rng(0), planes(10)
    frames = [
        frame(p, np.array(AXIAL) + rng.uniform(-3e-4, 3e-4, 6))
        for p in positions(2.5 * np.arange(10))
    ]
    volume = read(tmp_path, enhanced(pixels, frames, directions=None))
    assert np.array_equal(volume.voxels, volume_of(pixels))
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=1e-3)


def test_each_frame_has_its_own_slope(tmp_path):
    stored, frames = planes(6, np.uint16), at(2.5 * np.arange(6))
    slopes = 0.5 * np.arange(1, 7)
    for each, slope in zip(frames, slopes, strict=True):
        values = item(RescaleSlope=slope, RescaleIntercept=-10.0, RescaleType="US")
        each.PixelValueTransformationSequence = [values]
    turn = np.random.default_rng(5).permutation(6)
    volume = read(tmp_path, enhanced(stored[turn], [frames[n] for n in turn], "enhanced PT"))
    expected = volume_of(stored * slopes[:, None, None] - 10)
    np.testing.assert_allclose(volume.voxels, expected, rtol=1e-6)
    assert volume.voxels.dtype == np.float32


def test_whole_slopes_keep_whole_numbers(tmp_path):
    stored = planes(6, np.uint16)
    made = enhanced(stored, at(2.5 * np.arange(6)))
    values = item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    made.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = [values]
    volume = read(tmp_path, made)
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, volume_of(stored.astype(np.int16) - 1024))


@pytest.mark.parametrize("lacks", ["directions", "spacing"])
def test_frames_that_do_not_say_where_they_lie_are_refused(tmp_path, lacks):
    made = enhanced(planes(6), at(2.5 * np.arange(6)), **{lacks: None})
    with pytest.raises(VolumeError, match=r"where they lie|how large"):
        read(tmp_path, made)


def test_a_frame_without_a_place_is_told(tmp_path):
    frames = at(2.5 * np.arange(6))
    del frames[3].PlanePositionSequence
    notes = " ".join(read(tmp_path, enhanced(planes(6), frames)).notes)
    assert "left out" in notes
    assert "slice index 3" in notes


@pytest.mark.parametrize("spoil", ["too few groups", "too few pixels", "a thousand frames"])
def test_a_damaged_file_is_refused(tmp_path, spoil):
    made = enhanced(planes(6), at(2.5 * np.arange(6)))
    if spoil == "too few groups":
        made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[:4]
    if spoil == "too few pixels":
        made.PixelData = made.PixelData[:200]
    if spoil == "a thousand frames":
        made.NumberOfFrames = 1000
    with pytest.raises(VolumeError, match="damaged"):
        read(tmp_path, made)


@pytest.mark.parametrize("kind", ["US", "XA"])
def test_films_are_refused(tmp_path, kind):
    made = new_file(kind)
    made.PixelSpacing = [0.5, 0.5]
    set_pixels(made, planes(10, np.uint8))
    with pytest.raises(VolumeError, match="where they lie"):
        read(tmp_path, made)


@pytest.mark.parametrize("distance", [4.0, -4.0])
def test_nuclear_medicine_stacks_on_the_side_that_it_says(tmp_path, distance):
    made, pixels = new_file("NM"), planes(5, np.uint16)
    made.PixelSpacing, made.SpacingBetweenSlices = [0.8, 0.7], distance
    made.SliceVector = [1, 2, 3, 4, 5]
    place = item(ImagePositionPatient=list(CORNER), ImageOrientationPatient=list(AXIAL))
    made.DetectorInformationSequence = [place]
    set_pixels(made, pixels)
    volume = read(tmp_path, made)
    up = distance > 0
    first = CORNER if up else CORNER - (0, 0, 16)
    np.testing.assert_allclose(volume.affine, affine_of(first, (0, 0, 4)), atol=1e-6)
    assert np.array_equal(volume.voxels, volume_of(pixels if up else pixels[::-1]))


def test_dose_is_scaled_and_lies_by_its_offsets(tmp_path):
    made, pixels = new_file("RTDOSE"), planes(5, np.uint16)
    made.PixelSpacing, made.DoseGridScaling = [0.8, 0.7], 0.01
    made.ImagePositionPatient, made.ImageOrientationPatient = list(CORNER), list(AXIAL)
    made.GridFrameOffsetVector = [0, 3, 6, 9, 12]
    set_pixels(made, pixels)
    volume = read(tmp_path, made)
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, (0, 0, 3)), atol=1e-6)
    np.testing.assert_allclose(volume.voxels, volume_of(pixels * 0.01), rtol=1e-5)


def test_a_file_of_one_volume_has_one_frame(tmp_path):
    folder = save(tmp_path / "scan", [enhanced(planes(6), at(2.5 * np.arange(6)))])
    assert list(list_frames(folder / "s000")) == [0]
    assert read_volume(folder).source.series == "1.2.3.4"


def test_one_enhanced_file_for_each_time(tmp_path):
    pixels = planes(12)
    made = [enhanced(pixels[n : n + 6], at(2.5 * np.arange(6))) for n in (0, 6)]
    folder = save(tmp_path / "scan", made)
    assert [series.part for series in list_series(folder)] == ["s000", "s001"]
    assert np.array_equal(read_volume(folder / "s001").voxels, volume_of(pixels[6:]))


def test_an_enhanced_series_of_several_files_is_one_volume(tmp_path):
    pixels = planes(12)
    made = [enhanced(pixels[n : n + 6], at(2.5 * np.arange(n, n + 6))) for n in (6, 0)]
    volume = read_volume(save(tmp_path / "scan", made))
    assert np.array_equal(volume.voxels, volume_of(pixels))
    np.testing.assert_allclose(volume.affine, affine_of(CORNER, UP), atol=1e-6)
