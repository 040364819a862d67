"""The list of steps in the real widget: every step in words, and a way to each of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt

from napari_fastsam3d._napari import session_view
from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.panels.history import Steps
from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import History, Mask, PackedMask
from napari_fastsam3d.session.object_actions import NewObject

SHAPE = (24, 28, 20)
FIRST, SECOND, THIRD = (5, 6, 7), (12, 14, 10), (18, 20, 12)
SPOT = PackedMask.of(Mask.of_indices([FIRST]))


@pytest.fixture
def widget(make_bare: Callable[..., Any], settle: Any) -> Any:
    voxels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.int16) * 100
    viewer, widget = make_bare()
    volume = Volume.from_array(voxels, np.diag([-2.0, 2.0, 3.0, 1.0]), name="scan")
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    return widget


@pytest.fixture
def worked(widget: Any, settle: Any) -> tuple[Any, list[np.ndarray]]:
    """The widget after a few steps in two objects, and the masks after each of them."""
    masks = [widget.view.mask.layer.data.copy()]

    def step(command: str, *args: Any) -> None:
        widget.view.run(lambda session: getattr(session, command)(*args))
        settle(widget)
        masks.append(widget.view.mask.layer.data.copy())

    step("add_point", FIRST)
    step("add_point", SECOND)
    step("rename_object", 1, "liver")
    step("new_object")
    step("edit_mask", Mask.of_indices([THIRD]), None)
    return widget, masks


def rows(widget: Any) -> list[str]:
    steps = widget.history.steps
    return [steps.data(steps.index(row)) for row in range(steps.rowCount())]


def greyed(widget: Any) -> list[bool]:
    steps, role = widget.history.steps, Qt.ItemDataRole.ForegroundRole
    return [steps.data(steps.index(row), role) is not None for row in range(steps.rowCount())]


def current(widget: Any) -> int:
    return int(widget.history.list.currentIndex().row())


def click(widget: Any, row: int) -> None:
    widget.history.list.clicked.emit(widget.history.steps.index(row))


def test_each_step_is_listed_in_words(worked: Any) -> None:
    widget, _ = worked
    assert rows(widget) == [
        "The scan as it was opened",
        "Point in object 1",
        "Point in object 1",
        "Renamed object 1 to liver",
        "Begun object 2",
        "Painted object 2",
    ]
    assert current(widget) == 5
    assert not any(greyed(widget))


@pytest.mark.parametrize("row", [0, 1, 2, 4])
def test_a_click_goes_back_to_a_step_and_forward_again(worked: Any, settle: Any, row: int) -> None:
    widget, masks = worked
    click(widget, row)
    settle(widget)
    assert widget.view.session.history.cursor == row == current(widget)
    assert np.array_equal(widget.view.mask.layer.data, masks[row])
    assert greyed(widget) == [False] * (row + 1) + [True] * (5 - row)
    assert len(widget.view.points.layer.data) == len(widget.view.points._marks)
    click(widget, 5)
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, masks[5])
    assert not any(greyed(widget))


def test_a_way_over_many_steps_is_drawn_once(worked: Any) -> None:
    widget, _ = worked
    drawn = []
    widget.view.state_changed.connect(drawn.append)
    click(widget, 0)
    assert len(drawn) == 1
    assert not widget.view.session.can_undo


def test_a_long_way_is_gone_in_pieces_and_ends_where_it_should(
    worked: Any, settle: Any, monkeypatch: Any
) -> None:
    widget, masks = worked
    monkeypatch.setattr(session_view, "_STRIDE", 2)
    click(widget, 0)
    assert widget.view.session.history.cursor == 3
    settle(widget)
    assert widget.view.session.history.cursor == 0
    click(widget, 5)
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, masks[5])


def test_what_the_user_does_meanwhile_ends_a_long_way(
    worked: Any, settle: Any, monkeypatch: Any
) -> None:
    widget, _ = worked
    monkeypatch.setattr(session_view, "_STRIDE", 1)
    click(widget, 0)
    widget.run("redo")
    settle(widget)
    assert widget.view.session.history.cursor == 5


def test_a_step_after_an_undo_takes_the_undone_ones_away(worked: Any, settle: Any) -> None:
    widget, _ = worked
    click(widget, 1)
    widget.view.run(lambda session: session.add_point(THIRD))
    settle(widget)
    assert rows(widget) == ["The scan as it was opened", "Point in object 1", "Point in object 1"]
    assert greyed(widget) == [False] * 3


def test_the_list_follows_undo_redo_and_the_scan(worked: Any, settle: Any) -> None:
    widget, _ = worked
    widget.run("undo")
    assert (current(widget), greyed(widget)[-1]) == (4, True)
    widget.run("redo")
    assert (current(widget), greyed(widget)[-1]) == (5, False)
    widget.viewer.layers.remove(widget.view.image)
    settle(widget)
    assert rows(widget) == ["The scan as it was opened"]


def test_the_rows_are_those_of_the_log_whatever_happens(qtmodeltester: Any) -> None:
    """Undo, redo and new steps on a long log; Qt's own tester watches the model."""
    rng, history, steps = np.random.default_rng(0), History(), Steps()
    qtmodeltester.check(steps)
    for _ in range(400):
        try:
            move = rng.random()
            if move < 0.6:
                history = history.do(NewObject(history.state.next_object))
            else:
                history = history.undo() if move < 0.85 else history.redo()
        except FastSAM3DError:
            continue
        if rng.random() < 0.05 and history.entries:
            history = history.withdraw(history.entries[0].serial)
        if rng.random() < 0.5:
            steps.show(history)
            assert steps.rowCount() == len(history.entries) + 1
            assert steps.cursor == history.cursor
    steps.show(History())
    assert steps.rowCount() == 1


def test_the_window_stays_narrow_and_scrolls(widget: Any) -> None:
    assert widget.minimumWidth() == 300
    assert widget.minimumSizeHint().width() <= 300
    for name in ("prompts", "history"):
        if not widget.sections[name].opened:
            widget.sections[name].heading.click()
    assert widget.minimumSizeHint().height() < 400


def test_both_lists_fold(widget: Any) -> None:
    prompts, history = widget.sections["prompts"], widget.sections["history"]
    assert (prompts.opened, history.opened) == (True, False)
    assert prompts.content.isVisibleTo(widget)
    assert not history.content.isVisibleTo(widget)
    history.heading.click()
    assert history.content.isVisibleTo(widget)
    history.heading.click()
    assert not history.content.isVisibleTo(widget)
