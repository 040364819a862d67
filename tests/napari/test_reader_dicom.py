"""The slices of a DICOM scan become one layer, however they are brought to napari."""

import os
from pathlib import Path
from typing import Any

import imageio.v3
import numpy as np
import pytest
from napari.plugins.utils import get_preferred_reader
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from qtpy.QtWidgets import QInputDialog

from dicom_writer import SAGITTAL, enhanced, frame, planes, positions, save, slice_file, slices
from napari_fastsam3d._napari.contributions import reader
from napari_fastsam3d._napari.contributions.reader_preference import folders_come_to_us, on_activate
from napari_fastsam3d._napari.dialogs import scan_parts
from napari_fastsam3d._napari.dialogs.scan_parts import parts_of

OURS = "napari-fastsam3d"
HEIGHTS = 2.5 * np.arange(12)
PIXELS = planes(12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "scan", slices(PIXELS, HEIGHTS), suffix=".dcm")


@pytest.fixture
def reads(monkeypatch: Any) -> list[Path]:
    """The paths of all volumes that were read."""
    paths: list[Path] = []

    def counted(path: Path, **choice: Any) -> Any:
        paths.append(path)
        return true(path, **choice)

    true = scan_parts.read_volume
    monkeypatch.setattr(scan_parts, "read_volume", counted)
    return paths


def assert_the_scan(layers: Any) -> None:
    (layer,) = layers
    assert layer.data.shape == (12, 9, 7)
    assert tuple(layer.scale) == pytest.approx((2.5, 0.8, 0.7))
    # The last slice is the highest; rows run from front to back, columns from right to left.
    assert np.array_equal(np.asarray(layer.data)[::-1], PIXELS) or np.array_equal(
        np.asarray(layer.data), PIXELS
    )


@pytest.mark.parametrize("stack", [False, True])
def test_all_files_of_a_scan_give_one_layer(
    folder: Path, stack: bool, reads: list[Path], make_napari_viewer: Any
) -> None:
    viewer = make_napari_viewer()
    viewer.open(sorted(folder.iterdir()), stack=stack, plugin=OURS)
    assert_the_scan(viewer.layers)
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("prefix", "stack"),  # napari stacks no files whose names differ after the last dot
    [
        ("IM", False),
        ("IM", True),
        ("1.2.840.10008.5.", False),
        ("MR.1.3.12.2.1107.5.2.1", False),
    ],
)
def test_files_named_as_scanners_do(
    tmp_path: Path, prefix: str, stack: bool, make_napari_viewer: Any
) -> None:
    folder = save(tmp_path / "scan", slices(PIXELS, HEIGHTS), prefix)
    viewer = make_napari_viewer()
    viewer.open(sorted(folder.iterdir()), stack=stack, plugin=OURS)
    assert_the_scan(viewer.layers)


def test_a_dicomdir_opens_its_folder(folder: Path, make_napari_viewer: Any) -> None:
    directory = folder / "DICOMDIR"
    directory.write_bytes(bytes(128) + b"DICM" + bytes(100))
    viewer = make_napari_viewer()
    viewer.open(directory, plugin=OURS)
    assert_the_scan(viewer.layers)


def test_a_file_without_an_extension_that_is_no_dicom_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "LICENSE"
    path.write_text("All rights reserved. " * 20)
    assert reader.get_reader(str(path)) is None
    assert reader.get_reader(str(tmp_path / "nowhere")) is None


def test_two_scans_of_many_files_give_two_layers(
    folder: Path, tmp_path: Path, make_napari_viewer: Any
) -> None:
    other = save(tmp_path / "other", slices(planes(5), HEIGHTS[:5], series="1.9"), suffix=".dcm")
    viewer = make_napari_viewer()
    viewer.open([*folder.iterdir(), *other.iterdir()], stack=False, plugin=OURS)
    assert sorted(len(layer.data) for layer in viewer.layers) == [5, 12]


def test_a_copy_among_the_files_makes_no_second_layer(
    folder: Path, make_napari_viewer: Any
) -> None:
    (folder / "copy.dcm").write_bytes((folder / "s003.dcm").read_bytes())
    viewer = make_napari_viewer()
    viewer.open(sorted(folder.iterdir()), stack=False, plugin=OURS)
    assert_the_scan(viewer.layers)


