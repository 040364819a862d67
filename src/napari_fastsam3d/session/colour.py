"""The colours of objects: legible over a grey scan and told apart by most eyes."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from napari_fastsam3d.geometry.io.segment import Colour

# Red, green, blue in [0, 1]. Neighbours in the list differ in hue and in lightness, so that the
# first few objects can be told apart without colour vision too.
COLOURS: tuple[Colour, ...] = (
    (0.90, 0.38, 0.00),
    (0.35, 0.70, 0.90),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.80, 0.47, 0.65),
    (0.20, 0.45, 0.85),
    (0.86, 0.20, 0.25),
    (0.60, 0.85, 0.35),
    (0.62, 0.42, 0.86),
    (1.00, 0.70, 0.55),
    (0.10, 0.75, 0.75),
    (0.72, 0.53, 0.25),
)
# Steps of red, green and blue between which further colours are chosen; and the CIELAB lightness
# and chroma that they need to be seen over a grey scan.
_STEPS = 17
_LIGHTNESS = (40.0, 92.0)
_CHROMA = 28.0
# CIELAB distance from which on two colours are told apart at a glance.
_APART = 20.0


def free_colour(value: int, used: Sequence[Colour]) -> Colour:
    """Return a colour for a label value that differs from those that other objects have.

    Parameters
    ----------
    value : int
        1 or more; the first twelve values have a colour of their own, if it is free.
    used : sequence of Colour
        Those of the other objects, the newest last.

    Returns
    -------
    Colour
        The first of the list, from that of the value on, that differs from all in use at a glance;
        else the one, of all that are legible, that is farthest from those in use.
    """
    first = (value - 1) % len(COLOURS)
    listed = COLOURS[first:] + COLOURS[:first]
    taken = _lab(np.reshape(used, (-1, 3)))
    for colour in listed:
        if _apart(_lab(np.array([colour])), taken)[0] >= _APART:
            return colour
    colours, lab = _legible()
    red, green, blue = colours[_apart(lab, taken).argmax()]
    return (float(red), float(green), float(blue))


def _apart(lab: NDArray[np.float64], taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each colour from the nearest of those that are taken."""
    if not len(taken):
        return np.full(len(lab), np.inf)
    return cdist(lab, taken).min(axis=1)


@cache
def _legible() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the colours to choose from, (N, 3) RGB, and the same in CIELAB."""
    steps = np.linspace(0, 1, _STEPS)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _lab(colours)
    low, high = _LIGHTNESS
    seen = (lab[:, 0] >= low) & (lab[:, 0] <= high) & (np.hypot(lab[:, 1], lab[:, 2]) >= _CHROMA)
    return colours[seen].round(4), lab[seen]


def _lab(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sRGB colours (N, 3) in CIELAB, for daylight (D65)."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def parse_colour(value: Any) -> Colour:
    """Return three numbers in [0, 1]; TypeError or ValueError if they are none."""
    if any(type(part) not in (int, float) for part in value):
        raise TypeError
    red, green, blue = map(float, value)
    if not all(0 <= part <= 1 for part in (red, green, blue)):
        raise ValueError
    return (red, green, blue)
