"""Window and level in a real window: keys, menu, typed values, and the right button."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import Hand, choose
from napari.layers import Image, Layer
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from test_contrast import body

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.layers.contrast import PRESETS
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.source import Source
from napari_fastsam3d.session.commands import Commands

pytestmark = pytest.mark.gl


@pytest.fixture
def opened(open_window: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that opens a CT, or any layer, in a window."""

    def show(layer: Any = None) -> tuple[Any, Any, Any, Hand]:
        if layer is None:
            layer = Layer.create(*image_layer_data(Volume.from_array(body(), np.eye(4))))
        viewer, widget, hand = open_window(layer)
        return viewer, widget, layer, hand

    return show


def shown(widget: Any) -> tuple[float, float]:
    """Level and width as the panel shows them."""
    row = widget.window_row
    return float(row.level.text()), float(row.breadth.text())


def middle(viewer: Any) -> QPoint:
    return viewer.window._qt_viewer.canvas.native.rect().center()


def test_a_ct_opens_in_soft_tissue_and_its_slider_reaches_the_data(opened: Any) -> None:
    _, widget, layer, _ = opened()
    assert layer.contrast_limits == [-160, 240]
    assert layer.contrast_limits_range == [body().min(), body().max()]
    assert (shown(widget)[0], shown(widget)[1]) == (40, 400)
    assert widget.window_row.button.text() == "Soft tissue"
    # napari's full range is that of the data and not that of the type.
    layer.reset_contrast_limits_range()  # what the button "full range" of napari's slider calls
    assert layer.contrast_limits_range == [body().min(), body().max()]
    assert layer.contrast_limits == [-160, 240]


def test_windows_come_by_key_by_menu_and_by_typed_values(opened: Any) -> None:
    _, widget, layer, hand = opened()
    for number, (name, preset) in enumerate(PRESETS.items(), 1):
        hand.key(f"Alt+{number}")
        assert layer.contrast_limits == list(preset.limits), name
        assert shown(widget)[0] == preset.level
        assert shown(widget)[1] == preset.width
    hand.key("Alt+8")
    low, high = layer.contrast_limits
    assert -250 < low < 0
    assert high > 400
    choose(widget.window_row.button, "window_lung")
    assert layer.contrast_limits == list(PRESETS["lung"].limits)
    assert widget.window_row.button.text() == "Lung"
    hand.key("Alt+1")
    box = widget.window_row.breadth
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, "200")
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert layer.contrast_limits == [-60, 140]
    assert widget.workspace.toolbox.tool == "include"


def test_the_right_button_drags_level_and_width_and_makes_no_prompt(
    opened: Any, settle: Any
) -> None:
    viewer, widget, layer, hand = opened()
    zoom, centre = viewer.camera.zoom, viewer.camera.center
    for tool in ("Q", "G", "K", "Escape"):
        hand.key("Alt+1")
        hand.key(tool)
        start = middle(viewer)
        hand.drag_right(start, start + QPoint(64, 0))
        assert layer.contrast_limits == pytest.approx([-210, 290], abs=1)
        assert "width 500" not in widget.status.now.text()
        hand.drag_right(start, start + QPoint(0, -64))
        low, high = layer.contrast_limits
        assert high - low == pytest.approx(500, abs=1)
        assert (low + high) / 2 == pytest.approx(40 - 125, abs=1)
        assert shown(widget)[0] == pytest.approx(-85, abs=1)
        hand.click_right(start)
        settle(widget)
    assert widget.view.session.state.objects == ()
    assert (viewer.camera.zoom, viewer.camera.center) == (zoom, centre)


def test_values_are_told_while_the_button_is_held_which_stays_with_the_brush(opened: Any) -> None:
    viewer, widget, layer, hand = opened()
    start = middle(viewer)
    with hand.dragging_right(start, start + QPoint(64, 0)):
        assert widget.status.now.text() == "Level 40, width 500"
    assert "Click inside" in widget.status.now.text()
    hand.key("Alt+1")
    hand.key("Shift+B")
    hand.drag_right(start, start + QPoint(40, 0))
    assert layer.contrast_limits == [-160, 240]
    hand.key("Escape")


def test_the_right_button_of_the_eraser_and_the_bucket_changes_no_mask(
    opened: Any, settle: Any
) -> None:
    viewer, widget, layer, hand = opened()
    widget.view.run(Commands.new_object)
    masks = widget.view.mask.layer
    hand.key("Shift+B")
    start = middle(viewer)
    hand.drag(
        viewer.layers[0].extent.world.mean(axis=0), viewer.layers[0].extent.world.mean(axis=0) + 3
    )
    settle(widget)
    before = masks.data.copy()
    assert before.any()
    hand.key("Shift+E")
    assert masks.mode == "erase"
    hand.drag_right(start, start + QPoint(64, 0))
    assert layer.contrast_limits == pytest.approx([-210, 290], abs=1)
    masks.mode = "fill"
    hand.drag_right(start, start - QPoint(32, 0))
    settle(widget)
    assert layer.contrast_limits != pytest.approx([-210, 290], abs=1)
    assert np.array_equal(masks.data, before)


def test_a_ct_of_another_reader_is_windowed_once(opened: Any, settle: Any) -> None:
    viewer, widget, layer, hand = opened(Image(body().transpose(2, 0, 1), name="ct"))
    assert layer.contrast_limits == [-160, 240]
    chosen = Image(body().transpose(2, 0, 1), name="chosen", contrast_limits=(0, 100))
    viewer.add_layer(chosen)
    widget.scan.choose(chosen)
    settle(widget)
    assert chosen.contrast_limits == [0, 100]
    assert chosen.contrast_limits_range == [body().min(), body().max()]
    widget.scan.choose(layer)
    settle(widget)
    hand.key("Alt+3")
    assert layer.contrast_limits == list(PRESETS["bone"].limits)
    assert chosen.contrast_limits == [0, 100]


def test_windows_of_ct_are_not_offered_for_mr(opened: Any) -> None:
    volume = Volume.from_array(np.abs(body()), np.eye(4), source=Source(modality="MR"))
    _, widget, layer, hand = opened(Layer.create(*image_layer_data(volume)))
    before = layer.contrast_limits
    hand.key("Alt+2")
    assert layer.contrast_limits == before
    assert "Hounsfield" in widget.status.now.text()
    offered = [
        each.objectName() for each in widget.window_row.presets.actions() if each.isEnabled()
    ]
    assert offered == ["window_auto"]
