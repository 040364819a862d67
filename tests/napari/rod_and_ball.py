"""A scan with a rod and a ball in a body in air, and how a user clicks in its axial slices."""

from collections.abc import Callable
from typing import Any

import numpy as np
from canvas import Hand
from qtpy.QtTest import QTest

from napari_fastsam3d.geometry import Volume

SHAPE = (40, 36, 50)
ROD, END, BALL, AIR = (14, 18, 25), (14, 18, 3), (28, 18, 25), (2, 2, 25)


def scan() -> Volume:
    """A body of 40 in air of -1000, with a rod of 300 from end to end and a ball of 600."""
    x, y, z = np.indices(SHAPE)
    voxels = np.full(SHAPE, -1000, np.int16)
    voxels[((x - 20) / 17) ** 2 + ((y - 18) / 14) ** 2 <= 1] = 40
    voxels[(abs(x - 14) <= 3) & (abs(y - 18) <= 3)] = 300
    voxels[(x - 28) ** 2 + (y - 18) ** 2 + (z - 25) ** 2 <= 25] = 600
    return Volume.from_array(voxels, np.diag([3.0, 3.0, 3.0, 1.0]), name="body")


def opened(open_window: Callable[..., Any]) -> tuple[Any, Any, Hand]:
    """Open the scan in a window, show its axial slices, and lay a hand on the mouse."""
    viewer, widget, hand = open_window(scan())
    turn_to(viewer, widget, ROD)
    return viewer, widget, hand


def turn_to(viewer: Any, widget: Any, index: tuple) -> None:
    """Show the axial slice that holds a source index."""
    frame = widget.view.frame
    axis = frame.orientation.axes.index(2)
    viewer.dims.order = (axis, *(i for i in range(3) if i != axis))
    viewer.dims.set_current_step(axis, int(frame.to_layer(index)[0][axis]))
    viewer.reset_view()
    QTest.qWait(100)


def world_of(widget: Any, index: tuple) -> tuple[float, ...]:
    place = widget.view.frame.to_layer(index)[0]
    return tuple(widget.view.mask.layer.data_to_world(place))


def click(scene: Any, settle: Any, index: tuple, key: str = "") -> None:
    viewer, widget, hand = scene
    turn_to(viewer, widget, index)
    if key:
        hand.key(key)
    hand.click(world_of(widget, index))
    settle(widget)
