"""A bare ``napari scan.nii.gz -w napari-fastsam3d`` opens the scan and asks nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3
import nibabel as nib
import numpy as np
import pytest

from dicom_writer import planes, save, slices
from napari_fastsam3d._napari.contributions import reader_preference
from napari_fastsam3d._napari.contributions.reader_preference import on_activate

SCRIPT = """
import json, sys
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QDialog
from napari import __main__ as start

asked = []
application = QApplication([])

def refuse():
    for window in QApplication.topLevelWidgets():
        if isinstance(window, QDialog) and window.isVisible():
            asked.append(type(window).__name__)
            window.reject()

timer = QTimer()
timer.timeout.connect(refuse)
timer.start(100)
viewer = start._build_viewer()
for _ in range(50):
    application.processEvents()
print(json.dumps({
    "layers": [layer.name for layer in viewer.layers],
    "asked": asked,
    "widgets": list(viewer.window.dock_widgets),
}), flush=True)
viewer.close()
"""


class _Manager:
    def __init__(self, *names: str) -> None:
        self.names = names

    def iter_compatible_readers(self, path: str) -> list[Any]:
        return [SimpleNamespace(plugin_name=name) for name in self.names]


@pytest.fixture
def preferences(monkeypatch: pytest.MonkeyPatch) -> Any:
    plugins = SimpleNamespace(extension2reader={"*.mha": "another"})
    monkeypatch.setattr(reader_preference, "get_settings", lambda: SimpleNamespace(plugins=plugins))
    return plugins


def _installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    manager = SimpleNamespace(instance=lambda: _Manager(*names))
    monkeypatch.setattr(reader_preference, "PluginManager", manager)


def test_beside_napari_itself_ours_is_preferred(preferences: Any, monkeypatch: Any) -> None:
    _installed(monkeypatch, "napari", "napari-fastsam3d")
    on_activate()
    assert preferences.extension2reader["*.nii.gz"] == "napari-fastsam3d"
    assert preferences.extension2reader["*.mha"] == "another"


def test_another_reader_is_not_pushed_aside(preferences: Any, monkeypatch: Any) -> None:
    _installed(monkeypatch, "napari", "napari-fastsam3d", "napari-nifti")
    on_activate()
    assert preferences.extension2reader == {"*.mha": "another"}


def test_a_failure_is_no_reason_not_to_start(monkeypatch: Any) -> None:
    monkeypatch.setattr(reader_preference, "get_settings", lambda: 1 / 0)
    on_activate()


def started_with(folder: Path, *arguments: str) -> dict[str, list[str]]:
    """What a new napari shows, and which dialogs it opened, when it is started so."""
    environment = {
        **os.environ,
        "NAPARI_CONFIG": str(folder / "settings.yaml"),
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
    )
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.gl
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_command_line_opens_scan_and_widget(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("scan.nii.gz" if kind == "file" else "scan")
    if kind == "file":
        nib.save(nib.Nifti1Image(np.zeros((20, 20, 20), np.int16), np.eye(4)), path)
    else:
        save(path, slices(planes(12), 2.5 * np.arange(12)), suffix=".dcm")
    seen = started_with(tmp_path, str(path), "-w", "napari-fastsam3d")
    assert seen["asked"] == []
    assert seen["layers"][0] == "scan"
    assert "Segmentation" in seen["layers"]
    assert any("FastSAM3D" in name for name in seen["widgets"])


@pytest.mark.gl
def test_a_folder_of_pictures_is_opened_by_napari_itself(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(3):
        imageio.v3.imwrite(folder / f"{n}.png", np.full((5, 4), n, np.uint8))
    seen = started_with(tmp_path, str(folder), "-w", "napari-fastsam3d")
    assert seen["asked"] == []
    assert seen["layers"][0] == "pictures"
