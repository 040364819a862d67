"""Time clicks as the user sees them: from the press of the mouse until the mask is painted.

usage: xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/window.py SCAN I,J,K I,J,K ...

Opens SCAN in a real window with the widget, each time in a process of its own, and clicks by real
mouse events at the voxels I,J,K (source index), all into one object: without and with a rest of the
pointer before each, in which the model answers ahead. A click lasts until the first frame of the
canvas after its mask was written; what it spent until the model answered is told beside that.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from time import perf_counter
from typing import Any

RUNS = 10
HOVER_MS = {"at once": 20, "after a rest": 1500}
GIVEN_UP_MS = 30_000


class Clock:
    """Presses the mouse on the canvas of a viewer and waits for what the screen shows."""

    def __init__(self, viewer: Any, widget: Any) -> None:
        self.viewer, self.view = viewer, widget.view
        self.canvas = viewer.window._qt_viewer.canvas
        self.canvas.native.frameSwapped.connect(self._on_frame)
        self.view.session.predicted.connect(self._on_predicted)
        self._write, self.view.mask.write = self.view.mask.write, self._on_write
        self._answered = self._written = self._painted = 0.0

    def click(self, voxel: tuple[int, ...], hover_ms: int) -> dict[str, float]:
        """Click at a voxel, source index; give the milliseconds until each stage."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        place = self.view.frame.to_layer(voxel)[0]
        self.viewer.dims.set_current_step(0, round(float(place[0])))
        wait(300)
        mouse = (self.canvas.native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        where = self._on_canvas(self.view.mask.layer.data_to_world(place))
        QTest.mouseMove(self.canvas.native, where)
        wait(hover_ms)
        self._answered = self._written = self._painted = 0.0
        pressed = perf_counter()
        QTest.mousePress(*mouse, where)
        QTest.mouseRelease(*mouse, where)
        while not self._painted and perf_counter() < pressed + GIVEN_UP_MS / 1000:
            wait(20)
        stages = (self._answered, self._written, self._painted)
        wait(300)
        names = ("answered", "written", "painted")
        return {name: (at - pressed) * 1000 for name, at in zip(names, stages, strict=True)}

    def _on_canvas(self, world: Any) -> Any:
        from qtpy.QtCore import QPoint

        down, right = self.viewer.dims.displayed
        transform = self.canvas.view.transform * self.canvas.view.scene.transform
        x, y, _, w = transform.map([world[right], world[down], 0, 1])
        return QPoint(round(x / w), round(y / w))

    def _on_predicted(self, _result: Any) -> None:
        self._answered = self._answered or perf_counter()

    def _on_write(self, *mask: Any) -> None:
        self._write(*mask)
        self._written = self._written or perf_counter()

    def _on_frame(self) -> None:
        if self._written and not self._painted:
            self._painted = perf_counter()


def wait(milliseconds: int) -> None:
    """Let the window live for a while.

    Not by `QTest.qWait`: vispy puts a loop in its place that never sleeps, and so takes one
    processor away from the model.
    """
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def measure(scan: str, voxels: list[tuple[int, ...]], hover_ms: int) -> list[dict[str, float]]:
    """Open a scan and click at voxels; give the milliseconds of each click."""
    with tempfile.TemporaryDirectory() as settings:
        os.environ["NAPARI_CONFIG"] = os.path.join(settings, "settings.yaml")
        import napari

        viewer = napari.Viewer()
        viewer.window._qt_window.resize(1500, 950)
        viewer.open(scan, plugin="napari-fastsam3d")
        _, widget = viewer.window.add_plugin_dock_widget("napari-fastsam3d")
        wait(100)
        while widget.busy or widget.view is None:
            wait(20)
        viewer.reset_view()
        clock = Clock(viewer, widget)
        times = [clock.click(voxel, hover_ms) for voxel in voxels]
        viewer.close()
    return times


def main() -> None:
    """Measure both ways in processes of their own, and print medians and extremes."""
    scan, *places = sys.argv[1:]
    print(f"{'':24}{'answered':>12}{'painted':>12}{'(least to most)':>20}")
    for way, hover_ms in HOVER_MS.items():
        command = [sys.executable, __file__, "--measure", str(hover_ms), scan, *places]
        runs = [
            json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
            for _ in range(RUNS)
        ]
        firsts, nexts = [run[0] for run in runs], [click for run in runs for click in run[1:]]
        report(f"first click, {way}", firsts)
        report("next clicks", nexts)


def report(name: str, clicks: list[dict[str, float]]) -> None:
    """Print a row of the table, in milliseconds."""
    answered, painted = ([click[key] for click in clicks] for key in ("answered", "painted"))
    span = f"({min(painted):.0f} to {max(painted):.0f})"
    print(
        f"{name:24}{statistics.median(answered):9.0f} ms{statistics.median(painted):9.0f} ms"
        f"{span:>20}",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1] == "--measure":
        hover, scan, *places = sys.argv[2:]
        voxels = [tuple(int(x) for x in place.split(",")) for place in places]
        print(json.dumps(measure(scan, voxels, int(hover))))
    else:
        main()
