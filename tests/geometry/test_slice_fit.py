"""The even grid of a stack of DICOM slices, from images whose places are known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.frame import DicomFrame
from napari_fastsam3d.geometry.io.dicom.grid import SliceFit, arrange
from napari_fastsam3d.geometry.io.dicom.header import Header

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None)
PIXEL = (0.8, 1.2)


def header(name: str = "a", **told) -> Header:
    given_fields = {
        "path": Path(name),
        "series": "1",
        "instance": name,
        "frame_of_reference": "9",
        "description": "",
        "modality": "CT",
        "size": (11, 7),
        "frames": 1,
        "syntax": "",
        "grey": True,
        "inverted": False,
        "mosaic": False,
        "padding": None,
        "lut": None,
        **told,
    }
    return Header(**given_fields)


def frame(position, directions=None, spacing=PIXEL, name="a", number=0, told=None, **measures):
    directions = np.eye(3)[:2] if directions is None else directions
    values = {"at_detector": False, "thickness": None, "distance": None, **measures}
    place = None if position is None else np.array(position, float)
    size = None if spacing is None else np.array(spacing, float)
    head = header(name, **(told or {}))
    return DicomFrame(
        head, number, place, np.array(directions), size, slope=1, intercept=0, **values
    )


def stack(heights, directions=None, **told) -> list[DicomFrame]:
    directions = np.eye(3)[:2] if directions is None else directions
    normal = np.cross(*directions)
    return [
        frame(np.array([5.0, -3, 2]) + h * normal, directions, name=f"s{n}", **told)
        for n, h in enumerate(heights)
    ]


@few
@given(SEEDS, st.integers(2, 9), st.floats(0.4, 9), st.integers(0, 2))
def test_even_slices_in_any_order_and_turn_are_a_grid_with_places(seed, count, gap, missing):
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]
    numbers = list(range(count + missing))
    for gone in (
        rng.choice(np.arange(1, count + missing - 1), missing, replace=False) if count > 3 else ()
    ):
        numbers.remove(gone)
    frames = stack([gap * n for n in numbers], directions)
    shuffled = [frames[n] for n in rng.permutation(len(frames))]
    fit = SliceFit.of(shuffled)
    assert fit.frames == tuple(frames)
    np.testing.assert_allclose(fit.heights, gap * (np.array(numbers) - numbers[0]), atol=1e-9)
    np.testing.assert_allclose(fit.steps[:, :2], directions.T * PIXEL)
    assert not fit.overlaps
    assert fit.misfit < 1e-9
    if 2 * missing < len(numbers) - 1:  # else nobody knows which gap is the usual one
        assert fit.places.tolist() == [n - numbers[0] for n in numbers]
        assert fit.off < 1e-9
        assert fit.missing == numbers[-1] - numbers[0] + 1 - len(numbers)
        np.testing.assert_allclose(fit.steps[:, 2], gap * np.cross(*directions), atol=1e-9)
    assert fit.places_of(shuffled).tolist() == [frames.index(each) for each in shuffled]


def test_a_missing_slice_is_told_and_three_of_ten_are_too_many():
    grid = arrange(stack([0, 2, 4, 8, 10, 12]), "scan")
    assert grid.places.tolist() == [0, 1, 2, 4, 5, 6]
    assert grid.notes == (
        "1 of 7 slices missing in the series (slice index 3): interpolated between their "
        "neighbours.",
    )
    np.testing.assert_allclose(grid.origin, [5, -3, 2])
    with pytest.raises(VolumeError, match="not evenly spaced"):
        arrange(stack([0, 2, 4, 8, 10, 14, 16, 20, 22, 24]), "scan")
    twenty = [2 * n for n in range(22) if n not in (5, 9)]
    assert "2 of 22 slices missing" in arrange(stack(twenty), "scan").notes[0]


@pytest.mark.parametrize(
    ("shift", "note", "error"),
    [(0.03, False, False), (0.1, True, False), (0.19, True, False), (0.25, False, True)],
)
def test_slices_a_little_off_are_taken_for_even_with_a_note(shift, note, error):
    heights = [0.0, 2.0, 4.0 + shift, 6.0, 8.0]
    if error:
        with pytest.raises(VolumeError, match="not evenly spaced"):
            arrange(stack(heights), "scan")
        return
    notes = arrange(stack(heights), "scan").notes
    assert [f"up to {shift:.2f} mm from the even spacing" in each for each in notes] == [
        True
    ] * note


@pytest.mark.parametrize(
    ("degrees", "note", "error"), [(0.1, False, False), (1, True, False), (9, False, True)]
)
def test_slices_turned_a_little_are_one_grid_with_a_note(degrees, note, error):
    frames = stack([0, 2, 4])
    angle = np.radians(degrees)
    other = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]])
    frames[1] = frame(frames[1].position, other, name="turned")
    if error:
        with pytest.raises(VolumeError, match="not parallel or differ in scale"):
            arrange(frames, "scan")
        return
    assert ["turned or scaled" in each for each in arrange(frames, "scan").notes] == [True] * note


@pytest.mark.parametrize(("apart", "one_place"), [(0.0, True), (0.03, True), (0.05, False)])
def test_images_at_one_place_are_told_by_their_names(apart, one_place):
    """Closer than a twentieth of a pixel, where the others lie farther apart."""
    frames = stack([0, 2, 2 + apart, 4])
    fit = SliceFit.of(frames)
    assert fit.overlaps == one_place
    assert fit.places_of(frames).tolist() == ([0, 1, 1, 2] if one_place else [0, 1, 2, 3])
    with pytest.raises(VolumeError) as told:
        arrange(frames, "scan")
    assert ("s1 and s2" in told.value.problem) == one_place


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([frame((0, 0, 0), told={"grey": False})], "colour"),
        ([frame((0, 0, 0), told={"mosaic": True})], "mosaics"),
        ([frame(None), frame((0, 0, 1))], "do not say where they lie"),
        ([frame(None)], "do not say where they lie"),
        ([frame(None, told={"modality": "DX"}), frame((0, 0, 1))], "do not say where"),
        ([frame((0, 0, 0), spacing=None)], "how large its pixels are"),
        ([frame((0, 0, 0))], "does not say how thick it is"),
    ],
)
def test_what_makes_no_grid_is_refused(frames, told):
    with pytest.raises(VolumeError, match=told) as caught:
        arrange(frames, "scan")
    assert caught.value.remedy


def test_one_slice_is_as_thick_as_it_says_and_a_projection_as_a_pixel_is_wide():
    for measures, thick in (
        ({"thickness": 3.0, "distance": 2.0}, 3.0),
        ({"distance": 2.0}, 2.0),
    ):
        grid = arrange([frame((1, 2, 3), **measures)], "scan")
        np.testing.assert_allclose(grid.steps, np.diag([*PIXEL, thick]))
        assert grid.origin.tolist() == [1, 2, 3]
        assert grid.notes == ()
    grid = arrange([frame(None, at_detector=True, told={"modality": "DX"})], "film")
    np.testing.assert_allclose(grid.steps, np.diag([*PIXEL, 1.2]))
    assert not grid.origin.any()
    assert [each.split(":")[0] for each in grid.notes] == [
        "The size of pixels is that at the detector (Imager Pixel Spacing)",
        "The image is a projection",
    ]


def test_what_headers_say_beside_is_told():
    even = stack([0, 5, 10, 15], distance=2.5, thickness=2.5)
    (note,) = arrange(even, "scan").notes
    assert "lie 5.00 mm apart, the file says 2.50 mm" in note
    assert arrange(stack([0, 5, 10], distance=2.5, thickness=5.0), "scan").notes == ()
    assert arrange(stack([0, 5, 10], distance=4.9, thickness=4.9), "scan").notes == ()
    inverted = [frame((0, 0, n), name=str(n), told={"inverted": n == 1}) for n in range(3)]
    assert ["MONOCHROME1" in each for each in arrange(inverted, "scan").notes] == [True]
    frames = [
        frame((0, 0, n), name=str(n), told={"frame_of_reference": str(n > 1)}) for n in range(3)
    ]
    assert ["frames of reference" in each for each in arrange(frames, "scan").notes] == [True]
