"""How objects are shown: one alone, faded, outlined; and going from one to another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask

BLOCKS = ((4, 4, 4), (14, 18, 12))


@pytest.fixture
def widget(make_widget: Callable[..., Any], settle: Any) -> Any:
    """Two objects, "b" of 64 voxels and then "a" of 8, in a window."""
    voxels = np.zeros((24, 28, 20), np.int16)
    viewer, widget = make_widget()
    volume = Volume.from_array(voxels, np.diag([-2.0, -2.0, 3.0, 1.0]))
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    for name, (i, j, k), side in zip("ba", BLOCKS, (4, 2), strict=True):
        mask = np.zeros(voxels.shape, bool)
        mask[i : i + side, j : j + side, k : k + side] = True
        widget.view.run(lambda session, name=name: session.new_object(name))
        widget.view.session.edit_mask(Mask.of_volume(mask))
    settle(widget)
    return widget


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
