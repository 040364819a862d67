"""What remembered cases say of where a structure is: a prior that needs no training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.memory.case import Case, Floats, Tokens, unit
from napari_fastsam3d.memory.remember import CELLS, centres

SURE = 8.0
"""Logit of a cell that remembered structures fill, as of a mask that is fed back."""

TEMPERATURE = 0.05
"""Difference of cosines by which a remembered token counts for a factor e more."""

PLACE = 7.0
"""Distance in mm, as seen from the click, at which a token like another counts for 0.6 of it."""

LIKELY = 4.0
"""Added to the logits: averages over cases are blurred, and of a small structure no cell is full.

On six training cases with ten remembered, Dice of a click on a hippocampus became 0.71 instead of
0.68 without it and 0.58 without a prior; what is marked too much the model corrects.
"""

ABSENT = LIKELY - SURE
"""Logit of a cell in which nothing is expected."""

SHARE, LESS = 0.78, 0.12
"""What counts of a trained prior in a mask, beside what the model predicts: `SHARE / (1 + LESS n)`
after n more clicks than one, for the model learns from clicks and the prior doesn't.

On 53 structures of training patients from whom the reader hadn't learnt, five clicks each, the best
shares were 0.8, 0.7, 0.6, 0.55 and 0.5, of organs of head and neck as of hippocampi.
"""

AROUND = 0.045
"""Standard deviation, in sides of a crop, of the place around a click where the model decides."""

# Remembered cells of one case above which the coarser ones are compared: a large structure needs
# no finer ones, and these would take longer than encoding the crop.
_MANY = 2500
# Logits of a prior that a click must contradict, of a trained one, which errs at borders, more; and
# what is left of the prior's trust then.
_DOUBT, _DOUBT_TRAINED = 2.0, 4.0
_LEFT = 0.5
_LEAST = 0.2
# Query cells compared at a time, so that the table of similarities stays in the cache.
_AT_A_TIME = 256


@dataclass(frozen=True, eq=False)
class Prior:
    """Where remembered structures lead one to expect an object.

    Attributes
    ----------
    crop : Crop
    logits : ndarray of float32, shape (S/4,) * 3
        What the model is told as its mask prompt.
    fine : ndarray of float32, shape (S/2,) * 3, or None
        The same as finely as a mask is drawn; None where the prior is too coarse to be drawn with.
    """

    crop: Crop
    logits: Floats
    fine: Floats | None = None

    def on(self, crop: Crop) -> Floats:
        """Return the logits on another crop of the same volume; `ABSENT` beyond this one."""
        return self._moved(self.logits, crop, crop.size // CELLS[0], ABSENT)

    def drawn_with(
        self, crop: Crop, logits: Floats, points: Floats, labels: NDArray[np.int64]
    ) -> Floats:
        """Return what a model predicted, drawn to where the structure is expected.

        Around each click that contradicts the prior the prediction stands, as it does beyond the
        crop of the prior.

        Parameters
        ----------
        crop : Crop
        logits : ndarray of float32, shape (F, F, F)
            Over that crop.
        points : ndarray of float32, shape (N, 3)
            All clicks in it, crop index.
        labels : ndarray of int64, shape (N,)
            1 for a point inside the object, 0 for one outside.
        """
        if self.fine is None:
            return logits
        expected = self._moved(self.fine, crop, len(logits), np.nan)
        share = _shares(expected, points / np.float32(crop.size), labels)
        mixed = logits + share * (expected - logits)
        return np.where(np.isnan(expected), logits, mixed).astype(np.float32)

    def trust(self, points: Floats, labels: NDArray[np.int64]) -> float:
        """Return how far it is still to be believed, given all clicks so far; see `trust_in`."""
        if self.fine is None:
            return trust_in(self.logits, points, labels, self.crop.size)
        return trust_in(self.fine, points, labels, self.crop.size, _DOUBT_TRAINED)

    def _moved(self, grid: Floats, crop: Crop, side: int, beyond: float) -> Floats:
        """Return a grid over the prior's crop on so many cells over another."""
        if crop == self.crop and side == len(grid):
            return grid
        along = (np.arange(side) + 0.5) * crop.size / side - 0.5
        # Axes of crops are the same, so that a diagonal tells where the cells of each axis lie.
        diagonal = self.crop.to_crop(crop.to_source(np.stack([along] * 3, axis=-1)))
        x, y, z = ((diagonal + 0.5) * len(grid) / self.crop.size - 0.5).T
        at = np.meshgrid(x, y, z, indexing="ij")
        return map_coordinates(grid, at, order=1, cval=beyond).astype(np.float32)


def foreground_prior(
    features: tuple[Floats, ...],
    crop: Crop,
    point: NDArray[np.float64],
    cases: Sequence[Case],
    weights: Sequence[float],
    temperature: float = TEMPERATURE,
    place: float = PLACE,
) -> Prior:
    """Compare each cell around a click with the remembered ones, and average their masks.

    That is attention: a remembered token counts by exp(cosine / temperature), by a Gaussian of how
    differently the two lie from their clicks, and by the weight of its case.

    Parameters
    ----------
    features : tuple of ndarray of float32, shape (n, n, n, C)
        Of the crop, at S/4 and S/8.
    crop : Crop
        At about the spacing that the cases were remembered at.
    point : ndarray, shape (3,)
        The first click inside the structure, crop index.
    cases, weights
        What was recalled.
    temperature, place : float
        See `TEMPERATURE` and `PLACE`.
    """
    level = int(max(case.tokens[0].mask.size for case in cases) > _MANY)
    tokens = [case.tokens[level] for case in cases]
    cell, own = CELLS[level], features[level]
    axes = [centres(len(own), cell, float(x), crop.spacing) for x in point]
    near = _reach(axes, tokens)
    filled = np.zeros(own.shape[:3], dtype=np.float32)
    filled[near] = _attended(
        own[near],
        [axis[s] for axis, s in zip(axes, near, strict=True)],
        tokens,
        weights,
        temperature,
        place,
    )
    side = crop.size // CELLS[0]
    if level:
        filled = _finer(filled, side)
    logits = ((2 * filled - 1) * SURE + LIKELY).clip(-SURE, SURE)
    return Prior(crop, logits.astype(np.float32))


