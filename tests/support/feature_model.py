"""A segmenter whose features tell three tissues apart, and scans of a ball to show it."""

import numpy as np
from brightness_model import BrightnessModel, pooled

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask

SHAPE = (60, 50, 40)
LEVELS = (0, 100, 200)


class FeatureModel(BrightnessModel):
    """Its features tell air, ball and slab apart."""

    memory_layer = None
    encoder_fingerprint = "fedcba"

    def features(self, encoded):
        image = np.nan_to_num(encoded)
        return tuple(
            np.stack([np.exp(-(((pooled(image, cell) - x) / 40) ** 2)) for x in LEVELS], axis=-1)
            for cell in (4, 8)
        )


def scan(centre: tuple[int, int, int] = (20, 25, 20), seed: int = 0) -> tuple[Volume, Mask]:
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(np.indices(SHAPE), centre, strict=True)))
    ball = distance <= 8
    voxels = np.where(ball, 100, 0).astype(np.int16)
    voxels[45:55] = 200
    voxels += np.random.default_rng(seed).integers(-5, 6, SHAPE, dtype=np.int16)
    return Volume.from_array(voxels, spacing=(2.0, 2.0, 2.0)), Mask.of_volume(ball)