def test_a_slice_of_an_open_scan_shows_it_again(folder: Path, make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    (scan,) = viewer.open(folder, plugin=OURS)
    viewer.add_image(np.zeros((3, 3, 3)))
    scan.visible = False
    assert viewer.open(folder / "s004.dcm", plugin=OURS) == []
    assert len(viewer.layers) == 2
    assert scan.visible
    assert viewer.layers.selection.active is scan


def test_a_removed_scan_opens_again(folder: Path, make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    viewer.open(folder / "s004.dcm", plugin=OURS)
    viewer.layers.clear()
    viewer.open(folder / "s005.dcm", plugin=OURS)
    assert_the_scan(viewer.layers)


def test_a_damaged_file_among_many_takes_nothing_away(
    folder: Path, monkeypatch: Any, make_napari_viewer: Any
) -> None:
    (folder / "t.dcm").write_bytes((folder / "s003.dcm").read_bytes()[:300])
    viewer = make_napari_viewer()
    monkeypatch.setattr(reader, "_has_window", lambda: True)
    notification_manager.records.clear()
    viewer.open(sorted(folder.iterdir()), stack=False, plugin=OURS)
    viewer.layers.clear()
    viewer.open(sorted(folder.iterdir()), stack=True, plugin=OURS)
    assert_the_scan(viewer.layers)
    told = [note.message for note in notification_manager.records]
    assert any("t.dcm holds no image" in message for message in told)


def test_a_scout_is_no_part_to_choose(folder: Path) -> None:
    scout = slice_file(planes(1)[0], positions([0])[0], SAGITTAL, series="1.9")
    save(folder, [scout], "scout")
    (part,) = parts_of(folder)
    assert part.series == "1.2.3.4"


def test_the_times_of_a_multi_frame_file_are_parts(
    tmp_path: Path, monkeypatch: Any, qtbot: Any
) -> None:
    frames = [
        frame(p, TemporalPositionIndex=time) for time in (1, 2) for p in positions(HEIGHTS[:6])
    ]
    path = save(tmp_path / "scan", [enhanced(PIXELS, frames)], suffix=".dcm") / "s000.dcm"
    labels = [part.label for part in parts_of(path)]
    assert ["time 1" in labels[0], "time 2" in labels[1]] == [True, True]
    monkeypatch.setattr(reader, "_has_window", lambda: True)
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_: (labels[1], True))
    ((voxels, _, _),) = reader.read_layers(str(path))
    assert {plane.tobytes() for plane in np.asarray(voxels)} == {
        plane.tobytes() for plane in PIXELS[6:]
    }


@pytest.fixture
def viewer(npe2pm: Any, make_napari_viewer: Any) -> Any:
    """One with no other readers than napari's own and ours, and ours activated."""
    for name in ("napari", OURS):
        if name not in npe2pm:
            npe2pm.register(PluginManifest.from_distribution(name))
    made = make_napari_viewer()
    on_activate()
    return made


def test_a_dicom_folder_and_its_files_ask_for_no_reader(folder: Path, viewer: Any) -> None:
    viewer.open(folder, plugin=None)  # as a drop or the command line does
    assert_the_scan(viewer.layers)
    viewer.layers.clear()
    viewer.open(sorted(folder.iterdir()), plugin=None)
    assert_the_scan(viewer.layers)


def test_a_folder_of_pictures_is_read_by_napari_itself(tmp_path: Path, viewer: Any) -> None:
    for n in range(3):
        imageio.v3.imwrite(tmp_path / f"{n}.png", np.full((5, 4), n, np.uint8))
    (layer,) = viewer.open(tmp_path, plugin=None)
    assert layer.data.shape == (3, 5, 4)


def test_a_reader_of_folders_that_is_installed_later_is_asked_for(viewer: Any, npe2pm: Any) -> None:
    assert folders_come_to_us()
    with npe2pm.tmp_plugin(name="other") as other:

        @other.contribute.reader(accepts_directories=True)
        def get_folder(path: Any) -> None:
            return None

        on_activate()
        assert not folders_come_to_us()
    on_activate()
    assert folders_come_to_us()


def test_what_the_user_prefers_for_a_folder_goes_first(folder: Path, viewer: Any) -> None:
    plugins = get_settings().plugins
    assert get_preferred_reader(folder) == OURS
    ours = dict(plugins.extension2reader)
    for pattern in (f"*can{os.sep}", f"*{os.sep}", f"{folder}{os.sep}"):
        plugins.extension2reader = {**ours, pattern: "napari"}
        assert get_preferred_reader(folder) == "napari"
