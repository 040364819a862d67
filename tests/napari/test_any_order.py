"""Whatever the user does, in whatever order: no error, and layers show what the session says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_fastsam3d._napari.reader import image_layer_data
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Point

STEPS = 120
SHAPE = (24, 28, 20)


class User:
    """Does one random thing after another in a viewer with the widget."""

    def __init__(self, viewer: Any, widget: Any, seed: int) -> None:
        self.viewer, self.widget = viewer, widget
        self.rng = np.random.default_rng(seed)
        self.things: list[Callable[[], None]] = [
            self.click,
            self.click,
            self.draw_box,
            self.delete_a_point,
            self.turn,
            self.scroll,
            self.toggle_3d,
            self.take_a_tool,
            self.remove_a_layer,
            self.select_an_object,
            self.hide_an_object,
            widget.undo,
            widget.undo,
            widget.redo,
            widget.flip_point,
            widget.next_object,
            widget.remove_object,
            widget.reset_object,
            widget.toggle_mask,
            widget.toggle_crop,
        ]

    def act(self) -> None:
        self.things[self.rng.integers(len(self.things))]()

    def place(self) -> np.ndarray:
        return self.rng.integers(0, self.widget.view.frame.shape).astype(float)

    def click(self) -> None:
        if self.viewer.dims.ndisplay == 2:
            self.widget.view.points.positive = bool(self.rng.random() < 0.7)
            self.widget.view.points.layer.add(self.place())

    def draw_box(self) -> None:
        axis = int(self.rng.integers(3))
        a, b = (i for i in range(3) if i != axis)
        corners = np.tile(self.place(), (4, 1))
        corners[1:3, a] += self.rng.integers(2, 12)
        corners[2:4, b] += self.rng.integers(2, 12)
        self.widget.view.boxes.layer.add(corners)

    def delete_a_point(self) -> None:
        layer = self.widget.view.points.layer
        if len(layer.data):
            layer.selected_data = {int(self.rng.integers(len(layer.data)))}
            layer.remove_selected()

    def turn(self) -> None:
        self.viewer.dims.order = tuple(int(i) for i in self.rng.permutation(3))

    def scroll(self) -> None:
        axis = int(self.rng.integers(3))
        self.viewer.dims.set_current_step(axis, int(self.rng.integers(SHAPE[axis])))

    def toggle_3d(self) -> None:
        self.viewer.dims.ndisplay = 5 - self.viewer.dims.ndisplay

    def take_a_tool(self) -> None:
        self.widget.toolbox.toggle(str(self.rng.choice(["include", "exclude", "box", "adjust"])))

    def remove_a_layer(self) -> None:
        layers = [each for each in self.viewer.layers if each.name != "scan"]
        self.viewer.layers.remove(layers[self.rng.integers(len(layers))])

    def select_an_object(self) -> None:
        if self.widget.objects.list.count():
            row = int(self.rng.integers(self.widget.objects.list.count()))
            self.widget.objects.list.setCurrentRow(row)

    def hide_an_object(self) -> None:
        objects = self.widget.view.session.state.objects
        if objects:
            chosen = objects[self.rng.integers(len(objects))]
            self.widget.view.set_visible(chosen.id, bool(self.rng.random() < 0.5))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_any_order(make_widget: Callable[..., Any], settle: Any, qtbot: Any, seed: int) -> None:
    voxels = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.int16) * 100
    volume = Volume.from_array(voxels, np.diag([-2.0, 2.0, 3.0, 1.0]), name="scan")
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    notification_manager.records.clear()
    user = User(viewer, widget, seed)
    for _ in range(STEPS):
        user.act()
        if user.rng.random() < 0.5:
            qtbot.wait(2)
    settle(widget)
    settle(widget)
    view = widget.view
    assert np.array_equal(view.frame.source_view(view.mask.layer.data), view.session.label_map())
    points = [p for p in view.prompts if isinstance(p, Point)]
    expected = view.frame.to_layer([p.index for p in points]) if points else np.empty((0, 3))
    assert np.array_equal(view.points.layer.data, expected)
    assert widget.objects.list.count() == len(view.session.state.objects)
    assert {layer.name for layer in viewer.layers} >= {"scan", "Segmentation", "Boxes", "Prompts"}
    assert [each.message for each in notification_manager.records] == []
