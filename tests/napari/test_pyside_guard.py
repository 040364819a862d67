"""The guard against the release of PySide6 that loses references to constants."""

import os
import subprocess
import sys

import pytest

from napari_fastsam3d._napari.contributions.pyside_guard import needs_guard

SCRIPT = """
from qtpy.QtCore import QCoreApplication, QObject, Signal
import napari_fastsam3d._napari

class Bell(QObject):
    rung = Signal()

application = QCoreApplication([])
bell = Bell()
bell.rung.connect(lambda: None)
for _ in range(100_000):
    bell.rung.emit()
print("alive")
"""


@pytest.mark.parametrize(
    ("pyside", "python", "needed"),
    [
        ("6.12.0", (3, 11), True),
        ("6.12.0", (3, 12), False),
        ("6.11.3", (3, 11), False),
        (None, (3, 11), False),
    ],
)
def test_only_the_faulty_pair_is_guarded(
    pyside: str | None, python: tuple[int, int], needed: bool
) -> None:
    assert needs_guard(pyside, python) is needed


def test_a_guarded_constant_outlives_more_losses_than_a_window_makes() -> None:
    script = """
import ctypes, sys
from napari_fastsam3d._napari.contributions import pyside_guard
pyside_guard._installed = lambda: "6.12.0"
pyside_guard.sys = type("", (), {"version_info": (3, 11)})
assert pyside_guard.guard()
for constant in (None, True, False):
    ctypes.c_ssize_t.from_address(id(constant)).value -= 10_000_000
assert min(map(sys.getrefcount, (None, True, False))) > 0
print("alive")
"""
    if sys.version_info >= (3, 12):
        pytest.skip("constants are immortal since Python 3.12")
    assert _run(script) == "alive"


def test_a_hundred_thousand_signals_are_survived() -> None:
    assert _run(SCRIPT) == "alive"


def _run(script: str) -> str:
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()
