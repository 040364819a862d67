"""A worklist where not all goes well: scans that can't be read, masks in the way, choices."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QInputDialog, QPushButton
from scene import BALL, OTHER, Scene, two_balls

from napari_fastsam3d._napari.dialogs.worklist import WorklistDialog
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.session import Worklist

EDGES = np.diag([3.0, 3, 3, 1])
FOREGROUND, TOOLTIP = int(Qt.ItemDataRole.ForegroundRole), int(Qt.ItemDataRole.ToolTipRole)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two scans with one between them that is damaged."""
    home = tmp_path / "scans"
    home.mkdir()
    for name in ("a", "c"):
        nib.save(nib.Nifti1Image(two_balls(), EDGES), home / f"{name}.nii")
    (home / "b.nii").write_bytes(b"no scan at all")
    return home


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    notification_manager.records.clear()
    return make_scene()


def errors() -> list[str]:
    return [note.message for note in notification_manager.records if note.severity == "error"]


class Desk:
    """A scene that goes through a folder.

    Parameters
    ----------
    scene : Scene
    qtbot : QtBot
    folder : Path
    """

    def __init__(self, scene: Scene, qtbot: Any, folder: Path) -> None:
        self.scene, self.qtbot, self.folder = scene, qtbot, folder
        self.cases, self.masks = scene.work.cases, folder.parent / "masks"

    def begin(self, pattern: str = "{case}_mask.nii.gz") -> None:
        """Open the folder as a worklist."""
        self.cases.open(self.folder, self.masks, pattern, "*")
        self.until(lambda: not self.cases.looking and self.cases.worklist is not None)

    def until(self, arrived: Callable[[], bool]) -> None:
        """Wait for something, and for what it began."""
        self.qtbot.waitUntil(arrived, timeout=60_000)
        self.scene.settle()

    def arrive(self, name: str) -> None:
        """Wait until a case is open with its scan."""
        file = next(self.folder.glob(f"{name}.nii*"))
        self.until(
            lambda: (
                self.scene.view is not None
                and self.scene.view.frame.volume.source.path == file
                and self.cases._awaited is None
                and self.cases.current is not None
                and self.cases.current.name == name
            )
        )


@pytest.fixture
def desk(scene: Scene, qtbot: Any, folder: Path) -> Desk:
    return Desk(scene, qtbot, folder)


def test_a_case_that_can_not_be_read_is_told_left_out_and_passed_over(
    desk: Desk, scene: Scene
) -> None:
    row = scene.widget.case_row
    assert row.isHidden()  # without a worklist it takes no room
    desk.begin()
    desk.arrive("a")
    assert not row.isHidden()
    assert row.text.text() == "Case 1 of 3, 0 done: a"
    scene.do("worklist")
    dialog = scene.widget.findChild(WorklistDialog)
    scene.messages.clear()
    scene.do("next_case")
    desk.arrive("c")
    assert "b can't be read and is left out." in scene.messages
    (told,) = errors()
    assert "b.nii" in told
    assert dialog.state.text() == "3 cases, 0 done, 1 with trouble"
    rows = [dialog.rows.index(number) for number in range(3)]
    assert [dialog.rows.data(each, FOREGROUND) is None for each in rows] == [True, False, True]
    assert dialog.rows.data(rows[1], TOOLTIP) == desk.cases.problems["b"]
    assert dialog.rows.data(rows[0], TOOLTIP) == str(desk.folder / "a.nii")
    scene.do("previous_case")
    desk.arrive("a")  # and not b again
    assert len(errors()) == 1

    # Mended meanwhile and chosen in the list it opens, and its trouble is over.
    nib.save(nib.Nifti1Image(two_balls()[::-1].copy(), EDGES), desk.folder / "b.nii")
    dialog.list.setCurrentIndex(rows[1])
    dialog.go.click()
    desk.arrive("b")
    assert desk.cases.problems == {}
    assert dialog.state.text() == "3 cases, 0 done"


def test_where_no_further_case_can_be_read_the_list_stays_open(desk: Desk, scene: Scene) -> None:
    (desk.folder / "c.nii").unlink()
    desk.begin()
    desk.arrive("a")
    scene.click(BALL)
    scene.messages.clear()
    scene.do("next_case")
    desk.until(lambda: desk.cases.current is None)
    assert "b can't be read, and there is no further case." in scene.messages
    assert (desk.masks / "a_mask.nii.gz").exists()  # what was left was saved all the same
    assert scene.view is None
    assert scene.widget.case_row.text.text() == "2 cases, 0 done"
    for key in ("next_case", "previous_case", "case_done"):
        assert scene.do(key) == ["Choose a case of the worklist first (Alt+U)."]
    desk.cases.go(desk.cases.cases[0])
    desk.arrive("a")
    assert len(scene.objects) == 1


def test_a_mask_that_was_there_is_gone_on_with_and_saved_once_it_is_changed(
    desk: Desk, scene: Scene
) -> None:
    labels = np.zeros_like(two_balls(), np.uint8)
    labels[5:9, 5:9, 5:9] = 4
    desk.masks.mkdir()
    target = desk.masks / "a_mask.nii.gz"
    nib.save(nib.Nifti1Image(labels, EDGES), target)
    before = target.read_bytes()
    desk.begin()
    desk.arrive("a")
    desk.until(lambda: len(scene.objects) == 1)
    assert "a_mask.nii.gz was there already; go on with it." in scene.messages
    assert np.array_equal(scene.session.label_map(), labels)
    scene.do("case_done")
    desk.arrive("c")
    assert target.read_bytes() == before  # looked at alone, it is not written
    scene.do("previous_case")
    desk.arrive("a")
    assert scene.widget.case_row.text.text() == "✓ Case 1 of 3, 1 done: a"
    desk.until(lambda: len(scene.objects) == 1)
    scene.do("next_object")
    scene.click(OTHER)
    scene.do("next_case")
    desk.arrive("c")
    saved = read_volume(target).voxels
    assert np.array_equal(saved == 4, labels == 4)
    assert saved[OTHER] not in (0, 4)


