"""Prompts as they are written on a command line."""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_fastsam3d.errors import PromptError

if TYPE_CHECKING:
    from napari_fastsam3d.geometry import Volume

Triple = tuple[int, int, int]
Place = tuple[float, float, float]

# No scan has a voxel, or reaches, so far; no sum of such numbers overflows.
_FARTHEST = 1e9


def _numbers(text: str, count: int, option: str, example: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise PromptError(f"{option} {text} is not {count} numbers.", f"Write it as {example}.")
    if max(map(abs, numbers)) > _FARTHEST:
        raise PromptError(f"{option} {text} lies beyond all bounds.", f"Write it as {example}.")
    return numbers


def _whole(place: Place, option: str) -> Triple:
    if any(number != int(number) for number in place):
        raise PromptError(
            f"{option} {place} is not a voxel index.",
            "Give whole numbers, or --world if these are millimetres.",
        )
    return (int(place[0]), int(place[1]), int(place[2]))


def _nearest(index: np.ndarray) -> Triple:
    i, j, k = (int(number) for number in np.floor(index + 0.5))
    return (i, j, k)


@dataclass(frozen=True)
class ParsedPoint:
    """A point of the command line, not yet in any volume.

    Parameters
    ----------
    place : tuple of 3 floats
        Source index (i, j, k), or RAS millimetres with `--world`.
    positive : bool
        Whether the object is there, or is not.
    """

    place: Place
    positive: bool

    @classmethod
    def parse(cls, text: str) -> "ParsedPoint":
        """Read `i,j,k`, `i,j,k,+` or `i,j,k,-`; raises PromptError for anything else."""
        body, _, sign = text.rpartition(",")
        if sign.strip() not in ("+", "-"):
            body, sign = text, "+"
        x, y, z = _numbers(body, 3, "--point", "120,88,40 or 120,88,40,-")
        return cls((x, y, z), sign.strip() == "+")

    def index(self, volume: "Volume", world: bool) -> Triple:
        """Give the source index; `world` says that the place is in RAS millimetres."""
        if not world:
            return _whole(self.place, "--point")
        return _nearest(np.asarray(volume.to_index(np.asarray([self.place])))[0])


@dataclass(frozen=True)
class ParsedBox:
    """A box of the command line, not yet in any volume.

    Parameters
    ----------
    low, high : tuple of 3 floats
        Half-open source indices (start, stop), or two opposite corners in RAS millimetres.
    """

    low: Place
    high: Place

    @classmethod
    def parse(cls, text: str) -> "ParsedBox":
        """Read `i0,j0,k0,i1,j1,k1`; raises PromptError for anything else."""
        a, b, c, d, e, f = _numbers(text, 6, "--box", "90,60,30,150,120,60")
        return cls((a, b, c), (d, e, f))

    def corners(self, volume: "Volume", world: bool) -> tuple[Triple, Triple]:
        """Give the half-open source box, start and stop.

        In millimetres the box is the smallest one along the source axes that holds all eight
        corners, so that an oblique scan loses nothing of it.
        """
        if not world:
            return _whole(self.low, "--box"), _whole(self.high, "--box")
        corners = np.array(list(product(*zip(self.low, self.high, strict=True))))
        index = np.asarray(volume.to_index(corners))
        last = _nearest(index.max(axis=0))
        return _nearest(index.min(axis=0)), (last[0] + 1, last[1] + 1, last[2] + 1)
