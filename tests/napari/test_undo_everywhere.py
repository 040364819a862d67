"""Each thing done in the window is a step that is taken back, done again, and kept on disk."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QInputDialog
from scene import BALL, OTHER, SHAPE, Scene, ball, scan

from napari_fastsam3d._napari.commands import clean_up as clean_up_commands
from napari_fastsam3d._napari.commands import objects as object_commands
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Mask, SessionState


@dataclass(frozen=True)
class Picture:
    """All that a user sees of a session."""

    state: SessionState
    labels: np.ndarray
    drawn: np.ndarray
    points: list[list[float]]
    boxes: int
    rows: list[str]
    prompts: list[str]
    rule: str
    buttons: dict[str, bool]

    @classmethod
    def of(cls, scene: Scene) -> "Picture":
        view, widget = scene.view, scene.widget
        return cls(
            view.session.state,
            view.session.label_map().copy(),
            view.frame.source_view(np.asarray(view.mask.layer.data)).copy(),
            np.asarray(view.points.layer.data).tolist(),
            view.boxes.layer.nshapes,
            words(widget.objects.list),
            words(widget.prompt_list.list),
            widget.objects.overlap.currentData(),
            {key: each.isEnabled() for key, each in widget.prompts.tools.items()},
        )

    def check(self, other: "Picture", current: bool = True) -> None:
        """Fail where the objects differ, or what is seen of the current one."""
        assert self.rows == other.rows
        assert self.rule == other.rule
        assert self.state.objects == other.state.objects
        assert np.array_equal(self.labels, other.labels)
        assert np.array_equal(self.drawn, other.drawn)
        if current:
            assert self.state.current == other.state.current
            assert self.prompts == other.prompts
            assert self.points == other.points
            assert (self.boxes, self.buttons) == (other.boxes, other.buttons)


def words(rows: Any) -> list[str]:
    """The rows of a list, with what they tell beside."""
    items = [rows.item(row) for row in range(rows.count())]
    return [f"{each.text()} | {each.toolTip()}" for each in items]


def ask_amount(_parent: Any, _title: str, _about: str, kind: str, _state: Any) -> Any:
    """Answer how much is cleaned up, of all objects."""
    return (None if kind == "connected" else 3.0), True


@pytest.fixture
def scene(make_scene: Callable[..., Scene], monkeypatch: Any) -> Scene:
    """Two objects, of which the second has a point, a box and a stroke; dialogs are answered."""
    monkeypatch.setattr(object_commands, "ask_name", lambda *_: ("liver", 5))
    monkeypatch.setattr(QInputDialog, "getInt", staticmethod(lambda *_: (77, True)))
    monkeypatch.setattr(QColorDialog, "getColor", staticmethod(lambda *_: QColor("#123456")))
    monkeypatch.setattr(clean_up_commands, "ask_clean_up", ask_amount)
    scene = make_scene(scan())
    scene.click(BALL)
    scene.do("next_object")
    scene.click(OTHER)
    scene.view.run(lambda s: s.add_box((26, 32, 16), (36, 42, 26)))
    scene.view.run(lambda s: s.edit_mask(Mask.of_volume(ball((20, 28, 20), 2.0))))
    scene.settle()
    return scene


def commands(*keys: str) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        for key in keys:
            assert scene.why_not(key) is None, key
            scene.do(key)

    return do


def select(row: int, then: str) -> Callable[[Scene], None]:
    def do(scene: Scene) -> None:
        scene.widget.prompt_list.list.setCurrentRow(row)
        assert scene.why_not(then) is None
        scene.do(then)

    return do


def in_layers(act: Callable[[Any], object]) -> Callable[[Scene], None]:
    """Do something to the layers of the session, as napari's own tools do."""

    def do(scene: Scene) -> None:
        scene.work.toolbox.use("adjust")
        act(scene.view)
        scene.settle()

    return do


def rename_in_the_list(scene: Scene) -> None:
    scene.widget.objects.list.currentItem().setText("spleen")


def choose_rule(scene: Scene) -> None:
    box = scene.widget.objects.overlap
    box.setCurrentIndex(box.findData("overwrite"))


def move_point(view: Any) -> None:
    place = tuple(float(x) for x in view.frame.to_layer((30, 36, 17))[0])
    for point in view.prompts[:1]:
        view.points.moved.emit(point.id, place)


def delete_box(view: Any) -> None:
    view.boxes.layer.selected_data = set(range(view.boxes.layer.nshapes))
    view.boxes.layer.remove_selected()


def delete_point(view: Any) -> None:
    view.points.layer.selected_data = set(range(len(view.points.layer.data)))
    view.points.layer.remove_selected()


