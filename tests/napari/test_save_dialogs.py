"""Where files go: names that are offered, suffixes, and what is asked before one is replaced."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from qtpy.QtWidgets import QFileDialog, QMessageBox
from scene import BALL, OTHER, Scene, two_balls

from napari_fastsam3d._napari.dialogs.mask_saver import (
    FILTER,
    ask_path,
    may_replace,
    unless_kept,
    with_suffix,
)
from napari_fastsam3d.geometry import Volume, read_volume

YES, NO = QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No
KINDS = dict(zip(("nifti", "nrrd", "mha", "seg", "dicom"), FILTER.split(";;"), strict=True))


class Answers:
    """What the user answers to dialogs, and what was asked.

    Parameters
    ----------
    monkeypatch : pytest.MonkeyPatch
    """

    def __init__(self, monkeypatch: Any) -> None:
        self.path, self.kind, self.replace = "", "", NO
        self.offered: list[str] = []
        self.questions: list[str] = []
        self.kinds: list[str] = []

        def save_name(_parent: Any, _title: str, offered: str, kinds: str, **_: Any) -> Any:
            self.offered.append(offered)
            self.kinds.append(kinds)
            return str(self.path), self.kind

        def question(_parent: Any, _title: str, text: str) -> QMessageBox.StandardButton:
            self.questions.append(text)
            return self.replace

        monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(save_name))
        monkeypatch.setattr(QMessageBox, "question", staticmethod(question))


@pytest.fixture
def answers(monkeypatch: Any) -> Answers:
    return Answers(monkeypatch)


@pytest.mark.parametrize(
    ("typed", "kind", "named"),
    [
        ("liver", "nifti", "liver.nii.gz"),
        ("liver.nii", "nifti", "liver.nii"),
        ("liver.nii.gz", "nrrd", "liver.nrrd"),
        ("liver", "mha", "liver.mha"),
        ("liver.mha", "nifti", "liver.mha"),  # what was typed goes before the kind that is preset
        ("liver.nrrd", "seg", "liver.seg.nrrd"),
        ("liver.seg.nrrd", "seg", "liver.seg.nrrd"),
        ("liver.seg.nrrd", "nrrd", "liver.nrrd"),
        ("liver.v2", "nifti", "liver.v2.nii.gz"),
        ("LIVER.NII.GZ", "nifti", "LIVER.NII.GZ"),
        ("liver", "dicom", "liver.dcm"),
    ],
)
def test_a_name_gets_the_suffix_of_its_kind(typed: str, kind: str, named: str) -> None:
    assert with_suffix(Path("/masks") / typed, KINDS[kind]) == Path("/masks") / named


def test_only_files_that_would_be_lost_are_asked_about(answers: Answers, tmp_path: Path) -> None:
    there, also, not_there = (tmp_path / name for name in ("a.nrrd", "b.nrrd", "c.nrrd"))
    for path in (there, also):
        path.write_bytes(b"mask")
    assert may_replace(None, [])
    assert may_replace(None, [not_there])
    assert answers.questions == []
    assert not may_replace(None, [not_there, there, also])
    assert answers.questions == ["These exist already and would be replaced: a.nrrd, b.nrrd"]
    answers.replace = YES
    assert may_replace(None, [there])

    # The system's own dialog has asked about the name that was typed in it already.
    asked = len(answers.questions)
    assert unless_kept(None, there, there) == there
    assert len(answers.questions) == asked
    assert unless_kept(None, tmp_path / "a", there) == there
    answers.replace = NO
    assert unless_kept(None, tmp_path / "a", there) is None
    assert unless_kept(None, tmp_path / "c", not_there) == not_there


def test_a_mask_is_asked_for_beside_the_scan_and_an_array_in_the_home_folder(
    answers: Answers, tmp_path: Path, monkeypatch: Any
) -> None:
    scan = tmp_path / "ct.thorax.nii.gz"
    nib.save(nib.Nifti1Image(two_balls(), np.eye(4)), scan)
    assert ask_path(None, read_volume(scan)) is None  # cancelled
    assert answers.offered.pop() == str(tmp_path / "ct.thorax_mask.nii.gz")
    monkeypatch.setattr(Path, "home", staticmethod(lambda: tmp_path / "home"))
    answers.path, answers.kind = str(tmp_path / "it"), KINDS["mha"]
    assert ask_path(None, Volume.from_array(two_balls(), name="MR brain")) == tmp_path / "it.mha"
    assert Path(answers.offered.pop()).parent == tmp_path / "home"


@pytest.fixture
def scene(make_scene: Callable[..., Scene], tmp_path: Path) -> Scene:
    """A scan from a file with two objects, and a folder for what is written."""
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(two_balls(), np.diag([3.0, 3, 3, 1])), path)
    scene = make_scene(read_volume(path))
    scene.click(BALL)
    scene.do("next_object")
    scene.click(OTHER)
    return scene


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"ct.nii.gz", "settings"}


def test_every_command_that_saves_offers_a_name_beside_the_scan(
    scene: Scene, answers: Answers, tmp_path: Path
) -> None:
    for key, ending in {
        "save_mask": "_mask.nii.gz",
        "save_each": "_mask.nii.gz",
        "save_both": "_mask.nii.gz",
        "save_meshes": "_mesh.obj",
        "save_label_table": "_labels.txt",
        "save_prompts": "_prompts.json",
        "save_report": "_report.pdf",
        "save_patient_report": "_report.pdf",
    }.items():
        assert scene.do(key) == []
        assert answers.offered.pop() == str(tmp_path / f"ct{ending}")
    assert written(tmp_path) == set()


def test_files_of_each_object_are_asked_about_by_their_own_names(
    scene: Scene, answers: Answers, tmp_path: Path
) -> None:
    answers.path = str(tmp_path / "out.nii.gz")
    for key, names in {
        "save_each": {"out_object_1.nii.gz", "out_object_2.nii.gz"},
        "save_both": {"out_object_1.nii.gz", "out_object_2.nii.gz", "out.nii.gz"},
    }.items():
        for path in tmp_path.glob("out*"):
            path.unlink()
        (said,) = scene.do(key)
        assert written(tmp_path) == names
        assert {*said.removeprefix("Saved ").removesuffix(" beside the scan.").split(", ")} == names

        # Written once more: each of them is asked about, and kept.
        marks = dict.fromkeys(names, b"another's")
        for name, mark in marks.items():
            (tmp_path / name).write_bytes(mark)
        assert scene.do(key) == []
        (question,) = answers.questions
        answers.questions.clear()
        assert {*question.split(": ")[1].split(", ")} == names
        assert {name: (tmp_path / name).read_bytes() for name in names} == marks
        answers.replace = YES
        scene.do(key)
        answers.questions.clear()
        assert all((tmp_path / name).read_bytes() != mark for name, mark in marks.items())
        answers.replace = NO


def test_surfaces_are_one_file_or_one_for_each_object(
    scene: Scene, answers: Answers, tmp_path: Path
) -> None:
    one, each = answers.kinds, "A file for each object (*.stl)"
    answers.path = str(tmp_path / "it")
    scene.do("save_meshes")
    assert written(tmp_path) == {"it.obj"}
    assert each in one[-1]
    answers.kind = each
    scene.do("save_meshes")
    stl = written(tmp_path) - {"it.obj"}
    assert len(stl) == 2
    assert all(name.endswith(".stl") for name in stl)
    before = {name: (tmp_path / name).read_bytes() for name in stl}
    assert scene.do("save_meshes") == []
    assert all(name in answers.questions[-1] for name in stl)
    assert {name: (tmp_path / name).read_bytes() for name in stl} == before


def test_a_page_is_a_picture_or_a_pdf_by_its_name(
    scene: Scene, answers: Answers, tmp_path: Path
) -> None:
    answers.path = str(tmp_path / "page.png")
    assert scene.do("save_report") == ["Saved page.png beside the scan."]
    with Image.open(tmp_path / "page.png") as page:
        assert min(page.size) > 300
    elsewhere = tmp_path / "far"
    elsewhere.mkdir()
    answers.path = str(elsewhere / "page")
    assert scene.do("save_patient_report") == [f"Saved {elsewhere / 'page.pdf'}."]
    assert (elsewhere / "page.pdf").read_bytes().startswith(b"%PDF")


def test_what_can_not_be_written_is_said_and_nothing_is_lost(
    scene: Scene, answers: Answers, tmp_path: Path
) -> None:
    answers.path = str(tmp_path / "no such folder" / "it.nii.gz")
    failed: list[str] = []
    scene.work.tasks.failed.connect(failed.append)
    labels = scene.session.label_map().copy()
    assert scene.do("save_mask") == []
    assert failed == ["Nothing was saved."]
    assert scene.widget.status.now.text() == "Nothing was saved."
    assert np.array_equal(scene.session.label_map(), labels)
    assert written(tmp_path) == set()
    answers.path = str(tmp_path / "it.nii.gz")
    scene.do("save_mask")
    assert np.array_equal(read_volume(tmp_path / "it.nii.gz").voxels, labels)
