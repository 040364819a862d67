"""What is told of a click on the picture, its remedies, and regions that clicks don't change."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from rod_and_ball import AIR, BALL, END, ROD, SHAPE, click, opened, scan, world_of

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.panels.notice import Notice
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Freeze


@pytest.fixture
def scene(open_window: Callable[..., Any]) -> Any:
    return opened(open_window)


def press(scene: Any, settle: Any, text: str) -> None:
    """Click the button of the notice that has that text."""
    _, widget, _ = scene
    (button,) = [each for each in widget.notice.buttons if each.text() == text]
    assert button.isVisible()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(widget)


def told(widget: Any) -> str:
    return widget.notice.text.text() if widget.notice.isVisible() else ""


@pytest.mark.gl
@pytest.mark.parametrize("locked", [False, True])
def test_a_click_that_another_object_keeps_is_told_with_the_remedy(
    scene: Any, settle: Any, locked: bool
) -> None:
    _, widget, hand = scene
    click(scene, settle, ROD)
    assert told(widget) == ""
    if locked:
        hand.key("Shift+F")
        settle(widget)
    hand.key("N")
    settle(widget)
    click(scene, settle, ROD)
    region = widget.view.session.region
    assert not region(2).contains(ROD)
    if locked:
        assert (
            told(widget)
            == "The voxel you clicked belongs to object 1, which is locked and keeps it."
        )
        press(scene, settle, "Unlock object 1")
    assert told(widget) == "The voxel you clicked belongs to object 1, which keeps it."
    press(scene, settle, "Let this object win here")
    assert told(widget) == ""
    assert region(2).contains(ROD)
    assert not region(1).contains(ROD)
    assert widget.view.current.id == 2
    assert np.array_equal(
        widget.view.frame.source_view(widget.view.mask.layer.data),
        widget.view.session.label_map(),
    )
    hand.key("U")
    settle(widget)
    assert region(1).contains(ROD)


@pytest.mark.gl
def test_a_click_in_the_air_is_told_and_taken_back_and_what_was_told_can_be_put_away(
    scene: Any, settle: Any
) -> None:
    viewer, widget, hand = scene
    click(scene, settle, AIR)
    assert told(widget) == "That click lies in the air around the patient."
    press(scene, settle, "Undo")
    assert told(widget) == ""
    assert widget.view.session.state.objects == ()
    click(scene, settle, ROD)
    hand.key("N")
    click(scene, settle, ROD)
    picture = viewer.window._qt_window.centralWidget()
    assert widget.notice.parentWidget() is picture
    assert picture.rect().contains(widget.notice.geometry())
    viewer.window._qt_window.resize(1000, 700)
    QTest.qWait(200)
    assert picture.rect().contains(widget.notice.geometry())
    QTest.mouseClick(widget.notice.close_button, Qt.MouseButton.LeftButton)
    assert told(widget) == ""
    widget.view.run(lambda session: session.rename_object(2, "rod"))
    settle(widget)
    assert told(widget) == ""


@pytest.mark.gl
def test_what_a_click_changed_out_of_sight_is_told_shown_and_taken_back(
    scene: Any, settle: Any
) -> None:
    viewer, widget, hand = scene
    click(scene, settle, ROD)
    click(scene, settle, BALL)
    before = widget.view.session.mask()
    click(scene, settle, END, key="W")
    axis = widget.view.frame.orientation.axes.index(2)
    number = widget.view.navigation.slice_number
    lost = np.flatnonzero((before & ~widget.view.session.mask()).any(axis=(0, 1)))
    assert lost[-1] - lost[0] > 40
    far = sorted(number(2, int(at)) for at in (max(lost[0], 10), lost[-1]))
    assert "Out of sight the mask changed by −" in told(widget)
    assert f"{far[0]}-{far[1]}" in told(widget)
    assert f"out of sight, in slices {far[0]}-{far[1]} (Shift+J)" in widget.status.facts.text()
    press(scene, settle, "Show it")
    assert far[0] <= viewer.dims.current_step[axis] <= far[1]
    press(scene, settle, "Leave it as it was there")
    after = widget.view.session.mask()
    assert np.array_equal(after[:, :, 10:], before[:, :, 10:])
    assert not after[END]
    hand.key("U")
    settle(widget)
    assert not widget.view.session.mask()[14, 18, 35]


@pytest.mark.gl
def test_a_region_is_frozen_by_a_rectangle_in_all_slices(scene: Any, settle: Any) -> None:
    _, widget, hand = scene
    click(scene, settle, ROD)
    hand.key("Shift+K")
    assert widget.workspace.toolbox.tool == "freeze"
    hand.drag(world_of(widget, (8, 12, 25)), world_of(widget, (14, 24, 25)))
    settle(widget)
    frozen = widget.view.prompts[-1]
    assert isinstance(frozen, Freeze)
    assert (frozen.box.start[2], frozen.box.stop[2]) == (0, SHAPE[2])
    assert widget.view.boxes.layer.nshapes == 1
    before = widget.view.session.mask()
    click(scene, settle, (16, 18, 25), key="W")
    after = widget.view.session.mask()
    assert after[12, 18, 25]
    assert np.array_equal(after[frozen.box.slices], before[frozen.box.slices])
    assert not after[16, 18, 40]
    assert widget.prompt_list.list.item(1).text().startswith("Frozen: ")
    hand.key("K")
    widget.view.selection.select([frozen.id])
    hand.key("Shift+D")
    settle(widget)
    assert not widget.view.session.mask()[12, 18, 25]


@pytest.mark.gl
def test_the_notice_leaves_the_picture_with_the_panel(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    viewer, widget = make_widget(show=True)
    settle(widget)
    picture = viewer.window._qt_window.centralWidget()
    assert widget.notice.parentWidget() is picture
    viewer.window.remove_dock_widget(widget)
    assert not picture.findChildren(Notice)
    viewer.window.add_dock_widget(widget, name="again")
    qtbot.waitUntil(lambda: widget.notice.parentWidget() is picture)


def test_a_frozen_region_is_moved_like_a_box(
    make_widget: Callable[..., Any], settle: Any, flood: Any
) -> None:
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(scan())))
    settle(widget)
    view = widget.view
    view.points.layer.add(view.frame.to_layer(ROD)[0])
    settle(widget)
    view.run(lambda session: session.freeze_region((0, 0, 0), (40, 36, 10)))
    settle(widget)
    view.boxes.moved.emit(2, view.frame.box_to_layer(Box((0, 0, 0), (40, 36, 30))))
    settle(widget)
    assert view.prompts[1] == Freeze(2, Box((0, 0, 0), (40, 36, 30)))
    view.run(lambda session: session.add_point(END, positive=False))
    settle(widget)
    assert view.session.region().box.stop[2] == 30
