"""The way back to earlier work, by mouse and key in a real window."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Volume

pytestmark = pytest.mark.gl

CENTRE, BESIDE = (20, 20, 15), (5, 6, 15)


def press(button: Any) -> None:
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    QTest.qWait(50)


def test_a_stray_click_is_undone_by_the_offer_and_by_the_list(
    open_window: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    away = np.indices((40, 40, 30)) - np.reshape(CENTRE, (3, 1, 1, 1))
    voxels = np.where((away**2).sum(axis=0) <= 64, 300, 0).astype(np.int16)
    volume = Volume.from_array(voxels, np.eye(4), name="ball")
    viewer, widget, hand = open_window()

    def open_anew() -> None:
        for layer in list(viewer.layers):
            viewer.layers.remove(layer)
        settle(widget)
        viewer.add_layer(Layer.create(*image_layer_data(volume)))
        settle(widget)
        viewer.reset_view()
        qtbot.wait(50)

    def click(index: tuple[int, ...]) -> None:
        place = widget.view.frame.to_layer(index)[0]
        viewer.dims.set_current_step(0, int(place[0]))
        qtbot.wait(50)
        hand.click(tuple(widget.view.mask.layer.data_to_world(place)))
        settle(widget)

    open_anew()
    click(CENTRE)
    mask = widget.view.mask.layer.data.copy()
    assert mask.any()
    qtbot.wait(1300)  # how it looks is kept when the view has been still for a second
    open_anew()
    qtbot.waitUntil(lambda: not widget.banner.isHidden(), timeout=60_000)
    click(BESIDE)
    assert not widget.banner.isHidden()
    press(widget.banner.go_on)
    qtbot.waitUntil(lambda: widget.view is not None and widget.view.begun, timeout=60_000)
    qtbot.waitUntil(lambda: np.array_equal(widget.view.mask.layer.data, mask), timeout=60_000)
    assert [prompt.index for prompt in widget.view.prompts] == [CENTRE]

    hand.key("Shift+H")
    dialog = widget.workspace.earlier.dialog
    qtbot.waitUntil(lambda: dialog.list.count() == 1, timeout=60_000)
    item = dialog.list.item(0)
    assert item.text().startswith("ball\n")
    assert "1 object (object 1)" in item.text()
    QTest.mouseClick(
        dialog.list.viewport(),
        Qt.MouseButton.LeftButton,
        pos=dialog.list.visualItemRect(item).center(),
    )
    press(dialog.resume)
    settle(widget)
    qtbot.waitUntil(lambda: [p.index for p in widget.view.prompts] == [BESIDE], timeout=60_000)
    press(widget.scan.earlier_button)
    qtbot.waitUntil(lambda: dialog.isVisible() and dialog.list.count() == 1, timeout=60_000)
    assert not dialog.list.item(0).icon().isNull()
    press(dialog.resume)
    qtbot.waitUntil(lambda: [p.index for p in widget.view.prompts] == [CENTRE], timeout=60_000)
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, mask)
