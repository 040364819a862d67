"""How much two masks agree."""

import numpy as np
from numpy.typing import NDArray


def dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Give the Dice coefficient 2 |A and B| / (|A| + |B|); 1 when both are empty.

    Parameters
    ----------
    mask, truth : ndarray of bool
        Of one shape.
    """
    total = int(np.count_nonzero(mask)) + int(np.count_nonzero(truth))
    return 2 * int(np.count_nonzero(mask & truth)) / total if total else 1.0
