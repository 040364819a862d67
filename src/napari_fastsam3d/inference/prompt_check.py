"""Checks of what the user gives as a prompt: voxels, corners and truth values."""

import operator
from collections.abc import Sequence
from itertools import starmap
from typing import Any, SupportsIndex

import numpy as np

from napari_fastsam3d.errors import PromptError
from napari_fastsam3d.geometry.box import Box, Index


def point_index(index: Sequence[SupportsIndex], shape: Index) -> Index:
    """Check the voxel of a click.

    Parameters
    ----------
    index : sequence of three integers
        Source index.
    shape : tuple of int
        Shape of the volume, source order.

    Raises
    ------
    PromptError
        If it isn't three integers, or lies outside the volume.
    """
    voxel = _integers(index, "The point")
    if not Box.whole(shape).contains(voxel):
        raise PromptError(
            f"The point {voxel} lies outside the volume, whose shape is {shape}.",
            "Give the index of a voxel of the volume, counted from 0.",
        )
    return voxel


def positivity(positive: Any) -> bool:
    """Check that what says whether a click belongs to the object is a truth value."""
    if not isinstance(positive, bool | np.bool_):
        raise PromptError(
            f"A prompt is positive or negative; {positive!r} is neither.", "Give True or False."
        )
    return bool(positive)


def box_between(start: Sequence[SupportsIndex], stop: Sequence[SupportsIndex], shape: Index) -> Box:
    """Make a box of two opposite corners, in any order, and clip it to the volume.

    Parameters
    ----------
    start, stop : sequence of three integers
        Half-open source index along each axis: of the two, the smaller belongs to the box and
        the larger is one past its end.
    shape : tuple of int
        Shape of the volume, source order.

    Raises
    ------
    PromptError
        If a corner isn't three integers, or nothing of the box lies in the volume.
    """
    first, second = _integers(start, "The box's start"), _integers(stop, "The box's stop")
    low_i, low_j, low_k = starmap(min, zip(first, second, strict=True))
    high_i, high_j, high_k = starmap(max, zip(first, second, strict=True))
    box = Box((low_i, low_j, low_k), (high_i, high_j, high_k)).clipped(shape)
    if box.is_empty:
        raise PromptError(
            f"The box from {first} to {second} holds no voxel of the volume, "
            f"whose shape is {shape}.",
            "Give two corners that differ along every axis; the larger one is not included.",
        )
    return box


def _integers(values: Any, what: str) -> Index:
    try:
        numbers = list(values)
        if any(isinstance(v, bool | np.bool_) for v in numbers):
            raise TypeError
        i, j, k = map(operator.index, numbers)
    except (TypeError, ValueError):
        raise PromptError(
            f"{what} {values!r} is not a voxel.", "Give three whole numbers: i, j, k."
        ) from None
    return (i, j, k)
