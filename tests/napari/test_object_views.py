"""How objects are shown: one alone, faded, outlined; and going from one to another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from canvas import choose
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask

BLOCKS = ((4, 4, 4), (14, 18, 12))


SHAPE = (24, 28, 20)


def scan() -> Volume:
    return Volume.from_array(np.zeros(SHAPE, np.int16), np.diag([-2.0, -2.0, 3.0, 1.0]))


@pytest.fixture
def widget(make_bare: Callable[..., Any], settle: Any) -> Any:
    viewer, widget = make_bare()
    viewer.add_layer(Layer.create(*image_layer_data(scan())))
    settle(widget)
    draw_two(widget, settle)
    return widget


def draw_two(widget: Any, settle: Any) -> None:
    """Draw two objects, "b" of 64 voxels and then "a" of 8."""
    for name, (i, j, k), side in zip("ba", BLOCKS, (4, 2), strict=True):
        mask = np.zeros(SHAPE, bool)
        mask[i : i + side, j : j + side, k : k + side] = True
        widget.view.run(lambda session, name=name: session.new_object(name))
        widget.view.session.edit_mask(Mask.of_volume(mask))
    settle(widget)


def opacities(widget: Any) -> list[float]:
    """How opaque each object is drawn, in the order begun."""
    values = [each.value for each in widget.view.session.state.objects]
    return [round(float(widget.view.mask.layer.colormap.map(value)[-1]), 2) for value in values]


def listed(widget: Any) -> list[str]:
    return [widget.objects.list.item(row).text() for row in range(widget.objects.list.count())]


def test_one_object_alone_faded_or_outlined(widget: Any, settle: Any) -> None:
    assert widget.view.current.name == "a"
    assert opacities(widget) == [1, 1]
    widget.run("only_current")
    assert opacities(widget) == [0, 1]
    widget.run("object_after")
    settle(widget)
    assert widget.view.current.name == "b"
    assert opacities(widget) == [1, 0]
    widget.run("only_current")
    widget.run("fainter")
    widget.run("fainter")
    assert opacities(widget) == [0.6, 1]
    widget.run("stronger")
    assert opacities(widget) == [0.8, 1]
    widget.run("outlines")
    assert widget.view.mask.layer.contour == 1
    widget.run("outlines")
    assert widget.view.mask.layer.contour == 0


def test_the_list_is_sorted_and_gone_through_in_its_order(widget: Any, settle: Any) -> None:
    assert listed(widget) == ["b", "a"]
    widget.run("sort_objects")
    assert listed(widget) == ["a", "b"]
    widget.run("sort_objects")
    assert listed(widget) == ["b", "a"]
    assert widget.objects.list.currentItem().text() == "a"
    widget.run("object_before")
    settle(widget)
    assert widget.view.current.name == "b"
    assert widget.view.session.state.objects[0].name == "b"
    widget.run("object_before")
    assert widget.view.current.name == "a"


def test_a_flight_to_an_object_ends_inside_it_in_every_plane(widget: Any, settle: Any) -> None:
    for name, block in zip("ab", reversed(BLOCKS), strict=True):
        assert widget.view.current.name == name
        widget.run("fly_to_object")
        index = widget.view.navigation.source_index(widget.viewer.dims.point)
        assert widget.view.session.mask()[index]
        assert np.all(np.subtract(index, block) >= 0)
        widget.run("object_after")
        settle(widget)


@pytest.mark.gl
def test_objects_are_looked_at_by_mouse_and_key(
    open_window: Callable[..., Any], settle: Any, qtbot: Any
) -> None:
    viewer, widget, hand = open_window(scan())
    draw_two(widget, settle)
    rows, masks = widget.objects.list, widget.view.mask.layer

    def drawn(index: tuple[int, ...]) -> bool:
        """Whether the canvas shows colour at a voxel, in the slice through it."""
        world = masks.data_to_world(widget.view.frame.to_layer(index)[0])
        viewer.dims.set_point((0, 1, 2), tuple(world))
        place = hand.place(world)
        picture = viewer.screenshot(canvas_only=True, flash=False).astype(int)
        ratio = picture.shape[0] / viewer.window._qt_viewer.canvas.native.height()
        pixel = picture[round(place.y() * ratio), round(place.x() * ratio), :3]
        return bool(np.ptp(pixel) > 40)

    b, a = (tuple(int(i) + 1 for i in block) for block in BLOCKS)
    inner = tuple(i + 1 for i in b[:2]) + b[2:]
    assert drawn(a)
    assert drawn(b)
    hand.key("Ctrl+6")
    assert (drawn(a), drawn(b)) == (True, False)
    hand.key("PgUp")
    settle(widget)
    assert widget.view.current.name == "b"
    assert (drawn(a), drawn(b)) == (False, True)
    choose(widget.objects.views_button, "only_current")
    assert drawn(a)
    hand.key("Ctrl+7")
    assert masks.contour == 1
    assert not drawn(inner)
    choose(widget.objects.views_button, "outlines")
    assert drawn(inner)
    for _ in range(5):
        hand.key("Ctrl+[")
    assert not drawn(b)
    for _ in range(5):
        hand.key("Ctrl+]")
    assert drawn(b)
    hand.key("Ctrl+9")
    assert listed(widget) == ["a", "b"]
    place = rows.visualItemRect(rows.item(0)).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=place)
    settle(widget)
    assert widget.view.current.name == "a"
    hand.key("Ctrl+8")
    assert widget.view.session.mask()[widget.view.navigation.source_index(viewer.dims.point)]
