"""Painting and erasing by hand: each stroke is one edit of the session, voxel by voxel."""

from collections.abc import Callable
from itertools import permutations
from threading import Event
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Layer, Points
from painter import Painter

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import Edit, Mask

SHAPE = (20, 24, 16)
ORDERS = list(permutations(range(3)))
_TURNED = np.array([[0, 0, 2, -9], [-1.9, 0.5, 0, 5], [0.4, 1.5, 0, 3], [0, 0, 0, 1]], float)
AFFINES = {"anisotropic": np.diag([-1.0, 1.0, 3.0, 1.0]), "oblique": _TURNED}


class Scene:
    """A viewer with a scan that holds one bright block, and a hand that paints."""

    def __init__(self, viewer: Any, widget: Any, settle: Any) -> None:
        self.viewer, self.widget, self._settle = viewer, widget, settle
        self.layer = widget.view.mask.layer
        self.painter = Painter(viewer, self.layer)
        self.layer.brush_size = 1

    @property
    def view(self) -> Any:
        return self.widget.view

    @property
    def session(self) -> Any:
        return self.widget.view.session

    def settle(self) -> None:
        self._settle(self.widget)

    def click(self, index: tuple[int, int, int] = (6, 6, 5)) -> None:
        self.view.run(lambda session: session.add_point(index))
        self.settle()

    def stroke(self, *places: Any) -> np.ndarray:
        """Paint through layer places in the slice of the first; return what is to change."""
        axis = self.viewer.dims.order[0]
        self.viewer.dims.set_current_step(axis, int(places[0][axis]))
        changed = self.painter.stroke(*places)
        self.settle()
        return self.view.frame.to_source(changed).astype(int) if len(changed) else changed

    def shows_the_session(self) -> bool:
        shown = self.view.frame.source_view(self.layer.data)
        return bool(np.array_equal(shown, self.session.label_map()))


@pytest.fixture
def scene(make_widget: Callable[..., Any], settle: Any, request: pytest.FixtureRequest) -> Scene:
    viewer, widget = make_widget()
    affine = AFFINES[getattr(request, "param", "anisotropic")]
    viewer.add_layer(Layer.create(*image_layer_data(Volume.from_array(_block(), affine))))
    settle(widget)
    return Scene(viewer, widget, settle)


def _block() -> np.ndarray:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[4:9, 4:9, 4:8] = 300
    return voxels


def _set(indices: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(map(int, index)) for index in indices}


@pytest.mark.parametrize("scene", AFFINES, indirect=True)
def test_a_line_is_these_voxels_in_every_order(scene: Scene) -> None:
    scene.widget.run("brush")
    for number, order in enumerate(ORDERS, 1):
        scene.widget.run("next_object")
        scene.viewer.dims.order = order
        start = np.array([4 + number, 7, 9])
        end = start.copy()
        end[order[2]] += 5
        line = np.linspace(start, end, 6)
        assert scene.layer.mode == "paint"
        scene.stroke(start, (start + end) / 2, end)
        line_of_source = _set(scene.view.frame.to_source(line))
        others = _set(np.argwhere(np.isin(scene.session.label_map(), range(1, number))))
        assert _set(np.argwhere(scene.session.mask())) == line_of_source - others
        assert len(scene.view.prompts) == 1
        assert scene.shows_the_session()


