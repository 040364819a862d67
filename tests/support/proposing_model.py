"""The brightness model with candidates beside its mask."""

from dataclasses import replace

import numpy as np
from brightness_model import BrightnessModel, pooled


class Proposing(BrightnessModel):
    """Proposes what it finds, less of that, and more."""

    def segment(self, encoded, points, labels, box, previous):
        main = super().segment(encoded, points, labels, box, previous)
        far = away(points[0], len(main.mask_logits))
        less = np.where(far < 3, main.mask_logits, -5).astype(np.float32)
        more = np.where(far < 7, 5, main.mask_logits).astype(np.float32)
        fines = (main.mask_logits + 0.01, more, less)
        return replace(
            main,
            candidates=tuple(
                replace(main, mask_logits=f, low_res_logits=pooled(f, 2)) for f in fines
            ),
        )


def away(point, cells: int) -> np.ndarray:
    """How far the cells of a prediction lie from a point, in cells of two voxels."""
    grid = np.indices((cells,) * 3).reshape(3, -1).T * 2 + 0.5
    return (np.linalg.norm(grid - point, axis=1) / 2).reshape((cells,) * 3)
