"""Small pieces of a prediction that nobody clicked are dropped."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.model.predictor import Floats

_SMALL = 0.1
_NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class ProtectedSeeds:
    """What holds a piece of a prediction in place, on the grid of the prediction.

    Parameters
    ----------
    points : ndarray of float, shape (N, 3)
        Positive clicks, in cells.
    boxes : tuple of ndarray of float, shape (2, 3)
        Box prompts, inclusive corners in cells.
    faces : bool
        Whether the object is known to go on beyond the crop, so that a piece at a face of the
        grid may belong to it.
    """

    points: NDArray[np.float64]
    boxes: tuple[NDArray[np.float64], ...] = ()
    faces: bool = False


def without_small_components(logits: Floats, seeds: ProtectedSeeds) -> Floats:
    """Drop the small, unclicked pieces of a prediction.

    The positive cells fall into pieces that touch nowhere, not even at a corner. A piece stays
    if it holds a positive click (or has one in a neighbouring cell), if it reaches into a box
    prompt, if it lies at a face beyond which the object goes on, or if it has at least a tenth
    of the cells of the largest piece that stays for one of these reasons (of the largest of all,
    if none does): the other lung stays, specks go. The logits of dropped cells change sign.

    Parameters
    ----------
    logits : ndarray of float32, shape (F, F, F)
        Prediction over the crop; not changed.
    seeds : ProtectedSeeds
        What keeps a piece.

    Returns
    -------
    ndarray of float32, shape (F, F, F)
        The same array where nothing is dropped.
    """
    positive = logits > 0
    box = Box.of_mask(positive)
    if box is None:
        return logits
    pieces = np.zeros(logits.shape, dtype=np.int32)
    ndimage.label(positive[box.slices], structure=_NEIGHBOURS, output=pieces[box.slices])
    sizes = np.bincount(pieces[box.slices].ravel())
    if len(sizes) < 3:
        return logits
    sizes[0] = 0
    held = _held(pieces, seeds)
    largest = sizes[held].max() if held.size else sizes.max()
    stays = sizes >= _SMALL * largest
    stays[held] = True
    dropped = ~stays[pieces] & (pieces > 0)
    return np.where(dropped, -logits, logits) if dropped.any() else logits


def _held(pieces: NDArray[np.int32], seeds: ProtectedSeeds) -> NDArray[np.intp]:
    """Return the numbers of the pieces that something holds."""
    parts = [pieces[_around(p, p, pieces.shape, 1)].ravel() for p in seeds.points]
    parts += [pieces[_around(low, high, pieces.shape, 0)].ravel() for low, high in seeds.boxes]
    if seeds.faces:
        parts += [np.take(pieces, (0, -1), axis=axis).ravel() for axis in range(3)]
    found = np.unique(np.concatenate([*parts, np.zeros(0, dtype=np.int32)]))
    return found[found > 0].astype(np.intp)


def _around(
    low: NDArray[np.float64], high: NDArray[np.float64], shape: tuple[int, ...], margin: int
) -> tuple[slice, ...]:
    first = np.floor(low + 0.5).astype(int) - margin
    last = np.floor(high + 0.5).astype(int) + margin
    return tuple(
        slice(max(0, a), max(0, min(n, b + 1))) for a, b, n in zip(first, last, shape, strict=True)
    )
