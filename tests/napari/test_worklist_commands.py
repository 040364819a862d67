"""The worklist by its commands and its dialog: its ends, ticks, and what is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt
from scene import BALL, Scene, two_balls

from napari_fastsam3d._napari.dialogs.worklist import WorklistDialog
from napari_fastsam3d.geometry import read_volume

TICK = int(Qt.ItemDataRole.CheckStateRole)
NAMES = ("ct2", "ct10", "Übung")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "scans"
    home.mkdir()
    for name in NAMES:
        nib.save(nib.Nifti1Image(two_balls(), np.diag([3.0, 3, 3, 1])), home / f"{name}.nii.gz")
    return home


@pytest.fixture
def scene(make_bare: Callable[..., Any], settle: Any) -> Scene:
    return Scene(make_bare()[1], settle)


def names(dialog: WorklistDialog) -> list[str]:
    return [dialog.rows.case(row).name for row in range(dialog.rows.rowCount())]


def test_cases_are_gone_through_ticked_and_found(scene: Scene, folder: Path, qtbot: Any) -> None:
    cases, masks = scene.work.cases, folder.parent / "masks"

    def arrived(name: str) -> None:
        qtbot.waitUntil(
            lambda: (
                cases.current is not None
                and cases.current.name == name
                and scene.view is not None
                and scene.view.frame.volume.source.path == folder / f"{name}.nii.gz"
            ),
            timeout=60_000,
        )
        scene.settle()

    scene.do("worklist")
    dialog = scene.widget.findChild(WorklistDialog)
    scene.do("worklist")  # the one that is open
    assert scene.widget.findChildren(WorklistDialog) == [dialog]
    dialog.begin.click()
    assert dialog.state.text() == "Choose a folder of scans first."
    dialog.folder.setText(str(folder))
    dialog.output.setText(str(masks))
    dialog.begin.click()
    arrived("ct2")
    qtbot.waitUntil(lambda: dialog.state.text() == "3 cases, 0 done", timeout=60_000)
    assert names(dialog) == [*NAMES]
    assert scene.do("previous_case") == ["There is no case before this one."]

    # The masks of a case are written when it is left.
    scene.click(BALL)
    labels = scene.session.label_map()
    scene.do("next_case")
    arrived("ct10")
    (written,) = masks.glob("ct2*.nii.gz")
    assert np.array_equal(read_volume(written).voxels, labels)
    assert not [*masks.glob("ct10*.nii.gz")]
    scene.do("previous_case")
    arrived("ct2")
    assert np.array_equal(scene.session.label_map(), labels)  # as they were left

    # Done cases are ticked and passed over; the last says so.
    scene.do("case_done")
    arrived("ct10")
    assert dialog.state.text() == "3 cases, 1 done"
    ticks = [dialog.rows.data(dialog.rows.index(row), TICK) for row in range(3)]
    assert ticks == [Qt.CheckState.Checked, Qt.CheckState.Unchecked, Qt.CheckState.Unchecked]
    dialog.rows.setData(dialog.rows.index(2), Qt.CheckState.Checked.value, TICK)
    assert scene.do("case_done")[-1] == "That was the last case: all are done."
    assert dialog.state.text() == "3 cases, 3 done"
    assert not dialog.rows.setData(dialog.rows.index(2), "renamed")  # a name can't be changed

    # A filter finds by any part of a name, whatever its capitals.
    for typed, found in (("ÜBUNG", ["Übung"]), ("CT", ["ct2", "ct10"]), ("x", []), ("", NAMES)):
        dialog.filter.setText(typed)
        assert names(dialog) == [*found]
    bold = int(Qt.ItemDataRole.FontRole)
    current = [dialog.rows.data(dialog.rows.index(row), bold) is not None for row in range(3)]
    assert current == [False, True, False]
    dialog.list.activated.emit(dialog.rows.index(2))
    arrived("Übung")
    assert scene.do("next_case") == ["There is no case after this one."]
