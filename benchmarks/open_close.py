"""Scans that come and go, and models that replace each other, in one window.

What is closed must be gone: memory, threads and open files stay flat. Each round opens a scan,
clicks in it, closes it, and now and then changes the model; what the process holds is noted after
each and drawn.

    xvfb-run -a python benchmarks/open_close.py --scans 200 --models 20 --out flat.png

Without --plugin-only, the same scans come and go in a viewer without the plugin too, for napari
0.9 keeps every layer that was removed, held by the widgets of its controls. Fails where threads or
files grow, or memory by more than napari's own layers, in the last half of the rounds.
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
# Of the last half of the rounds: MiB a round that memory may grow by, over what napari's own does.
_LEFT_A_ROUND = 0.25


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
    """A viewer, with the plugin's widget or without."""

    def __init__(self, plugin: bool) -> None:
        import napari

        self.viewer = napari.Viewer()
        self.widget: Any = None
        if plugin:
            from napari_fastsam3d._napari.widget import FastSAM3DWidget

            self.widget = FastSAM3DWidget(self.viewer, model="default")
            self.viewer.window.add_dock_widget(self.widget)
            self.settle()

    def settle(self) -> None:
        """Wait until nothing is being done."""
        _wait(30)
        while self.widget is not None and self.widget.busy:
            _wait(20)
        _wait(30)

    def open_and_close(self, number: int) -> None:
        """Open a scan, click in it, and close it with its mask."""
        from napari.layers import Layer

        from napari_fastsam3d._napari.contributions.reader import image_layer_data

        self.viewer.add_layer(Layer.create(*image_layer_data(scan(number))))
        self.settle()
        if self.widget is not None:
            view = self.widget.view
            view.points.layer.add(view.frame.to_layer((45, 45, 45))[0])
            self.settle()
            assert view.session.mask().any()
            self.viewer.layers.remove(view.image)
            self.settle()
        self.viewer.layers.clear()
        self.settle()

    def change_model(self) -> None:
        """Load the model once more in place of the one that is there."""
        if self.widget is not None:
            self.widget._change_model("default", "cpu")
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


def measured(plugin: bool, scans: int, models: int) -> list[dict[str, float]]:
    """Run all rounds in one window; what the process holds after each."""
    window = Window(plugin)
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


def slope(values: list[float]) -> float:
    """By how much the last half of some values grows, a round."""
    last = values[len(values) // 2 :]
    return float(np.polyfit(np.arange(len(last)), last, 1)[0])


def draw(runs: dict[str, list[dict[str, float]]], picture: Path) -> None:
    """Draw memory, threads and files by round."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, what in zip(figure.subplots(1, 3), ("memory", "threads", "files"), strict=True):
        for name, rounds in runs.items():
            axes.plot([each[what] for each in rounds], label=name)
        axes.set(xlabel="scans opened and closed", title=f"{what}{', MiB' * (what == 'memory')}")
        axes.set_ylim(bottom=0)
        axes.legend()
    figure.savefig(picture, dpi=110)


def main() -> int:
    """Measure, print, draw; 1 where something grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("open_close.png"))
    parser.add_argument("--plugin-only", action="store_true")
    given = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {}
    if not given.plugin_only:
        runs["napari alone"] = measured(False, given.scans, 0)
    runs["with the plugin"] = measured(True, given.scans, given.models)
    for name, rounds in runs.items():
        first, middle, last = rounds[0], rounds[len(rounds) // 2], rounds[-1]
        for what in first:
            told = " ".join(f"{each[what]:8.0f}" for each in (first, middle, last))
            grows = slope([each[what] for each in rounds])
            print(f"{name:16} {what:8} first, half, last {told}; {grows:+.3f} a round")
    try:
        draw(runs, given.out)
    except ImportError:
        print("no picture: matplotlib is not installed (pip install napari-fastsam3d[train])")
    grows = {w: slope([each[w] for each in runs["with the plugin"]]) for w in rounds[0]}
    alone = [each["memory"] for each in runs.get("napari alone", [])]
    # The plugin adds three layers to each scan, which napari keeps as well.
    allowed = _LEFT_A_ROUND + 4 * max(0.0, slope(alone) if alone else 0.0)
    return int(grows["memory"] > allowed or grows["threads"] > 0.02 or grows["files"] > 0.02)


if __name__ == "__main__":
    sys.exit(main())
