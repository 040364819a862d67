"""Features of the predictions from afar and from near by, by which one of them is trusted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.model.predictor import Floats

Features = NDArray[np.float64]

OF_ONE = (
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

OF_BOTH = ("agreement", "log size from afar over near by", "share of near by in afar")
"""What is said of both masks together."""

FEATURES = (
    *(f"from afar: {name}" for name in OF_ONE),
    *(f"from near by: {name}" for name in OF_ONE),
    *OF_BOTH,
)
"""What a first click is judged by, in order."""

NEAR = slice(len(OF_ONE), 2 * len(OF_ONE))
"""Which of these are of the mask from near by."""

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
    ndarray of float64, shape (len(OF_ONE),), or None
        None where nothing was predicted. No feature depends on the unit of the intensities.
    """
    mask = logits > 0
    if not mask.any():
        return None
    scan, place = _standardised(image), _cell(click, len(image))
    clicked = float(scan[tuple(slice(max(0, c - 1), c + 2) for c in place)].mean())
    around = _around(mask)
    shape, shell = _shape(mask)
    return np.concatenate(
        [
            shape[:1],
            _certainty(expit(logits), mask, around),
            _contrast(scan, mask, around, shell),
            shape[1:],
            _region(np.abs(scan - clicked) < _LIKE, mask, place),
            [predicted_iou, logits.max() / 10],
            [abs(clicked - scan[mask].mean()), np.abs(scan[around] - clicked).mean()],
        ]
    )


def relate(far: Mask, near: Mask) -> NDArray[np.float64]:
    """Relate two masks, neither of them empty: Dice, log ratio of sizes, share of one in the other.

    Returns
    -------
    ndarray of float64, shape (len(OF_BOTH),)
    """
    agreement = far.agreement(near)
    sizes = [np.count_nonzero(mask.voxels) for mask in (far, near)]
    # Dice is twice what both share, over the sum of both.
    shared = agreement * sum(sizes) / 2
    return np.array([agreement, np.log(sizes[0] / sizes[1]), shared / sizes[1]])


def _shape(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Give log cells, log surface and log cells on faces; and the outermost cells."""
    cells = np.count_nonzero(mask)
    shell = mask & _dilated(~mask, 1)
    surface = max(1, np.count_nonzero(shell)) / cells ** (2 / 3)
    on_faces = sum(np.count_nonzero(mask.take((0, -1), axis=axis)) for axis in range(3))
    return np.array([np.log(cells), np.log(surface), np.log1p(on_faces)]), shell


def _certainty(
    probability: NDArray[np.floating], mask: NDArray[np.bool_], around: NDArray[np.bool_]
) -> NDArray[np.float64]:
    uncertain = (probability * (1 - probability)).sum() / probability.sum()
    return np.array([probability[mask].mean(), probability[around].mean(), uncertain])


def _contrast(
    scan: NDArray[np.float64],
    mask: NDArray[np.bool_],
    around: NDArray[np.bool_],
    shell: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Give contrast, its amount, deviations inside and around, and gradients on the border."""
    inside, outside = scan[mask], scan[around]
    contrast = inside.mean() - outside.mean()
    gradient = np.sqrt(sum(np.square(part) for part in np.gradient(scan)))
    border = (shell | (_dilated(mask, 1) & ~mask)) if shell.any() else mask
    on_border = gradient[border].mean()
    over_inside = on_border / (gradient[mask].mean() + _TINY)
    return np.array([contrast, abs(contrast), inside.std(), outside.std(), on_border, over_inside])


def _region(
    like: NDArray[np.bool_], mask: NDArray[np.bool_], place: tuple[int, ...]
) -> NDArray[np.float64]:
    """Compare a mask with what is connected to the click and of like intensity."""
    pieces = np.zeros(like.shape, dtype=np.int32)
    ndimage.label(like, output=pieces)
    region = (pieces == pieces[place]) & like
    cells, size = np.count_nonzero(mask), np.count_nonzero(region)
    shared = np.count_nonzero(region & mask)
    return np.array([np.log((size + 1) / cells), shared / cells, shared / (size + 1)])


def _cell(click: Sequence[float], cells: int) -> tuple[int, ...]:
    return tuple(int(c) for c in np.clip(np.round(click), 0, cells - 1))


def _around(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give a shell around a mask; the mask itself where that fills the crop."""
    around = _dilated(mask, _SHELL) & ~mask
    return around if around.any() else mask


def _standardised(image: Floats) -> NDArray[np.float64]:
    exact = image.astype(np.float64)
    deviation = exact.std()
    return (exact - exact.mean()) / deviation if deviation > 0 else np.zeros_like(exact)


def _dilated(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    grown = np.zeros(mask.shape, dtype=np.bool_)
    ndimage.binary_dilation(mask, iterations=by, output=grown)
    return grown