def test_a_file_that_came_in_the_way_is_kept_and_the_case_is_not_done(
    desk: Desk, scene: Scene
) -> None:
    desk.begin()
    desk.arrive("a")
    scene.click(BALL)
    desk.masks.mkdir(exist_ok=True)
    target = desk.masks / "a_mask.nii.gz"
    target.write_bytes(b"another's")
    scene.do("case_done")
    desk.arrive("c")
    assert target.read_bytes() == b"another's"
    (told,) = [each for each in errors() if "a_mask.nii.gz" in each]
    assert "it was kept" in told
    assert "another name" in told
    assert desk.cases.problems["a"] == told
    assert not desk.cases.worklist.is_done(desk.cases.cases[0])


def test_of_a_scan_of_several_volumes_one_is_asked_for_and_remembered(
    desk: Desk, scene: Scene, monkeypatch: Any, make_scene: Callable[..., Scene]
) -> None:
    several = np.stack([two_balls(), two_balls()[::-1]], axis=-1)
    (desk.folder / "b.nii").unlink()
    nib.save(nib.Nifti1Image(several, EDGES), desk.folder / "b.nii")
    asked: list[list[str]] = []
    taken = False

    def choose(_p: Any, _t: str, _q: str, labels: list[str], *_: Any) -> tuple[str, bool]:
        asked.append(labels)
        return labels[1], taken

    monkeypatch.setattr(QInputDialog, "getItem", staticmethod(choose))
    desk.begin()
    desk.arrive("a")
    scene.do("next_case")
    desk.until(lambda: desk.cases.current is None)
    assert asked == [["volume 1 of 2", "volume 2 of 2"]]
    assert "No volume of b was chosen." in scene.messages
    taken = True
    desk.cases.go(desk.cases.cases[1])
    desk.arrive("b")
    assert scene.view.frame.volume.source.frame == 1
    scene.do("next_case")
    desk.arrive("c")
    scene.do("previous_case")
    desk.arrive("b")
    assert len(asked) == 2  # the choice is known
    assert scene.view.frame.volume.source.frame == 1

    # Another window goes on where this one stopped.
    scene.close()
    other = Desk(make_scene(), desk.qtbot, desk.folder)
    other.begin()
    other.arrive("b")
    assert other.scene.view.frame.volume.source.frame == 1
    assert len(asked) == 2


@pytest.mark.parametrize("busy", [False, True], ids=["at once", "after other files"])
def test_closing_the_window_saves_the_case_that_is_open(
    desk: Desk, scene: Scene, busy: bool
) -> None:
    desk.begin()
    desk.arrive("a")
    scene.click(BALL)
    scene.click(OTHER)
    scene.settle()
    labels = scene.session.label_map().copy()
    if busy:
        scene.work.tasks.executor.submit(time.sleep, 1)
    scene.close()
    assert np.array_equal(read_volume(desk.masks / "a_mask.nii.gz").voxels, labels)
    assert Worklist(desk.folder, desk.masks).progress.current == "a"


def test_what_is_no_worklist_is_said_with_the_remedy(
    desk: Desk, scene: Scene, tmp_path: Path
) -> None:
    scene.do("worklist")
    dialog = scene.widget.findChild(WorklistDialog)
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, pattern, told in (
        (tmp_path / "nowhere", "{case}.nii.gz", "There is no folder"),
        (desk.folder, "mask.nii.gz", "names no mask"),
    ):
        notification_manager.records.clear()
        dialog.folder.setText(str(folder))
        dialog.pattern.setText(pattern)
        dialog.begin.click()
        desk.until(lambda: bool(errors()))
        assert told in errors()[0]
        assert desk.cases.worklist is None
        assert dialog.list.isHidden()
    dialog.folder.setText(str(empty))
    dialog.pattern.setText("{case}.mha")
    scene.messages.clear()
    dialog.begin.click()
    desk.until(lambda: desk.cases.worklist is not None and not desk.cases.looking)
    assert scene.messages == ["No scan was found."]
    assert dialog.state.text() == "0 cases, 0 done"


def test_folders_are_chosen_by_their_buttons(
    scene: Scene, tmp_path: Path, monkeypatch: Any
) -> None:
    scene.do("worklist")
    dialog = scene.widget.findChild(WorklistDialog)
    buttons = [each for each in dialog.findChildren(QPushButton) if each.text() == "Choose..."]
    shown: list[tuple[str, str]] = []
    chosen = ""

    def ask(_parent: Any, title: str, begun: str) -> str:
        shown.append((title, begun))
        return chosen

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", staticmethod(ask))
    dialog.folder.setText("before")
    for button in buttons:
        button.click()
    assert (dialog.folder.text(), dialog.output.text()) == ("before", "")
    chosen = str(tmp_path)
    for button in buttons:
        button.click()
    assert dialog.folder.text() == dialog.output.text() == chosen
    assert [title for title, _ in shown] == ["Folder of scans", "Folder of masks"] * 2
    assert shown[0] == ("Folder of scans", "before")
