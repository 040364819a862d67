"""Whatever the user does, in whatever order: no error, and layers show what the session says.

``WINDOW_ACTIONS=1000`` does that many things instead of a few, in a window where there is one,
with the seeds of ``WINDOW_SEEDS`` (such as 7,8), and tells how long the event loop stood still.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from user import User
from watchdog import Watchdog

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.layers.outline import outline
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import BoxPrompt, Freeze, Point, Session

ACTIONS = int(os.environ.get("WINDOW_ACTIONS", "75"))
SEEDS = [int(seed) for seed in os.environ.get("WINDOW_SEEDS", "0,1").split(",")]
BATCH = 25
SHAPE = (24, 28, 20)


def _scan(seed: int) -> Volume:
    voxels = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.int16) * 100
    return Volume.from_array(voxels, np.diag([-2.0, 2.0, 3.0, 1.0]), name="scan")


@pytest.mark.parametrize("seed", SEEDS)
def test_any_order(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any, flood: Any, seed: int
) -> None:
    volume = _scan(seed)
    viewer, widget = make_widget(show=ACTIONS >= 1000)
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(widget)
    notification_manager.records.clear()
    user = User(viewer, widget, seed)
    session = widget.view.session
    with Watchdog() as watchdog:
        for step in range(ACTIONS):
            user.act()
            if user.random(0.5):
                qtbot.wait(2)
            if step % BATCH == BATCH - 1:
                settle(widget)
                assert_shows_the_session(viewer, widget, user)
                watchdog.tick()
    settle(widget)
    assert widget.view.session is session
    _tell(seed, watchdog)
    viewer.layers.remove(widget.view.image)
    settle(widget)
    assert_comes_back(session, Session(volume, model=flood, journal=True))


def assert_shows_the_session(viewer: Any, widget: Any, user: User) -> None:
    told, view = "\n".join(user.done[-BATCH:]), widget.view
    state = view.session.state
    shown = view.frame.source_view(view.mask.layer.data)
    assert np.array_equal(shown, view.session.label_map()), told
    points = [p for p in view.prompts if isinstance(p, Point)]
    expected = view.frame.to_layer([p.index for p in points]) if points else np.empty((0, 3))
    assert np.array_equal(view.points.layer.data, expected), told
    if view.boxes.layer.visible:
        assert_shows_the_boxes(view, told)
    rows = [widget.objects.list.item(row) for row in range(widget.objects.list.count())]
    assert len(rows) == len(state.objects), told
    assert all(row.text().startswith(o.name) for row, o in zip(rows, state.objects, strict=True))
    assert widget.prompts.undo.isEnabled() == view.session.can_undo
    assert widget.prompts.redo.isEnabled() == view.session.can_redo
    held = [key for key, button in widget.prompts.tools.items() if button.isChecked()]
    assert held == [widget.workspace.toolbox.tool or "pan"], told
    if view.mask.layer.mode == "paint" and view.mask.layer.selected_label:
        own = view.current.value if view.current else state.free_value(state.next_object)
        assert view.mask.layer.selected_label == own, told
    assert all(layer in viewer.layers for layer in view.layers), told
    assert_lists_the_session(widget, told)
    refused = [each.message for each in notification_manager.records]
    assert [message for message in refused if "is locked" not in message] == [], told


def assert_lists_the_session(widget: Any, told: str) -> None:
    view = widget.view
    assert widget.prompt_list.list.count() == len(view.prompts), told
    assert set(view.selection.ids) <= {prompt.id for prompt in view.prompts}, told
    chosen = {view.prompts[index.row()].id for index in widget.prompt_list.list.selectedIndexes()}
    assert chosen == set(view.selection.ids), told
    history, steps = view.session.history, widget.history.steps
    assert (steps.rowCount(), steps.cursor) == (len(history.entries) + 1, history.cursor), told
    assert all(steps.data(steps.index(row)) for row in range(steps.rowCount())), told


def assert_shows_the_boxes(view: Any, told: str) -> None:
    boxes = [
        view.frame.box_to_layer(prompt.box)
        for prompt in view.prompts
        if isinstance(prompt, BoxPrompt | Freeze)
    ]
    faces = [face for box in boxes for face in outline(box, view.navigation.plane())]
    assert len(view.boxes.layer.data) == len(faces), told
    assert all(map(np.array_equal, view.boxes.layer.data, faces)), told


def assert_comes_back(session: Session, reopened: Session) -> None:
    """The journal of a session that was closed holds all that it showed."""
    logs = [
        [(entry.serial, entry.action, entry.state.objects) for entry in each.history.entries]
        for each in (reopened, session)
    ]
    assert logs[0] == logs[1]
    assert reopened.state.objects == session.state.objects
    assert np.array_equal(reopened.label_map(), session.label_map())
    reopened.close()


def _tell(seed: int, watchdog: Watchdog) -> None:
    ours = [each for each in watchdog.freezes if each.by_us]
    busy = [each for each in watchdog.freezes if each.processor > 0.2]
    print(
        f"\nseed {seed}: {ACTIONS} actions, {len(watchdog.freezes)} gaps, {len(ours)} by us; "
        f"{len(busy)} by processor time, {len([each for each in busy if each.by_us])} by us"
    )
    for each in sorted(watchdog.freezes, key=lambda freeze: -freeze.processor)[:12]:
        print("  ours " if each.by_us else "  napari's", each)
