"""Pictures of trials: three slices with the structure, the mask and the clicks."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_fastsam3d.geometry.picture import Dot, Outline, draw

if TYPE_CHECKING:
    from napari_fastsam3d.evaluation import Target, Trial
    from napari_fastsam3d.session import Mask

_TRUTH, _MASK = (80, 220, 100), (255, 170, 40)
_POSITIVE, _NEGATIVE = (90, 200, 255), (255, 70, 70)
_AROUND = 12
_PERCENTILES = (1, 99)


def draw_trial(target: "Target", trial: "Trial", mask: "Mask") -> Image.Image:
    """Draw three slices of the part of the scan that holds the structure and the mask.

    Parameters
    ----------
    target : Target
        The structure, in green.
    trial : Trial
        Its positive clicks are blue and its negative ones red.
    mask : Mask
        After the last click, in orange.
    """
    box = target.truth.box.union(mask.box).padded(_AROUND).clipped(target.volume.shape)
    part = replace(target.volume, voxels=target.volume.voxels[box.slices])
    outlines = [
        Outline(
            f"{trial.set_name} {trial.case} {trial.structure}", target.truth.within(box), _TRUTH
        ),
        Outline(f"mask, Dice {trial.dice[-1]:.2f}", mask.within(box), _MASK),
    ]
    i, j, k = box.start
    dots = [
        Dot((at[0] - i, at[1] - j, at[2] - k), _POSITIVE if positive else _NEGATIVE)
        for at, positive in trial.clicks
    ]
    low, high = np.percentile(target.volume.valid_intensities(part.voxels), _PERCENTILES)
    return draw(part, outlines, (float(low), float(high)), dots)
