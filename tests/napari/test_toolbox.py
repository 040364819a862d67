"""Which tool is in hand is read from napari's layers, whoever changed them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from scene import BALL, Scene, scan

from napari_fastsam3d._napari.layers.toolbox import set_modes

EVERY = (
    *("include", "exclude", "box", "scribble", "lasso", "freeze", "adjust", "brush", "erase"),
    *("ruler", None),
)


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene(scan())


def test_each_tool_is_one_mode_of_one_active_layer(scene: Scene) -> None:
    view, toolbox, viewer = scene.view, scene.work.toolbox, scene.work.viewer
    layers = {
        "points": view.points.layer,
        "boxes": view.boxes.layer,
        "scribbles": view.scribbles.layer,
        "mask": view.mask.layer,
        "rulers": view.rulers.layer,
    }
    found = {}
    for tool in EVERY:
        toolbox.use(tool)
        assert toolbox.tool == tool
        active = viewer.layers.selection.active
        name = next((name for name, layer in layers.items() if active == layer), "image")
        found[tool] = (name, str(active.mode))
        pressed = [key for key, each in scene.widget.prompts.tools.items() if each.isChecked()]
        assert pressed == [tool or "pan"]
    assert found == {
        "include": ("points", "add"),
        "exclude": ("points", "add"),
        "box": ("boxes", "add_rectangle"),
        "freeze": ("boxes", "add_rectangle"),
        "scribble": ("scribbles", "pan_zoom"),
        "lasso": ("scribbles", "pan_zoom"),
        "adjust": ("boxes", "select"),  # without a point the boxes are gripped
        "brush": ("mask", "paint"),
        "erase": ("mask", "erase"),
        "ruler": ("rulers", "add_line"),
        None: ("image", "pan_zoom"),
    }
    scene.click(BALL)
    toolbox.use("adjust")
    assert viewer.layers.selection.active == view.points.layer
    assert view.points.layer.mode == "select"


def test_naparis_own_buttons_change_the_tool_too(scene: Scene) -> None:
    view, toolbox, viewer = scene.view, scene.work.toolbox, scene.work.viewer
    told: list[str | None] = []

    def hear() -> None:
        told.append(toolbox.tool)

    toolbox.changed.connect(hear)
    selection = viewer.layers.selection
    for layer, mode, tool in (
        (view.points.layer, "select", "adjust"),
        (view.points.layer, "pan_zoom", None),
        (view.points.layer, "add", "include"),
        (view.boxes.layer, "direct", "adjust"),
        (view.boxes.layer, "add_rectangle", "box"),
        (view.mask.layer, "paint", "brush"),
        (view.mask.layer, "erase", "erase"),
        (view.mask.layer, "pick", None),
    ):
        selection.active = layer
        layer.mode = mode
        assert toolbox.tool == tool
    assert told[-1] is None
    assert set(told) >= {"adjust", "include", "box", "brush", "erase"}
    selection.active = view.points.layer
    assert toolbox.tool == "include"  # the mode that this layer still has
    view.points.positive = False
    selection.active = view.image
    selection.active = view.points.layer
    assert toolbox.tool == "exclude"


def test_another_scan_keeps_the_tool_and_no_scan_has_none(scene: Scene) -> None:
    toolbox, first = scene.work.toolbox, scene.view
    scene.open(scan("other", voxels=np.ones((9, 9, 9), np.int16)))
    assert toolbox.tool == "include"  # a scan that is opened begins with it
    second = scene.view
    scene.widget.scan.choose(first.image)
    scene.settle()
    scene.do("scribble")
    scene.widget.scan.choose(second.image)
    scene.settle()
    assert scene.view is second
    assert toolbox.tool == "scribble"
    assert scene.view.scribbles.tool == "scribble"
    assert scene.work.viewer.layers.selection.active == scene.view.scribbles.layer
    first.points.layer.mode = "select"  # of a scan that is not looked at
    assert toolbox.tool == "scribble"
    for layer in [*scene.work.images()]:
        scene.work.viewer.layers.remove(layer)
    scene.settle()
    assert toolbox.tool is None
    assert not scene.widget.prompts.isEnabled()
    assert not any(each.isChecked() for each in scene.widget.prompts.tools.values())
    toolbox.use("box")
    assert toolbox.tool is None
    toolbox.put_away()
    assert toolbox.tool is None


def test_a_layer_that_was_removed_comes_back_for_its_tool(scene: Scene) -> None:
    view, layers = scene.view, scene.work.viewer.layers
    for own in (view.boxes.layer, view.points.layer, view.mask.layer):
        own.locked = False
        layers.remove(own)
    scene.do("box")
    assert view.boxes.layer in layers
    scene.settle()
    names = [layer.name for layer in layers]
    assert sorted(names) == ["Boxes", "Prompts", "Scribbles", "Segmentation", "ct"]
    assert scene.work.toolbox.tool == "box"


def test_a_brush_shows_the_mask_that_it_paints(scene: Scene) -> None:
    scene.do("toggle_mask")
    assert not scene.view.mask.layer.visible
    scene.do("include")
    assert not scene.view.mask.layer.visible
    scene.do("erase")
    assert scene.view.mask.layer.visible


def test_labels_of_the_users_own_are_painted_with_naparis_undo(scene: Scene) -> None:
    toolbox, layers = scene.work.toolbox, scene.work.viewer.layers
    keys = scene.widget._shortcuts._keys
    other = Labels(np.zeros((4, 4, 4), np.uint8), name="own")
    layers.append(other)
    layers.selection.active = other
    assert toolbox.painting
    assert {key for key, each in keys.items() if not each.isEnabled()} == {"Ctrl+Z", "Ctrl+Shift+Z"}
    layers.selection.active = scene.view.mask.layer
    assert not toolbox.painting
    assert all(each.isEnabled() for each in keys.values())
    layers.selection.active = scene.view.points.layer
    assert not toolbox.painting


def test_a_polygon_in_the_making_is_ended_before_the_tool_is_put_away(scene: Scene) -> None:
    toolbox, view = scene.work.toolbox, scene.view
    scene.do("brush")
    view.mask.layer.mode = "polygon"
    view.mask.layer._overlays["polygon"].points = [(1, 1, 1), (1, 5, 1)]
    toolbox.put_away()
    assert view.mask.layer._overlays["polygon"].points == []
    assert view.mask.layer.mode == "polygon"
    toolbox.put_away()
    assert view.mask.layer.mode == "pan_zoom"
    assert toolbox.tool is None


def test_while_adjusting_the_layer_under_the_pointer_becomes_active(scene: Scene) -> None:
    view, toolbox, selection = scene.view, scene.work.toolbox, scene.work.viewer.layers.selection
    scene.click(BALL)
    view.run(lambda session: session.add_box((8, 14, 6), (22, 28, 20)))
    scene.settle()
    view.navigation.go_to_prompt(view.prompts[0])

    def world(index: Any) -> tuple[float, ...]:
        return tuple(view.mask.layer.data_to_world(view.frame.to_layer(index)[0]))

    on_point, on_box, beside = world(BALL), world((9, 27, BALL[2])), world((35, 44, BALL[2]))
    toolbox.use("include")
    toolbox.hover(on_box)
    assert selection.active == view.points.layer  # nothing is gripped with another tool
    toolbox.use("adjust")
    for place, layer in (
        (on_box, view.boxes.layer),
        (beside, view.boxes.layer),
        (on_point, view.points.layer),
    ):
        toolbox.hover(place)
        assert selection.active == layer
    assert toolbox.tool == "adjust"


def test_layers_of_another_view_take_the_modes_of_a_tool(scene: Scene) -> None:
    view = scene.view
    view.boxes.layer.editable = False  # as in 3D
    for tool, active in (("box", view.boxes.layer), ("adjust", view.points.layer), (None, None)):
        assert set_modes(tool, view.points, view.boxes, view.mask.layer) is active
        assert view.boxes.layer.mode == "pan_zoom"
    view.boxes.layer.editable = True
    assert set_modes("freeze", view.points, view.boxes, view.mask.layer) is view.boxes.layer
    assert view.boxes.rule.freezing
    assert set_modes("brush", view.points, view.boxes, view.mask.layer) is view.mask.layer
    assert not view.boxes.rule.freezing
