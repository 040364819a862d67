"""Features of a coarse prediction, by which it is trusted or not."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from napari_fastsam3d.model.predictor import Floats

FEATURES = (
    "log cells",
    "mean probability inside",
    "mean probability around",
    "uncertainty",
    "contrast",
    "absolute contrast",
    "deviation inside",
    "deviation around",
    "gradient on the border",
    "gradient on the border over inside",
    "log surface",
    "log cells on faces",
    "log region over mask",
    "share of the mask in the region",
    "share of the region in the mask",
    "predicted IoU",
    "largest logit",
    "click against inside",
    "click against around",
)
"""What `describe` gives, in its order.

The region is what is connected to the click and of like intensity; around is a shell of two cells.
"""

_SHELL = 2
# Standard deviations of the crop: intensities that count as like the clicked one.
_LIKE = 0.5
_TINY = 1e-3


def describe(
    logits: Floats, image: Floats, click: Sequence[float], predicted_iou: float
) -> NDArray[np.float64] | None:
    """Describe a prediction by how it lies in the scan.

    Parameters
    ----------
    logits : ndarray of float32, shape (F, F, F)
    image : ndarray of float32, shape (F, F, F)
        Intensities of the cells, in any unit.
    click : sequence of float
        The newest positive click, in cells.
    predicted_iou : float

    Returns
    -------
    ndarray of float64, shape (len(FEATURES),), or None
        None where nothing was predicted. No feature depends on the unit of the intensities.
    """
    mask = logits > 0
    cells = int(np.count_nonzero(mask))
    if not cells:
        return None
    probability = expit(logits)
    dilated = _dilated(mask, 1)
    around = _dilated(mask, _SHELL) & ~mask
    if not around.any():
        around = mask
    shell = mask & _dilated(~mask, 1)
    scan = _standardised(image)
    gradient = np.sqrt(sum(np.square(part) for part in np.gradient(scan)))
    inside, outside = scan[mask], scan[around]
    place = tuple(int(c) for c in np.clip(np.round(click), 0, len(logits) - 1))
    clicked = float(scan[tuple(slice(max(0, c - 1), c + 2) for c in place)].mean())
    region = _region(np.abs(scan - clicked) < _LIKE, place)
    shared, like = np.count_nonzero(region & mask), np.count_nonzero(region)
    on_faces = sum(np.count_nonzero(mask.take((0, -1), axis=axis)) for axis in range(3))
    contrast = inside.mean() - outside.mean()
    border = (shell | (dilated & ~mask)) if shell.any() else mask
    on_border = gradient[border].mean()
    return np.array(
        [
            np.log(cells),
            probability[mask].mean(),
            probability[around].mean(),
            (probability * (1 - probability)).sum() / probability.sum(),
            contrast,
            abs(contrast),
            inside.std(),
            outside.std(),
            on_border,
            on_border / (gradient[mask].mean() + _TINY),
            np.log(max(1, np.count_nonzero(shell)) / cells ** (2 / 3)),
            np.log1p(on_faces),
            np.log((like + 1) / cells),
            shared / cells,
            shared / (like + 1),
            predicted_iou,
            logits.max() / 10,
            abs(clicked - inside.mean()),
            np.abs(outside - clicked).mean(),
        ],
        dtype=np.float64,
    )


def _standardised(image: Floats) -> NDArray[np.float64]:
    exact = image.astype(np.float64)
    deviation = exact.std()
    return (exact - exact.mean()) / deviation if deviation > 0 else np.zeros_like(exact)


def _dilated(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    grown = np.zeros(mask.shape, dtype=np.bool_)
    ndimage.binary_dilation(mask, iterations=by, output=grown)
    return grown


def _region(like: NDArray[np.bool_], place: tuple[int, ...]) -> NDArray[np.bool_]:
    pieces = np.zeros(like.shape, dtype=np.int32)
    ndimage.label(like, output=pieces)
    return (pieces == pieces[place]) & like
