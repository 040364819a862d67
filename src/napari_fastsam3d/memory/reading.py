"""What the trained reader makes of recalled cases: whether a structure is there, and where."""

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.memory.case import Case, Floats
from napari_fastsam3d.memory.prior import SURE, Prior
from napari_fastsam3d.memory.readable_case import ReadableCase
from napari_fastsam3d.memory.reader import Reader
from napari_fastsam3d.memory.remember import CELLS
from napari_fastsam3d.model.checkpoint import load_strictly, read_tensors

MATCH = -1.0
"""Logit of a match under which nothing is recalled: what is not remembered lies far below it."""

FULL = 0.45
"""How full the cells are that hold a structure, under which it is not read: it is a mere thread in
them, such as a spinal cord at 3 mm, and the model alone draws it better."""

# Part of their extent by which the region that cases reach is grown on either side: a click may lie
# anywhere in a structure.
_GROWN = 0.25


def region(point: NDArray[np.floating], cases: Sequence[ReadableCase], side: int) -> Box:
    """Return the cells at S/4 that cases reach from a click, in pairs along each axis.

    Parameters
    ----------
    point : ndarray, shape (3,)
        The click, in cells at S/4.
    cases : sequence of ReadableCase
        Measured in cells.
    side : int
        Cells of the crop along each axis.
    """
    first, last = [], []
    for d in range(3):
        low = min(case.origin[d] for case in cases)
        high = max(case.origin[d] + (case.mask.shape[d] - 1) * case.step for case in cases)
        more = _GROWN * (high - low)
        start = int(np.floor((point[d] + low - more) / 2)) * 2
        stop = int(np.ceil((point[d] + high + more + 1) / 2)) * 2
        start = min(max(start, 0), side - 2)
        first.append(start)
        last.append(max(min(stop, side), start + 2))
    return Box((first[0], first[1], first[2]), (last[0], last[1], last[2]))


def read_prior(
    reader: "Reader",
    features: tuple[Floats, ...],
    crop: Crop,
    point: NDArray[np.float64],
    cases: Sequence[Case],
    weights: Sequence[float],
) -> Prior | None:
    """Return where a reader expects an object; None where that is not what is remembered.

    None as well where it is too thin to be read.

    Parameters
    ----------
    reader : Reader
    features : tuple of ndarray of float32, shape (n, n, n, C)
        Of the crop, at S/4 and S/8.
    crop : Crop
        At about the spacing that the cases were remembered at.
    point : ndarray, shape (3,)
        The first click inside the structure, crop index.
    cases, weights
        What was recalled.
    """
    cell = CELLS[0]
    fullness = [_fullness(case) for case in cases]
    if np.dot(weights, fullness) < FULL:
        return None
    readable = [_readable(case).measured_in(cell * crop.spacing) for case in cases]
    place = (point + 0.5) / cell - 0.5
    box = region(place, readable, len(features[0]))
    fine, coarse = (
        torch.from_numpy(each[tuple(slice(s.start // n, s.stop // n) for s in box.slices)])
        for each, n in zip(features, (1, 2), strict=True)
    )
    axes = [
        torch.arange(a, b, dtype=torch.float32) - float(p)
        for a, b, p in zip(box.start, box.stop, place, strict=True)
    ]
    with torch.inference_mode():
        shares = torch.tensor(weights, dtype=torch.float32)
        reading = reader(fine, coarse, axes, readable, shares)
    if reading.match < MATCH:
        return None
    side = 2 * len(features[0])
    drawn = np.full((side,) * 3, -SURE, np.float32)
    drawn[tuple(slice(2 * s.start, 2 * s.stop) for s in box.slices)] = reading.logits.numpy()
    drawn = drawn.clip(-SURE, SURE)
    told = drawn.reshape((side // 2, 2) * 3).mean(axis=(1, 3, 5))
    return Prior(crop, told, drawn)


def _fullness(case: Case) -> float:
    """Return how full the cells at S/4 are that a structure lies in, a mean over its voxels."""
    filled = case.tokens[0].mask.astype(np.float32)
    return float((filled**2).sum() / max(float(filled.sum()), 1e-6))


@lru_cache(maxsize=256)
def _readable(case: Case) -> ReadableCase:
    return ReadableCase.of(case)


@cache
def shipped_reader(encoder: str) -> Reader | None:
    """Return the reader of the package, or None for another encoder than it was trained with."""
    with as_file(files("napari_fastsam3d.memory") / "reader.safetensors") as path:
        return load_reader(path, encoder)


def load_reader(path: Path, encoder: str) -> Reader | None:
    """Return the reader of a file, or None where that was trained with another encoder."""
    tensors, told = read_tensors(path)
    if told.get("encoder") != encoder:
        return None
    reader = Reader(len(tensors["norm_fine.weight"]), len(tensors["norm_coarse.weight"]))
    load_strictly(reader, tensors)
    return reader.eval().requires_grad_(False)


def save_reader(reader: Reader, path: Path, encoder: str) -> None:
    """Write a reader in half precision, with the fingerprint of the encoder that it reads."""
    tensors = {name: value.half().contiguous() for name, value in reader.state_dict().items()}
    save_file(tensors, path, {"encoder": encoder})
