"""How much two masks agree."""

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.session import Mask


def dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Give the Dice coefficient 2 |A and B| / (|A| + |B|); 1 when both are empty.

    Parameters
    ----------
    mask, truth : ndarray of bool
        Of one shape.
    """
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(mask & truth)) / total if total else 1.0


def dice_of(mask: Mask, truth: Mask) -> float:
    """Give the Dice coefficient of two masks of one volume, reading only their boxes."""
    box = mask.box.union(truth.box)
    return dice(mask.within(box), truth.within(box))
