"""Planes: upright whatever the source is, with letters, wheel, and what lies under the pointer."""

from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from canvas import Hand
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.frame import frame_of_layer
from napari_fastsam3d._napari.layer_geometry import ASSUMED
from napari_fastsam3d._napari.planes.anatomy import PLANES, Anatomy
from napari_fastsam3d.geometry import Volume

CODES = [
    "".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)
]
EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""Letters at the left, right, top and bottom of the upright planes."""


def affine_towards(codes: str, spacing: tuple[float, ...] = (2.0, 2.0, 2.0)) -> np.ndarray:
    """Affine of a grid whose axes run towards these letters."""
    turned = nib.orientations.axcodes2ornt(codes)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (world, sign) in enumerate(turned):
        affine[int(world), axis] = sign * spacing[axis]
    return affine


def scan(codes: str) -> Volume:
    """A grid with its patient's right, anterior, superior corner bright."""
    voxels = np.zeros((24, 28, 20), np.int16)
    corner = [slice(-8, None) if letter in "RAS" else slice(None, 8) for letter in codes]
    voxels[tuple(corner)] = 1000
    return Volume.from_array(voxels, affine_towards(codes), name=codes)


@given(codes=st.sampled_from(CODES), other=st.booleans())
def test_every_plane_is_upright_whatever_the_axes_of_the_source(codes: str, other: bool) -> None:
    volume = scan(codes)
    if other:  # as another reader shows it: the array as it is, and where it lies in the metadata
        layer = Image(volume.voxels, scale=volume.spacing, metadata={"affine": volume.affine})
    else:
        data, arguments, _ = image_layer_data(volume)
        layer = Image(data, **arguments)
    anatomy = Anatomy.of(frame_of_layer(layer), layer)
    for plane in PLANES:
        upright = anatomy.upright(plane)
        down, right = np.eye(3)[upright.order[1]], np.eye(3)[upright.order[2]]
        down = down if upright.vertical == "down" else -down
        right = right if upright.horizontal == "right" else -right
        found = [anatomy.letters(each) for each in (-right, right, -down, down)]
        assert "".join(found) == EDGES[plane]
        assert anatomy.plane_across(upright.order[0]) == plane
    view, up = anatomy.facing((0, 1, 2))
    assert (anatomy.letters(view), anatomy.letters(up)) == ("P", "S")


def test_letters_of_an_assumed_anatomy_are_marked_and_those_of_a_tilt_are_two() -> None:
    layer = Image(np.zeros((8, 9, 10), np.float32))
    frame = frame_of_layer(layer)
    assert any(ASSUMED in note for note in frame.notes)
    assert Anatomy.of(frame, layer).letters((0, 0, 1)) == "L?"
    tilt = np.deg2rad(30)
    affine = np.array(
        [
            [np.cos(tilt), -np.sin(tilt), 0, 0],
            [np.sin(tilt), np.cos(tilt), 0, 0],
            [0, 0, 1, 0],
            [0, 0, 0, 1],
        ]
    )
    data, arguments, _ = image_layer_data(Volume.from_array(np.zeros((8, 9, 10)), affine))
    oblique = Image(data, **arguments)
    letters = Anatomy.of(frame_of_layer(oblique), oblique).letters
    assert [letters(each) for each in np.eye(3)] == ["I", "PR", "LP"]


@pytest.fixture
def window(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    return open_window()


def brightest(viewer: Any) -> tuple[float, float]:
    """Where the bright corner is on the canvas: from -1 at its left and top to 1."""
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
    white = picture.min(axis=2) > 200
    rows, columns = np.nonzero(white)
    height, width = white.shape
    return 2 * columns.mean() / width - 1, 2 * rows.mean() / height - 1


@pytest.mark.gl
def test_planes_by_key_and_by_button_are_drawn_upright(
    window: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = window
    for codes, other in (("LAS", False), ("PSR", False), ("RAS", True), ("AIL", True)):
        volume = scan(codes)
        if other:
            place = {"affine": volume.affine}
            viewer.add_image(volume.voxels, scale=volume.spacing, metadata=place, name=codes)
        else:
            viewer.add_layer(Layer.create(*image_layer_data(volume)))
        settle(widget)
        corner = widget.view.frame.to_layer([20 if letter in "RAS" else 4 for letter in codes])[0]
        world = widget.view.mask.layer.data_to_world(corner)
        viewer.dims.set_point((0, 1, 2), tuple(world))
        for plane, keys in (("sagittal", "Ctrl+3"), ("coronal", "Ctrl+2"), ("axial", "")):
            if keys:
                hand.key(keys)
            else:
                button = widget.plane_row.buttons[plane]
                QTest.mouseClick(button, Qt.MouseButton.LeftButton)
            qtbot.wait(50)
            assert "".join(widget.workspace.planes.letters.values()) == EDGES[plane]
            assert [key for key, each in widget.plane_row.buttons.items() if each.isChecked()] == [
                plane
            ]
            x, y = brightest(viewer)
            assert x < -0.05
            assert y < -0.05
        viewer.layers[:] = []
        settle(widget)


@pytest.mark.gl
def test_3d_faces_the_patient_and_the_wheel_and_the_status_bar_serve_slices(
    window: tuple[Any, Any, Hand], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = window
    viewer.add_layer(Layer.create(*image_layer_data(scan("LPS"))))
    settle(widget)
    hand.key("Ctrl+4")
    qtbot.wait(100)
    assert "".join(widget.workspace.planes.letters.values()) == "RLSI"
    x, y = brightest(viewer)
    assert x < -0.05
    assert y < -0.05
    assert "".join(widget.workspace.planes.letters.values()) == "RLSI"
    hand.key("Ctrl+1")
    assert viewer.layers[0].interpolation2d == "linear"
    step, zoom = viewer.dims.current_step[0], viewer.scene.camera.zoom
    hand.wheel(-2)
    assert viewer.dims.current_step[0] == step + 2
    assert viewer.scene.camera.zoom == zoom
    hand.wheel(2, Qt.KeyboardModifier.ControlModifier)
    assert viewer.dims.current_step[0] == step + 2
    assert viewer.scene.camera.zoom > zoom
    hand.key("Escape")  # no tool: napari's own wheel
    zoom = viewer.scene.camera.zoom
    hand.wheel(-1)
    assert viewer.dims.current_step[0] == step + 2
    assert viewer.scene.camera.zoom < zoom
    index = (2, 3, 18)
    viewer.dims.set_point((0, 1, 2), tuple(world_of(widget, index)))
    hand.rest(world_of(widget, index))
    assert widget.readout.isVisible()
    assert widget.readout.window() is viewer.window._qt_window
    assert widget.readout.text().startswith("1000 ")
    assert "L 4, P 6, S 36 mm" in widget.readout.text()
    assert "voxel 2, 3, 18" in widget.readout.text()
    viewer.reset_view()
    hand.rest_at(QPoint(3, 3))
    assert widget.readout.text() == "outside the scan"


def world_of(widget: Any, index: tuple[int, int, int]) -> tuple[float, ...]:
    place = widget.view.frame.to_layer(index)[0]
    return tuple(widget.view.mask.layer.data_to_world(place))