THINGS: dict[str, Callable[[Scene], object]] = {
    "a click": lambda scene: scene.click((24, 30, 20)),
    "an excluding click": lambda scene: scene.click((30, 36, 21), "exclude"),
    "a box": lambda scene: scene.view.run(lambda s: s.add_box((8, 14, 6), (20, 26, 18))),
    "a frozen region": lambda scene: scene.view.run(
        lambda s: s.freeze_region((0, 0, 0), (20, 30, 15))
    ),
    "a stroke that erases": lambda scene: scene.view.run(
        lambda s: s.edit_mask(None, Mask.of_volume(ball(OTHER, 2.0)))
    ),
    "a mask that is opened": lambda scene: scene.view.run(
        lambda s: s.add_mask(Mask.of_volume(ball((8, 40, 5), 3.0)), "opened")
    ),
    "flip": commands("flip_point"),
    "flip a selected one": select(0, "flip_point"),
    "delete a box": select(1, "delete_prompt"),
    "delete a stroke": select(2, "delete_prompt"),
    "delete a point in its layer": in_layers(delete_point),
    "delete a box in its layer": in_layers(delete_box),
    "move a point in its layer": in_layers(move_point),
    "reset": commands("reset_object"),
    "next object": commands("next_object"),
    "remove": commands("remove_object"),
    "lock": commands("lock_object"),
    "accept": commands("accept_object"),
    "name": commands("name_object"),
    "value": commands("value_object"),
    "colour": commands("colour_object"),
    "rename in the list": rename_in_the_list,
    "rule of overlap": choose_rule,
    "grow": commands("clean_grow"),
    "shrink": commands("clean_shrink"),
    "smooth": commands("clean_smooth"),
    "keep what is connected": commands("clean_connected"),
    "remove and begin anew": commands("remove_object", "next_object"),
    "two, one after the other": commands("flip_point", "lock_object"),
}


def test_whatever_is_done_is_taken_back_and_done_again(scene: Scene) -> None:
    """Each thing, from the same beginning: what is seen before, after, and on both ways."""
    before, start = Picture.of(scene), scene.session.history.cursor
    assert before.boxes == 1
    assert len(before.prompts) == 3
    for name, act in THINGS.items():
        scene.do("include")
        act(scene)
        scene.settle()
        after, end = Picture.of(scene), scene.session.history.cursor
        steps = end - start
        assert steps > 0, name
        assert (after.state.objects, after.rule) != (before.state.objects, before.rule), name
        for _ in range(steps):
            scene.do("undo")
        scene.do("include")
        Picture.of(scene).check(before)
        assert len(scene.widget.history.steps._history.entries) == end
        for _ in range(steps):
            assert scene.why_not("redo") is None, name
            scene.do("redo")
        assert scene.why_not("redo") == "There is nothing to redo."
        Picture.of(scene).check(after)
        scene.view.go_to_step(start)  # and at one stroke, as by the list of steps
        scene.settle()
        Picture.of(scene).check(before)


def test_a_walk_in_any_order_ends_where_it_began(scene: Scene) -> None:
    rng = np.random.default_rng(3)
    pictures = {scene.session.history.cursor: Picture.of(scene)}
    for name in rng.permutation([*THINGS])[:12]:
        if scene.current is None or scene.current.locked is not None:
            scene.do("object_after")
        with suppress(AssertionError):  # not enabled after what was done before
            THINGS[str(name)](scene)
        scene.settle()
        scene.do("include")
        pictures[scene.session.history.cursor] = Picture.of(scene)
    assert len(pictures) > 6
    for cursor in rng.permutation([*pictures]):
        scene.view.go_to_step(int(cursor))
        scene.settle()
        # Which object is current is no step: an undo turns to the one that it changes.
        pictures[int(cursor)].check(Picture.of(scene), current=False)
    assert scene.session.label_map().shape == SHAPE


def test_what_is_seen_alone_or_in_a_window_is_no_step(scene: Scene) -> None:
    before = Picture.of(scene)
    for key in (
        *("only_current", "only_current", "outlines", "outlines", "fainter", "stronger"),
        *("toggle_mask", "toggle_mask", "sort_objects", "sort_objects", "sort_objects"),
        *("fly_to_object", "axial", "coronal", "sagittal", "axial", "toggle_crop", "toggle_crop"),
        *("window_lung", "window_auto", "next_prompt", "previous_prompt", "exclude", "box"),
        *("brush", "pan", "include", "compact", "compact", "next_plane", "draw_diameters"),
    ):
        scene.do(key)
    after = Picture.of(scene)
    assert after.state == before.state
    assert np.array_equal(after.drawn, before.drawn)
    assert scene.session.history.cursor == len(scene.session.history.entries)


def test_undo_in_the_middle_of_a_drag_keeps_the_layers_whole(scene: Scene) -> None:
    """A point that is gone by an undo can't be moved or deleted any more."""
    view = scene.view
    scene.work.toolbox.use("adjust")
    number = view.prompts[0].id
    for _ in range(3):
        scene.do("undo")
    assert view.prompts == ()
    entries = len(scene.session.history.entries)
    view.points.moved.emit(number, (3.0, 3.0, 3.0))
    view.points.deleted.emit((number,))
    view.boxes.moved.emit(number + 1, Box((0, 0, 0), (3, 3, 3)))
    scene.settle()
    assert len(scene.session.history.entries) == entries
    assert scene.why_not("redo") is None
    for _ in range(3):
        scene.do("redo")
    assert len(view.prompts) == 3
