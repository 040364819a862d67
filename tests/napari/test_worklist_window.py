"""A folder of scans gone through case by case, in a real window by mouse and key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from canvas import Hand
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_fastsam3d._napari.dialogs.worklist import WorklistDialog
from napari_fastsam3d.geometry import Mask
from napari_fastsam3d.session.worklist import Worklist

WAIT = 120_000
INSIDE = (12, 12, 10)


def folder_of_scans(folder: Path) -> Path:
    """Three blocks and a damaged file between them; the third has a mask already."""
    voxels = np.zeros((24, 28, 20), np.int16)
    for number in (1, 2, 4):
        voxels[6:18, 8:18, 6:14] = 900 + number
        nib.save(nib.Nifti1Image(voxels, np.diag([2, 2, 3, 1])), folder / f"case{number}.nii.gz")
    (folder / "case3.nii.gz").write_bytes(b"\x1f\x8b damaged")
    mask = np.zeros(voxels.shape, np.uint8)
    mask[8:10, 8:10, 8:10] = 7
    nib.save(nib.Nifti1Image(mask, np.diag([2, 2, 3, 1])), folder / "case4_mask.nii.gz")
    return folder


def voxels_of(folder: Path, name: str) -> int:
    return int(np.count_nonzero(np.asanyarray(nib.load(folder / f"{name}_mask.nii.gz").dataobj)))


@pytest.mark.gl
def test_cases_are_gone_through_and_found_again(
    make_widget: Callable[..., Any], settle: Any, qtbot: Any, tmp_path: Path
) -> None:
    folder = folder_of_scans(tmp_path)
    viewer, widget = make_widget(show=True)
    viewer.window._qt_window.resize(1000, 640)
    viewer.window._qt_window.activateWindow()
    qtbot.waitActive(viewer.window._qt_window)
    cases, hand = widget.workspace.cases, Hand(viewer)

    def shown(name: str, many: int) -> None:
        """Wait until a case is there with so many objects."""

        def there() -> bool:
            view = widget.view
            return (
                cases._going is None
                and view is not None
                and view.image.name == name
                and len(view.session.state.objects) == many
            )

        qtbot.waitUntil(there, timeout=WAIT)
        settle(widget)

    qtbot.waitUntil(viewer.window._qt_window.isActiveWindow, timeout=WAIT)
    hand.key("Alt+U")
    dialog = widget.findChild(WorklistDialog)
    dialog.folder.clear()
    QTest.keyClicks(dialog.folder, str(folder))
    QTest.mouseClick(dialog.begin, Qt.MouseButton.LeftButton)
    shown("case1", 0)
    assert dialog.rows.rowCount() == 4
    dialog.close()
    viewer.window._qt_window.activateWindow()
    qtbot.waitActive(viewer.window._qt_window)
    layer = widget.view.mask.layer
    viewer.dims.set_point((0, 1, 2), layer.data_to_world(widget.view.frame.to_layer(INSIDE)[0]))
    hand.key("Q")
    hand.click(layer.data_to_world(widget.view.frame.to_layer(INSIDE)[0]))
    settle(widget)
    found = int(widget.view.session.mask().sum())
    assert found
    # The mask is written as the case is left, which takes its layers away.
    hand.key("Ctrl+Shift+PgDown")
    shown("case2", 0)
    assert voxels_of(folder, "case1") == found
    assert not [each.name for each in viewer.layers if each.name == "case1"]
    # What can't be read is told of and left out; a mask that was there is gone on with.
    QTest.mouseClick(widget.case_row.next, Qt.MouseButton.LeftButton)
    shown("case4", 1)
    assert "case3" in cases.problems
    assert widget.view.current.value == 7
    assert "Case 4 of 4, 1 done: case4" in widget.case_row.text.text()
    widget.view.session.edit_mask(Mask.of_indices([(20, 20, 5)]))
    settle(widget)
    hand.key("Ctrl+PgUp")
    shown("case2", 0)
    assert voxels_of(folder, "case4") == 9
    # Back in a case that was begun, everything is there, with what can be undone.
    hand.key("Ctrl+PgUp")
    shown("case1", 1)
    assert int(widget.view.session.mask().sum()) == found
    assert not widget.banner.isVisible()
    hand.key("U")
    settle(widget)
    assert not widget.view.session.state.objects
    hand.key("Shift+U")
    settle(widget)
    viewer.close()
    widget.workspace.tasks.executor.shutdown()
    again = Worklist(folder)
    assert again.progress.current == "case1"
    assert again.progress.done == {"case1"}
    assert [case.name for case in again.find()] == ["case1", "case2", "case3", "case4"]
