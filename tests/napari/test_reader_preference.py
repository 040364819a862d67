"""A bare ``napari scan.nii.gz -w napari-fastsam3d`` opens the scan and asks nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_fastsam3d._napari import reader_preference
from napari_fastsam3d._napari.reader_preference import on_activate

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


@pytest.mark.gl
def test_the_command_line_opens_scan_and_widget(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20), np.int16), np.eye(4)), scan)
    environment = {
        **os.environ,
        "NAPARI_CONFIG": str(tmp_path / "settings.yaml"),
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(scan), "-w", "napari-fastsam3d"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert ran.stdout, ran.stderr
    seen = json.loads(ran.stdout.splitlines()[-1])
    assert seen["asked"] == []
    assert seen["layers"][0] == "scan"
    assert "Segmentation" in seen["layers"]
    assert any("FastSAM3D" in name for name in seen["widgets"])
