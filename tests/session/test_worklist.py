"""A folder of scans as a list of cases: what is one, where its mask goes, and what is kept."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dicom_writer import planes, positions, save, slices
from napari_fastsam3d.errors import SaveError, SessionError
from napari_fastsam3d.geometry import read_volume
from napari_fastsam3d.session import Session, Worklist
from napari_fastsam3d.session.open_case import OpenCase
from napari_fastsam3d.session.worklist import PROGRESS


def scan(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), path)
    return path


def names(worklist: Worklist) -> list[str]:
    return [each.name for each in worklist.find()]


def test_scans_are_listed_as_people_count_and_masks_are_not(tmp_path: Path) -> None:
    for name in ("ct10.nii.gz", "ct2.nii.gz", "ct2_mask.nii.gz", "b/mr.nii", "b/mr.nrrd"):
        scan(tmp_path / name) if not name.endswith("nrrd") else (tmp_path / name).touch()
    (tmp_path / "notes.txt").write_text("no scan")
    (tmp_path / ".hidden").mkdir()
    scan(tmp_path / ".hidden" / "ct.nii.gz")
    worklist = Worklist(tmp_path)
    assert names(worklist) == ["ct2", "ct10", "b/mr.nii", "b/mr.nrrd"]
    targets = [worklist.target(each).relative_to(tmp_path) for each in worklist.find()]
    assert targets[0] == Path("ct2_mask.nii.gz")
    assert targets[2] == Path("b/mr.nii_mask.nii.gz")
    assert names(Worklist(tmp_path, scans="ct*")) == ["ct2", "ct10"]
    masks = Worklist(tmp_path, tmp_path / "b", "{case}.seg.nrrd")
    assert next(masks.target(each).name for each in masks.find()) == "ct2.seg.nrrd"
    assert names(masks) == ["ct2", "ct2_mask", "ct10"]  # and not what lies among the masks


def test_a_folder_of_dicom_slices_is_one_case(tmp_path: Path) -> None:
    save(tmp_path / "patient 1" / "series", slices(planes(4), positions(range(4))))
    scan(tmp_path / "patient 1" / "series_mask.nii.gz")
    scan(tmp_path / "patient 2.nii.gz")
    worklist = Worklist(tmp_path)
    cases = list(worklist.find())
    assert [each.name for each in cases] == ["patient 2", "patient 1/series"]
    assert worklist.target(cases[1]) == tmp_path / "patient 1" / "series_mask.nii.gz"
    assert read_volume(cases[1].path).shape


def test_no_two_cases_have_one_mask(tmp_path: Path) -> None:
    """Nor where capitals are the same, nor a folder of slices and a file beside it."""
    for name in ("CT.nii.gz", "a/Liver.nii.gz", "mr.nii.gz", "sub.nii.gz", "sub/x.nii.gz"):
        scan(tmp_path / name)
    for name in ("ct.nrrd", "a/liver.mha"):
        (tmp_path / name).touch()
    save(tmp_path / "MR", slices(planes(2), positions(range(2))))
    worklist = Worklist(tmp_path)
    cases = list(worklist.find())
    found = {each.name: each.path.relative_to(tmp_path).as_posix() for each in cases}
    assert found == {
        "CT.nii.gz": "CT.nii.gz",
        "ct.nrrd": "ct.nrrd",
        "mr.nii.gz": "mr.nii.gz",
        "MR": "MR",
        "sub": "sub.nii.gz",  # the folder of that name holds no slices
        "sub/x": "sub/x.nii.gz",
        "a/Liver.nii.gz": "a/Liver.nii.gz",
        "a/liver.mha": "a/liver.mha",
    }
    targets = {str(worklist.target(each)).lower() for each in cases}
    assert len(targets) == len(cases)
    for case in cases:  # the masks are no cases of their own
        target = worklist.target(case)
        scan(target) if not target.exists() else None
    assert {each.name for each in worklist.find()} == set(found)


def test_progress_is_found_again(tmp_path: Path) -> None:
    for number in range(3):
        scan(tmp_path / f"{number}.nii.gz")
    worklist = Worklist(tmp_path)
    first, second, third = worklist.find()
    assert worklist.next_open([first, second, third]) == first
    worklist.mark(first)
    assert worklist.next_open([first, second, third]) == second
    worklist.go_to(third)
    worklist.save()
    again = Worklist(tmp_path)
    assert again.progress == worklist.progress
    assert names(again) == ["0", "1", "2"]
    assert again.is_done(first)
    assert not again.is_done(third)
    assert again.next_open([first, second, third]) == third
    again.mark(first, False)
    assert not again.is_done(first)


def test_what_cannot_serve_is_refused(tmp_path: Path) -> None:
    for pattern in ("mask.nii.gz", "{case}.png", "../{case}.nii.gz", "/x/{case}.nii.gz"):
        with pytest.raises(SessionError):
            Worklist(tmp_path, pattern=pattern)
    with pytest.raises(SessionError, match="no folder"):
        Worklist(tmp_path / "nowhere")
    for damaged in ("{", "[]", json.dumps({"version": 1, "done": 3}), json.dumps({"version": 9})):
        (tmp_path / PROGRESS).write_text(damaged)
        with pytest.raises(SessionError, match="newer" if "9" in damaged else "damaged"):
            Worklist(tmp_path)
        assert (tmp_path / PROGRESS).read_text() == damaged


KEPT = {
    "format": "napari-fastsam3d worklist",
    "version": 1,
    "current": "b",
    "done": ["a", "c"],
    "volumes": {"a": [3, None], "b": [None, "1.2.3"]},
    "written": {"a": [12, 10**18]},
}
OTHERS = [None, True, -1.5, "x", [], [[]], [None], {}, {"a": 1}, {"a": [True, 1]}, [1, 2]]


@pytest.mark.parametrize("place", [(key,) for key in KEPT] + [("volumes", "a"), ("written", "a")])
def test_whatever_one_place_of_the_progress_holds_is_refused_or_what_it_says(tmp_path, place):
    path = tmp_path / PROGRESS
    path.write_text(json.dumps(KEPT))
    kept = Worklist(tmp_path).progress
    assert (kept.done, kept.current) == (frozenset("ac"), "b")
    assert kept.volumes == {"a": (3, None), "b": (None, "1.2.3")}
    assert kept.written == {"a": (12, 10**18)}
    for value in OTHERS:
        told = json.loads(json.dumps(KEPT))
        inside = told[place[0]] if len(place) > 1 else told
        inside[place[-1]] = value
        path.write_text(json.dumps(told))
        try:
            found = Worklist(tmp_path).progress
        except SessionError:
            assert path.read_text() == json.dumps(told)
            continue
        assert found.current is None or isinstance(found.current, str)
        assert all(isinstance(each, str) for each in found.done)
        for frame, series in found.volumes.values():
            assert frame is None or type(frame) is int
            assert series is None or isinstance(series, str)
        assert all(type(each) is int for stamp in found.written.values() for each in stamp)


def test_a_mask_is_saved_once_and_never_in_place_of_a_strangers(tmp_path: Path, model) -> None:
    for name in ("a", "b"):
        scan(tmp_path / f"{name}.nii.gz")
    worklist = Worklist(tmp_path, tmp_path / "masks")
    a, b = worklist.find()
    stranger = scan(worklist.target(b)).read_bytes()
    for case in (a, b):
        with Session(read_volume(case.path), model) as session:
            own = OpenCase(worklist, case, session)
            own.save()
            assert worklist.target(case).exists() == (case is b)  # nothing is drawn yet
            session.add_point((2, 2, 2))
            if case is b:
                with pytest.raises(SaveError, match="was there before"):
                    own.save()
                assert worklist.target(b).read_bytes() == stranger
                continue
            own.save()
            written = worklist.target(a).stat().st_mtime_ns
            own.save()
            assert worklist.target(a).stat().st_mtime_ns == written
            session.add_point((0, 0, 0), positive=False)
            own.save()
            assert worklist.target(a).stat().st_mtime_ns > written
            assert read_volume(worklist.target(a)).voxels.any()
    assert Worklist(tmp_path, tmp_path / "masks").may_write(a)
