"""A scan that was worked on is opened again: the work is offered, and comes back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_fastsam3d._napari.reader import image_layer_data
from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session
from napari_fastsam3d.session.journal import Journal

INSIDE = (20, 20, 20)


@pytest.fixture
def scan() -> Volume:
    voxels = np.zeros((48, 40, 36), np.int16)
    away = np.indices(voxels.shape) - np.reshape(INSIDE, (3, 1, 1, 1))
    voxels[(away**2).sum(axis=0) <= 8**2] = 300
    return Volume.from_array(voxels, np.diag([-3.0, -3.0, 3.0, 1.0]), name="ball")


@pytest.fixture
def open_scan(make_widget: Callable[..., Any], scan: Volume, settle: Any) -> Callable[[], Any]:
    """Return a function that opens the scan in a viewer, anew each time it is called."""
    viewer, widget = make_widget()

    def reopen() -> Any:
        for layer in list(viewer.layers):
            viewer.layers.remove(layer)
        settle(widget)
        viewer.add_layer(Layer.create(*image_layer_data(scan)))
        settle(widget)
        return widget

    return reopen


def click(widget: Any, settle: Any) -> np.ndarray:
    widget.toolbox.use("include")
    widget.view.points.layer.add(widget.view.frame.to_layer(INSIDE)[0])
    settle(widget)
    return widget.view.mask.layer.data.copy()


def offered(widget: Any) -> bool:
    return not widget.banner.isHidden()


def test_work_is_offered_and_comes_back(open_scan: Any, settle: Any, qtbot: Any) -> None:
    widget = open_scan()
    assert not offered(widget)
    before = click(widget, settle)
    assert before.any()
    assert "work saved" in widget.status.facts.text()
    dims = widget.viewer.dims
    dims.set_current_step(0, 7)
    qtbot.wait(1200)  # where the user looks is noted when it has been still for a second

    widget = open_scan()
    dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: offered(widget), timeout=5000)
    assert "1 object (object 1)" in widget.banner.found.text()
    widget.banner.go_on.click()
    qtbot.waitUntil(lambda: len(widget.view.session.state.objects) == 1, timeout=5000)
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, before)
    assert len(widget.view.points.layer.data) == 1
    assert not offered(widget)
    assert dims.current_step[0] == 7
    widget.undo()
    settle(widget)
    assert not widget.view.mask.layer.data.any()


@pytest.mark.parametrize("declined", [False, True])
def test_an_offer_waits_while_another_scan_is_looked_at(
    open_scan: Any, settle: Any, qtbot: Any, declined: bool
) -> None:
    click(open_scan(), settle)
    widget = open_scan()
    qtbot.waitUntil(lambda: offered(widget), timeout=5000)
    first = widget.scan.layer
    if declined:
        widget.banner.afresh.click()
    other = Volume.from_array(np.ones((20, 20, 20), np.int16), np.eye(4), name="other")
    widget.scan.choose(widget.viewer.add_layer(Layer.create(*image_layer_data(other))))
    settle(widget)
    assert not offered(widget)
    widget.scan.choose(first)
    settle(widget)
    assert offered(widget) is not declined


def test_a_click_begins_afresh(open_scan: Any, settle: Any, qtbot: Any) -> None:
    click(open_scan(), settle)
    widget = open_scan()
    qtbot.waitUntil(lambda: offered(widget), timeout=5000)
    click(widget, settle)
    assert not offered(widget)
    assert len(widget.view.points.layer.data) == 1
    assert widget.view.offer is None


def test_a_journal_that_another_session_keeps_is_told_once(
    make_widget: Any, flood: Any, scan: Volume, settle: Any, qtbot: Any
) -> None:
    notification_manager.records.clear()
    with Session(scan, model=flood, journal=True) as elsewhere:
        elsewhere.add_point(INSIDE)
        viewer, widget = make_widget()
        viewer.add_layer(Layer.create(*image_layer_data(scan)))
        settle(widget)
        qtbot.waitUntil(lambda: "NOT SAVED" in widget.status.facts.text(), timeout=5000)
        qtbot.wait(50)
        told = [note.message for note in notification_manager.records]
        assert len([message for message in told if "journal" in message]) == 1
        assert not offered(widget)
        click(widget, settle)
        assert told[-1] in widget.status.warning.text()
        assert widget.status.warning.isVisibleTo(widget)
        assert len(notification_manager.records) == len(told)


def test_a_journal_that_fails_says_why_until_it_is_well_again(
    open_scan: Any, settle: Any, qtbot: Any, monkeypatch: Any
) -> None:
    widget = open_scan()
    notification_manager.records.clear()
    with monkeypatch.context() as full:

        def fail(*_: Any) -> None:
            raise JournalError("The disk is full.", "Make room on it.")

        full.setattr(Journal, "put_record", fail)
        for _ in range(2):
            click(widget, settle)
            qtbot.waitUntil(lambda: widget.view.session.journal_status.state == "failed")
            qtbot.wait(20)
        warned = "Work is not saved. The disk is full. Make room on it."
        assert widget.status.warning.text() == warned
        assert len(notification_manager.records) == 1
    click(widget, settle)
    qtbot.waitUntil(lambda: "work saved" in widget.status.facts.text())
    assert not widget.status.warning.isVisibleTo(widget)


def test_a_locked_object_stays_as_it_is(open_scan: Any, settle: Any) -> None:
    widget = open_scan()
    before = click(widget, settle)
    widget.verbs["lock_object"]()
    settle(widget)
    assert widget.objects.lock.text() == "Unlock"
    assert "locked" in widget.objects.list.item(0).toolTip()
    widget.toolbox.use("exclude")
    widget.view.points.layer.add(widget.view.frame.to_layer(INSIDE)[0])
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, before)
    assert len(widget.view.points.layer.data) == 1
    widget.verbs["lock_object"]()
    settle(widget)
    assert widget.objects.lock.text() == "Lock"
