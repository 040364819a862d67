"""Scans into layers."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QInputDialog

from napari_fastsam3d._napari.contributions import reader
from napari_fastsam3d._napari.contributions.reader import get_reader, read_layers
from napari_fastsam3d._napari.dialogs.scan_parts import Part, ask_part, parts_of
from napari_fastsam3d._napari.frame import frame_of_layer
from napari_fastsam3d.errors import VolumeError


@pytest.fixture(autouse=True)
def _no_old_messages() -> None:
    notification_manager.records.clear()


def messages() -> list[str]:
    return [note.message for note in notification_manager.records]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    data = np.arange(4 * 5 * 6 * 3, dtype=np.int16).reshape(4, 5, 6, 3)
    path = tmp_path / "series.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([2.0, 2.0, 3.0, 1.0])), path)
    return path


def test_a_scan_becomes_an_image_layer_that_remembers_it(tmp_path: Path) -> None:
    data = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(data, np.diag([-2.0, 2.0, 3.0, 1.0])), path)
    read = get_reader(str(path))
    assert read is not None
    ((voxels, arguments, kind),) = read(str(path))
    layer = Layer.create(voxels, arguments, kind)
    volume = frame_of_layer(layer).volume
    assert layer.name == "scan"
    assert np.array_equal(volume.voxels, data)
    assert volume.source.path == path


@pytest.mark.parametrize("name", ["photo.png", "stack.tif", "notes.txt"])
def test_other_files_are_left_to_other_readers(name: str) -> None:
    assert get_reader(name) is None


def test_a_folder_without_dicom_is_left_to_other_readers(tmp_path: Path) -> None:
    (tmp_path / "0.0.0").write_bytes(b"a chunk of something")
    assert get_reader(str(tmp_path)) is None


def test_a_dicom_folder_is_read(shared: Path) -> None:
    folder = str(shared / "data" / "awkward" / "dicom_ct_20slices")
    read = get_reader(folder)
    assert read is not None
    ((voxels, arguments, _),) = read(folder)
    assert 20 in voxels.shape
    assert arguments["contrast_limits"][0] < arguments["contrast_limits"][1]


def test_of_several_volumes_the_first_is_shown_where_nobody_can_be_asked(
    series: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(reader, "_has_window", lambda: False)
    ((voxels, _, _),) = read_layers(str(series))
    assert voxels.shape == (6, 5, 4)
    assert any("holds 3 volumes" in message for message in messages())


def test_of_several_volumes_the_user_chooses(series: Path, monkeypatch: Any, qtbot: Any) -> None:
    monkeypatch.setattr(reader, "_has_window", lambda: True)
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: ("volume 3 of 3", True))
    ((_, arguments, kind),) = read_layers(str(series))
    assert kind == "image"
    volume = arguments["metadata"]["napari_fastsam3d.volume"]
    assert volume.voxels[0, 0, 0] == 2


def test_choosing_none_opens_nothing(series: Path, monkeypatch: Any, qtbot: Any) -> None:
    monkeypatch.setattr(reader, "_has_window", lambda: True)
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: ("", False))
    assert read_layers(str(series)) == [(None,)]
    assert any("Open it again" in message for message in messages())


def test_two_dicom_series_are_two_parts(shared: Path) -> None:
    parts = parts_of(shared / "data" / "awkward" / "dicom_two_series")
    assert len(parts) == 2
    assert len({part.label for part in parts}) == 2
    assert all(part.series for part in parts)


def test_one_volume_asks_nothing() -> None:
    assert ask_part(None, Path("a.nii"), [Part("the volume")]) == Part("the volume")


def test_in_a_window_a_damaged_file_is_told_and_opens_nothing(
    shared: Path, monkeypatch: Any, make_napari_viewer: Any
) -> None:
    viewer = make_napari_viewer()
    monkeypatch.setattr(reader, "_has_window", lambda: True)
    viewer.open(shared / "data" / "awkward" / "truncated.nii.gz", plugin="napari-fastsam3d")
    assert len(viewer.layers) == 0
    assert len(messages()) == 1


def test_a_damaged_file_is_one_clear_error(shared: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(reader, "_has_window", lambda: False)
    for name in ("truncated.nii.gz", "corrupted.nii.gz", "lfs_pointer.nii.gz"):
        with pytest.raises(VolumeError):
            read_layers(str(shared / "data" / "awkward" / name))


def test_what_was_repaired_is_told(shared: Path) -> None:
    read_layers(str(shared / "data" / "awkward" / "no_qform_no_sform.nii.gz"))
    assert messages()