@pytest.mark.parametrize("scene", AFFINES, indirect=True)
@pytest.mark.parametrize("seed", range(3))
def test_strokes_of_any_kind_are_what_napari_drew(scene: Scene, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene.click()
    expected = _set(np.argwhere(scene.session.mask()))
    for _ in range(12):
        scene.viewer.dims.order = ORDERS[rng.integers(6)]
        scene.layer.brush_size = int(rng.integers(1, 9))
        scene.layer.n_edit_dimensions = int(rng.integers(2, 4))
        rubs = bool(rng.random() < 0.4)
        scene.widget.workspace.toolbox.use("erase" if rubs else "brush")
        places = rng.integers(0, scene.layer.data.shape, (3, 3))
        places[:, scene.viewer.dims.order[0]] = places[0, scene.viewer.dims.order[0]]
        changed = _set(scene.stroke(*places))
        expected = expected - changed if rubs else expected | changed
        assert _set(np.argwhere(scene.session.mask())) == expected
        assert scene.shows_the_session()


def test_an_eraser_takes_voxels_of_the_object_away(scene: Scene) -> None:
    scene.click()
    scene.widget.run("erase")
    assert scene.layer.mode == "erase"
    before = scene.session.mask()
    place = scene.view.frame.to_layer((6, 6, 5))[0]
    scene.layer.brush_size = 3
    changed = scene.stroke(place)
    assert before[6, 6, 5]
    assert _set(np.argwhere(before & ~scene.session.mask())) == _set(changed)
    edit = scene.view.prompts[-1]
    assert isinstance(edit, Edit)
    assert edit.added.is_empty


def test_undo_and_redo_are_the_sessions(scene: Scene) -> None:
    scene.click()
    clicked = scene.session.mask()
    scene.widget.run("brush")
    scene.stroke((2, 3, 3), (2, 3, 9))
    painted = scene.session.mask()
    assert painted.sum() > clicked.sum()
    scene.layer.undo()
    scene.settle()
    assert scene.shows_the_session()
    scene.widget.run("undo")
    scene.settle()
    assert np.array_equal(scene.session.mask(), clicked)
    assert scene.shows_the_session()
    scene.layer.redo()
    scene.widget.run("redo")
    scene.settle()
    assert np.array_equal(scene.session.mask(), painted)
    assert scene.shows_the_session()


def test_a_later_click_keeps_the_strokes(scene: Scene) -> None:
    scene.click()
    scene.widget.run("brush")
    added = _set(scene.stroke((1, 2, 2), (1, 2, 9)))
    scene.widget.run("erase")
    place = scene.view.frame.to_layer((4, 4, 4))[0]
    erased = _set(scene.stroke(place))
    scene.click((8, 8, 7))
    mask = _set(np.argwhere(scene.session.mask()))
    assert added <= mask
    assert not erased & mask


def test_other_objects_keep_their_voxels(scene: Scene) -> None:
    scene.click()
    scene.widget.run("next_object")
    scene.settle()
    scene.layer.brush_size = 9
    place = scene.view.frame.to_layer((6, 6, 5))[0]
    other = scene.session.mask(1)
    for tool in ("brush", "erase"):
        scene.widget.workspace.toolbox.use(tool)
        scene.stroke(place, np.add(place, (0, 4, 4)))
        assert np.array_equal(scene.session.mask(1), other)
        assert scene.shows_the_session()
    assert not (scene.session.mask(2) & other).any()


def test_by_the_rule_overwrite_the_brush_takes_voxels_but_not_locked_ones(scene: Scene) -> None:
    scene.view.run(lambda session: session.set_overlap("overwrite"))
    scene.click()
    scene.widget.run("next_object")
    place = scene.view.frame.to_layer((6, 6, 5))[0]
    scene.widget.run("brush")
    scene.stroke(place)
    assert scene.session.label_map()[6, 6, 5] == 2
    scene.view.run(lambda session: session.select_object(1))
    scene.widget.run("lock_object")
    scene.view.run(lambda session: session.select_object(2))
    scene.settle()
    scene.layer.brush_size = 5
    scene.stroke(place)
    assert np.array_equal(scene.session.label_map() == 2, scene.session.mask(2))
    assert scene.session.mask(2).sum() == 1
    assert scene.shows_the_session()


def test_a_locked_object_is_not_painted(scene: Scene) -> None:
    scene.click()
    scene.widget.run("lock_object")
    scene.settle()
    before, entries = scene.session.label_map(), len(scene.session.history.entries)
    scene.widget.run("brush")
    scene.stroke((2, 3, 3), (2, 3, 9))
    assert "locked" in scene.widget.status.now.text()
    assert np.array_equal(scene.session.label_map(), before)
    assert len(scene.session.history.entries) == entries
    assert scene.shows_the_session()


def test_a_first_stroke_begins_an_object_in_its_colour(scene: Scene) -> None:
    scene.widget.run("brush")
    assert scene.layer.selected_label == 1
    assert scene.layer.get_color(1)[3] == 1
    changed = scene.stroke((2, 3, 3), (2, 3, 9))
    (begun,) = scene.session.state.objects
    assert begun.value == 1
    assert _set(np.argwhere(scene.session.mask())) == _set(changed)


def test_fill_and_polygon_are_strokes_too(scene: Scene) -> None:
    scene.click()
    before = scene.session.mask()
    scene.viewer.layers.selection.active = scene.layer
    scene.layer.mode = "fill"
    filled = scene.stroke((0, 0, 0))
    assert len(filled) == scene.layer.data[0].size
    scene.layer.mode = "polygon"
    scene.layer.paint_polygon([(2, 0, 0), (2, 0, 3), (2, 3, 3), (2, 3, 0)], 1)
    scene.settle()
    assert scene.session.mask().sum() == before.sum() + len(filled) + 16
    assert len(scene.session.history.entries) == 3
    assert scene.shows_the_session()


@pytest.mark.parametrize("ends", [True, False])
def test_napari_s_encircling_is_one_stroke_or_none(scene: Scene, ends: bool) -> None:
    scene.widget.run("brush")
    scene.viewer.dims.set_current_step(0, 2)
    corners = [(2, 3, 3), (2, 3, 12), (2, 12, 12), (2, 12, 3)]
    scene.painter.press(corners[0], button=2)
    scene.painter.release(corners[0])
    for corner in corners[1:]:
        scene.painter.hover(corner)
    assert scene.view.brush.drawing
    scene.session.add_mask(Mask.of_indices([(0, 0, 0)]))
    scene.settle()
    if ends:
        scene.painter.hover(corners[0])
    else:
        scene.layer.mode = "pan_zoom"
    scene.settle()
    assert not scene.view.brush.drawing
    assert len(scene.session.history.entries) == 1 + ends
    assert scene.shows_the_session()
    assert scene.session.mask().sum() == 1 + 100 * ends


def test_the_label_follows_the_object_and_the_object_the_label(scene: Scene) -> None:
    scene.click()
    scene.view.run(lambda session: session.new_object(None, 300))
    scene.settle()
    scene.widget.run("brush")
    assert scene.layer.selected_label == 300
    scene.stroke((2, 3, 3))
    assert scene.session.mask(2).sum() == 1
    scene.layer.selected_label = 1
    scene.settle()
    assert scene.session.state.current == 1
    scene.layer.selected_label = 77
    scene.settle()
    assert scene.layer.selected_label == 1
    scene.view.run(lambda session: session.revalue_object(1, 9))
    scene.settle()
    assert scene.layer.selected_label == 9


def test_nothing_is_painted_in_the_3d_view(scene: Scene) -> None:
    scene.click()
    before = scene.session.label_map()
    scene.viewer.dims.ndisplay = 3
    scene.widget.run("brush")
    assert "3D view" in scene.widget.status.now.text()
    assert not scene.layer.editable
    scene.layer.mode = "paint"
    assert scene.layer.mode == "pan_zoom"
    scene.viewer.dims.ndisplay = 2
    assert scene.layer.editable
    assert np.array_equal(scene.session.label_map(), before)


def test_deleted_renamed_hidden_or_converted_the_layer_serves_on(scene: Scene) -> None:
    scene.widget.run("brush")
    first = scene.stroke((2, 3, 3), (2, 3, 9))
    scene.layer.name = "mine"
    scene.layer.visible = False
    scene.viewer.layers.remove(scene.layer)
    scene.settle()
    assert scene.layer in scene.viewer.layers
    scene.layer.data = scene.layer.data.astype(np.int32)
    scene.widget.run("brush")
    assert scene.layer.visible
    second = scene.stroke((3, 3, 3), (3, 3, 9))
    assert _set(np.argwhere(scene.session.mask())) == _set(first) | _set(second)
    assert scene.shows_the_session()


def test_a_mask_that_comes_while_the_user_paints_does_not_wipe_the_stroke(scene: Scene) -> None:
    scene.widget.run("brush")
    scene.painter.press((2, 3, 3))
    scene.painter.move((2, 3, 9))
    scene.session.add_mask(Mask.of_volume(np.ones(SHAPE, np.bool_)))
    scene.view.brush.redraw(scene.session.region().box)
    assert (scene.layer.data == 1).sum() == 7
    scene.painter.release((2, 3, 9))
    scene.settle()
    assert scene.shows_the_session()


def test_strokes_stay_in_sight_while_the_model_is_busy(scene: Scene, qtbot: Any) -> None:
    gate = Event()
    scene.session.thread.submit(gate.wait, 60)
    scene.widget.run("brush")
    scene.viewer.dims.set_current_step(0, 2)
    painted = [scene.painter.stroke((2, y, 3), (2, y, 9)) for y in (3, 6)]
    qtbot.wait(30)
    scene.view.brush.redraw(Box.whole(SHAPE))
    expected = _set(np.concatenate(painted))
    assert _set(np.argwhere(scene.layer.data)) == expected
    scene.widget.run("undo")
    assert _set(np.argwhere(scene.layer.data)) == _set(painted[0])
    gate.set()
    scene.settle()
    assert scene.shows_the_session()
    assert _set(np.argwhere(scene.layer.data)) == _set(painted[0])


def test_strokes_come_back_from_the_journal(make_widget: Callable[..., Any], settle: Any) -> None:
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(Volume.from_array(_block(), np.eye(4)))))
    settle(widget)
    scene = Scene(viewer, widget, settle)
    scene.click()
    widget.run("brush")
    scene.stroke((2, 3, 3), (2, 3, 9))
    expected = scene.session.mask()
    viewer.layers.remove(next(each for each in viewer.layers if isinstance(each, Image)))
    settle(widget)
    viewer.layers.clear()
    viewer.add_layer(Layer.create(*image_layer_data(Volume.from_array(_block(), np.eye(4)))))
    settle(widget)
    again = Scene(viewer, widget, settle)
    again.view.journal.resume(again.view.journal.offer)
    settle(widget)
    assert np.array_equal(again.session.mask(), expected)
    assert again.shows_the_session()


def test_once_the_scan_is_gone_the_layer_is_naparis_own(scene: Scene) -> None:
    scene.click()
    image = next(each for each in scene.viewer.layers if isinstance(each, Image))
    scene.viewer.layers.remove(image)
    scene.settle()
    assert not [each for each in scene.viewer.layers if isinstance(each, Points)]
    scene.layer.visible = True
    scene.layer.mode = "paint"
    before = scene.layer.data.copy()
    changed = scene.painter.stroke((2, 3, 3), (2, 3, 9))
    assert len(changed)
    scene.settle()
    scene.layer.undo()
    assert np.array_equal(scene.layer.data, before)
