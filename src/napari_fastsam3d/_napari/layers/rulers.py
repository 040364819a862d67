"""Lines that tell how long they are: a napari Shapes layer on the grid of the scan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from napari.utils.events import Event
from numpy.typing import ArrayLike, NDArray
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.boxes import shapes_layer
from napari_fastsam3d.geometry.diameters import Line

NAME = "Rulers"
_COLOUR = "#ffd24a"
_LINES = ("line", "path")
_END, _APART = 0.02, 0.5  # of a line, and voxels


class RulerLayer:
    """Shows lines with their lengths in mm, which follow when a line is changed or moved.

    Lengths are those in the patient, by the scan's affine: also on oblique and anisotropic scans,
    and from one slice to another. The layer is the user's own: napari's tools change it.

    Parameters
    ----------
    frame : Frame
        Where the layer lies.
    """

    measured = Signal(str)
    """The length of the line that was drawn or changed last, in words."""
    changed = Signal()
    """A line was drawn, changed or removed."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.layer = shapes_layer(
            frame,
            NAME,
            _COLOUR,
            features={"length": np.array([], dtype=str)},
            text={"string": "{length}", "color": _COLOUR, "size": 14, "anchor": "upper_left"},
        )
        self.layer.locked = False
        self._told: list[str] = []
        self._copying = False
        self.layer.events.data.connect(self._on_data)

    def length(self, points: ArrayLike) -> float:
        """Return the length in mm of a line through layer points (N, 3)."""
        world = self.frame.volume.to_world(self.frame.to_source(points))
        return float(np.linalg.norm(np.diff(world, axis=0), axis=1).sum())

    def add(self, lines: Sequence[Line]) -> None:
        """Draw lines that are given in RAS mm, but for those that are there already."""
        found = [self._in_layer(line) for line in lines]
        ends = [each for each in found if not any(_same(each, own) for own in self.layer.data)]
        if ends:
            self.layer.add(ends, shape_type="line", edge_color=_COLOUR)

    def copy(self, other: RulerLayer, tell: bool = False) -> None:
        """Show the same lines as another layer on the same grid.

        Parameters
        ----------
        other : RulerLayer
        tell : bool
            Whether `changed` is signalled for them.
        """
        if self._copying or not (self.layer.nshapes or other.layer.nshapes):
            return
        self._copying = True
        try:
            self.layer.selected_data = set(range(self.layer.nshapes))
            self.layer.remove_selected()
            if other.layer.nshapes:
                lines, kinds = list(other.layer.data), list(other.layer.shape_type)
                self.layer.add(lines, shape_type=kinds, edge_color=_COLOUR)  # pyright: ignore[reportArgumentType]
        finally:
            self._copying = False
        if tell:
            self.changed.emit()

    def _in_layer(self, line: Line) -> NDArray[np.float64]:
        return self.frame.to_layer(self.frame.volume.to_index([line.start, line.end]))

    def _on_data(self, event: Event) -> None:
        if str(getattr(event.action, "value", event.action)) not in ("added", "changed", "removed"):
            return
        told = [
            f"{self.length(points):.1f} mm" if kind in _LINES else ""
            for points, kind in zip(self.layer.data, self.layer.shape_type, strict=True)
        ]
        new = [text for row, text in enumerate(told) if text and told[row] not in self._told]
        self._told = told
        self.layer.features = {"length": np.array(_texts(told, list(self.layer.data)), dtype=str)}
        if self._copying:
            return
        self.changed.emit()
        if new:
            self.measured.emit(f"The line is {new[-1]} long.")


def _texts(told: Sequence[str], lines: Sequence[NDArray[np.float64]]) -> list[str]:
    """Return what is written at each line; two that cross are one pair, written at the first."""
    texts = list(told)
    for one, other in combinations(range(len(told)), 2):
        alone = texts[one] == told[one] != "" and texts[other] == told[other] != ""
        if alone and _cross(lines[one], lines[other]):
            texts[one], texts[other] = f"{told[one].removesuffix(' mm')} × {told[other]}", ""
    return texts


def _cross(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two lines (N, 3) are straight and meet, otherwise than end to end."""
    if len(one) != 2 or len(other) != 2:
        return False
    ways = np.column_stack([one[1] - one[0], other[0] - other[1]])
    at, _, rank, _ = np.linalg.lstsq(ways, other[0] - one[0], rcond=None)
    apart = np.linalg.norm(ways @ at - (other[0] - one[0]))
    within = ((at >= -_END) & (at <= 1 + _END)).all()
    inside = ((at > _END) & (at < 1 - _END)).any()
    return bool(rank == 2 and apart < _APART and within and inside)


def _same(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    return one.shape == other.shape and np.allclose(one, other, atol=1e-3)
