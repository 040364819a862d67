"""The guard against the release of PySide6 that loses references to constants."""

import os
import subprocess
import sys

import pytest

from napari_fastsam3d._napari.pyside_guard import needs_guard

SCRIPT = """
from qtpy.QtCore import QCoreApplication, QObject, Signal
from napari_fastsam3d._napari.pyside_guard import guard

class Bell(QObject):
    rung = Signal()

application = QCoreApplication([])
guard()
bell = Bell()
bell.rung.connect(lambda: None)
for _ in range(100_000):
    bell.rung.emit()
print("alive")
"""


@pytest.mark.parametrize(
    ("binding", "version", "python", "needed"),
    [
        ("pyside6", "6.12.0", (3, 11), True),
        ("pyside6", "6.12.0", (3, 12), False),
        ("pyside6", "6.11.3", (3, 11), False),
        ("pyqt6", "None", (3, 11), False),
    ],
)
def test_only_the_faulty_pair_is_guarded(
    binding: str, version: str, python: tuple[int, int], needed: bool
) -> None:
    assert needs_guard(binding, version, python) is needed


def test_a_hundred_thousand_signals_are_survived() -> None:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.strip() == "alive", ran.stderr
