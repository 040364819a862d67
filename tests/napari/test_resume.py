"""A scan that was worked on is opened again: the work is offered, and comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtGui import QImage

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.session import Session, earlier_sessions, sessions_folder
from napari_fastsam3d.session.journal.store import Journal

INSIDE = (20, 20, 20)


@pytest.fixture
def scan() -> Volume:
    voxels = np.zeros((48, 40, 36), np.int16)
    away = np.indices(voxels.shape) - np.reshape(INSIDE, (3, 1, 1, 1))
    voxels[(away**2).sum(axis=0) <= 8**2] = 300
    return Volume.from_array(voxels, np.diag([-3.0, -3.0, 3.0, 1.0]), name="ball")


@pytest.fixture
def open_scan(make_bare: Callable[..., Any], scan: Volume, settle: Any) -> Callable[[], Any]:
    """Return a function that opens the scan in a viewer, anew each time it is called."""
    viewer, widget = make_bare()

    def reopen() -> Any:
        for layer in list(viewer.layers):
            viewer.layers.remove(layer)
        settle(widget)
        viewer.add_layer(Layer.create(*image_layer_data(scan)))
        settle(widget)
        return widget

    return reopen


def click(widget: Any, settle: Any, index: tuple[int, ...] = INSIDE) -> np.ndarray:
    widget.workspace.toolbox.use("include")
    widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])
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
    widget.run("undo")
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


def test_a_stray_click_throws_nothing_away(open_scan: Any, settle: Any, qtbot: Any) -> None:
    before = click(open_scan(), settle)
    widget = open_scan()
    qtbot.waitUntil(lambda: offered(widget), timeout=5000)
    click(widget, settle, (3, 3, 3))
    assert widget.view.prompts[0].index == (3, 3, 3)
    assert offered(widget)
    assert "so is what you do now" in widget.banner.found.text()
    stray = widget.view
    widget.banner.go_on.click()
    qtbot.waitUntil(lambda: widget.view is not stray and widget.view.begun, timeout=60_000)
    settle(widget)
    assert not offered(widget)
    assert [prompt.index for prompt in widget.view.prompts] == [INSIDE]
    assert np.array_equal(widget.view.mask.layer.data, before)
    assert len([layer for layer in widget.viewer.layers if layer.name == "Segmentation"]) == 1
    listed = earlier_sessions(sessions_folder())
    assert sorted(each.objects for each in listed) == [("object 1",), ("object 1",)]


def test_a_session_without_prompts_is_not_offered(open_scan: Any, settle: Any, qtbot: Any) -> None:
    widget = open_scan()
    click(widget, settle)
    widget.run("undo")
    settle(widget)
    widget = open_scan()
    qtbot.wait(500)
    assert not offered(widget)
    assert earlier_sessions(sessions_folder()) == []


def test_an_offer_declined_stays_in_the_list(open_scan: Any, settle: Any, qtbot: Any) -> None:
    before = click(open_scan(), settle)
    widget = open_scan()
    qtbot.waitUntil(lambda: offered(widget), timeout=5000)
    widget.banner.afresh.click()
    assert not offered(widget)
    click(widget, settle, (3, 3, 3))
    (kept,) = listed(widget, qtbot)
    assert kept.objects == ("object 1",)
    stray = widget.view
    widget.workspace.earlier.dialog.resume.click()
    qtbot.waitUntil(lambda: widget.view is not stray and widget.view.begun, timeout=60_000)
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, before)


def test_a_session_on_another_scan_opens_it_from_its_file(
    open_scan: Any, settle: Any, qtbot: Any, tmp_path: Path
) -> None:
    widget = open_scan()
    other = np.zeros((30, 30, 30), np.int16)
    other[8:20, 8:20, 8:20] = 200
    path = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image(other, np.diag([2.0, 2.0, 2.0, 1.0])), path)
    widget.workspace.add_scan(read_volume(path))
    settle(widget)
    mask = click(widget, settle, (12, 12, 12))
    qtbot.wait(1300)  # the picture is kept when the view has been still for a second
    widget.viewer.layers.remove(widget.view.image)
    qtbot.waitUntil(lambda: widget.view is not None and widget.view.image.name == "ball")
    settle(widget)
    (kept,) = listed(widget, qtbot)
    assert (kept.scan, kept.source) == ("other", path)
    picture = QImage.fromData(kept.picture)
    assert max(picture.width(), picture.height()) == 96
    widget.workspace.earlier.dialog.resume.click()
    qtbot.waitUntil(lambda: widget.view.image.name == "other" and widget.view.begun, timeout=60_000)
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, mask)


def test_a_file_that_changed_since_is_refused(
    open_scan: Any, settle: Any, qtbot: Any, tmp_path: Path
) -> None:
    path = tmp_path / "other.nii.gz"
    for value in (200, 300):
        other = np.full((20, 20, 20), value, np.int16)
        nib.save(nib.Nifti1Image(other, np.eye(4)), path)
        if value == 200:
            with Session(
                read_volume(path), model=open_scan().workspace.loader.thread, journal=True
            ) as made:
                made.add_point((10, 10, 10))
    widget = open_scan()
    (kept,) = listed(widget, qtbot)
    notification_manager.records.clear()
    widget.workspace.earlier.resume(kept)
    qtbot.waitUntil(lambda: bool(notification_manager.records), timeout=5000)
    assert "is not the scan of that session" in notification_manager.records[0].message
    assert listed(widget, qtbot) == [kept]


def listed(widget: Any, qtbot: Any) -> list[Any]:
    """The rows of the list of earlier sessions."""
    widget.run("earlier_sessions")
    qtbot.wait(100)
    qtbot.waitUntil(lambda: widget.workspace.earlier.dialog.list.count() > 0, timeout=60_000)
    return list(widget.workspace.earlier.dialog._sessions)


def test_a_journal_that_another_session_keeps_is_told_once(
    make_bare: Any, flood: Any, scan: Volume, settle: Any, qtbot: Any
) -> None:
    notification_manager.records.clear()
    with Session(scan, model=flood, journal=True) as elsewhere:
        elsewhere.add_point(INSIDE)
        viewer, widget = make_bare()
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
    widget.run("lock_object")
    settle(widget)
    assert widget.objects.lock.text() == "Unlock"
    assert "locked" in widget.objects.list.item(0).toolTip()
    widget.workspace.toolbox.use("exclude")
    widget.view.points.layer.add(widget.view.frame.to_layer(INSIDE)[0])
    settle(widget)
    assert np.array_equal(widget.view.mask.layer.data, before)
    assert len(widget.view.points.layer.data) == 1
    widget.run("lock_object")
    settle(widget)
    assert widget.objects.lock.text() == "Lock"
