"""Where the crop of a sample lies: as the crop policy has it in use, and in other ways."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry import Box, Crop
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.training.data import LabelledVolume, Structure


def scattered(
    loaded: LabelledVolume,
    structure: Structure,
    anchor: NDArray[np.integer],
    size: int,
    rng: np.random.Generator,
) -> Crop:
    """Place a crop around a voxel of the structure, shifted, at a random scale.

    The scale covers what the crop policy will use: from a close look at a small structure to one
    that is larger than the crop.
    """
    voxel = np.array(loaded.volume.spacing)
    fraction = np.exp(rng.uniform(np.log(0.12), np.log(1.3)))
    spacing = float(np.clip(structure.extent / (fraction * size), 0.4, 4.5))
    spacing = max(spacing, 0.3 * float(voxel.min()))
    offset = rng.uniform(-1, 1, 3) * (0.3 * size * spacing / voxel) * (rng.random() < 0.6)
    centre = np.clip(anchor + offset, 0, np.array(loaded.volume.shape) - 1)
    return Crop.around(loaded.volume, [float(c) for c in centre], spacing=spacing, size=size)


def at_first_click(
    loaded: LabelledVolume,
    anchor: NDArray[np.integer],
    size: int,
    spacings: tuple[float, float] | None,
    rng: np.random.Generator,
) -> Crop:
    """Place a crop as at a first click on a voxel.

    Parameters
    ----------
    loaded : LabelledVolume
    anchor : ndarray of int
        (3,) the voxel, source index.
    size : int
        Voxels of the crop along each axis.
    spacings : tuple of float or None
        The finest and the coarsest size of a crop voxel, mm, drawn evenly in logarithms; None takes
        that of the default model, a little finer or coarser.
    rng : numpy.random.Generator
    """
    if spacings is None:
        spacing = PyramidPredictor.start_spacing * float(np.exp(rng.normal(0, 0.08)))
    else:
        # A look from afar that shows the whole scan is far enough.
        whole = max(np.array(loaded.volume.shape) * loaded.volume.spacing) / size
        spacing = min(float(np.exp(rng.uniform(*np.log(spacings)))), float(whole))
    policy = CropPolicy(loaded.volume, (spacing,), spacing, size)
    i, j, k = anchor
    return policy.at_click((int(i), int(j), int(k)))


def at_box(
    loaded: LabelledVolume,
    structures: tuple[Structure, ...],
    size: int,
    rng: np.random.Generator,
) -> Crop:
    """Place a crop as at a box around structures, a little finer or coarser."""
    change = float(np.exp(rng.normal(0, 0.12)))
    spacings = tuple(s * change for s in PyramidPredictor.spacings)
    policy = CropPolicy(loaded.volume, spacings, PyramidPredictor.start_spacing, size)
    return policy.around_box(reduce(Box.union, (s.box for s in structures)))
