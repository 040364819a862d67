"""Lines that show in one plane where the others cut it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.layers import Vectors
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d._napari.frame import Frame

NAME = "Crosshair"
_COLOUR = "#ffd24a"
_SHARE_OF_EXTENT = 0.0025


class Crosshair:
    """A layer with a line along each shown axis through one point.

    It lies on the grid of the scan, so that napari's sliders count the same slices with it.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    """

    def __init__(self, frame: Frame) -> None:
        self._last = np.subtract(frame.shape, 1)
        self._drawn = np.zeros((0, 2, 3))
        extent = float(np.max(np.multiply(frame.shape, frame.spacing)))
        width = _SHARE_OF_EXTENT * extent / float(np.mean(frame.spacing))
        self.layer = Vectors(
            self._drawn,
            ndim=3,
            name=NAME,
            edge_color=_COLOUR,
            edge_width=width,  # pyright: ignore[reportArgumentType]
            vector_style="line",
            opacity=0.6,
            **frame.placement,
        )
        self.layer.locked = True

    def show(self, place: ArrayLike, axes: Sequence[int]) -> None:
        """Draw lines along some axes (0 to 2) through a place of the world, (3,)."""
        at = np.asarray(self.layer.world_to_data(np.asarray(place, np.float64)))
        middle = np.clip(at, 0, self._last).astype(np.float64)
        lines = np.array([self._line(middle, axis) for axis in axes])
        if not np.array_equal(lines, self._drawn):
            self._drawn = self.layer.data = lines

    def _line(self, middle: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        line = np.stack([middle, np.zeros(3)])
        line[0, axis], line[1, axis] = 0, self._last[axis]
        return line
