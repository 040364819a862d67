"""What takes long in the window blocks nothing, says how far it is, and can be stopped."""

import gc
import re
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.dialogs import scan_chooser
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import ModelThread

INSIDE, BESIDE = (6, 6, 5), (2, 12, 5)


def block(offset: int = 0) -> Volume:
    voxels = np.zeros((20, 24, 16), np.int16)
    voxels[4:9, 4:9, 4:8] = 300 + offset
    return Volume.from_array(voxels, np.diag([-2.0, -2.0, 2.0, 1.0]), name=f"block {offset}")


@pytest.fixture
def opened(make_widget: Callable[..., Any], settle: Any) -> tuple[Any, Any]:
    viewer, widget = make_widget()
    viewer.add_layer(Layer.create(*image_layer_data(block())))
    settle(widget)
    notification_manager.records.clear()
    return viewer, widget


def click(widget: Any, index: tuple[int, int, int] = INSIDE) -> None:
    widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])


def shown(widget: Any) -> Any:
    return widget.view.frame.source_view(widget.view.mask.layer.data)


@pytest.fixture
def change_model(flood: Any, monkeypatch: Any) -> Callable[[Any, str], Any]:
    """Return a function that chooses another model in the window, and gives it."""
    from napari_fastsam3d._napari import model_loader

    models: list[Any] = []
    monkeypatch.setattr(model_loader, "model_thread", lambda *_, **__: ModelThread(models.pop()))

    def change(widget: Any, fingerprint: str) -> Any:
        other = type(flood)()
        other.fingerprint = fingerprint
        models.append(other)
        widget.workspace.change_model("flood", "cpu")
        return other

    return change


def test_another_model_keeps_every_step_and_makes_masks_again_on_request(
    opened: tuple[Any, Any], change_model: Any, settle: Any
) -> None:
    viewer, widget = opened
    click(widget)
    settle(widget)
    click(widget, BESIDE)
    settle(widget)
    widget.run("undo")
    settle(widget)
    view, history, before = widget.view, widget.view.session.history, shown(widget).copy()
    layers = list(viewer.layers)
    assert not widget.model.again_button.isVisibleTo(widget.model)
    other = change_model(widget, "another")
    other.tolerance = 1.0
    settle(widget)
    assert widget.view is view
    assert list(viewer.layers) == layers
    assert view.session.history == history
    assert np.array_equal(shown(widget), before)
    assert widget.model.again_button.isVisibleTo(widget.model)
    assert [button.text() for button in widget.notice.buttons] == ["Make them again"]
    widget.model.again_button.click()
    settle(widget)
    assert not widget.model.again_button.isVisibleTo(widget.model)
    assert view.session.history == history
    widget.run("redo")
    settle(widget)
    assert len(widget.view.prompts) == 2


def test_a_replaced_model_is_freed(
    opened: tuple[Any, Any], change_model: Any, settle: Any, qtbot: Any
) -> None:
    _, widget = opened
    click(widget)
    settle(widget)
    first = weakref.ref(change_model(widget, "first"))
    settle(widget)
    click(widget, BESIDE)
    settle(widget)
    threads = threading.active_count()
    for number in range(3):
        change_model(widget, str(number))
        settle(widget)
    qtbot.waitUntil(lambda: threading.active_count() <= threads, timeout=30_000)
    gc.collect()
    assert first() is None
    assert len(widget.workspace.cleanup._callbacks) < 12


def test_a_scan_that_was_closed_can_be_opened_at_once_again(
    opened: tuple[Any, Any], settle: Any, qtbot: Any
) -> None:
    viewer, widget = opened
    click(widget)
    settle(widget)
    for _ in range(3):
        viewer.layers.remove(widget.view.image)
        viewer.add_layer(Layer.create(*image_layer_data(block())))
        settle(widget)
        qtbot.waitUntil(lambda: widget.view.journal.offer is not None, timeout=30_000)
    assert not any("Another window" in each.message for each in notification_manager.records)


def test_a_long_replay_says_how_far_it_is_and_can_be_cancelled(
    opened: tuple[Any, Any], flood: Any, settle: Any, qtbot: Any, monkeypatch: Any
) -> None:
    _, widget = opened
    for n in range(7):
        click(widget, (4 + n % 5, 4 + n // 5, 5))
        settle(widget)
    before, begun, gate = shown(widget).copy(), Event(), Event()
    segment, asked = type(flood).segment, []

    def slowly(*arguments: Any) -> Any:
        asked.append(1)
        if len(asked) == 3:
            begun.set()
            gate.wait(60)
        return segment(*arguments)

    monkeypatch.setattr(type(flood), "segment", slowly)
    widget.view.run(lambda session: session.delete_prompt(widget.view.prompts[0].id))
    qtbot.waitUntil(begun.is_set, timeout=60_000)
    qtbot.waitUntil(lambda: widget.status.cancel.isVisibleTo(widget.status), timeout=60_000)
    assert re.match(r"Making the mask again, \d of 6", widget.status.now.text())
    widget.status.cancel.click()
    gate.set()
    settle(widget)
    assert len(widget.view.prompts) == 7
    assert len(asked) == 3
    assert np.array_equal(shown(widget), before)
    assert not widget.status.cancel.isVisibleTo(widget.status)
    assert [each.message for each in notification_manager.records] == []


def test_the_menu_s_open_scan_reads_beside_the_window(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    viewer, widget = make_widget()
    settle(widget)
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(block().voxels, np.diag([2, 2, 2, 1])), path)
    gate, reading, read = Event(), Event(), scan_chooser.read_part

    def slowly(*arguments: Any) -> Any:
        reading.set()
        assert gate.wait(60)
        return read(*arguments)

    monkeypatch.setattr(scan_chooser, "read_part", slowly)
    monkeypatch.setattr(scan_chooser, "ask_file", lambda _: path)
    scan_chooser.open_scan(viewer)
    qtbot.waitUntil(reading.is_set, timeout=60_000)
    assert len(viewer.layers) == 0
    gate.set()
    qtbot.waitUntil(lambda: len(viewer.layers) > 0, timeout=60_000)
    settle(widget)
    assert widget.view is not None
    monkeypatch.setattr(scan_chooser, "ask_file", lambda _: tmp_path / "absent.nii.gz")
    notification_manager.records.clear()
    scan_chooser.open_scan(viewer)
    qtbot.waitUntil(lambda: bool(notification_manager.records), timeout=60_000)


def test_saving_says_which_objects_are_empty_and_offers_a_way(
    opened: tuple[Any, Any], settle: Any, qtbot: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from napari_fastsam3d._napari.commands import files

    _, widget = opened
    click(widget)
    settle(widget)
    widget.run("next_object")
    settle(widget)
    click(widget)
    settle(widget)
    assert widget.view.session.empty_objects() == [2]
    monkeypatch.setattr(files, "ask_path", lambda *_: tmp_path / "mask.nii.gz")
    widget.run("save_mask")
    qtbot.waitUntil(lambda: "is empty" in widget.notice.text.text(), timeout=60_000)
    qtbot.waitUntil((tmp_path / "mask.nii.gz").exists, timeout=60_000)
    assert any("object 2" in each.message for each in notification_manager.records)
    names = [button.text() for button in widget.notice.buttons]
    assert names == ["Show object 2", "Newer objects win"]
    widget.notice.buttons[1].click()
    settle(widget)
    assert widget.view.session.empty_objects() != [2]
