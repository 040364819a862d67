"""Labelled volumes and label maps in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import spatial
from torch import Tensor

from napari_fastsam3d.evaluation.dataset import LabelledCase
from napari_fastsam3d.geometry import Box, Crop, Volume, read_labels, read_volume
from napari_fastsam3d.training.axis_matrices import filter_axes, on_device


@dataclass(frozen=True)
class Structure:
    """Where one structure of a case lies.

    Attributes
    ----------
    value : int
        Its value in the label file.
    seeds : ndarray of integer
        (N, 3) some of its voxels, source index, drawn evenly from all of them.
    radius : float
        That of a ball of its volume, mm.
    spacing : tuple of float
        Of the voxels along each axis of the source, mm.
    extent : float
        The longest edge of its bounding box, mm.
    box : Box
        Its bounding box, source index.
    """

    value: int
    seeds: NDArray[np.integer]
    radius: float
    spacing: tuple[float, float, float]
    extent: float
    box: Box

    @cached_property
    def middle(self) -> NDArray[np.integer]:
        """The seed (3,) around which the others are densest, within half of the radius."""
        places = self.seeds * np.array(self.spacing)
        away = spatial.distance.cdist(places, places, "sqeuclidean")
        return self.seeds[np.exp(-2 * away / self.radius**2).sum(axis=1).argmax()]


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A case in memory: where it lies on the CPU, its voxels on a device.

    Attributes
    ----------
    volume : Volume
        The image; for a label map, the labels themselves.
    structures : tuple of Structure
        Those large enough to be asked for.
    image : Tensor or None
        Intensities on the canonical grid; None for a label map.
    labels : Tensor
        int16 labels on the canonical grid.
    """

    volume: Volume
    structures: tuple[Structure, ...]
    image: Tensor | None
    labels: Tensor

    def intensities(self, crop: Crop) -> Tensor:
        """Give the scan's intensities in a crop, (S, S, S) float32, as `Crop.extract` does."""
        if self.image is None:
            raise TypeError("a label map has no intensities")
        return _extract(crop, self.image, None)

    def occupancy(self, crop: Crop, structures: tuple[Structure, ...]) -> Tensor:
        """Give the part of each crop voxel that structures fill, (S, S, S) float32."""
        return _extract(crop, self.labels, 0.0, lambda part: marked(part, structures))

    def nearest_labels(self, crop: Crop) -> Tensor:
        """Give the label of the nearest voxel at every crop voxel; 0 outside the volume."""
        out = self.labels.new_zeros((crop.size,) * 3)
        part = self.labels
        for axis, seen in enumerate(crop.seen):
            line = np.arange(seen.start, seen.stop)[:, None] * np.eye(3)[axis]
            at = crop.orientation.to_target(crop.to_source(line))[:, axis]
            index = np.rint(at).clip(0, part.shape[axis] - 1).astype(np.int64)
            part = part.index_select(axis, torch.from_numpy(index).to(part.device))
        out[crop.seen] = part
        return out


def marked(labels: Tensor, structures: tuple[Structure, ...]) -> Tensor:
    """Tell which voxels of labels belong to any of the structures."""
    return torch.isin(labels, labels.new_tensor([s.value for s in structures]))


def _extract(
    crop: Crop,
    voxels: Tensor,
    fill: float | None,
    prepare: Callable[[Tensor], Tensor] = Tensor.float,
) -> Tensor:
    """Do as `Crop.extract` does, on the canonical grid and the voxels' device."""
    cube = torch.zeros((crop.size,) * 3, device=voxels.device)
    if crop.is_outside:
        return cube.fill_(fill or 0)
    part = prepare(voxels[tuple(f.support for f in crop.filters)]).float()
    x, y, z = (on_device(f.on_support.dense, voxels.device) for f in crop.filters)
    part = filter_axes(part, (x, y, z))
    cube += part.min() if fill is None else fill
    cube[crop.seen] = part
    return cube


SMALLEST = 60
"""Voxels that a structure needs to be worth a sample."""

SEEDS = 500
"""Voxels of a structure that are kept to place crops on."""


@cache
def load_case(
    case: LabelledCase, device: torch.device | None = None, scenery: frozenset[int] = frozenset()
) -> LabelledVolume:
    """Read a case once and keep it, its voxels on a device, by default the CPU.

    Labels in `scenery` are drawn and never asked for.
    """
    volume = read_volume(case.image or case.labels)
    on_grid = volume.voxels if case.image is None else read_labels(case.labels, volume).labels
    labels = np.ascontiguousarray(on_grid.astype(np.int16))
    asked = np.where(np.isin(labels, list(scenery)), np.int16(0), labels) if scenery else labels
    image = None if case.image is None else _intensities(volume, device)
    structures = _structures(asked, volume.spacing)
    return LabelledVolume(volume, structures, image, _canonical(labels, volume, device))


@cache
def load_scan(path: Path, device: torch.device | None = None) -> LabelledVolume:
    """Read a scan without labels once and keep it: it has no structures."""
    volume = read_volume(path)
    labels = np.zeros(volume.shape, np.int16)
    image = _intensities(volume, device)
    return LabelledVolume(volume, (), image, _canonical(labels, volume, device))


def _intensities(volume: Volume, device: torch.device | None) -> Tensor:
    exact = np.can_cast(volume.voxels.dtype, np.int16)
    finite = volume.valid_intensities(volume.voxels).astype(np.int16 if exact else np.float32)
    return _canonical(finite, volume, device)


def _canonical(voxels: NDArray[np.generic], volume: Volume, device: torch.device | None) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(volume.canonical.view(voxels))).to(device)


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
        # At random: every n-th voxel may lie on the same face again and again.
        random = np.random.default_rng(len(voxels))
        seeds = voxels[random.permutation(len(voxels))[:SEEDS]]
        radius = float(np.cbrt(len(voxels) * np.prod(spacing) * 3 / (4 * np.pi)))
        found.append(Structure(value, seeds, radius, spacing, extent, box))
    return tuple(found)
