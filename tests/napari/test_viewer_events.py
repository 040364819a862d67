"""What happens in a viewer, in order and once, until it is listened to no more."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from scene import BALL, OTHER, Scene, scan, two_balls

from napari_fastsam3d._napari.layers.adding import add_unselected
from napari_fastsam3d._napari.viewer_events import ViewerEvents
from napari_fastsam3d.geometry import Volume


def image(name: str) -> Image:
    return Image(np.zeros((6, 7, 8)), name=name)


@pytest.fixture
def viewer(qtbot: Any) -> ViewerModel:
    """A viewer that has an image already."""
    made = ViewerModel()
    made.add_layer(image("first"))
    return made


class Heard:
    """Listens to all signals of a viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.events = ViewerEvents(viewer)
        self.told: list[str] = []
        self._slots = []
        for name in (
            *("image_added", "layers_changed", "layer_removed", "appearance_changed"),
            *("image_renamed", "active_changed", "dims_changed", "pointer_moved"),
        ):
            self._listen(name)

    def _listen(self, name: str) -> None:
        def hear(*_: Any) -> None:
            self.told.append(name)

        self._slots.append(hear)
        getattr(self.events, name).connect(hear, check_nargs=False)

    def after(self, act: Callable[[], object]) -> list[str]:
        self.told.clear()
        act()
        return [*self.told]


def test_each_change_is_told_by_its_signal(viewer: ViewerModel) -> None:
    heard, first = Heard(viewer), viewer.layers["first"]
    for act, wanted in (
        (lambda: setattr(first, "visible", False), "appearance_changed"),
        (lambda: setattr(first, "opacity", 0.5), "appearance_changed"),
        (lambda: setattr(first, "blending", "additive"), "appearance_changed"),
        (lambda: viewer.dims.set_current_step(0, 1), "dims_changed"),
        (lambda: setattr(viewer.dims, "order", (1, 0, 2)), "dims_changed"),
        (lambda: setattr(viewer.dims, "ndisplay", 3), "dims_changed"),
        (lambda: viewer.layers.selection.clear(), "active_changed"),
    ):
        assert set(heard.after(act)) == {wanted}
    assert heard.after(lambda: setattr(first, "name", "another")) == ["image_renamed"]


def test_an_image_that_comes_is_told_before_the_layers_and_listened_to(viewer: ViewerModel) -> None:
    heard = Heard(viewer)
    second = image("second")
    told = heard.after(lambda: viewer.add_layer(second))
    ours = [each for each in told if each in ("image_added", "layers_changed")]
    assert ours == ["image_added", "layers_changed"]
    assert "appearance_changed" in heard.after(lambda: setattr(second, "visible", False))
    labels = Labels(np.zeros((6, 7, 8), np.uint8))
    told = heard.after(lambda: viewer.add_layer(labels))
    assert "image_added" not in told
    assert "layers_changed" in told
    assert heard.after(lambda: setattr(labels, "opacity", 0.2)) == []  # only images hide images
    assert "layers_changed" in heard.after(lambda: viewer.layers.move(0, 2))
    assert "layer_removed" in heard.after(lambda: viewer.layers.remove(second))


def test_a_pointer_that_moves_is_told_with_its_place(viewer: ViewerModel) -> None:
    events, places = ViewerEvents(viewer), []
    note = places.append
    events.pointer_moved.connect(note)
    event = type("Event", (), {"position": np.array([1.0, 2.0, 3.0])})
    for callback in viewer.mouse_move_callbacks:
        callback(viewer, event)
    assert places == [(1.0, 2.0, 3.0)]
    events.close()
    assert viewer.mouse_move_callbacks == []


def test_after_the_end_nothing_is_told_and_nothing_is_left_in_the_viewer(
    viewer: ViewerModel,
) -> None:
    emitters = (
        viewer.layers.events.inserted,
        viewer.dims.events.order,
        viewer.dims.events.ndisplay,
    )
    before = [len(each.callbacks) for each in emitters]
    heard = Heard(viewer)
    second = image("second")
    viewer.add_layer(second)
    heard.events.close()

    def everything() -> None:
        second.visible = False
        viewer.layers["first"].opacity = 0.3
        viewer.add_layer(image("third"))
        viewer.layers.remove(second)
        viewer.dims.ndisplay = 3

    assert heard.after(everything) == []
    assert [len(each.callbacks) for each in emitters] == before


def test_a_layer_that_is_added_leaves_selected_what_is(viewer: ViewerModel) -> None:
    active: list[Any] = []
    viewer.layers.selection.active = viewer.layers["first"]
    viewer.layers.selection.events.active.connect(lambda event: active.append(event.value))
    add_unselected(viewer, image("second"))
    assert viewer.layers.selection.active is viewer.layers["first"]
    assert active == []  # nobody heard of the change in between
    assert [layer.name for layer in viewer.layers] == ["first", "second"]
    viewer.layers.selection.clear()
    add_unselected(viewer, image("third"))
    assert viewer.layers.selection.active is viewer.layers["third"]  # as napari does


def test_two_viewers_have_two_of_everything(make_scene: Callable[..., Scene]) -> None:
    one, other = make_scene(scan("one")), make_scene(scan("other", voxels=two_balls() + 1))
    one.click(BALL)
    other.click(OTHER)
    other.click(BALL, "exclude")
    assert [len(each.view.prompts) for each in (one, other)] == [1, 2]
    assert one.work.toolbox.tool == "include"
    assert other.work.toolbox.tool == "exclude"
    one.do("window_lung")
    one.do("coronal")
    one.work.viewer.dims.ndisplay = 3
    one.settle()
    assert other.view.image.contrast_limits != one.view.image.contrast_limits
    assert (other.work.planes.plane, other.work.viewer.dims.ndisplay) == ("axial", 2)
    one.close()
    labels = other.session.label_map().copy()
    other.do("undo")
    other.do("redo")
    assert np.array_equal(other.session.label_map(), labels)
    other.click((15, 20, 12))  # the model of the other is alive
    assert len(other.view.prompts) == 3
    with pytest.raises(KeyError):
        other.widget.run("no such command")


def test_one_scan_in_two_viewers_is_kept_by_the_first_and_told_in_the_second(
    make_scene: Callable[..., Scene], qtbot: Any
) -> None:
    volume = Volume.from_array(two_balls(), np.diag([3.0, 3, 3, 1]), name="shared")
    one = make_scene(volume)
    one.click(BALL)
    other = make_scene(volume)
    other.click(OTHER)
    qtbot.waitUntil(lambda: "NOT SAVED" in other.widget.status.facts.text(), timeout=60_000)
    assert other.widget.status.warning.text().startswith("Work is not saved.")
    one.settle()
    assert "work saved" in one.widget.status.facts.text()
    assert [len(each.view.prompts) for each in (one, other)] == [1, 1]
