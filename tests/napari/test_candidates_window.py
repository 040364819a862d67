"""Smaller and larger: the masks that a click may mean, by key and by button."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy import ndimage

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.model.predictor import Segmentation

CENTRE = (20, 20, 15)


@pytest.fixture
def nested(flood: Any) -> Any:
    """Return a model that proposes what it finds without its rim, and with as much around it."""

    class Nested(type(flood)):  # type: ignore[misc]
        asked = 0

        def segment(self, *prompts: Any) -> Any:
            self.asked += 1
            found = super().segment(*prompts)
            inside = found.mask_logits > 0
            others = (ndimage.binary_erosion(inside), ndimage.binary_dilation(inside))
            return replace(found, candidates=tuple(self._answer(each) for each in others))

        def _answer(self, inside: np.ndarray) -> Any:
            fine = np.where(inside, 4.0, -4.0).astype(np.float32)
            side = self.crop_size // 4
            low = fine.reshape(side, 4, side, 4, side, 4).mean(axis=(1, 3, 5)).astype(np.float32)
            return Segmentation(low, fine, predicted_iou=0.5)

    return Nested()


def ball() -> Volume:
    away = np.indices((40, 40, 30)) - np.reshape(CENTRE, (3, 1, 1, 1))
    voxels = np.where((away**2).sum(axis=0) <= 64, 300, 0).astype(np.int16)
    return Volume.from_array(voxels, np.diag([3.0, 3.0, 3.0, 1.0]))


def voxels_of(widget: Any) -> int:
    return int(np.count_nonzero(widget.view.session.mask()))


@pytest.fixture
def scene(make_widget: Callable[..., Any], settle: Any, nested: Any) -> tuple[Any, Any]:
    viewer, widget = make_widget(nested)
    viewer.add_layer(Layer.create(*image_layer_data(ball())))
    settle(widget)
    return viewer, widget


def test_smaller_and_larger_turn_through_the_candidates(
    scene: tuple[Any, Any], settle: Any, qtbot: Any
) -> None:
    _, widget = scene
    assert not widget.prompts.smaller.isEnabled()
    widget.view.run(lambda commands: commands.add_point(CENTRE))
    settle(widget)
    first = voxels_of(widget)
    told: list[str] = []
    widget.workspace.message.connect(told.append)
    assert widget.prompts.larger.isEnabled()
    for button, grows in ((widget.prompts.larger, True), (widget.prompts.smaller, False)):
        before = voxels_of(widget)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda before=before: voxels_of(widget) != before)
        assert (voxels_of(widget) > before) == grows
        assert np.array_equal(widget.view.mask.layer.data > 0, widget.view.mask.layer.data != 0)
    assert voxels_of(widget) == first
    assert [prompt.noun for prompt in widget.view.prompts] == ["point", "choice", "choice"]
    assert "candidate" in widget.prompt_list.list.item(1).text().lower()
    widget.run("undo")
    settle(widget)
    assert voxels_of(widget) > first
    assert told == []


def test_past_the_last_candidate_it_says_so_and_changes_nothing(
    scene: tuple[Any, Any], settle: Any, qtbot: Any
) -> None:
    _, widget = scene
    widget.view.run(lambda commands: commands.add_point(CENTRE))
    settle(widget)
    told: list[str] = []
    widget.workspace.message.connect(told.append)
    widget.run("larger_candidate")
    qtbot.waitUntil(lambda: len(widget.view.prompts) == 2)
    settle(widget)
    widget.run("larger_candidate")
    qtbot.waitUntil(lambda: bool(told))
    assert "larger" in told[0]
    assert len(widget.view.prompts) == 2


def test_after_a_first_click_candidates_are_found_before_they_are_asked_for(
    scene: tuple[Any, Any], settle: Any, qtbot: Any, nested: Any
) -> None:
    _, widget = scene
    widget.view.run(lambda commands: commands.add_point(CENTRE))
    settle(widget)
    answered = nested.asked
    qtbot.waitUntil(lambda: nested.asked > answered)
    widget.view.session.futures.candidates().result(20)
    known = nested.asked
    widget.run("larger_candidate")
    qtbot.waitUntil(lambda: len(widget.view.prompts) == 2)
    settle(widget)
    assert nested.asked == known


def test_without_a_click_there_is_nothing_to_choose(scene: tuple[Any, Any], settle: Any) -> None:
    _, widget = scene
    told: list[str] = []
    widget.workspace.message.connect(told.append)
    widget.run("smaller_candidate")
    settle(widget)
    assert "Click" in told[0]
    assert widget.view.prompts == ()


def test_what_is_drawn_means_nothing_else(scene: tuple[Any, Any], settle: Any, qtbot: Any) -> None:
    _, widget = scene
    widget.view.run(lambda commands: commands.add_point(CENTRE))
    x, y, z = CENTRE
    told: list[str] = []
    widget.workspace.message.connect(told.append)
    ring = [(x - 2, y - 2), (x - 2, y + 2), (x + 2, y + 2), (x + 2, y - 2)]
    for draw in (
        lambda commands: commands.add_scribble([CENTRE, (x + 1, y, z)]),
        lambda commands: commands.add_lasso((2, z), ring),
    ):
        widget.view.run(draw)
        settle(widget)
        found = widget.view.session.mask()
        told.clear()
        widget.run("smaller_candidate")
        widget.run("larger_candidate")
        settle(widget)
        assert ["drawn" in each for each in told] == [True, True]
        assert not widget.prompts.larger.isEnabled()
        assert np.array_equal(widget.view.session.mask(), found)
        widget.run("undo")
        settle(widget)
    before = voxels_of(widget)
    widget.run("larger_candidate")  # the click may mean something else again
    qtbot.waitUntil(lambda: voxels_of(widget) > before)


@pytest.mark.gl
def test_by_key_in_a_real_window(
    open_window: Callable[..., Any], settle: Any, qtbot: Any, nested: Any
) -> None:
    viewer, widget, hand = open_window(ball(), model=nested)
    viewer.dims.set_current_step(0, int(widget.view.frame.to_layer(CENTRE)[0][0]))
    viewer.reset_view()
    hand.key("Q")
    place = widget.view.frame.to_layer(CENTRE)[0]
    hand.click(tuple(widget.view.mask.layer.data_to_world(place)))
    settle(widget)
    first = voxels_of(widget)
    hand.key(">")
    qtbot.waitUntil(lambda: voxels_of(widget) > first)
    hand.key("<")
    qtbot.waitUntil(lambda: voxels_of(widget) == first)
