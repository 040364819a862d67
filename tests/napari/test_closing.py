"""What is closed is gone: scans with their layers, and the panel with its threads and keys."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Layer
from napari.utils.notifications import notification_manager
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QShortcut
from qtpy.QtOpenGLWidgets import QOpenGLWidget

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.panels.notice import Notice
from napari_fastsam3d.geometry import Volume

INSIDE = (6, 6, 5)


def block(offset: int = 0) -> Volume:
    voxels = np.zeros((20, 24, 16), np.int16)
    voxels[4:9, 4:9, 4:8] = 300 + offset
    return Volume.from_array(voxels, np.diag([-2.0, -2.0, 2.0, 1.0]), name=f"block {offset}")


def click(widget: Any, index: tuple[int, int, int] = INSIDE) -> None:
    widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])


def segmented(viewer: Any, widget: Any, settle: Any, number: int = 0) -> dict[str, Any]:
    """Open a scan and click in it; gives what must not outlive it, weakly."""
    viewer.add_layer(Layer.create(*image_layer_data(block(number))))
    settle(widget)
    click(widget)
    settle(widget)
    view = widget.view
    assert view.session.mask().any()
    parts = [view, view.session, view.image, view.crop.layer, view.frame.volume, view.mask]
    parts += view.layers
    return {f"{type(part).__name__} {n}": weakref.ref(part) for n, part in enumerate(parts)}


def gone(qtbot: Any, *parts: dict[str, Any]) -> None:
    """Wait until nothing is left of these, and name what is."""
    left: list[str] = []

    def collected() -> bool:
        # Where two threads emit at once psygnal may keep who emitted: one signal at most, ever.
        Signal._current_emitter = None
        gc.collect()
        left[:] = [name for each in parts for name, part in each.items() if part() is not None]
        return not left

    try:
        qtbot.waitUntil(collected, timeout=30_000)
    except qtbot.TimeoutError:
        pytest.fail(f"still there: {left}")


def test_a_removed_scan_is_freed_with_all_its_layers(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    viewer, widget = make_widget()
    settle(widget)
    threads = closers = 0
    for number in range(3):
        parts = segmented(viewer, widget, settle, number)
        viewer.layers.remove(widget.view.image)
        settle(widget)
        assert [type(layer) for layer in viewer.layers] == [Labels]
        viewer.layers.clear()
        settle(widget)
        gone(qtbot, parts)
        if number == 0:
            threads, closers = threading.active_count(), len(widget.workspace.cleanup._callbacks)
    qtbot.waitUntil(lambda: threading.active_count() <= threads, timeout=30_000)
    assert len(widget.workspace.cleanup._callbacks) == closers


def test_a_panel_that_is_closed_is_freed_with_its_threads_and_keys(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    threads = threading.active_count()
    viewer, widget = make_widget()
    settle(widget)
    window = viewer.window._qt_window
    parts = segmented(viewer, widget, settle)
    widget.run("earlier_sessions")
    widget.model.manage_button.click()
    session = {name: part for name, part in parts.items() if "Session" in name}
    owners = {"widget": weakref.ref(widget), "thread": weakref.ref(widget.workspace.loader.thread)}
    assert [key for key in window.findChildren(QShortcut) if key.key().toString() == "Q"]
    viewer.window.remove_dock_widget(widget)
    del widget
    gone(qtbot, owners, session)
    qtbot.waitUntil(lambda: threading.active_count() <= threads, timeout=30_000)
    assert [layer.name for layer in viewer.layers] == ["block 0", "Segmentation"]
    assert not [key for key in window.findChildren(QShortcut) if key.key().toString() == "Q"]
    assert not window.findChildren(Notice)
    notification_manager.records.clear()
    viewer.layers[0].visible = False
    viewer.dims.ndisplay = 3
    viewer.layers.clear()
    qtbot.wait(50)
    gone(qtbot, parts)
    assert notification_manager.records == []


def test_a_panel_that_is_docked_at_once_again_goes_on(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    viewer, widget = make_widget()
    settle(widget)
    viewer.window.remove_dock_widget(widget)
    viewer.window.add_dock_widget(widget, name="again")
    qtbot.wait(50)
    segmented(viewer, widget, settle)


@pytest.mark.gl
def test_two_panels_in_one_window_do_not_fight_for_the_pointer(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    viewer, first = make_widget(show=True)
    settle(first)
    second = type(first)(viewer, model=first.workspace.loader.thread.predictor)
    viewer.window.add_dock_widget(second, name="second")
    settle(second)
    area = viewer.window._qt_window.centralWidget().findChild(QOpenGLWidget)
    first._pointer._canvas.set_cursor(first._pointer._cursors["include"])
    second._pointer._canvas.set_cursor(second._pointer._cursors["exclude"])
    area.setCursor(Qt.CursorShape.CrossCursor)
    assert area.cursor().shape() == Qt.CursorShape.BitmapCursor