def _attended(
    own: Floats,
    axes: Sequence[Floats],
    tokens: Sequence[Tokens],
    weights: Sequence[float],
    temperature: float,
    place: float,
) -> Floats:
    remembered = np.concatenate([each.features.reshape(-1, own.shape[-1]) for each in tokens])
    values = np.concatenate([each.mask.ravel() for each in tokens]).astype(np.float32)
    places = np.concatenate([each.places().reshape(-1, 3) for each in tokens])
    shares = np.concatenate([np.full(t.mask.size, w) for t, w in zip(tokens, weights, strict=True)])
    keys = unit(remembered) / np.float32(temperature)
    spread = np.float32(place * 2**0.5)
    there = places / spread
    constant = np.log(shares).astype(np.float32) - (there**2).sum(axis=1)
    queries = unit(own.reshape(-1, own.shape[-1]))
    here = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) / spread
    # -|h - t|^2 without the term that is the same for all tokens: one product for both parts.
    left = np.concatenate([queries, 2 * here], axis=1)
    right = np.concatenate([keys, there], axis=1).T
    out = np.empty(len(left), dtype=np.float32)
    for at in range(0, len(left), _AT_A_TIME):
        logits = left[at : at + _AT_A_TIME] @ right + constant
        shown = np.exp(logits - logits.max(axis=1, keepdims=True))
        out[at : at + _AT_A_TIME] = (shown @ values) / shown.sum(axis=1)
    return out.reshape(own.shape[:3])


def _reach(axes: Sequence[Floats], tokens: Sequence[Tokens]) -> tuple[slice, slice, slice]:
    """Return the cells that lie where anything is remembered, as seen from the click."""
    slices: list[slice] = []
    for d, axis in enumerate(axes):
        low = min(each.origin[d] - each.cell / 2 for each in tokens)
        high = max(each.origin[d] + (each.mask.shape[d] - 0.5) * each.cell for each in tokens)
        first, last = np.searchsorted(axis, (low, high))
        slices.append(slice(int(first), int(last)))
    return slices[0], slices[1], slices[2]


def _finer(filled: Floats, side: int) -> Floats:
    along = ((np.arange(side) + 0.5) * len(filled) / side - 0.5).clip(0, len(filled) - 1)
    at = np.meshgrid(along, along, along, indexing="ij")
    return map_coordinates(filled, at, order=1, mode="nearest").astype(np.float32)


def trust_in(
    logits: Floats, points: Floats, labels: NDArray[np.int64], size: int, doubt: float = _DOUBT
) -> float:
    """Return how far a prior is still to be believed, given all clicks so far, 0 to 1.

    Each click that says the contrary of what the prior is sure of halves it, and under a fifth it
    is dropped: clicks are right. A click where the prior isn't sure says nothing against it.

    Parameters
    ----------
    logits : ndarray of float32, shape (s, s, s)
        The prior on the crop.
    points : ndarray of float32, shape (N, 3)
        Crop index.
    labels : ndarray of int64, shape (N,)
        1 for a point inside the object, 0 for one outside.
    size : int
        Crop voxels along each axis.
    doubt : float
        Logits from which on the prior is sure.
    """
    cells = ((points + 0.5) * len(logits) / size).clip(0, len(logits) - 1).astype(int)
    said = logits[tuple(cells.T)]
    contradicted = np.where(labels == 1, said < -doubt, said > doubt)
    trust = float(_LEFT ** np.count_nonzero(contradicted))
    return trust if trust >= _LEAST else 0.0


def _shares(expected: Floats, points: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return what counts of a prior at each cell: less with each click, none at one against it."""
    side = len(expected)
    share = np.full(expected.shape, SHARE / (1 + LESS * max(len(points) - 1, 0)), np.float32)
    along = (np.arange(side, dtype=np.float32) + 0.5) / side
    for point, label in zip(points, labels, strict=True):
        cell = tuple((point * side).clip(0, side - 1).astype(int))
        if (expected[cell] > 0) != (label == 1):
            x, y, z = (np.exp(-(((along - p) / AROUND) ** 2) / 2) for p in point)
            share *= 1 - x[:, None, None] * y[:, None] * z
    return share


def mask_prompt(prior: Floats, previous: Floats | None, trust: float) -> Floats | None:
    """Return what is fed to the model: the prior, or a mean of it and the mask before.

    Parameters
    ----------
    prior, previous : ndarray of float32, shape (s, s, s)
        Logits; the second those of the step before, None at the first click.
    trust : float
        See `trust_in`. With none, the step before is fed back as it is.
    """
    if trust == 0:
        return previous
    if previous is None:
        return (np.float32(trust) * prior).astype(np.float32)
    return (previous + trust / 2 * (prior - previous)).astype(np.float32)
