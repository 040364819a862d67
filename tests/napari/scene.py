"""A scan of two bright balls in a widget, and a hand that does commands by their names."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_fastsam3d._napari.commands.table import COMMANDS
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import ObjectState

SHAPE = (40, 48, 30)
BALL, OTHER = (14, 20, 12), (30, 36, 20)
RADIUS = 6.0
BRIGHT = {BALL: 300, OTHER: 500}


def ball(centre: tuple[int, int, int], radius: float = RADIUS) -> np.ndarray:
    """Which voxels lie in a ball."""
    grid = np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(axis=0) <= radius**2


def two_balls() -> np.ndarray:
    """The voxels of the scan."""
    voxels = np.zeros(SHAPE, np.int16)
    for centre, value in BRIGHT.items():
        voxels[ball(centre)] = value
    return voxels


def scan(name: str = "ct", **changes: Any) -> Volume:
    """Return the scan of two balls, with some of its attributes changed."""
    volume = Volume.from_array(two_balls(), np.diag([3.0, 3.0, 3.0, 1.0]), name=name)
    return replace(volume, **changes)


class Scene:
    """What a test of commands does with a widget, and what it hears.

    Parameters
    ----------
    widget : FastSAM3DWidget
    settle : callable
        Waits until the widget has shown all that was asked of it.
    """

    def __init__(self, widget: Any, settle: Callable[[Any], None]) -> None:
        self.widget, self._settle = widget, settle
        self.work = widget.workspace
        self.messages: list[str] = []
        self._hear = self.messages.append  # psygnal holds it weakly
        self.work.message.connect(self._hear)

    def open(self, volume: Volume) -> None:
        """Add a scan, which becomes the chosen one."""
        self.work.add_scan(volume)
        self.settle()

    def close(self) -> None:
        """End the widget's work as its window does, and wait for files."""
        self.work.close()
        self.work.tasks.executor.submit(lambda: None).result()

    def settle(self) -> None:
        """Wait for the model, for files and for tasks behind the window."""
        self._settle(self.widget)
        self.work.tasks.executor.submit(lambda: None).result()
        QApplication.processEvents()  # what the tasks have posted
        if self.widget.busy:
            self._settle(self.widget)

    def click(self, index: tuple[int, int, int], tool: str = "include") -> None:
        """Click a voxel with a tool."""
        self.work.toolbox.use(tool)
        self.view.points.layer.add(self.view.frame.to_layer(index)[0])
        self.settle()

    def do(self, key: str) -> list[str]:
        """Do a command as its key does, and return what the status line was told."""
        self.messages.clear()
        COMMANDS[key].run(self.work)
        self.settle()
        return [*self.messages]

    def why_not(self, key: str) -> str | None:
        """Why a command is disabled now."""
        return COMMANDS[key].why_not(self.work)

    def enabled(self) -> set[str]:
        """The commands that can be done now."""
        return {key for key in COMMANDS if self.why_not(key) is None}

    @property
    def view(self) -> Any:
        return self.work.view

    @property
    def session(self) -> Any:
        return self.view.session

    @property
    def objects(self) -> tuple[ObjectState, ...]:
        return self.session.state.objects

    @property
    def current(self) -> ObjectState | None:
        return self.view.current
