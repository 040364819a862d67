"""Prompts as they are written on a command line."""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from napari_fastsam3d.errors import PromptError

if TYPE_CHECKING:
    from napari_fastsam3d.geometry import Volume

# Longest sides of a scan from its middle beyond which a corner is a slip.
_SIDES = 100

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


def _signed(text: str) -> tuple[str, bool]:
    """Take the sign off the end of a prompt; without one it is positive."""
    body, _, sign = text.rpartition(",")
    return (body, sign.strip() == "+") if sign.strip() in ("+", "-") else (text, True)


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
        body, positive = _signed(text)
        x, y, z = _numbers(body, 3, "--point", "120,88,40 or 120,88,40,-")
        return cls((x, y, z), positive)

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


@dataclass(frozen=True)
class ParsedScribble:
    """A scribble or a lasso of the command line, not yet in any volume.

    Parameters
    ----------
    corners : tuple of tuples of 3 floats
        What is joined by straight lines: source indices, or RAS millimetres with `--world`.
    positive : bool
        Whether the object is there, or is not.
    """

    corners: tuple[Place, ...]
    positive: bool

    @classmethod
    def parse(cls, text: str, option: str, fewest: int) -> "ParsedScribble":
        """Read `i,j,k,i,j,k,...` and a sign; PromptError for anything else, or for fewer corners.

        Parameters
        ----------
        text : str
        option : str
            What it is called in a refusal.
        fewest : int
            Corners that it needs.
        """
        body, positive = _signed(text)
        count = 3 * max(fewest, (body.count(",") + 1) // 3)
        numbers = _numbers(body, count, option, "60,80,40,70,85,40,75,95,40 or with ,- after it")
        corners = [(numbers[n], numbers[n + 1], numbers[n + 2]) for n in range(0, count, 3)]
        return cls(tuple(corners), positive)

    def places(self, volume: "Volume", world: bool) -> np.ndarray:
        """Give the corners in source indices, shape (N, 3), not rounded.

        Raises
        ------
        PromptError
            If one lies far from the scan.
        """
        corners = np.asarray(self.corners)
        places = np.asarray(volume.to_index(corners)) if world else corners
        if (np.abs(places - np.asarray(volume.shape) / 2) > _SIDES * max(volume.shape)).any():
            raise PromptError(
                "A corner of --scribble or --lasso lies far from the scan.",
                "Give source indices, or --world if these are millimetres.",
            )
        return places

    def in_slice(self, volume: "Volume", world: bool) -> tuple[tuple[int, int], np.ndarray]:
        """Give the slice that the corners share, axis and index, and where they lie in it, (N, 2).

        Raises
        ------
        PromptError
            If they lie in no slice, or in a line.
        """
        places = self.places(volume, world)
        slices = np.floor(places + 0.5)
        shared = np.flatnonzero((slices == slices[0]).all(axis=0))
        if len(shared) != 1:
            where = "in a line" if len(shared) else "in no one slice"
            raise PromptError(
                f"The corners of --lasso lie {where}.",
                "Give three or more that have one of their three indices in common.",
            )
        axis = int(shared[0])
        return (axis, int(slices[0, axis])), np.delete(places, axis, axis=1)
