"""A volume with two structures that nobody can mistake for each other."""

import numpy as np

from napari_fastsam3d.geometry import Volume

SHAPE = (60, 50, 40)
BALL = (20, 25, 20)  # centre of the ball, of intensity 100 and radius 8 voxels
SLAB = (45, 25, 20)  # a voxel of the slab, of intensity 200, from face to face of the volume
NOTHING = (5, 5, 5)  # a voxel of neither


def ball_and_slab() -> Volume:
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(np.indices(SHAPE), BALL, strict=True)))
    voxels = np.where(distance <= 8, 100, 0).astype(np.int16)
    voxels[40:50] = 200
    voxels += np.random.default_rng(0).integers(-5, 6, SHAPE, dtype=np.int16)
    return Volume.from_array(voxels, spacing=(2.0, 2.0, 2.0), name="ball and slab")


def truth(value: int) -> np.ndarray:
    """Which voxels have an intensity close to `value`."""
    return np.abs(ball_and_slab().voxels - value) < 50
