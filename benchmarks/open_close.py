"""Scans that come and go, and models that replace each other, in one window.

What is closed must be gone: memory, threads and open files stay flat. Each round opens a scan,
clicks in it, closes it, and now and then changes the model; what the process holds is noted after
each and drawn.

    xvfb-run -a python benchmarks/open_close.py --scans 200 --models 20 --out flat.png

Fails where threads or files grow from the second quarter of the rounds to the last, or memory by
more than half a MiB a scan; one of 96 x 96 x 96 voxels and its layers take some 13 MiB while it is
open.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("NAPARI_CONFIG", os.path.join(tempfile.mkdtemp(), "settings.yaml"))
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp()

_SIDE = 96
# What may grow by how much a round, in the last half of the rounds.
_BOUNDS = {"memory": 0.5, "threads": 0.02, "files": 0.02}


def state() -> dict[str, float]:
    """Return what the process holds now: MiB, threads and open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "threads": threading.active_count(),
        "files": len(os.listdir("/proc/self/fd")),
    }


def scan(number: int) -> Any:
    """Make a scan of its own for each round, so that nothing is found again by its content."""
    from napari_fastsam3d.geometry import Volume

    rng = np.random.default_rng(number)
    voxels = rng.normal(40, 10, (_SIDE, _SIDE, _SIDE)).astype(np.int16)
    voxels[30:60, 30:60, 30:60] += 110
    return Volume.from_array(voxels, spacing=(1.5, 1.5, 1.5), name=f"scan {number}")


class Window:
    """A viewer with the plugin's widget."""

    def __init__(self) -> None:
        import napari
        from napari_fastsam3d._napari.widget import FastSAM3DWidget

        self.viewer = napari.Viewer()
        self.widget = FastSAM3DWidget(self.viewer, model="default")
        self.viewer.window.add_dock_widget(self.widget)
        self.settle()

    def settle(self) -> None:
        """Wait until nothing is being done."""
        _wait(30)
        while self.widget.busy:
            _wait(20)
        _wait(30)

    def open_and_close(self, number: int) -> None:
        """Open a scan, click in it, and close it with its mask."""
        from napari.layers import Layer

        from napari_fastsam3d._napari.contributions.reader import image_layer_data

        self.viewer.add_layer(Layer.create(*image_layer_data(scan(number))))
        self.settle()
        view = self.widget.view
        assert view is not None
        view.points.layer.add(view.frame.to_layer((45, 45, 45))[0])
        self.settle()
        assert view.session.mask().any()
        self.viewer.layers.remove(view.image)
        self.settle()
        self.viewer.layers.clear()
        self.settle()

    def change_model(self) -> None:
        """Load the model once more in place of the one that is there."""
        self.widget.workspace.change_model("default", "cpu")
        self.settle()


def _wait(milliseconds: int) -> None:
    """Let the window live for a while, as under `napari.run`.

    `QTest.qWait` would not do: without an event loop Qt keeps what was to be deleted later, such
    as napari's controls of a layer that was removed, and the layer with them.
    """
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def measured(scans: int, models: int) -> list[dict[str, float]]:
    """Run all rounds in one window; what the process holds after each."""
    window = Window()
    every = max(1, scans // models) if models else scans + 1
    rounds: list[dict[str, float]] = []
    for number in range(scans):
        window.open_and_close(number)
        if (number + 1) % every == 0:
            window.change_model()
        gc.collect()
        rounds.append(state())
        if number % 10 == 9:
            print(number + 1, json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    window.viewer.close()
    return rounds


def growth(values: list[float]) -> float:
    """By how much values grow a round, from the second quarter of the rounds to the last.

    Means of quarters, for a change of the model moves the memory up or down by a step.
    """
    quarter = len(values) // 4
    second, last = values[quarter : 2 * quarter], values[-quarter:]
    return float(np.mean(last) - np.mean(second)) / (2 * quarter)


def draw(rounds: list[dict[str, float]], picture: Path) -> None:
    """Draw memory, threads and files by round."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, what in zip(figure.subplots(1, 3), _BOUNDS, strict=True):
        axes.plot([each[what] for each in rounds])
        axes.set(xlabel="scans opened and closed", title=f"{what}{', MiB' * (what == 'memory')}")
        axes.set_ylim(bottom=0)
    figure.savefig(picture, dpi=110)


def main() -> int:
    """Measure, print, draw; 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("open_close.png"))
    given = parser.parse_args()
    rounds = measured(given.scans, given.models)
    grows = {what: growth([each[what] for each in rounds]) for what in _BOUNDS}
    for what, more in grows.items():
        told = (f"{rounds[n][what]:8.0f}" for n in (0, len(rounds) // 2, -1))
        print(f"{what:8} first, half, last {' '.join(told)}; {more:+.3f} a scan")
    try:
        draw(rounds, given.out)
    except ImportError:
        print("no picture: matplotlib is not installed (pip install napari-fastsam3d[train])")
    return int(any(grows[what] > bound for what, bound in _BOUNDS.items()))


if __name__ == "__main__":
    sys.exit(main())
