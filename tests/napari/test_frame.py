"""Where a volume lies in the viewer."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.frame import frame_of_layer, frame_of_volume, scan_in
from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Box, Volume

ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def _volume(order: tuple, signs: tuple, spacing: tuple = (1.0, 2.0, 3.0)) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, axis] = sign * spacing[axis]
    affine[:3, 3] = (11.0, -7.0, 5.0)
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    return Volume.from_array(voxels, affine, name="scan")


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_world_is_the_patient_and_layers_are_views(order: tuple, signs: tuple) -> None:
    volume = _volume(order, signs)
    data, arguments, kind = image_layer_data(volume)
    layer = Image(data, **arguments)
    assert kind == "image"
    assert np.shares_memory(layer.data, volume.voxels)
    assert tuple(layer.axis_labels) == ("I", "P", "L")
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    frame = frame_of_layer(layer)
    for index in ((0, 0, 0), (3, 1, 5), (2, 4, 0)):
        place = frame.to_layer(index)[0]
        assert layer.data[tuple(place.astype(int))] == volume.voxels[index]
        world = np.asarray(layer.data_to_world(place))
        assert np.allclose(-world[::-1], volume.to_world(index))
        assert frame.source_index(tuple(place + 0.3)) == index


@settings(deadline=None)
@given(st.sampled_from(ORIENTATIONS), st.tuples(*[st.integers(0, 3)] * 3))
def test_boxes_go_there_and_back(orientation: tuple, start: tuple) -> None:
    frame = frame_of_volume(_volume(*orientation))
    box = Box(start, tuple(value + 1 for value in start))
    assert frame.box_to_source(frame.box_to_layer(box)) == box
    marked = np.zeros(frame.volume.shape, bool)
    marked[box.clipped(frame.volume.shape).slices] = True
    assert Box.of_mask(frame.view(marked)) == frame.box_to_layer(box).clipped(frame.shape)


def test_an_oblique_scan_is_shown_upright() -> None:
    turn = np.deg2rad(20)
    affine = np.diag([0.8, 0.9, 4.0, 1.0])
    rotation = np.eye(4)
    rotation[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    volume = Volume.from_array(np.zeros((5, 6, 7), np.int16), rotation @ affine)
    _, arguments, _ = image_layer_data(volume)
    assert {"affine", "rotate", "shear"}.isdisjoint(arguments)
    assert np.allclose(sorted(arguments["scale"]), [0.8, 0.9, 4.0])


def test_a_foreign_image_is_not_turned_and_says_that_its_orientation_is_unknown() -> None:
    layer = Image(np.random.default_rng(0).random((5, 6, 7)), scale=(3, 1, 1), translate=(2, 0, 1))
    frame = frame_of_layer(layer)
    assert frame.shape == (5, 6, 7)
    assert frame.to_layer((1, 2, 3)).tolist() == [[1, 2, 3]]
    assert np.allclose(frame.volume.spacing, (3, 1, 1))
    assert "does not tell how the patient lies" in frame.notes[0]
    assert np.allclose(frame.placement["translate"], (2, 0, 1))


def test_an_itk_reader_is_believed() -> None:
    metadata = {
        "spacing": (1.0, 1.5, 3.0),
        "origin": (10.0, 20.0, -30.0),
        "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    }
    layer = Image(np.zeros((4, 5, 6)), scale=(3, 1.5, 1), metadata=metadata)
    frame = frame_of_layer(layer)
    assert frame.notes == ()
    assert frame.volume.axis_codes == "SPL"
    assert np.allclose(frame.volume.to_world((0, 0, 0)), (-10, -20, -30))


def test_an_affine_that_contradicts_the_scale_is_not_believed() -> None:
    layer = Image(np.zeros((4, 5, 6)), scale=(3, 1, 1), metadata={"affine": np.eye(4)})
    assert frame_of_layer(layer).notes


def test_units_of_a_microscope_become_millimetres() -> None:
    layer = Image(np.zeros((4, 5, 6)), scale=(2, 2, 2), units=("um", "um", "um"))
    assert np.allclose(frame_of_layer(layer).volume.spacing, 0.002)


@pytest.mark.parametrize(
    ("unit", "mm"), [("um", 1e-3), ("micrometer", 1e-3), ("cm", 10), ("mm", 1), ("nm", 1e-6)]
)
def test_a_layer_of_half_a_millimetre_is_one_in_any_unit(unit: str, mm: float) -> None:
    layer = Image(
        np.zeros((4, 5, 6)),
        scale=np.divide((0.5, 1, 2), mm),
        translate=np.divide((7, 8, 9), mm),
        units=(unit,) * 3,
    )
    frame = frame_of_layer(layer)
    assert np.allclose(frame.spacing, (0.5, 1, 2))
    assert np.allclose(frame.volume.spacing, (0.5, 1, 2))
    assert np.allclose(frame.volume.to_world((0, 0, 0)), (-9, -8, 7))


@pytest.mark.parametrize(
    ("units", "told"),
    [
        (None, True),
        (("pixel",) * 3, True),
        (("mm", "mm", "pixel"), True),
        (("mm",) * 3, False),
        (("um",) * 3, False),
    ],
)
def test_a_layer_without_a_unit_of_length_is_told(units: Any, told: bool) -> None:
    layer = Image(np.zeros((4, 5, 6)), scale=(0.5, 1, 2), units=units)
    (note,) = frame_of_layer(layer).notes
    assert ("no unit of length" in note) == told
    assert not told or "0.5 × 1 × 2 mm" in note
    ours = Image(np.zeros((4, 5, 6)), units=units, axis_labels=("I", "P", "L"))
    assert len(frame_of_layer(ours).notes) == told


def test_spacing_in_layer_order_is_that_of_the_file() -> None:
    frame = frame_of_volume(_volume((2, 0, 1), (1, -1, 1)))
    assert np.allclose(frame.spacing, np.abs(frame.placement["scale"]))
    assert sorted(frame.spacing) == [1, 2, 3]


@pytest.mark.parametrize("turned", [False, True])
def test_an_image_beside_a_scan_of_ours_lies_in_its_world(turned: bool) -> None:
    """As a filter of another plugin leaves it: the scan's place, and nothing else."""
    data, arguments, _ = image_layer_data(_volume((2, 0, 1), (1, -1, 1)))
    scan = Image(data, **arguments)
    place = {name: arguments[name] for name in ("scale", "translate", "units")}
    cut = (slice(None), slice(1, None), slice(2, None)) if turned else ()
    if turned:
        place["translate"] = scan.data_to_world((0, 1, 2))
    filtered = Image(data[cut] * 2, **place)
    frame = frame_of_layer(filtered, beside=[scan, filtered])
    ours = frame_of_layer(scan)
    for index in ((0, 0, 0), (1, 2, 1)):
        there = ours.to_source(np.add(index, (0, 1, 2) if turned else 0))[0]
        world = frame.volume.to_world(frame.to_source(index)[0])
        assert np.allclose(world, ours.volume.to_world(there))
    assert "taken to lie as scan does" in frame.notes[0]


def test_of_a_series_the_shown_volume_is_meant() -> None:
    series = np.zeros((3, 4, 5, 6), np.float32)
    series[2] = 7
    frame = frame_of_layer(Image(series), step=(2, 0, 0, 0))
    assert (frame.volume.voxels == 7).all()
    assert "volume 2" in frame.notes[-1]


@pytest.mark.parametrize(
    ("layer", "word"),
    [
        (Image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True), "colour"),
        (Image([np.zeros((8, 8, 8)), np.zeros((4, 4, 4))], multiscale=True), "resolutions"),
        (Image(np.zeros((8, 8))), "flat"),
    ],
)
def test_what_can_not_be_segmented_is_refused_with_a_remedy(layer: Image, word: str) -> None:
    with pytest.raises(VolumeError, match=word):
        frame_of_layer(layer)


def test_metadata_of_others_hold_no_volume() -> None:
    assert scan_in({"napari_fastsam3d.volume": "nonsense"}) is None
