"""A folder of scans gone through case by case: in a real window by mouse and key, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_fastsam3d._napari.dialogs.worklist import WorklistDialog
from napari_fastsam3d.geometry import Mask
from napari_fastsam3d.session.worklist import PATTERN, Worklist

WAIT = 120_000
INSIDE = (12, 12, 10)


def folder_of_scans(folder: Path) -> Path:
    """Two blocks and a damaged file between them; the second block has a mask already."""
    voxels = np.zeros((24, 28, 20), np.int16)
    for number in (1, 3):
        voxels[6:18, 8:18, 6:14] = 900 + number
        nib.save(nib.Nifti1Image(voxels, np.diag([2, 2, 3, 1])), folder / f"case{number}.nii.gz")
    (folder / "case2.nii.gz").write_bytes(b"\x1f\x8b damaged")
    mask = np.zeros(voxels.shape, np.uint8)
    mask[8:10, 8:10, 8:10] = 7
    nib.save(nib.Nifti1Image(mask, np.diag([2, 2, 3, 1])), folder / "case3_mask.nii.gz")
    return folder


def voxels_of(folder: Path, name: str) -> int:
    return int(np.count_nonzero(np.asanyarray(nib.load(folder / f"{name}_mask.nii.gz").dataobj)))


@pytest.fixture
def shown(settle: Any, qtbot: Any) -> Callable[[Any, str, int], None]:
    """Return a function that waits until a case is there with so many objects."""

    def wait(widget: Any, name: str, many: int) -> None:
        def there() -> bool:
            view = widget.view
            return (
                widget.workspace.cases._going is None
                and view is not None
                and view.image.name == name
                and len(view.session.state.objects) == many
            )

        qtbot.waitUntil(there, timeout=WAIT)
        settle(widget)

    return wait


@pytest.mark.gl
def test_cases_are_gone_through(
    open_window: Callable[..., Any], activate: Any, shown: Any, settle: Any, tmp_path: Path
) -> None:
    folder = folder_of_scans(tmp_path)
    viewer, widget, hand = open_window(size=(1000, 640))
    hand.key("Alt+U")
    dialog = widget.findChild(WorklistDialog)
    dialog.folder.clear()
    QTest.keyClicks(dialog.folder, str(folder))
    QTest.mouseClick(dialog.begin, Qt.MouseButton.LeftButton)
    shown(widget, "case1", 0)
    assert dialog.rows.rowCount() == 3
    dialog.close()
    activate(viewer)
    inside = widget.view.mask.layer.data_to_world(widget.view.frame.to_layer(INSIDE)[0])
    viewer.dims.set_point((0, 1, 2), inside)
    hand.key("Q")
    hand.click(inside)
    settle(widget)
    found = int(widget.view.session.mask().sum())
    assert found
    # The mask is written as the case is left, which takes its layers away. What can't be read
    # is told of and left out; a mask that was there is gone on with.
    hand.key("Ctrl+Shift+PgDown")
    shown(widget, "case3", 1)
    assert voxels_of(folder, "case1") == found
    assert not [each.name for each in viewer.layers if each.name == "case1"]
    assert "case2" in widget.workspace.cases.problems
    assert widget.view.current.value == 7
    assert "Case 3 of 3, 1 done: case3" in widget.case_row.text.text()


def test_a_case_that_was_begun_is_found_again(
    make_widget: Callable[..., Any], shown: Any, settle: Any, tmp_path: Path
) -> None:
    folder = folder_of_scans(tmp_path)
    viewer, widget = make_widget()
    cases = widget.workspace.cases
    cases.open(folder, None, PATTERN, "*")
    shown(widget, "case1", 0)
    widget.view.run(lambda session: session.edit_mask(Mask.of_indices([(3, 4, 5), (3, 4, 6)])))
    settle(widget)
    QTest.mouseClick(widget.case_row.next, Qt.MouseButton.LeftButton)
    shown(widget, "case3", 1)
    assert voxels_of(folder, "case1") == 2
    widget.view.session.edit_mask(Mask.of_indices([(20, 20, 5)]))
    settle(widget)
    QTest.mouseClick(widget.case_row.previous, Qt.MouseButton.LeftButton)
    shown(widget, "case1", 1)
    assert voxels_of(folder, "case3") == 9
    # Everything is there without a question, with what can be undone.
    assert int(widget.view.session.mask().sum()) == 2
    assert widget.banner.isHidden()
    widget.view.run(lambda session: session.undo())
    settle(widget)
    assert not widget.view.session.state.objects
    widget.view.run(lambda session: session.redo())
    settle(widget)
    cases.mark(cases.current, True)
    viewer.close()
    widget.workspace.tasks.executor.shutdown()
    again = Worklist(folder)
    assert again.progress.current == "case1"
    assert again.progress.done == {"case1"}
    assert [case.name for case in again.find()] == ["case1", "case2", "case3"]
