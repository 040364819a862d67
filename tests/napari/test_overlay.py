"""A second scan over the first: which can be chosen, where it lies, and when it comes and goes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog, QInputDialog
from scene import BALL, Scene, scan, two_balls

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Volume

FINE = np.array([[0, -1.5, 0, 90], [1.5, 0, 0, 0], [0, 0, 1.5, 0], [0, 0, 0, 1.0]])


def pet(share: float = 1.0) -> Volume:
    """A scan that tells how far to the right it is, on a finer grid of other axes, in a part."""
    right = 90 - 1.5 * np.arange(60)
    voxels = np.broadcast_to(share * right[None, :, None], (40, 60, 30)).astype(np.int16)
    return Volume.from_array(voxels, FINE, name="pet")


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    notification_manager.records.clear()
    return make_scene(scan())


class Asked:
    """Answers the question for the second scan, and keeps what was offered."""

    def __init__(self, monkeypatch: Any) -> None:
        self.offered: list[str] = []
        self.answer: str | None = None
        monkeypatch.setattr(QInputDialog, "getItem", staticmethod(self._ask))

    def _ask(self, _p: Any, _t: str, _q: str, answers: list[str], *_: Any) -> tuple[str, bool]:
        self.offered = answers
        return self.answer or answers[0], self.answer is not None


@pytest.fixture
def asked(monkeypatch: Any) -> Asked:
    return Asked(monkeypatch)


def seen(scene: Scene) -> tuple[str, bool, float]:
    """Which scan is looked at, and how the second one is shown."""
    over = scene.view.overlay
    return scene.work.overlay.shown(scene.view), over.visible, round(over.opacity, 2)


def test_an_open_scan_is_laid_where_its_affine_says(scene: Scene, asked: Asked) -> None:
    first = scene.view
    scene.open(pet())
    scene.widget.scan.choose(first.image)
    scene.settle()
    assert scene.view is first
    scene.do("second_scan")  # cancelled
    assert asked.offered == ["1. pet", "A file...", "A DICOM folder..."]
    assert first.overlay is None
    asked.answer = "1. pet"
    tools: list[Any] = []

    def note() -> None:
        tools.append(scene.work.toolbox.tool)

    scene.work.toolbox.changed.connect(note)
    assert scene.do("second_scan") == ["You see both scans."]
    over = first.overlay
    laid = first.frame.source_view(np.asarray(over.data))
    assert laid.shape == first.frame.volume.shape
    for i, j, k in ((2, 3, 4), (20, 10, 10), (27, 18, 12)):
        assert laid[i, j, k] == pytest.approx(3 * i, abs=1)  # mm towards right
    assert (laid[i, j, 20:] == laid.min()).all()  # where it covers nothing it is dark
    layers = list(scene.work.viewer.layers)
    assert layers.index(over) == layers.index(first.image) + 1
    assert seen(scene) == ("both", True, 0.7)
    low, high = over.contrast_limits_range
    assert low <= laid.min()
    assert high >= laid.max()
    assert tools == []  # the tool stayed in the hand
    assert over not in scene.work.images()  # and it is no scan to be segmented
    scene.click(BALL)
    assert [each.prompts[0].index for each in scene.objects] == [BALL]


def test_another_second_scan_takes_the_place_of_the_one_before(scene: Scene) -> None:
    changes: list[None] = []

    def hear() -> None:
        changes.append(None)

    scene.work.overlay.changed.connect(hear)
    for volume in (pet(), pet(0.4)):
        scene.work.overlay.lay(scene.view, lambda volume=volume: volume)
        scene.settle()
    overs = [each for each in scene.work.viewer.layers if each.name == "Over it: pet"]
    assert overs == [scene.view.overlay]
    assert scene.view.frame.source_view(np.asarray(overs[0].data))[20, 10, 10] == pytest.approx(24)
    scene.do("flicker")
    assert seen(scene) == ("second", True, 1)
    assert scene.work.windowing._layer == overs[0]
    scene.work.viewer.layers.remove(overs[0])
    scene.settle()
    assert scene.view.overlay is None
    assert scene.work.windowing._layer == scene.view.image
    assert scene.work.visibility.now.clear
    assert len(changes) >= 3


def test_a_scan_beside_this_one_or_one_that_fails_leaves_all_as_it_was(scene: Scene) -> None:
    far = pet()
    shifted = far.affine.copy()
    shifted[:3, 3] += 5000
    scene.messages.clear()
    scene.work.overlay.lay(scene.view, lambda: replace(far, affine=shifted))
    scene.settle()
    assert scene.messages == [
        "Over it: pet lies beside this scan: no voxel of one is in the other."
    ]
    failed: list[str] = []
    scene.work.tasks.failed.connect(failed.append)

    def broken() -> Volume:
        raise VolumeError("It is damaged.", "Export it again.")

    scene.work.overlay.lay(scene.view, broken)
    scene.settle()
    assert failed == ["Nothing was laid over the scan."]
    (told,) = [note.message for note in notification_manager.records]
    assert told == "It is damaged. Export it again."
    assert scene.view.overlay is None
    assert len(scene.work.images()) == 1
    for key in ("flicker", "both_scans"):
        assert scene.do(key) == ["Lay a second scan over this one first."]


def test_a_scan_closed_while_its_second_one_is_resampled_gets_none(scene: Scene) -> None:
    scene.work.overlay.lay(scene.view, pet)
    scene.work.viewer.layers.remove(scene.view.image)
    scene.settle()
    names = [layer.name for layer in scene.work.viewer.layers]
    assert "Over it: pet" not in names


def test_a_second_scan_is_seen_with_its_first_one_alone(scene: Scene) -> None:
    first = scene.view
    scene.work.overlay.lay(first, pet)
    scene.settle()
    scene.do("flicker")
    scene.open(scan("other", voxels=two_balls()[::-1].copy()))
    assert scene.view is not first
    assert not first.overlay.visible
    assert scene.do("both_scans") == ["Lay a second scan over this one first."]
    scene.widget.scan.choose(first.image)
    scene.settle()
    assert seen(scene) == ("second", True, 1)
    assert scene.do("both_scans") == ["You see both scans."]
    assert scene.do("both_scans") == [f"You see {first.image.name}."]
    assert seen(scene) == ("first", False, 0.7)
    other = next(each for each in scene.work.views.all if each is not first)
    for each in (other, first):
        scene.widget.scan.choose(each.image)
        scene.settle()
    assert seen(scene) == ("first", False, 0.7)  # it is put away still

    # Laid over a scan that is not looked at any more, it is there when that is.
    scene.messages.clear()
    scene.work.overlay.lay(other, pet)
    scene.settle()
    assert scene.messages == []
    assert other.overlay is not None
    assert not other.overlay.visible
    scene.widget.scan.choose(other.image)
    scene.settle()
    assert seen(scene) == ("both", True, 0.7)


def test_a_file_or_a_folder_is_asked_for(
    scene: Scene, asked: Asked, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "pet.nii.gz"
    frames = np.stack([pet().voxels, pet(0.5).voxels], axis=-1)
    nib.save(nib.Nifti1Image(frames, FINE), path)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", staticmethod(lambda *_: ""))
    asked.answer = "A DICOM folder..."
    scene.do("second_scan")  # thought better of it
    assert scene.view.overlay is None
    answers = ["A file...", "volume 2 of 2"]
    monkeypatch.setattr(QInputDialog, "getItem", staticmethod(lambda *_: (answers.pop(0), True)))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", staticmethod(lambda *_: (str(path), "")))
    scene.do("second_scan")
    scene.settle()
    laid = scene.view.frame.source_view(np.asarray(scene.view.overlay.data))
    assert laid[20, 10, 10] == pytest.approx(30, abs=1)  # half of 60
    (tmp_path / "bad.nii").write_bytes(b"no scan")
    failed: list[str] = []
    scene.work.tasks.failed.connect(failed.append)
    scene.work.overlay.open(scene.view, tmp_path / "bad.nii")
    scene.settle()
    assert failed == ["The scan could not be opened."]
    assert scene.view.overlay is not None  # the one that was there stays
