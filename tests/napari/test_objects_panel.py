"""What can be done with objects in the window, and the files they go to and come from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QColorDialog,
    QDialog,
    QFileDialog,
    QInputDialog,
    QMessageBox,
    QWidget,
)

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.dialogs.objects import NameDialog
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.session import Mask, ObjectState, SessionState
from napari_fastsam3d.session.commands import Commands

EXACTLY = Qt.MatchFlag.MatchExactly
SHAPE = (40, 48, 30)
BALL, OTHER = (14, 20, 12), (30, 36, 20)


def ball(centre: tuple, radius: float = 6.0) -> np.ndarray:
    grid = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(axis=0) <= radius**2


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[ball(BALL)], voxels[ball(OTHER)] = 300, 500
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(voxels, np.diag([3.0, 3.0, 3.0, 1.0])), path)
    return path


@pytest.fixture
def widget(make_bare: Callable[..., Any], scan: Path, settle: Any) -> Any:
    viewer, made = make_bare()
    viewer.add_layer(Layer.create(*image_layer_data(read_volume(scan))))
    settle(made)
    notification_manager.records.clear()
    return made


@pytest.fixture
def two(widget: Any, settle: Any) -> Any:
    """A widget with two objects of a point each; the second is current."""
    click(widget, settle, BALL)
    widget.objects.next.click()
    settle(widget)
    click(widget, settle, OTHER)
    return widget


def click(widget: Any, settle: Any, index: tuple, tool: str = "include") -> None:
    widget.workspace.toolbox.use(tool)
    widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])
    settle(widget)


def press(widget: Any, settle: Any, key: str) -> None:
    widget.run(key)
    widget.workspace.tasks.executor.submit(lambda: None).result()
    settle(widget)


def entry(menu: Any, key: str) -> Any:
    return next(each for each in menu.actions() if each.objectName() == key)


def objects(widget: Any) -> Any:
    return widget.view.session.state.objects


def answer(monkeypatch: Any, dialog: Any, asked: str, *given: Any) -> None:
    monkeypatch.setattr(dialog, asked, staticmethod(lambda *_, **__: given))


def test_an_accepted_object_is_marked_and_stays_as_it_is(two: Any, settle: Any) -> None:
    before = two.view.session.mask(2)
    two.objects.accept.click()
    settle(two)
    assert objects(two)[1].accepted
    assert two.objects.accept.text() == "Accepted"
    assert "accepted" in two.objects.list.item(1).toolTip()
    assert not two.objects.remove.isEnabled()
    assert "unlock" in two.objects.remove.toolTip()
    click(two, settle, OTHER, "exclude")
    assert np.array_equal(two.view.session.mask(2), before)
    two.objects.accept.click()
    settle(two)
    assert not objects(two)[1].accepted
    assert two.objects.remove.isEnabled()
    press(two, settle, "undo")
    assert objects(two)[1].accepted


def test_a_locked_object_can_be_accepted_but_an_empty_one_cannot(two: Any, settle: Any) -> None:
    press(two, settle, "lock_object")
    assert two.objects.accept.isEnabled()
    two.objects.accept.click()
    settle(two)
    assert objects(two)[1].accepted
    two.objects.next.click()
    settle(two)
    for key in ("lock_object", "accept_object"):
        press(two, settle, key)
        assert objects(two)[2].locked is None
        assert not objects(two)[2].accepted
    assert two.objects.remove.isEnabled()


def test_an_empty_object_that_is_locked_all_the_same_can_be_unlocked(two: Any, settle: Any) -> None:
    two.objects.next.click()
    settle(two)
    two.view.run(Commands.accept_object)
    settle(two)
    assert two.objects.lock.isEnabled()
    two.objects.lock.click()
    settle(two)
    assert objects(two)[2].locked is None


def test_a_name_may_end_as_if_it_told_of_a_lock(two: Any, settle: Any) -> None:
    two.objects.list.item(0).setText("cyst (locked)")
    settle(two)
    two.objects.list.setCurrentRow(0)
    settle(two)
    press(two, settle, "lock_object")
    assert objects(two)[0].name == two.objects.list.item(0).text() == "cyst (locked)"


def name(monkeypatch: Any, act: Callable[[NameDialog], object], accepted: bool = True) -> None:
    """Answer the next questions for a name by what `act` does to the dialog."""

    def answer(dialog: NameDialog) -> int:
        act(dialog)
        (dialog.accept if accepted else dialog.reject)()
        return dialog.result()

    monkeypatch.setattr(NameDialog, "exec", answer)


def test_an_organ_brings_its_value_where_that_is_free(
    two: Any, settle: Any, monkeypatch: Any
) -> None:
    name(monkeypatch, lambda d: d.list.setCurrentItem(d.list.findItems("liver", EXACTLY)[0]))
    press(two, settle, "name_object")
    assert (objects(two)[1].name, objects(two)[1].value) == ("liver", 5)
    assert two.view.session.label_map()[OTHER] == 5
    two.objects.list.setCurrentRow(0)
    settle(two)
    name(monkeypatch, lambda d: d.line.setText(" my lesion "))
    press(two, settle, "name_object")
    assert (objects(two)[0].name, objects(two)[0].value) == ("my lesion", 1)
    name(monkeypatch, lambda d: d.line.setText("spleen"), accepted=False)
    press(two, settle, "name_object")
    assert objects(two)[0].name == "my lesion"
    two.view.run(lambda session: session.revalue_object(1, 9))
    two.view.run(lambda session: session.revalue_object(2, 1))
    told: list[str] = []
    name(monkeypatch, lambda d: (d.line.setText("Spleen"), told.append(d.hint.text())))
    press(two, settle, "name_object")
    assert (objects(two)[0].name, objects(two)[0].value) == ("Spleen", 9)
    assert told == ["Its label value stays 9: that of spleen, 1, is taken by liver."]


@settings(deadline=None, max_examples=50)
@given(typed=st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=12))
@example("kidney")
@example("vertebra")
@example("Liver")
def test_what_was_typed_is_what_is_saved(qapp: Any, typed: str) -> None:
    parent = QWidget()
    dialog = NameDialog(parent, ObjectState(1, "object 1", 1, (1, 0, 0)), SessionState())
    dialog.show()
    dialog.line.insert(typed)  # as an input method does; QTest types no more than ASCII
    QTest.keyClick(dialog.line, Qt.Key.Key_Return)
    dialog.close()
    assert dialog.name == typed.strip()
    assert (dialog.result() == QDialog.DialogCode.Accepted) == bool(typed.strip())


def test_a_name_that_another_object_has_is_refused(two: Any, settle: Any, monkeypatch: Any) -> None:
    told: list[str] = []
    name(monkeypatch, lambda d: (d.line.setText("OBJECT 1"), told.append(d.hint.text())))
    press(two, settle, "name_object")
    assert told == ["Another object is called object 1. Choose another name."]
    assert objects(two)[1].name == "object 2"
    two.objects.list.item(1).setText("Object 1")
    settle(two)
    assert objects(two)[1].name == two.objects.list.item(1).text() == "object 2"
    assert len(notification_manager.records) == 1


@pytest.mark.gl
def test_a_name_is_typed_or_chosen_by_keys(
    open_window: Callable[..., Any], activate: Any, scan: Path, settle: Any
) -> None:
    viewer, widget, hand = open_window(read_volume(scan))
    click(widget, settle, BALL)

    def answer(typed: str, keys: tuple[Qt.Key, ...]) -> None:
        def type_it() -> None:
            dialog = QApplication.activeModalWidget()
            assert isinstance(dialog, NameDialog)
            QTest.keyClicks(QApplication.focusWidget(), typed)
            for key in keys:
                QTest.keyClick(QApplication.focusWidget(), key)

        activate(viewer)
        QTimer.singleShot(300, type_it)
        hand.key("Shift+N")
        settle(widget)

    answer("kidney", (Qt.Key.Key_Return,))
    assert (objects(widget)[0].name, objects(widget)[0].value) == ("kidney", 1)
    answer("vertebra", (Qt.Key.Key_Return,))
    assert objects(widget)[0].name == "vertebra"
    answer("kidney", (Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return))
    assert (objects(widget)[0].name, objects(widget)[0].value) == ("kidney left", 3)


def test_a_value_is_chosen_and_one_in_use_is_refused(
    two: Any, settle: Any, monkeypatch: Any
) -> None:
    answer(monkeypatch, QInputDialog, "getInt", 77, True)
    press(two, settle, "value_object")
    assert objects(two)[1].value == 77
    answer(monkeypatch, QInputDialog, "getInt", 1, True)
    press(two, settle, "value_object")
    assert objects(two)[1].value == 77
    assert len(notification_manager.records) == 1


def test_a_colour_is_chosen(two: Any, settle: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(QColorDialog, "getColor", staticmethod(lambda *_: QColor(0, 255, 0)))
    press(two, settle, "colour_object")
    assert objects(two)[1].colour == (0, 1, 0)
    assert two.view.mask.layer.get_color(2)[:3].tolist() == [0, 1, 0]
    monkeypatch.setattr(QColorDialog, "getColor", staticmethod(lambda *_: QColor()))
    press(two, settle, "colour_object")
    assert objects(two)[1].colour == (0, 1, 0)


def test_the_rule_of_overlap_is_chosen_shown_and_undone(two: Any, settle: Any) -> None:
    box = two.objects.overlap
    assert box.currentData() == "keep"
    box.setCurrentIndex(box.findData("overwrite"))
    settle(two)
    assert two.view.session.state.overlap == "overwrite"
    press(two, settle, "undo")
    assert box.currentData() == two.view.session.state.overlap == "keep"
    two.workspace.views.use(None)
    assert not box.isEnabled()


def test_without_objects_only_what_makes_sense_is_offered(widget: Any) -> None:
    panel = widget.objects
    for button in (panel.lock, panel.accept, panel.remove, panel.save, panel.about_button):
        assert not button.isEnabled()
    assert entry(panel.files, "open_mask").isEnabled()
    assert not entry(panel.files, "save_each").isEnabled()
    for key in ("name_object", "value_object", "colour_object", "accept_object", "remove_object"):
        widget.run(key)
    assert not widget.view.session.history.entries


def test_each_object_and_both_go_to_files_and_come_back(
    two: Any, settle: Any, scan: Path, monkeypatch: Any
) -> None:
    wanted = two.view.session.label_map()
    answer(monkeypatch, QFileDialog, "getSaveFileName", str(scan.parent / "out"), "")
    press(two, settle, "save_each")
    each = [scan.parent / f"out_object_{number}.nii.gz" for number in (1, 2)]
    for number, path in enumerate(each, 1):
        saved = np.asarray(nib.load(path).dataobj)
        assert np.array_equal(saved, two.view.session.mask(number))
    assert not (scan.parent / "out.nii.gz").exists()
    monkeypatch.setattr(
        QMessageBox, "question", staticmethod(lambda *_: QMessageBox.StandardButton.No)
    )
    press(two, settle, "save_both")
    assert not (scan.parent / "out.nii.gz").exists()
    monkeypatch.setattr(
        QMessageBox, "question", staticmethod(lambda *_: QMessageBox.StandardButton.Yes)
    )
    press(two, settle, "save_both")
    assert np.array_equal(np.asarray(nib.load(scan.parent / "out.nii.gz").dataobj), wanted)
    assert "beside the scan" in two.status.now.text()

    while two.view.session.can_undo:
        press(two, settle, "undo")
    answer(monkeypatch, QFileDialog, "getOpenFileName", str(scan.parent / "out.nii.gz"), "")
    press(two, settle, "open_mask")
    assert len(objects(two)) == 2
    assert np.array_equal(two.view.session.label_map(), wanted)
    assert np.array_equal(two.view.frame.orientation.source_view(two.view.mask.layer.data), wanted)


@pytest.mark.parametrize(
    ("key", "name"), [("save_mask", "out.nii.gz"), ("save_prompts", "out.json")]
)
def test_a_file_is_not_replaced_unasked_where_the_name_lacks_its_suffix(
    two: Any, settle: Any, scan: Path, monkeypatch: Any, key: str, name: str
) -> None:
    there = scan.parent / name
    there.write_bytes(b"mine")
    answer(monkeypatch, QFileDialog, "getSaveFileName", str(scan.parent / "out"), "")
    asked: list[str] = []

    def reply(button: Any) -> Any:
        return staticmethod(lambda *told: asked.append(told[2]) or button)

    monkeypatch.setattr(QMessageBox, "question", reply(QMessageBox.StandardButton.No))
    press(two, settle, key)
    assert there.read_bytes() == b"mine"
    monkeypatch.setattr(QMessageBox, "question", reply(QMessageBox.StandardButton.Yes))
    press(two, settle, key)
    assert there.read_bytes() != b"mine"
    assert len(asked) == 2
    assert all(name in question for question in asked)
    # The dialog itself asks about the very name that was chosen: once is enough.
    answer(monkeypatch, QFileDialog, "getSaveFileName", str(there), "")
    press(two, settle, key)
    assert len(asked) == 2


def test_a_mask_of_another_grid_is_refused_and_nothing_is_lost(
    two: Any, settle: Any, scan: Path, monkeypatch: Any
) -> None:
    before = two.view.session.state
    other = scan.parent / "other.nii.gz"
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5), np.uint8), np.eye(4)), other)
    answer(monkeypatch, QFileDialog, "getOpenFileName", str(other), "")
    press(two, settle, "open_mask")
    assert two.view.session.state == before
    assert len(notification_manager.records) == 1
    assert two.status.now.text() == "No mask was opened."


def test_prompts_go_to_a_file_and_make_the_same_masks_again(
    two: Any, settle: Any, scan: Path, monkeypatch: Any
) -> None:
    wanted = two.view.session.label_map()
    answer(monkeypatch, QFileDialog, "getSaveFileName", str(scan.parent / "done"), "")
    press(two, settle, "save_prompts")
    path = scan.parent / "done.json"
    assert json.loads(path.read_text())
    answer(monkeypatch, QFileDialog, "getOpenFileName", str(path), "")
    press(two, settle, "open_prompts")
    assert len(notification_manager.records) == 2  # saved; and refused: work is under way
    assert np.array_equal(two.view.session.label_map(), wanted)
    two.view.session.discard_journal().result()
    two.viewer.layers.remove(two.scan.layer)
    settle(two)
    two.viewer.add_layer(Layer.create(*image_layer_data(read_volume(scan))))
    settle(two)
    assert not objects(two)
    press(two, settle, "open_prompts")
    assert np.array_equal(two.view.session.label_map(), wanted)


def test_locked_neighbours_are_excluded_where_the_mask_runs_into_them(
    two: Any, settle: Any
) -> None:
    menu = entry(two.objects.about, "exclude_neighbours")
    assert not menu.isEnabled()
    press(two, settle, "lock_object")
    two.objects.list.setCurrentRow(0)
    settle(two)
    press(two, settle, "exclude_neighbours")
    assert len(objects(two)[0].prompts) == 1
    assert "no locked one" in str(notification_manager.records[-1].message)
    two.view.run(lambda session: session.edit_mask(Mask.of_volume(ball(OTHER, 3)), None, 1))
    settle(two)
    assert menu.isEnabled()
    before = len(objects(two)[0].prompts)
    press(two, settle, "exclude_neighbours")
    two.run("exclude_neighbours")
    two.view.run(lambda session: session.select_object(2))
    settle(two)
    assert "changed meanwhile" in str(notification_manager.records[-1].message)
    *_, told = objects(two)[0].prompts
    assert len(objects(two)[0].prompts) == before + 1
    assert not told.positive
    assert ball(OTHER, 3)[told.index]


def test_the_menus_tell_the_keys(widget: Any) -> None:
    assert entry(widget.objects.about, "name_object").text() == "Name...\tShift+N"
    assert entry(widget.objects.files, "open_mask").toolTip().startswith("Begin an object")


def test_the_menus_offer_each_thing_once(widget: Any) -> None:
    for menu in (widget.objects.about, widget.objects.files):
        keys = [each.objectName() for each in menu.actions() if each.objectName()]
        assert len(keys) == len(set(keys))
