"""On a small screen the picture has room, and nothing is cut off."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import Hand
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDockWidget

from napari_fastsam3d.geometry import Volume

pytestmark = pytest.mark.gl


@pytest.fixture
def scene(open_window: Callable[..., Any], qtbot: Any) -> tuple[Any, Any, Hand]:
    voxels = np.zeros((40, 40, 30), np.int16)
    voxels[10:30, 10:30, 10:20] = 300
    opened = open_window(Volume.from_array(voxels, np.eye(4)), size=(1024, 768))
    qtbot.wait(100)  # the layout follows the size when that has stayed for a moment
    return opened


def canvas_width(viewer: Any) -> int:
    return viewer.window._qt_viewer.canvas.native.width()


def naparis(viewer: Any) -> list[bool]:
    """Whether napari's layer list and controls are seen."""
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    return [d.isVisible() for d in docks if d.windowTitle() in ("layer list", "layer controls")]


def bottom(viewer: Any, part: Any) -> int:
    window = viewer.window._qt_window
    return part.mapTo(window, QPoint(0, part.height())).y()


def test_at_1024_by_768_most_of_the_window_is_the_picture(scene: Any, qtbot: Any) -> None:
    viewer, widget, hand = scene
    window = viewer.window._qt_window
    assert (window.width(), window.height()) == (1024, 768)
    assert canvas_width(viewer) > 650
    assert naparis(viewer) == [False, False]
    assert bottom(viewer, widget.status) <= 768
    assert bottom(viewer, viewer.window._qt_viewer.dims) <= 768
    hand.key("Shift+Q")
    qtbot.waitUntil(lambda: naparis(viewer) == [True, True], timeout=30_000)
    assert widget.workspace.settings.layout == "auto"
    window.resize(1024, 768)
    qtbot.wait(100)
    assert naparis(viewer) == [True, True]
    QTest.mouseClick(widget.scan.compact_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: naparis(viewer) == [False, False])
    qtbot.waitUntil(lambda: canvas_width(viewer) > 650)


def test_tools_boxes_parts_and_planes_are_at_hand_in_the_small_panel(scene: Any) -> None:
    viewer, widget, _ = scene
    tops = {button.y() for button in widget.prompts.tools.values()}
    assert len(tops) == 2
    # Nothing is cut off at the side, and the panel doesn't scroll sideways.
    for section in widget.sections.values():
        assert section.minimumSizeHint().width() <= widget.width()
    assert not widget.prompts.box_depth.isVisible()
    QTest.mouseClick(widget.prompts.tools["box"], Qt.MouseButton.LeftButton)
    assert widget.workspace.toolbox.tool == "box"
    assert widget.prompts.box_depth.isVisible()
    # Parts fold by a click on their heading.
    for panel in (widget.scan, widget.prompts, widget.objects):
        heading = panel.parentWidget().heading
        assert panel.isVisible()
        QTest.mouseClick(heading, Qt.MouseButton.LeftButton, pos=QPoint(20, 5))
        assert not panel.isVisible()
        QTest.mouseClick(heading, Qt.MouseButton.LeftButton, pos=QPoint(20, 5))
        assert panel.isVisible()
    # Planes are turned by a button.
    seen = [viewer.dims.order]
    for plane in ("coronal", "sagittal", "axial"):
        QTest.mouseClick(widget.plane_row.buttons[plane], Qt.MouseButton.LeftButton)
        seen.append(viewer.dims.order)
    assert seen == [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 1, 2)]


def test_the_list_of_objects_grows_and_filters_and_the_layout_follows_the_size(
    scene: Any, settle: Any, qtbot: Any
) -> None:
    viewer, widget, _ = scene
    heights = []
    for number, name in enumerate(
        ["liver", "spleen", "left kidney", "right kidney", *"abcdefghij"]
    ):
        widget.view.run(lambda session, name=name: session.new_object(name))
        heights.append(widget.objects.list.height())
        assert widget.objects.filter.isVisible() == (number >= 6)
    settle(widget)
    assert heights[3] < heights[6] < heights[11] == heights[13]
    rows = [widget.objects.list.item(row) for row in range(14)]
    widget.objects.filter.setFocus()
    QTest.keyClicks(widget.objects.filter, "KIDNEY")
    assert [r.text() for r in rows if not r.isHidden()] == ["left kidney", "right kidney", "j"]
    place = widget.objects.list.visualItemRect(rows[3]).center()
    QTest.mouseClick(widget.objects.list.viewport(), Qt.MouseButton.LeftButton, pos=place)
    settle(widget)
    assert widget.view.current.name == "right kidney"
    assert [r.text() for r in rows if not r.isHidden()] == ["left kidney", "right kidney"]
    assert widget.workspace.toolbox.tool == "include"
    widget.objects.filter.clear()
    assert not any(row.isHidden() for row in rows)
    # The layout follows the size of the window.
    viewer.window._qt_window.resize(1400, 900)
    qtbot.waitUntil(lambda: naparis(viewer) == [True, True])
    assert "Include" in widget.prompts.tools["include"].text()
    viewer.window._qt_window.resize(1000, 700)
    qtbot.waitUntil(lambda: naparis(viewer) == [False, False])


_SCALED = """
import numpy as np, napari
from qtpy.QtCore import QPoint
from qtpy.QtTest import QTest
viewer = napari.Viewer()
window = viewer.window._qt_window
widget = viewer.window.add_plugin_dock_widget("napari-fastsam3d")[1]
viewer.add_image(np.zeros((20, 30, 30)))
window.setGeometry(0, 0, 800, 540)
screen = window.screen().size()
for _ in range(200):
    QTest.qWait(100)
    if window.width() <= screen.width() and widget.width() < 300:
        break
low = [part.mapTo(window, QPoint(0, part.height())).y()
       for part in (widget.status, viewer.window._qt_viewer.dims)]
canvas = viewer.window._qt_viewer.canvas.native
print("SIZES", screen.width(), window.width(), window.height(), *low, canvas.width(), flush=True)
import os
os._exit(0)
"""


def test_at_scale_2_the_status_line_and_the_slider_are_seen(tmp_path: Any) -> None:
    env = {**os.environ, "QT_SCALE_FACTOR": "2", "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    done = subprocess.run(
        [sys.executable, "-c", _SCALED], env=env, capture_output=True, text=True, timeout=300
    )
    lines = [each for each in done.stdout.splitlines() if each.startswith("SIZES")]
    assert lines, done.stderr[-2000:]
    (line,) = lines
    screen, width, height, status, slider, canvas = map(int, line.split()[1:])
    assert screen == 800
    assert width == 800
    assert height <= 600
    assert max(status, slider) <= height
    assert canvas > 450
