"""Numbers, voxels and boxes in JSON, read strictly: a damaged file must not pass."""

from typing import Any

from napari_fastsam3d.geometry.box import Box, Index


def whole(value: Any) -> int:
    """Return a whole number; TypeError if it is none, or a truth value."""
    if type(value) is not int:
        raise TypeError
    return value


def index(value: Any) -> Index:
    """Return three whole numbers; TypeError or ValueError if they are none."""
    i, j, k = map(whole, value)
    return (i, j, k)


def box(value: Any) -> Box:
    """Return what `box_to_json` wrote; TypeError or ValueError if it is none."""
    start, stop = value
    return Box(index(start), index(stop))


def box_to_json(value: Box) -> list[list[int]]:
    """Return a box as its two corners."""
    return [list(value.start), list(value.stop)]
