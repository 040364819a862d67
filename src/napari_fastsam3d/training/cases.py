"""Labelled volumes and label maps in memory."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.evaluation.data_folder import Case
from napari_fastsam3d.geometry import Box, Volume, read_volume


@dataclass(frozen=True)
class Structure:
    """Where one structure of a case lies.

    Attributes
    ----------
    value : int
        Its value in the label file.
    seeds : ndarray of integer
        (N, 3) some of its voxels, source index, evenly taken from all of them.
    extent : float
        The longest edge of its bounding box, mm.
    box : Box
        Its bounding box, source index.
    """

    value: int
    seeds: NDArray[np.integer]
    extent: float
    box: Box


@dataclass(frozen=True)
class LabelledVolume:
    """A case in memory.

    Attributes
    ----------
    volume : Volume
        The image; for a label map, the labels themselves.
    labels : ndarray of int16
        (I, J, K), source order.
    structures : tuple of Structure
        Those large enough to be asked for.
    has_image : bool
        Whether `volume` is a scan.
    """

    volume: Volume
    labels: NDArray[np.int16]
    structures: tuple[Structure, ...]
    has_image: bool


SMALLEST = 60
"""Voxels that a structure needs to be worth a sample."""

SEEDS = 500
"""Voxels of a structure that are kept to place crops on."""


@cache
def load_case(case: Case) -> LabelledVolume:
    """Read a case once and keep it."""
    labels = np.ascontiguousarray(read_volume(case.labels).voxels.astype(np.int16))
    volume = read_volume(case.image or case.labels)
    return LabelledVolume(
        volume, labels, _structures(labels, volume.spacing), case.image is not None
    )


def _structures(
    labels: NDArray[np.int16], spacing: tuple[float, float, float]
) -> tuple[Structure, ...]:
    where = np.flatnonzero(labels)
    values = labels.ravel()[where]
    order = np.argsort(values, kind="stable")
    groups = np.split(where[order], np.flatnonzero(np.diff(values[order])) + 1)
    found: list[Structure] = []
    for group in groups:
        if len(group) < SMALLEST:
            continue
        voxels = np.stack(np.unravel_index(group, labels.shape), axis=1)
        box = Box.around_points(voxels)
        extent = float(np.max(np.array(box.shape) * spacing))
        value = int(labels.ravel()[group[0]])
        found.append(Structure(value, voxels[:: max(1, len(voxels) // SEEDS)], extent, box))
    return tuple(found)
